package receipttree

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/parley-bft/parley/crypto"
)

// MaxLeaves bounds a tree: positions and counts are 32-bit numbers on the wire.
const MaxLeaves = 1<<32 - 1

// sum hashes b, which begins with its domain tag as in crypto.Hash. It spares the
// allocations of the general form; a test holds the two together.
func sum(b []byte) crypto.Digest { return sha256.Sum256(b) }

func dataDigest(domain crypto.Domain, data []byte) crypto.Digest {
	var buf [256]byte
	if 1+len(domain)+len(data) > len(buf) {
		return crypto.Hash(domain, data)
	}
	b := append(buf[:0], byte(len(domain)))
	b = append(b, domain...)
	b = append(b, data...)
	return sum(b)
}

// node joins two subtrees. A leaf enters the tree as its own digest, which was
// made under another domain, so no leaf can pass for a node.
func node(left, right *crypto.Digest) crypto.Digest {
	var buf [1 + len(domainNode) + 2*crypto.DigestSize]byte
	b := append(buf[:0], byte(len(domainNode)))
	b = append(b, domainNode...)
	b = append(b, left[:]...)
	b = append(b, right[:]...)
	return sum(b)
}

func root(count uint64, top *crypto.Digest) crypto.Digest {
	var buf [1 + len(domainRoot) + 8 + crypto.DigestSize]byte
	b := append(buf[:0], byte(len(domainRoot)))
	b = append(b, domainRoot...)
	b = binary.BigEndian.AppendUint64(b, count)
	b = append(b, top[:]...)
	return sum(b)
}

// Builder computes the root of a tree that grows leaf by leaf. It keeps one
// digest for each perfect subtree: O(log n) memory. The zero Builder is empty.
type Builder struct {
	count uint64
	stack []crypto.Digest // roots of perfect subtrees, the largest first
}

// Add appends a leaf's digest.
func (b *Builder) Add(leaf crypto.Digest) {
	// A subtree of 2^k leaves is complete for each trailing 1 bit of the count.
	for n := b.count; n&1 == 1; n >>= 1 {
		top := len(b.stack) - 1
		leaf = node(&b.stack[top], &leaf)
		b.stack = b.stack[:top]
	}
	b.stack = append(b.stack, leaf)
	b.count++
}

// Count is the number of leaves.
func (b *Builder) Count() int { return int(b.count) }

// Root is the root of the tree as it is; more leaves may follow.
func (b *Builder) Root() crypto.Digest {
	var top crypto.Digest
	if n := len(b.stack); n > 0 {
		top = b.stack[n-1]
		for i := n - 2; i >= 0; i-- {
			top = node(&b.stack[i], &top)
		}
	}
	return root(b.count, &top)
}

// Reset empties the tree.
func (b *Builder) Reset() { b.count, b.stack = 0, b.stack[:0] }

// Root returns the root over the leaves' digests. No leaves have a root too.
func Root(leaves []crypto.Digest) crypto.Digest {
	var b Builder
	for _, l := range leaves {
		b.Add(l)
	}
	return b.Root()
}

// subtree is the digest of the tree over at least one leaf, without the count.
func subtree(leaves []crypto.Digest) crypto.Digest {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := split(len(leaves))
	left, right := subtree(leaves[:k]), subtree(leaves[k:])
	return node(&left, &right)
}

// split is the largest power of two below n, for n > 1.
func split(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// Path returns the siblings of leaf i on its way to the root, the lowest first.
// It returns nil, false if there is no such leaf. It costs O(n): see [Paths] for
// many leaves of one tree.
func Path(leaves []crypto.Digest, i int) ([]crypto.Digest, bool) {
	if i < 0 || i >= len(leaves) {
		return nil, false
	}
	return path(leaves, i, make([]crypto.Digest, 0, bits.Len(uint(len(leaves))))), true
}

func path(leaves []crypto.Digest, i int, to []crypto.Digest) []crypto.Digest {
	if len(leaves) == 1 {
		return to
	}
	k := split(len(leaves))
	if i < k {
		return append(path(leaves[:k], i, to), subtree(leaves[k:]))
	}
	return append(path(leaves[k:], i-k, to), subtree(leaves[:k]))
}

// Verify tells whether leaf is leaf number index of the count leaves under root.
// Nothing about the arguments is taken on trust.
func Verify(rootDigest, leaf crypto.Digest, index, count int, siblings []crypto.Digest) bool {
	if index < 0 || count <= 0 || index >= count {
		return false
	}
	d := leaf
	at, last := uint64(index), uint64(count-1)
	for i := range siblings {
		if last == 0 {
			return false // longer than any path in a tree of this size
		}
		if at&1 == 1 || at == last {
			d = node(&siblings[i], &d)
			// A right edge without a sibling at this level moves up for nothing.
			for at&1 == 0 && at != 0 {
				at >>= 1
				last >>= 1
			}
		} else {
			d = node(&d, &siblings[i])
		}
		at >>= 1
		last >>= 1
	}
	return last == 0 && root(uint64(count), &d) == rootDigest
}
