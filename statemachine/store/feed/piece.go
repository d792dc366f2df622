package feed

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Change is what a block did to a key.
type Change struct {
	Key []byte
	// Value is what the key has after the block; nil if it is not there any more.
	Value   []byte
	Deleted bool
}

// PieceBytes is the length from which on a piece takes no further change. One that has a
// long value is longer.
const PieceBytes = 256 << 10

// Limits of keys and values, those of the store.
const (
	MaxKeyBytes   = 8 << 10
	MaxValueBytes = 32 << 20
	// MaxPieceBytes is the length of the longest piece.
	MaxPieceBytes = PieceBytes + changeBytes + MaxKeyBytes + MaxValueBytes
)

const (
	kindSet     = 1
	kindDelete  = 2
	changeBytes = 1 + 4 + 4 // beside key and value
)

// A piece is the digest of the next one, zero if it is the last, and changes: a kind, the
// key, and for a key that was set the value.

func pieceDigest(piece []byte) crypto.Digest { return crypto.Hash(domainPiece, piece) }

// Pieces gathers the changes of a block, which come in ascending order of their keys.
type Pieces struct {
	// Left is about how many bytes of keys and values are to come: a hint.
	Left int
	done [][]byte
}

// Add adds a change.
func (p *Pieces) Add(c *Change) {
	n := len(p.done) - 1
	size := changeBytes + len(c.Key) + len(c.Value)
	if n < 0 || len(p.done[n]) >= PieceBytes {
		room := max(size, min(p.Left, PieceBytes))
		p.done = append(p.done, make([]byte, crypto.DigestSize, crypto.DigestSize+room+room/8))
		n++
	}
	p.Left -= size
	b := p.done[n]
	if c.Deleted {
		b = canon.AppendBytes(append(b, kindDelete), c.Key)
	} else {
		b = canon.AppendBytes(append(b, kindSet), c.Key)
		b = canon.AppendBytes(b, c.Value)
	}
	p.done[n] = b
}

// Finish returns the pieces and the digest of the first, which covers them all. There is
// at least one change.
func (p *Pieces) Finish() ([][]byte, crypto.Digest) {
	var next crypto.Digest
	for _, b := range slices.Backward(p.done) {
		copy(b, next[:])
		next = pieceDigest(b)
	}
	return p.done, next
}

// OpenPiece checks that a piece is the one with that digest and returns its changes, which
// alias it, and the digest of the next, zero if it is the last.
func OpenPiece(piece []byte, want crypto.Digest) (changes []Change, next crypto.Digest, err error) {
	if got := pieceDigest(piece); got != want {
		return nil, next, fmt.Errorf("%w: it has digest %v, wanted is %v", ErrOther, got, want)
	}
	return decodePiece(piece)
}

func decodePiece(piece []byte) (changes []Change, next crypto.Digest, err error) {
	r := canon.NewReader(piece)
	r.Copy(next[:])
	for r.Err() == nil && (r.Len() > 0 || len(changes) == 0) {
		var c Change
		switch kind := r.Uint8(); {
		case r.Err() != nil:
		case kind == kindSet, kind == kindDelete:
			c.Deleted = kind == kindDelete
		default:
			r.Fail("change of kind %d", kind)
		}
		c.Key = r.Bytes(MaxKeyBytes)
		if !c.Deleted {
			c.Value = r.Bytes(MaxValueBytes)
		}
		if n := len(changes); n > 0 && r.Err() == nil && bytes.Compare(changes[n-1].Key, c.Key) >= 0 {
			r.Fail("key %x comes after %x", c.Key, changes[n-1].Key)
		}
		changes = append(changes, c)
	}
	if err := r.Close(); err != nil {
		return nil, next, fmt.Errorf("piece of a feed: %w", err)
	}
	return changes, next, nil
}
