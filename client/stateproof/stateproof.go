// Package stateproof is proof of what the state of an application on a store (package
// statemachine/store) maps a key to, or that it maps it to nothing. Who has the cluster
// file can check it offline: a quorum of replicas has signed the state's digest at a
// checkpoint, and the key's path leads to that digest.
//
//	p, err := stateproof.Decode(data)
//	err = stateproof.Verify(roster, p)
//	// now p.Value(), at the height of p.Certificate
package stateproof

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// Proof says what a key was mapped to at a checkpoint. That it exists proves nothing,
// [Verify] does.
type Proof struct {
	// Cluster and Epoch say whose certificate it is.
	Cluster crypto.Digest
	Epoch   pbft.Epoch
	Key     []byte
	State   *proof.Proof
	// Sessions and Manifest are what the certified digest covers beside the
	// application's: see [statemachine.StateDigest].
	Sessions, Manifest crypto.Digest
	Certificate        *pbft.CheckpointCertificate
}

// Errors of [Verify], beside those of package receipt; test with errors.Is. Errors of
// [Decode] wrap canon.ErrMalformed or proof.ErrMalformed.
var (
	// ErrState: the path does not lead to the state that was certified.
	ErrState = errors.New("state proof leads to another state than the certified one")
)

// Value returns what the key is mapped to, and whether it is there.
func (p *Proof) Value() (value []byte, present bool) { return p.State.Value, p.State.Present }

// Verify checks everything. The error wraps [ErrState], proof.ErrInvalid, or
// receipt.ErrOtherCluster, receipt.ErrOtherEpoch or receipt.ErrCertificate.
func Verify(ros *roster.Roster, p *Proof) error {
	if p.Cluster != ros.ID {
		return fmt.Errorf("%w: it is of %s, the roster is of %s", receipt.ErrOtherCluster, p.Cluster.Hex(), ros.ID.Hex())
	}
	if uint64(p.Epoch) != ros.Cluster.Epoch {
		return fmt.Errorf("%w: it is of epoch %d, the roster of epoch %d", receipt.ErrOtherEpoch, p.Epoch, ros.Cluster.Epoch)
	}
	app, err := p.State.Digest(p.Key)
	if err != nil {
		return err
	}
	if got := statemachine.StateDigest(app, p.Sessions, p.Manifest); got != p.Certificate.State {
		return fmt.Errorf("%w: digest %v, certified at height %d is %v", ErrState, got, p.Certificate.Height, p.Certificate.State)
	}
	return receipt.VerifyCertificate(ros, p.Certificate)
}

const (
	magic          = "PSPF"
	version        = 1
	maxKey         = 1 << 20
	maxProof       = 64 << 20
	maxCertificate = 64 << 10
)

// Encode returns the one encoding of p: magic, version, cluster, epoch, key, proof,
// sessions, manifest, certificate.
func (p *Proof) Encode() []byte {
	b := append([]byte(nil), magic...)
	b = canon.AppendUint8(b, version)
	b = append(b, p.Cluster[:]...)
	b = canon.AppendUint64(b, uint64(p.Epoch))
	b = canon.AppendBytes(b, p.Key)
	b = canon.AppendBytes(b, p.State.Encode())
	b = append(b, p.Sessions[:]...)
	b = append(b, p.Manifest[:]...)
	return canon.AppendBytes(b, p.Certificate.Encode())
}

// Decode reads what [Proof.Encode] wrote; what it returns aliases b.
func Decode(b []byte) (*Proof, error) {
	r := canon.NewReader(b)
	if m := r.Fixed(len(magic)); r.Err() == nil && string(m) != magic {
		r.Fail("it does not begin with %q", magic)
	}
	if v := r.Uint8(); r.Err() == nil && v != version {
		r.Fail("version %d, this program knows %d", v, version)
	}
	p := new(Proof)
	r.Copy(p.Cluster[:])
	p.Epoch = pbft.Epoch(r.Uint64())
	p.Key = r.Bytes(maxKey)
	state := r.Bytes(maxProof)
	r.Copy(p.Sessions[:])
	r.Copy(p.Manifest[:])
	certificate := r.Bytes(maxCertificate)
	err := r.Close()
	if err == nil {
		p.State, err = proof.Decode(state)
	}
	if err == nil {
		p.Certificate, err = pbft.DecodeCheckpointCertificate(certificate)
	}
	if err != nil {
		return nil, fmt.Errorf("state proof: %w", err)
	}
	return p, nil
}
