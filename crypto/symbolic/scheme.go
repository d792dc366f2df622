package symbolic

import (
	"bytes"
	"fmt"

	"github.com/parley-bft/parley/crypto"
)

// Scheme implements [crypto.Scheme] with the secrets of a [World].
type Scheme struct {
	keys []*keyed
	lazy bool
}

var _ crypto.Scheme = (*Scheme)(nil)

// Name returns "symbolic".
func (s *Scheme) Name() string { return Name }

// Lazy tells which kind of aggregate the scheme makes; see [World.Scheme].
func (s *Scheme) Lazy() bool { return s.lazy }

// VerifyShare checks one signature (about 0.2 us).
func (s *Scheme) VerifyShare(c crypto.Context, msg []byte, share crypto.Share) error {
	if int(share.Signer) >= len(s.keys) {
		return fmt.Errorf("replica %d of %d: %w", share.Signer, len(s.keys), crypto.ErrUnknownSigner)
	}
	want := s.keys[share.Signer].sum(c, msg)
	if !bytes.Equal(want[:], share.Signature) {
		return crypto.ErrBadSignature
	}
	return nil
}

// VerifyShares checks every share by itself.
func (s *Scheme) VerifyShares(checks []crypto.ShareCheck) []error {
	errs := make([]error, len(checks))
	for i := range checks {
		errs[i] = s.VerifyShare(checks[i].Context, checks[i].Message, checks[i].Share)
	}
	return errs
}

// Aggregate joins shares; see [World.Scheme].
func (s *Scheme) Aggregate(shares []crypto.Share) ([]byte, error) {
	if err := crypto.CheckOrder(shares, len(s.keys)); err != nil {
		return nil, err
	}
	var proof []byte
	for _, share := range shares {
		if len(share.Signature) != Size {
			return nil, &crypto.CulpritError{Signer: share.Signer, Err: fmt.Errorf(
				"signature of %d bytes, want %d: %w", len(share.Signature), Size, crypto.ErrMalformed)}
		}
		proof = s.join(proof, share.Signature)
	}
	return proof, nil
}

func (s *Scheme) join(proof, tag []byte) []byte {
	if !s.lazy || len(proof) == 0 {
		return append(proof, tag...)
	}
	for i := range proof {
		proof[i] ^= tag[i]
	}
	return proof
}

// VerifyAggregate makes the aggregate itself and compares.
func (s *Scheme) VerifyAggregate(c crypto.Context, msg []byte, signers crypto.Bitmap, proof []byte) error {
	if err := signers.Check(len(s.keys)); err != nil {
		return err
	}
	if signers.Count() == 0 {
		return fmt.Errorf("aggregate of nobody: %w", crypto.ErrBadSignature)
	}
	if s.lazy && len(proof) != Size || !s.lazy && len(proof) != Size*signers.Count() {
		return crypto.ErrBadSignature
	}
	good, at := true, 0
	var sum [Size]byte
	signers.Each(func(id crypto.ReplicaID) {
		tag := s.keys[id].sum(c, msg)
		if s.lazy {
			s.join(sum[:], tag[:])
		} else {
			good = good && bytes.Equal(tag[:], proof[at:at+Size])
			at += Size
		}
	})
	if !good || s.lazy && !bytes.Equal(sum[:], proof) {
		return crypto.ErrBadSignature
	}
	return nil
}
