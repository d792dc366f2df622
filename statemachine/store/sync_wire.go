package store

import (
	"fmt"
	"math/bits"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/merkle"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// What two stores say to each other while one copies the other's state. An ask names a
// part of a tree by the digits at which to turn, one for each node on the way from the
// root; so neither side believes the other about where in the tree something is.

// ask is for a node, for a leaf with its value, or for a piece of a leaf's long value.
type ask struct {
	turns []byte
	// values: those of the node's leaves are wanted, too.
	values bool
	// piece is the number of a piece, from 1 on, and digest its digest. That is in the list
	// that came for the leaf; with it the peer need not hash the others.
	piece  int
	digest crypto.Digest
}

const (
	maxAsks = 1024
	// answerBytes is about how long an answer becomes; what is longer goes in pieces.
	answerBytes = proof.PieceBytes
	maxTurns    = merkle.Digits
	maxPieces   = (MaxValueBytes + proof.PieceBytes - 1) / proof.PieceBytes
)

// request is a list of asks about the state at a height.
type request struct {
	height uint64
	digest crypto.Digest
	asks   []ask
}

func (q *request) encode() []byte {
	b := canon.AppendUint64(nil, q.height)
	b = append(b, q.digest[:]...)
	b = canon.AppendUint32(b, uint32(len(q.asks)))
	for i := range q.asks {
		b = canon.AppendBool(b, q.asks[i].values)
		b = append(b, byte(len(q.asks[i].turns)))
		b = append(b, q.asks[i].turns...)
		b = append(b, byte(q.asks[i].piece))
		if q.asks[i].piece > 0 {
			b = append(b, q.asks[i].digest[:]...)
		}
	}
	return b
}

func decodeRequest(b []byte) (*request, error) {
	r := canon.NewReader(b)
	q := &request{height: r.Uint64()}
	r.Copy(q.digest[:])
	for n := r.Count(maxAsks, 3); n > 0; n-- {
		a := ask{values: r.Bool()}
		n := int(r.Uint8())
		if n > maxTurns {
			r.Fail("%d turns", n)
		}
		a.turns = r.Fixed(n)
		for _, d := range a.turns {
			if d > 15 {
				r.Fail("digit %d", d)
			}
		}
		if a.piece = int(r.Uint8()); a.piece > maxPieces {
			r.Fail("piece %d", a.piece)
		} else if a.piece > 0 {
			r.Copy(a.digest[:])
		}
		q.asks = append(q.asks, a)
	}
	return q, r.Close()
}

// The kinds of answers to one ask.
const (
	answerNone   = 0 // the state is not there, or has nothing there
	answerNode   = 1
	answerValues = 2 // a node with the values of its leaves
	answerLeaf   = 3
	answerLong   = 4 // a leaf with the digests of its value's pieces
	answerPiece  = 5
)

// appendNodeAnswer appends a node. Children are in ascending order: of an inner node its
// digest, of a leaf its key, and its value or the value's digest.
func appendNodeAnswer(b []byte, n *node, values [][]byte) []byte {
	kind := byte(answerNode)
	if values != nil {
		kind = answerValues
	}
	leaves, left := uint16(0), n.present
	for i := range n.children {
		if n.children[i].leaf {
			leaves |= left & -left
		}
		left &= left - 1
	}
	b = append(b, kind, n.digit)
	b = canon.AppendUint16(b, n.present)
	b = canon.AppendUint16(b, leaves)
	for i := range n.children {
		c := &n.children[i]
		if c.leaf {
			b = canon.AppendString(b, c.name)
		}
		if c.leaf && values != nil {
			b = canon.AppendBytes(b, values[i])
		} else {
			b = append(b, c.digest[:]...)
		}
	}
	return b
}

func appendLeafAnswer(b []byte, key string, value []byte) []byte {
	b = canon.AppendString(append(b, answerLeaf), key)
	return canon.AppendBytes(b, value)
}

// appendLongAnswer appends a leaf with a long value.
func appendLongAnswer(b []byte, key string, size int, pieces []crypto.Digest) []byte {
	b = canon.AppendString(append(b, answerLong), key)
	b = canon.AppendUint32(b, uint32(size))
	for i := range pieces {
		b = append(b, pieces[i][:]...)
	}
	return b
}

// part is a decoded answer to one ask.
type part struct {
	kind byte
	node node     // of answerNode and answerValues; inner children have neither version nor place
	vals [][]byte // of answerValues
	leaf child    // of answerLeaf and answerLong
	val  []byte   // of answerLeaf and answerPiece
	// size of the value, and digests of its pieces, of answerLong.
	size   int
	pieces []crypto.Digest
}

func (p *part) isLeaf() bool { return p.kind == answerLeaf || p.kind == answerLong }

// digest is what the part turns out to have.
func (p *part) digest() crypto.Digest {
	if p.isLeaf() {
		return merkle.LeafRoot(&p.leaf.place, &p.leaf.digest)
	}
	var d crypto.Digest
	d, _ = p.node.hash(nil)
	return d
}

func decodeAnswer(b []byte, limit int) ([]part, error) {
	r := canon.NewReader(b)
	var parts []part
	for n := r.Count(limit, 1); n > 0 && r.Err() == nil; n-- {
		p := part{kind: r.Uint8()}
		switch p.kind {
		case answerNone:
		case answerLeaf:
			p.leaf = readLeaf(r)
			p.val = r.Bytes(proof.PieceBytes)
			p.leaf.digest = proof.ValueDigest(p.val)
		case answerLong:
			p.readLong(r)
		case answerPiece:
			p.val = r.Bytes(proof.PieceBytes)
		case answerNode, answerValues:
			p.readNode(r)
		default:
			r.Fail("answer of kind %d", p.kind)
		}
		parts = append(parts, p)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("answer of a peer: %w", err)
	}
	return parts, nil
}

func (p *part) readLong(r *canon.Reader) {
	p.leaf = readLeaf(r)
	if p.size = int(r.Uint32()); p.size <= proof.PieceBytes || p.size > MaxValueBytes {
		r.Fail("a long value of %d bytes", p.size)
		return
	}
	p.pieces = make([]crypto.Digest, proof.Pieces(p.size))
	for i := range p.pieces {
		r.Copy(p.pieces[i][:])
	}
	p.leaf.digest = proof.LongDigest(p.size, p.pieces)
}

func readLeaf(r *canon.Reader) child {
	c := child{leaf: true, name: string(r.Bytes(MaxKeyBytes))}
	if c.name == "" {
		r.Fail("empty key")
	}
	c.place = proof.Path([]byte(c.name))
	return c
}

func (p *part) readNode(r *canon.Reader) {
	n := &p.node
	if n.digit = r.Uint8(); n.digit >= merkle.Digits {
		r.Fail("digit %d", n.digit)
	}
	n.present = r.Uint16()
	leaves := r.Uint16()
	if leaves&^n.present != 0 || bits.OnesCount16(n.present) < 2 {
		r.Fail("children %x, leaves %x", n.present, leaves)
	}
	for left := n.present; left != 0 && r.Err() == nil; left &= left - 1 {
		var c child
		var v []byte
		if leaves&left&-left != 0 {
			c = readLeaf(r)
		}
		if c.leaf && p.kind == answerValues {
			v = r.Bytes(proof.PieceBytes)
			c.digest = proof.ValueDigest(v)
		} else {
			r.Copy(c.digest[:])
		}
		n.children, p.vals = append(n.children, c), append(p.vals, v)
	}
}

// digits returns the digits of the children of n.
func (n *node) digits() (ds []int) {
	for left := n.present; left != 0; left &= left - 1 {
		ds = append(ds, bits.TrailingZeros16(left))
	}
	return ds
}
