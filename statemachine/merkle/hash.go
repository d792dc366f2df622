package merkle

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/parley-bft/parley/crypto"
)

const (
	domainLeaf = crypto.Domain("parley/trie-leaf")
	domainNode = crypto.Domain("parley/trie-node")
)

// The two below equal crypto.Hash of the same parts, without its allocations.

// hashLeaf is the root of a trie that has one entry alone.
func hashLeaf(key, value *crypto.Digest) crypto.Digest {
	var buf [1 + len(domainLeaf) + 2*crypto.DigestSize]byte
	b := append(buf[:0], byte(len(domainLeaf)))
	b = append(b, domainLeaf...)
	b = append(b, key[:]...)
	b = append(b, value[:]...)
	return sha256.Sum256(b)
}

// hashNode is the digest of an inner node: its digit, which children it has, which of
// them are leaves, then of each leaf key and value, of each inner node its digest.
// Leaves have no digest of their own: it would cost more than all the rest. buf is
// scratch memory, which is returned.
func hashNode(buf []byte, n *node) (crypto.Digest, []byte) {
	b := AppendNode(buf[:0], n.digit, n.present, 0)
	at := len(b) - 2
	leaves, left := uint16(0), n.present
	for i := range n.children {
		c := &n.children[i]
		if c.inner == nil {
			leaves |= left & -left
			b = append(b, c.key[:]...)
		}
		left &= left - 1
		b = append(b, c.digest[:]...)
	}
	binary.BigEndian.PutUint16(b[at:], leaves)
	return sha256.Sum256(b), b
}

// Digits is the number of digits, of four bits each, of a key.
const Digits = digits

// AppendNode begins what the SHA-256 of is an inner node's digest: behind it come the
// children in ascending order, of a leaf its key and value, of an inner node its digest.
// present has a bit for each child, and leaves for those that are leaves.
func AppendNode(b []byte, digit uint8, present, leaves uint16) []byte {
	b = append(b, byte(len(domainNode)))
	b = append(b, domainNode...)
	b = append(b, digit)
	b = binary.BigEndian.AppendUint16(b, present)
	return binary.BigEndian.AppendUint16(b, leaves)
}

// LeafRoot is the root of a trie with one entry.
func LeafRoot(key, value *crypto.Digest) crypto.Digest { return hashLeaf(key, value) }

// Digit is the i-th digit of key.
func Digit(key *crypto.Digest, i int) int { return digit(key, i) }

// FirstDifference is the first digit in which two keys differ, or [Digits].
func FirstDifference(a, b *crypto.Digest) int { return firstDifference(a, b) }
