package bls

import (
	"errors"
	"fmt"

	GG "github.com/cloudflare/circl/ecc/bls12381"

	"github.com/parley-bft/parley/crypto"
)

// Name is the scheme's name in the cluster file.
const Name = "bls"

// Errors of [NewScheme].
var (
	ErrDuplicateKey = errors.New("two members have the same BLS key")
	ErrNegatedKey   = errors.New("one member's BLS key is the negative of another's")
)

// Scheme is BLS12-381 over the keys of one epoch's members. An aggregate is the
// sum of the signatures, 48 bytes whatever the number of signers.
type Scheme struct {
	keys []*GG.G2
	sums *sums
}

var _ crypto.Scheme = (*Scheme)(nil)

// NewScheme checks each member's key and proof of possession (about 4 ms each)
// and that no key is another's, or its negative.
func NewScheme(keys, proofs [][]byte) (*Scheme, error) {
	if len(keys) == 0 || len(keys) > crypto.MaxReplicas || len(proofs) != len(keys) {
		return nil, fmt.Errorf("bls scheme of %d keys and %d proofs: want 1 to %d of both", len(keys), len(proofs), crypto.MaxReplicas)
	}
	s := &Scheme{keys: make([]*GG.G2, len(keys))}
	first := make(map[crypto.BLSKey]int, len(keys))
	for i := range keys {
		p, err := parseKey(keys[i])
		if err != nil {
			return nil, fmt.Errorf("member %d: %w", i, err)
		}
		key := crypto.BLSKey(keys[i])
		if j, twice := first[key]; twice {
			return nil, fmt.Errorf("members %d and %d: %w", j, i, ErrDuplicateKey)
		}
		if j, negated := first[negate(key)]; negated {
			return nil, fmt.Errorf("members %d and %d: %w", j, i, ErrNegatedKey)
		}
		first[key] = i
		s.keys[i] = p
	}
	for i := range keys {
		if err := CheckProof(keys[i], proofs[i]); err != nil {
			return nil, fmt.Errorf("member %d: %w", i, err)
		}
	}
	s.sums = newSums(s.keys)
	return s, nil
}

// negate returns the encoding of -key: the other of the two points with its x.
func negate(key crypto.BLSKey) crypto.BLSKey {
	const signFlag = 0x20
	key[0] ^= signFlag
	return key
}

// Name returns "bls".
func (s *Scheme) Name() string { return Name }

// Lazy returns true: an aggregate costs about as much as one share.
func (s *Scheme) Lazy() bool { return true }

func message(c crypto.Context, msg []byte) []byte {
	return c.AppendMessage(make([]byte, 0, crypto.ContextSize+len(msg)), msg)
}

// parseShare returns the signer's key and the signature's point.
func (s *Scheme) parseShare(share crypto.Share) (*GG.G2, *GG.G1, error) {
	if int(share.Signer) >= len(s.keys) {
		return nil, nil, fmt.Errorf("replica %d of %d: %w", share.Signer, len(s.keys), crypto.ErrUnknownSigner)
	}
	p, err := parseSignature(share.Signature)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", crypto.ErrBadSignature, err)
	}
	return s.keys[share.Signer], p, nil
}

// VerifyShare checks one signature (about 3 ms).
func (s *Scheme) VerifyShare(c crypto.Context, msg []byte, share crypto.Share) error {
	key, sig, err := s.parseShare(share)
	if err != nil {
		return err
	}
	if !verify(key, hash(tagSign, message(c, msg)), sig) {
		return crypto.ErrBadSignature
	}
	return nil
}

// Aggregate adds the signatures up after checking that each is a point of the
// group (about 0.2 ms a share). It fails with [crypto.CulpritError] for a share that is none.
func (s *Scheme) Aggregate(shares []crypto.Share) ([]byte, error) {
	if err := crypto.CheckOrder(shares, len(s.keys)); err != nil {
		return nil, err
	}
	var sum GG.G1
	sum.SetIdentity()
	for _, share := range shares {
		p, err := parseSignature(share.Signature)
		if err != nil {
			return nil, &crypto.CulpritError{Signer: share.Signer, Err: err}
		}
		sum.Add(&sum, p)
	}
	return sum.BytesCompressed(), nil
}

// VerifyAggregate checks one aggregate (about 3 ms whatever the number of signers).
func (s *Scheme) VerifyAggregate(c crypto.Context, msg []byte, signers crypto.Bitmap, proof []byte) error {
	if err := signers.Check(len(s.keys)); err != nil {
		return err
	}
	if signers.Count() == 0 {
		return fmt.Errorf("aggregate of nobody: %w", crypto.ErrBadSignature)
	}
	sig, err := parseSignature(proof)
	if err != nil {
		return fmt.Errorf("%w: %w", crypto.ErrBadSignature, err)
	}
	key := s.sums.of(signers)
	if key.IsIdentity() {
		// Distinct keys with proofs of possession do not add up to zero unless
		// their owners conspire; such a set of signers can prove nothing.
		return fmt.Errorf("the keys of %s add up to zero: %w", signers, crypto.ErrBadSignature)
	}
	if !verify(key, hash(tagSign, message(c, msg)), sig) {
		return crypto.ErrBadSignature
	}
	return nil
}
