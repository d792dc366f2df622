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
//	// now p.Value() is what p.Key was mapped to, at the height and time of p.State
//
// # What binds a file
//
// The certificate covers the digest of the state, so a value, its key, the height and the
// time cannot be other than they were. The absence of a key is shown by the place in the
// tree where it would be, which is the place of many keys: one proof shows for each of
// them that it is absent, and that is true. So a file in which a bit of an absent key has
// changed could be a proof still, of something that nobody asked. Against damage a file
// ends in a digest over all that is before it: there is no bit whose change goes unnoticed.
// Against whoever makes a file the digest is no protection, and need not be, as he can
// only prove what is true. But of which key it is true he chooses: who verifies a file that
// somebody else gave him compares Key with the key that he means, as 'parley verify-state
// --about' does.
package stateproof

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
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

// Verify checks everything; that p.Key is the key that is meant, the caller knows. The
// errors are those of [receipt.State.Verify].
func Verify(ros *roster.Roster, p *Proof) error { return p.State.Verify(ros, p.Key) }

// ErrDamaged: the file is not as it was written.
var ErrDamaged = errors.New("the proof is damaged")

const (
	domainFile = crypto.Domain("parley/state-proof")

	magic    = "PSPF"
	version  = 3
	maxKey   = 1 << 20
	maxState = 64 << 20
)

// MaxSize is longer than the encoding of any proof.
const MaxSize = maxKey + maxState + 64

// Encode returns the one encoding of p: magic, version, key, state, and the digest of all
// that.
func (p *Proof) Encode() []byte {
	b := canon.AppendUint8([]byte(magic), version)
	b = canon.AppendBytes(b, p.Key)
	b = canon.AppendBytes(b, p.State.Encode())
	d := crypto.Hash(domainFile, b)
	return append(b, d[:]...)
}

// Decode reads what [Proof.Encode] wrote; what it returns aliases b. The error wraps
// ErrDamaged, canon.ErrMalformed or proof.ErrMalformed.
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
	var digest crypto.Digest
	r.Copy(digest[:])
	err := r.Close()
	if err == nil && digest != crypto.Hash(domainFile, b[:len(b)-len(digest)]) {
		err = ErrDamaged
	}
	if err == nil {
		p.State, err = receipt.DecodeState(state)
	}
	if err != nil {
		return nil, fmt.Errorf("state proof: %w", err)
	}
	return p, nil
}
