// Package receipttree is the Merkle tree of execution results. At each checkpoint
// the replicas sign its root over everything executed since the checkpoint
// before; a receipt is one leaf, its path and the checkpoint's certificate, and
// anybody who has the cluster's keys can check it without the cluster.
//
// The tree has levels. The lowest is the leaves; each eight of a level that follow one
// another, and what is left at its end, are hashed to one of the next; the level with
// one digest alone is the top. Leaves and nodes are hashed under different domains,
// no leaf is ever duplicated, and the number of leaves, which decides the shape, is
// bound into the root. Eight ways cost a seventh of a hash for each leaf, and paths of
// about a kilobyte.
package receipttree

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/parley-bft/parley/crypto"
)

const (
	// MaxLeaves bounds a tree: positions and counts are 32-bit numbers on the wire.
	MaxLeaves = 1<<32 - 1
	// MaxPath bounds the path of a leaf.
	MaxPath = (ways - 1) * 11

	ways = 8
)

const (
	domainNode = crypto.Domain("parley/receipt-node")
	domainRoot = crypto.Domain("parley/receipt-root")
)

// node joins a group of up to eight. A leaf enters the tree as its own digest, which
// was made under another domain, so no leaf can pass for a node.
func node(group []crypto.Digest) crypto.Digest {
	var buf [1 + len(domainNode) + ways*crypto.DigestSize]byte
	b := append(buf[:0], byte(len(domainNode)))
	b = append(b, domainNode...)
	for i := range group {
		b = append(b, group[i][:]...)
	}
	return sha256.Sum256(b)
}

func root(count uint64, top *crypto.Digest) crypto.Digest {
	return crypto.Hash(domainRoot, binary.BigEndian.AppendUint64(nil, count), top[:])
}

// groups is the size of the level above one of n.
func groups(n int) int { return (n + ways - 1) / ways }

// Builder computes the root of a tree that grows leaf by leaf. It keeps what is not
// joined yet: O(log n) memory. The zero Builder is empty.
type Builder struct {
	count  int
	levels [][]crypto.Digest // of each the end, shorter than a group
}

// Add appends a leaf's digest.
func (b *Builder) Add(leaf crypto.Digest) {
	b.count++
	for k := 0; ; k++ {
		if k == len(b.levels) {
			b.levels = append(b.levels, make([]crypto.Digest, 0, ways))
		}
		b.levels[k] = append(b.levels[k], leaf)
		if len(b.levels[k]) < ways {
			return
		}
		leaf = node(b.levels[k])
		b.levels[k] = b.levels[k][:0]
	}
}

// Count is the number of leaves.
func (b *Builder) Count() int { return b.count }

// Root is the root of the tree as it is; more leaves may follow.
func (b *Builder) Root() crypto.Digest {
	var top crypto.Digest
	carried := false // top is the node over the end of the level below
	k := 0
	for n := b.count; n > 1; n = groups(n) {
		group := b.levels[k][:len(b.levels[k]):ways]
		if carried {
			group = append(group, top)
		}
		if len(group) > 0 {
			top, carried = node(group), true
		}
		k++
	}
	if b.count > 0 && !carried {
		top = b.levels[k][0]
	}
	return root(uint64(b.count), &top)
}

// Reset empties the tree.
func (b *Builder) Reset() {
	b.count = 0
	for k := range b.levels {
		b.levels[k] = b.levels[k][:0]
	}
}

// Root returns the root over the leaves' digests. No leaves have a root too.
func Root(leaves []crypto.Digest) crypto.Digest {
	var b Builder
	for _, l := range leaves {
		b.Add(l)
	}
	return b.Root()
}

// Verify tells whether leaf is leaf number index of the count leaves under root.
// Nothing about the arguments is taken on trust.
func Verify(rootDigest, leaf crypto.Digest, index, count int, siblings []crypto.Digest) bool {
	if index < 0 || count <= 0 || index >= count {
		return false
	}
	d := leaf
	for at, n := index, count; n > 1; at, n = at/ways, groups(n) {
		size := min(ways, n-at/ways*ways) // of the group
		if len(siblings) < size-1 {
			return false
		}
		var group [ways]crypto.Digest
		mine := at % ways
		copy(group[:mine], siblings)
		group[mine] = d
		copy(group[mine+1:size], siblings[mine:])
		d, siblings = node(group[:size]), siblings[size-1:]
	}
	return len(siblings) == 0 && root(uint64(count), &d) == rootDigest
}
