// Package proof verifies what a store (package statemachine/store) says of one of its
// keys: that it maps the key to a value, or to nothing. It needs nothing but the
// store's digest, which is the application's in a checkpoint's certificate, and imports
// nothing but hashing.
package proof

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/merkle"
)

const (
	domainKey   = crypto.Domain("parley/store-key")
	domainValue = crypto.Domain("parley/store-value")
	domainState = crypto.Domain("parley/store")
)

// Path is a key's place in the tree. It is a hash, so that nobody who chooses keys can
// make long paths.
func Path(key []byte) crypto.Digest { return hash(domainKey, key) }

// ValueDigest is what the tree maps a key's path to. That of a value longer than PieceBytes
// is made of its pieces; see [LongDigest].
func ValueDigest(value []byte) crypto.Digest {
	if len(value) <= PieceBytes {
		return hash(domainValue, value)
	}
	return LongDigest(len(value), PieceDigests(value))
}

// hash equals crypto.Hash; it allocates nothing where b is short.
func hash(domain crypto.Domain, b []byte) crypto.Digest {
	var buf [256]byte
	if 1+len(domain)+len(b) > len(buf) {
		return crypto.Hash(domain, b)
	}
	t := append(buf[:0], byte(len(domain)))
	t = append(t, domain...)
	return sha256.Sum256(append(t, b...))
}

// StateDigest is the digest of a store whose tree has the given root.
func StateDigest(root crypto.Digest) crypto.Digest { return crypto.Hash(domainState, root[:]) }

// Errors; test with errors.Is.
var (
	// ErrMalformed: the bytes are no proof.
	ErrMalformed = errors.New("malformed store proof")
	// ErrInvalid: the proof does not show what it says of the key under the digest.
	ErrInvalid = errors.New("store proof does not hold")
)

// Proof shows what a store maps a key to.
type Proof struct {
	// Present says whether the key is there; Value is nil if not.
	Present bool
	Value   []byte
	// Empty: the store has no key at all, and there is no path.
	Empty bool
	// Tree is the path from the place of the key to the root.
	Tree merkle.Proof
}

// Verify checks the proof for key against the digest of a store. The error wraps
// [ErrInvalid]; if there is none, p.Present and p.Value are true of that store.
func (p *Proof) Verify(digest crypto.Digest, key []byte) error {
	got, err := p.Digest(key)
	if err == nil && got != digest {
		err = fmt.Errorf("%w: it leads to digest %v, not %v", ErrInvalid, got, digest)
	}
	return err
}

// Digest returns the digest of the store of which p, if that is its digest, proves what
// it says of key. The error wraps [ErrInvalid]: p is no proof for key under any digest.
func (p *Proof) Digest(key []byte) (digest crypto.Digest, err error) {
	if !p.Present && p.Value != nil {
		return digest, fmt.Errorf("%w: a value of an absent key", ErrInvalid)
	}
	if p.Empty {
		if p.Present || len(p.Tree.Steps) > 0 || p.Tree.Nothing || !p.Tree.Key.IsZero() || !p.Tree.Value.IsZero() {
			return digest, fmt.Errorf("%w: a path in an empty tree", ErrInvalid)
		}
		return StateDigest(crypto.Digest{}), nil
	}
	root, present, ok := p.Tree.Root(Path(key))
	switch {
	case !ok:
		return digest, fmt.Errorf("%w: the path is none to key %x", ErrInvalid, key)
	case present != p.Present:
		return digest, fmt.Errorf("%w: key %x is present: %t, the proof says %t", ErrInvalid, key, present, p.Present)
	case present && ValueDigest(p.Value) != p.Tree.Value:
		return digest, fmt.Errorf("%w: key %x has another value", ErrInvalid, key)
	}
	return StateDigest(root), nil
}

const (
	flagPresent = 1 << iota
	flagEmpty
	flagNothing

	maxValue    = 1<<31 - 1
	maxSteps    = 2 * crypto.DigestSize
	siblingLeaf = 1
)

// Encode returns the one encoding of p.
func (p *Proof) Encode() []byte {
	flags := byte(0)
	if p.Present {
		flags |= flagPresent
	}
	if p.Empty {
		flags |= flagEmpty
	}
	if p.Tree.Nothing {
		flags |= flagNothing
	}
	b := []byte{flags}
	if p.Present {
		b = canon.AppendBytes(b, p.Value)
	}
	if p.Empty {
		return b
	}
	if !p.Tree.Nothing {
		b = append(b, p.Tree.Key[:]...)
		b = append(b, p.Tree.Value[:]...)
	}
	b = append(b, byte(len(p.Tree.Steps)))
	for i := range p.Tree.Steps {
		b = appendStep(b, &p.Tree.Steps[i])
	}
	return b
}

func appendStep(b []byte, s *merkle.Step) []byte {
	b = append(b, s.Digit)
	b = canon.AppendUint16(b, s.Present)
	leaves := uint16(0)
	for i := range s.Siblings {
		if s.Siblings[i].Leaf {
			leaves |= 1 << i
		}
	}
	b = canon.AppendUint16(b, leaves)
	for i := range s.Siblings {
		if s.Siblings[i].Leaf {
			b = append(b, s.Siblings[i].Key[:]...)
		}
		b = append(b, s.Siblings[i].Digest[:]...)
	}
	return b
}

// Decode reads what [Proof.Encode] wrote. The error wraps [ErrMalformed]. What it
// returns aliases b.
func Decode(b []byte) (*Proof, error) {
	r := canon.NewReader(b)
	p := new(Proof)
	flags := r.Uint8()
	p.Present, p.Empty, p.Tree.Nothing = flags&flagPresent != 0, flags&flagEmpty != 0, flags&flagNothing != 0
	switch {
	case flags > flagPresent|flagEmpty|flagNothing:
		r.Fail("flags %x", flags)
	case p.Empty && (p.Present || p.Tree.Nothing), p.Present && p.Tree.Nothing:
		r.Fail("flags %x contradict each other", flags)
	}
	if p.Present {
		p.Value = r.Bytes(maxValue)
	}
	if !p.Empty {
		if !p.Tree.Nothing {
			r.Copy(p.Tree.Key[:])
			r.Copy(p.Tree.Value[:])
		}
		n := int(r.Uint8())
		if n > maxSteps {
			r.Fail("%d steps", n)
		}
		for ; n > 0 && r.Err() == nil; n-- {
			p.Tree.Steps = append(p.Tree.Steps, readStep(r))
		}
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return p, nil
}

func readStep(r *canon.Reader) (s merkle.Step) {
	s.Digit = r.Uint8()
	s.Present = r.Uint16()
	leaves := r.Uint16()
	n := 0
	for set := s.Present; set != 0; set &= set - 1 {
		n++
	}
	if n < 16 && leaves>>n != 0 {
		r.Fail("leaves %x of %d siblings", leaves, n)
	}
	for i := 0; i < n && r.Err() == nil; i++ {
		sibling := merkle.Sibling{Leaf: leaves>>i&1 == 1}
		if sibling.Leaf {
			r.Copy(sibling.Key[:])
		}
		r.Copy(sibling.Digest[:])
		s.Siblings = append(s.Siblings, sibling)
	}
	return s
}
