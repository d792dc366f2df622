package receipttree

import (
	"math/bits"

	"github.com/parley-bft/parley/crypto"
)

// Paths answers for many leaves of one tree: it hashes the tree once and keeps
// all of it, 64 bytes for each leaf. It is safe for concurrent use.
type Paths struct {
	// levels[k][j] is the perfect subtree over leaves [j<<k, (j+1)<<k); an incomplete
	// one at the right end has no entry.
	levels [][]crypto.Digest
	count  int
}

// NewPaths builds the tree over leaves, which it keeps.
func NewPaths(leaves []crypto.Digest) *Paths {
	p := &Paths{levels: [][]crypto.Digest{leaves}, count: len(leaves)}
	for below := leaves; len(below) > 1; {
		level := make([]crypto.Digest, len(below)/2)
		for i := range level {
			level[i] = node(&below[2*i], &below[2*i+1])
		}
		p.levels = append(p.levels, level)
		below = level
	}
	return p
}

// Count is the number of leaves.
func (p *Paths) Count() int { return p.count }

// Leaf returns the digest of leaf i.
func (p *Paths) Leaf(i int) (crypto.Digest, bool) {
	if i < 0 || i >= p.count {
		return crypto.Digest{}, false
	}
	return p.levels[0][i], true
}

// Path is [Path] in O(log^2 n).
func (p *Paths) Path(i int) ([]crypto.Digest, bool) {
	if i < 0 || i >= p.count {
		return nil, false
	}
	return p.path(0, p.count, i, make([]crypto.Digest, 0, bits.Len(uint(p.count)))), true
}

func (p *Paths) path(from, to, i int, dst []crypto.Digest) []crypto.Digest {
	if to-from == 1 {
		return dst
	}
	mid := from + split(to-from)
	if i < mid {
		return append(p.path(from, mid, i, dst), p.subtree(mid, to))
	}
	return append(p.path(mid, to, i, dst), p.subtree(from, mid))
}

// subtree is the digest over [from, to). By construction from is a multiple of
// the smallest power of two that is not below to-from.
func (p *Paths) subtree(from, to int) crypto.Digest {
	n := to - from
	if n&(n-1) == 0 {
		k := bits.TrailingZeros(uint(n))
		return p.levels[k][from>>k]
	}
	mid := from + split(n)
	left, right := p.subtree(from, mid), p.subtree(mid, to)
	return node(&left, &right)
}
