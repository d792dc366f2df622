package merkle

import "github.com/parley-bft/parley/crypto"

// Step is one inner node on the way from a leaf to the root.
type Step struct {
	Bit     uint16 // the bit at which the node's two sides part
	Sibling crypto.Digest
}

// Proof shows what a trie maps a key to, or that it maps it to nothing. With the
// root on record, it convinces anybody.
type Proof struct {
	// Key and Value are the leaf that the search for the asked key ends at. It is
	// another key's if the asked one is absent.
	Key, Value crypto.Digest
	// Steps lead from that leaf to the root, the lowest first: bits descend.
	Steps []Step
}

// Prove returns the proof for key, of its value or of its absence. The empty
// trie needs none: its root is the zero digest; ok is false.
func (v *View) Prove(key crypto.Digest) (p Proof, ok bool) {
	n := v.root
	for n.inner != nil {
		side := bit(&key, int(n.inner.bit))
		p.Steps = append(p.Steps, Step{n.inner.bit, digestOf(n.inner.child[1-side])})
		n = n.inner.child[side]
	}
	if n.leaf == nil {
		return Proof{}, false
	}
	for i, j := 0, len(p.Steps)-1; i < j; i, j = i+1, j-1 {
		p.Steps[i], p.Steps[j] = p.Steps[j], p.Steps[i]
	}
	p.Key, p.Value = n.leaf.key, n.leaf.value
	return p, true
}

// digestOf reads a digest that View has computed.
func digestOf(n ref) crypto.Digest {
	if n.leaf != nil {
		return n.leaf.digest
	}
	return n.inner.digest
}

// Verify tells whether p is a proof for key under root. If it is, present says
// whether the trie has the key; its value is then p.Value. It relies on root
// being the root of a trie that this package built.
func (p *Proof) Verify(root, key crypto.Digest) (present, valid bool) {
	d := hashLeaf(&p.Key, &p.Value)
	below := keyBits
	for i := range p.Steps {
		s := &p.Steps[i]
		at := int(s.Bit)
		if at >= below {
			return false, false
		}
		below = at
		// The asked key must take the same turn, or the search for it would not have
		// ended at this leaf.
		if bit(&key, at) != bit(&p.Key, at) {
			return false, false
		}
		if bit(&key, at) == 0 {
			d = hashNode(s.Bit, &d, &s.Sibling)
		} else {
			d = hashNode(s.Bit, &s.Sibling, &d)
		}
	}
	if d != root {
		return false, false
	}
	return p.Key == key, true
}
