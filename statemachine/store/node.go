package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/merkle"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// node is an inner node of the tree. It never changes.
type node struct {
	digit    uint8
	present  uint16
	children []child // of the digits in present, in ascending order
}

// child is a leaf or an inner node, as it stands in its parent.
type child struct {
	place   crypto.Digest // a leaf's path; an inner node's prefix, zero from its digit on
	digest  crypto.Digest // a leaf's value digest; an inner node's digest
	name    string        // a leaf's key
	version uint64        // an inner node's
	digit   uint8         // an inner node's
	leaf    bool
}

func (c *child) id() nodeID { return nodeID{c.version, c.digit, c.place} }

// root is the root of the tree that has c alone at its top.
func (c *child) root() crypto.Digest {
	if c.leaf {
		return merkle.LeafRoot(&c.place, &c.digest)
	}
	return c.digest
}

func (n *node) at(digit int) *child {
	if n.present>>digit&1 == 0 {
		return nil
	}
	return &n.children[bits.OnesCount16(n.present&(1<<digit-1))]
}

// hash is the node's digest.
func (n *node) hash(buf []byte) (crypto.Digest, []byte) {
	leaves, left := uint16(0), n.present
	for i := range n.children {
		if n.children[i].leaf {
			leaves |= left & -left
		}
		left &= left - 1
	}
	b := merkle.AppendNode(buf[:0], n.digit, n.present, leaves)
	for i := range n.children {
		if c := &n.children[i]; c.leaf {
			b = append(b, c.place[:]...)
		}
		b = append(b, n.children[i].digest[:]...)
	}
	return sha256.Sum256(b), b
}

// longName is the length of a key from which on a leaf's record has its path too, so
// that a node with long keys does not hash them whenever it is read.
const longName = 200

// append appends the node's encoding: digit, present, which of the children are leaves,
// then each: a leaf's value digest and key, an inner node's digest, version, digit and
// what its prefix has beyond the node's own digit.
func (n *node) append(b []byte) []byte {
	b = append(b, n.digit)
	b = binary.BigEndian.AppendUint16(b, n.present)
	at := len(b)
	b = append(b, 0, 0)
	leaves, left := uint16(0), n.present
	for i := range n.children {
		c := &n.children[i]
		b = append(b, c.digest[:]...)
		if c.leaf {
			leaves |= left & -left
			b = binary.AppendUvarint(b, uint64(len(c.name)))
			b = append(b, c.name...)
			if len(c.name) >= longName {
				b = append(b, c.place[:]...)
			}
		} else {
			b = binary.AppendUvarint(b, c.version)
			b = append(b, c.digit)
			b = append(b, c.place[(int(n.digit)+1)/2:(int(c.digit)+1)/2]...)
		}
		left &= left - 1
	}
	binary.BigEndian.PutUint16(b[at:], leaves)
	return b
}

var errNodeFormat = errors.New("malformed node")

// decodeNode reads what append wrote of a node with the given prefix. Names share its
// memory.
func decodeNode(b string, prefix *crypto.Digest) (*node, error) {
	if len(b) < 5 {
		return nil, fmt.Errorf("%w: %d bytes", errNodeFormat, len(b))
	}
	n := &node{digit: b[0], present: uint16(b[1])<<8 | uint16(b[2])}
	leaves := uint16(b[3])<<8 | uint16(b[4])
	pos := 5
	bad := func() (*node, error) { return nil, fmt.Errorf("%w: %d bytes, at %d", errNodeFormat, len(b), pos) }
	if leaves&^n.present != 0 {
		return bad()
	}
	n.children = make([]child, bits.OnesCount16(n.present))
	left := n.present
	for i := range n.children {
		c := &n.children[i]
		c.leaf = leaves&left&-left != 0
		d := bits.TrailingZeros16(left)
		left &= left - 1
		if len(b)-pos < crypto.DigestSize {
			return bad()
		}
		pos += copy(c.digest[:], b[pos:])
		x, k := uvarint(b[pos:])
		if k <= 0 {
			return bad()
		}
		pos += k
		if c.leaf {
			if x == 0 || x > MaxKeyBytes || uint64(len(b)-pos) < x {
				return bad()
			}
			c.name = b[pos : pos+int(x)]
			if pos += int(x); x < longName {
				c.place = place(c.name)
			} else if len(b)-pos < crypto.DigestSize {
				return bad()
			} else {
				pos += copy(c.place[:], b[pos:])
			}
			continue
		}
		if c.version = x; pos == len(b) {
			return bad()
		}
		c.digit = b[pos]
		pos++
		from, to := (int(n.digit)+1)/2, (int(c.digit)+1)/2
		if c.digit <= n.digit || c.digit >= merkle.Digits || len(b)-pos < to-from {
			return bad()
		}
		c.place = *prefix
		if n.digit%2 == 1 { // the digit shares a byte with the prefix
			c.place[n.digit/2] |= byte(d)
		}
		pos += copy(c.place[from:to], b[pos:pos+to-from])
	}
	if pos != len(b) {
		return bad()
	}
	return n, nil
}

// uvarint is binary.Uvarint of a string.
func uvarint(b string) (x uint64, n int) {
	for i := 0; i < len(b) && i < binary.MaxVarintLen64; i++ {
		if x |= uint64(b[i]&0x7f) << (7 * i); b[i] < 0x80 {
			return x, i + 1
		}
	}
	return 0, 0
}

// place is proof.Path of a key that is not long.
func place(name string) crypto.Digest {
	var buf [longName]byte
	return proof.Path(buf[:copy(buf[:], name)])
}
