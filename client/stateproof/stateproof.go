// Package stateproof is proof of what the state of an application on a store (package
// statemachine/store) maps a key to, or that it maps it to nothing, in a file by itself.
// Who has the cluster file can check it offline: a quorum of replicas has signed the
// state's digest at a checkpoint, and the key's path leads to that digest.
//
//	s, err := client.ReadCertified(ctx, key, opts)
//	data := stateproof.Of(key, s).Encode()
//	...
//	p, err := stateproof.Decode(data)
//	err = stateproof.Verify(roster, p)
//	// now p.Value(), at the height and time of p.State
package stateproof

import (
	"fmt"

	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/crypto/roster"
)

// Proof says what a key was mapped to at a checkpoint. That it exists proves nothing,
// [Verify] does.
type Proof struct {
	Key   []byte
	State *receipt.State
}

// Of is the proof that a certified read of a key returned.
func Of(key []byte, s *receipt.State) *Proof { return &Proof{key, s} }

// Value returns what the key is mapped to, and whether it is there.
func (p *Proof) Value() (value []byte, present bool) {
	return p.State.Proof.Value, p.State.Proof.Present
}

// Verify checks everything. The errors are those of [receipt.State.Verify].
func Verify(ros *roster.Roster, p *Proof) error { return p.State.Verify(ros, p.Key) }

const (
	magic    = "PSPF"
	version  = 2
	maxKey   = 1 << 20
	maxState = 64 << 20
)

// MaxSize is longer than the encoding of any proof.
const MaxSize = maxKey + maxState + 64

// Encode returns the one encoding of p: magic, version, key, state.
func (p *Proof) Encode() []byte {
	b := canon.AppendUint8([]byte(magic), version)
	b = canon.AppendBytes(b, p.Key)
	return canon.AppendBytes(b, p.State.Encode())
}

// Decode reads what [Proof.Encode] wrote; what it returns aliases b. The error wraps
// canon.ErrMalformed or proof.ErrMalformed.
func Decode(b []byte) (*Proof, error) {
	r := canon.NewReader(b)
	if m := r.Fixed(len(magic)); r.Err() == nil && string(m) != magic {
		r.Fail("it does not begin with %q", magic)
	}
	if v := r.Uint8(); r.Err() == nil && v != version {
		r.Fail("version %d, this program knows %d", v, version)
	}
	p := new(Proof)
	p.Key = r.Bytes(maxKey)
	state := r.Bytes(maxState)
	err := r.Close()
	if err == nil {
		p.State, err = receipt.DecodeState(state)
	}
	if err != nil {
		return nil, fmt.Errorf("state proof: %w", err)
	}
	return p, nil
}
