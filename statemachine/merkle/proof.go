package merkle

import (
	"math/bits"
	"slices"

	"github.com/parley-bft/parley/crypto"
)

// Sibling is a child of an inner node on the way: a leaf, with its key and value, or
// an inner node, with its digest.
type Sibling struct {
	Key, Digest crypto.Digest
	Leaf        bool
}

// Step is one inner node on the way from a leaf to the root.
type Step struct {
	Digit uint8 // the node's: its children part at that group of four bits
	// Present has a bit for each child but the one on the way, in Siblings in
	// ascending order.
	Present  uint16
	Siblings []Sibling
}

// Proof shows what a trie maps a key to, or that it maps it to nothing. With the
// root on record, it convinces anybody.
type Proof struct {
	// Key and Value are the leaf that the search for the asked key ends at. It is
	// another key's if the asked one is absent.
	Key, Value crypto.Digest
	// Nothing: the search ends at no leaf, since the lowest inner node has no child on
	// the way. Key and Value are zero.
	Nothing bool
	// Steps lead from that leaf to the root, the lowest first: digits descend.
	Steps []Step
}

// Prove returns the proof for key, of its value or of its absence. The empty
// trie needs none: its root is the zero digest; ok is false.
func (v *View) Prove(key crypto.Digest) (p Proof, ok bool) {
	if v.trie.count == 0 {
		return Proof{}, false
	}
	c := &v.trie.root
	for c != nil && c.inner != nil {
		n := c.inner
		d := digit(&key, int(n.digit))
		s := Step{Digit: n.digit, Present: n.present &^ (1 << d)}
		for i := range n.children {
			x := &n.children[i]
			if nth(n.present, i) != d {
				sibling := Sibling{Digest: x.digest, Leaf: x.inner == nil}
				if sibling.Leaf {
					sibling.Key = x.key
				}
				s.Siblings = append(s.Siblings, sibling)
			}
		}
		p.Steps = append(p.Steps, s)
		c = n.at(d)
	}
	slices.Reverse(p.Steps)
	if c == nil {
		p.Nothing = true
	} else {
		p.Key, p.Value = c.key, c.digest
	}
	return p, true
}

// nth is the number of the i-th bit that is set.
func nth(set uint16, i int) int {
	for range i {
		set &= set - 1
	}
	return bits.TrailingZeros16(set)
}

// someNode stands for the inner nodes of a proof.
var someNode = new(node)

// Verify tells whether p is a proof for key under root. If it is, present says
// whether the trie has the key; its value is then p.Value. It relies on root
// being the root of a trie that this package built.
func (p *Proof) Verify(root, key crypto.Digest) (present, valid bool) {
	got, present, ok := p.Root(key)
	if !ok || got != root {
		return false, false
	}
	return present, true
}

// Root returns the root that p leads to if it is taken for a proof for key, and
// whether it then says that the key is present. It is not ok if p is a proof for key
// under no root.
func (p *Proof) Root(key crypto.Digest) (root crypto.Digest, present, ok bool) {
	on := child{key: p.Key, digest: p.Value} // the child on the way
	if p.Nothing && (len(p.Steps) == 0 || p.Key != crypto.Digest{} || p.Value != crypto.Digest{}) {
		return root, false, false
	}
	below := digits
	for i := range p.Steps {
		s := &p.Steps[i]
		if int(s.Digit) >= below || len(s.Siblings) != bits.OnesCount16(s.Present) {
			return root, false, false
		}
		below = int(s.Digit)
		d := digit(&key, below)
		if s.Present>>d&1 == 1 {
			return root, false, false
		}
		n := node{digit: s.Digit}
		for j := range s.Siblings {
			c := child{key: s.Siblings[j].Key, digest: s.Siblings[j].Digest}
			if !s.Siblings[j].Leaf {
				if c.inner = someNode; c.key != (crypto.Digest{}) {
					return root, false, false
				}
			}
			n.insert(nth(s.Present, j), c)
		}
		if i > 0 || !p.Nothing {
			// The asked key must take the same turn, or the search for it would not have
			// ended at this leaf.
			if !p.Nothing && digit(&p.Key, below) != d {
				return root, false, false
			}
			n.insert(d, on)
		}
		on = child{inner: someNode}
		on.digest, _ = hashNode(nil, &n)
	}
	return on.asRoot(), !p.Nothing && p.Key == key, true
}
