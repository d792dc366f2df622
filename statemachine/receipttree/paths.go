package receipttree

import "github.com/parley-bft/parley/crypto"

// Paths answers for many leaves of one tree: it hashes the tree once and keeps
// all of it, 37 bytes for each leaf. It is safe for concurrent use.
type Paths struct {
	levels [][]crypto.Digest // the leaves first
}

// NewPaths builds the tree over leaves, which it keeps.
func NewPaths(leaves []crypto.Digest) *Paths {
	p := &Paths{levels: [][]crypto.Digest{leaves}}
	for below := leaves; len(below) > 1; {
		level := make([]crypto.Digest, groups(len(below)))
		for i := range level {
			level[i] = node(group(below, i))
		}
		p.levels = append(p.levels, level)
		below = level
	}
	return p
}

// group is the i-th group of a level.
func group(level []crypto.Digest, i int) []crypto.Digest {
	return level[i*ways : min((i+1)*ways, len(level))]
}

// Count is the number of leaves.
func (p *Paths) Count() int { return len(p.levels[0]) }

// Leaf returns the digest of leaf i.
func (p *Paths) Leaf(i int) (crypto.Digest, bool) {
	if i < 0 || i >= p.Count() {
		return crypto.Digest{}, false
	}
	return p.levels[0][i], true
}

// Path returns the siblings of leaf i on its way to the root, the lowest level first,
// each level's in order. It returns nil, false if there is no such leaf.
func (p *Paths) Path(i int) ([]crypto.Digest, bool) {
	if i < 0 || i >= p.Count() {
		return nil, false
	}
	path := []crypto.Digest{}
	for _, level := range p.levels[:len(p.levels)-1] {
		g := group(level, i/ways)
		path = append(append(path, g[:i%ways]...), g[i%ways+1:]...)
		i /= ways
	}
	return path, true
}

// Path is [Paths.Path] for one leaf of a tree. It costs O(n).
func Path(leaves []crypto.Digest, i int) ([]crypto.Digest, bool) { return NewPaths(leaves).Path(i) }
