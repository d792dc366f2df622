// Package merkle is an authenticated map from digests to digests: a radix trie of
// sixteen ways with path compression. Its shape and so its root depend on the content
// alone, not on the order in which it came about, and a change costs hashing only
// along the changed paths, when the root is next asked for.
//
// The trie has one inner node for each place at which keys part, so paths are about
// log16(n) long, since keys are digests. Keys that an adversary chooses should be
// hashed by the caller.
package merkle

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/parley-bft/parley/crypto"
)

const (
	ways   = 16
	digits = 2 * crypto.DigestSize // of a key, four bits each
)

// Trie is the map. The zero Trie is empty and ready for use. It is not safe for
// concurrent use; a [View] is.
type Trie struct {
	root  child // zero if count is
	stale bool  // the root's digest is out of date
	count int
	// generation is the only one whose nodes may be changed in place: all others
	// are shared with a View.
	generation uint64

	// Scratch memory.
	one    [1]Entry
	sorter sorter
	buf    []byte
}

// child is a leaf, or an inner node if inner is set. It stands in its parent, so that
// hashing a node touches no other.
type child struct {
	// key is a leaf's. Of an inner node it is a key that agrees with all below it up to
	// the node's digit.
	key crypto.Digest
	// digest is a leaf's value, or the inner node's digest unless that is stale.
	digest crypto.Digest
	inner  *node
}

// node is an inner node; it has at least two children.
type node struct {
	children   []child // of the digits in present, in ascending order
	present    uint16
	stale      uint16 // the inner children whose digests are out of date
	digit      uint8  // the first digit in which keys below differ
	generation uint64
}

// place is where the child of a digit stands, or would stand, among n's children.
func (n *node) place(digit int) int { return bits.OnesCount16(n.present & (1<<digit - 1)) }

func (n *node) has(digit int) bool { return n.present>>digit&1 == 1 }

// at returns the child of a digit, or nil.
func (n *node) at(digit int) *child {
	if !n.has(digit) {
		return nil
	}
	return &n.children[n.place(digit)]
}

func (n *node) insert(digit int, c child) {
	n.children = slices.Insert(n.children, n.place(digit), c)
	n.present |= 1 << digit
}

func (n *node) remove(digit int) {
	i := n.place(digit)
	n.children = slices.Delete(n.children, i, i+1)
	n.present &^= 1 << digit
	n.stale &^= 1 << digit
}

// Entry is a key and what it is mapped to.
type Entry struct{ Key, Value crypto.Digest }

// Len is the number of entries.
func (t *Trie) Len() int { return t.count }

// Set maps key to value.
func (t *Trie) Set(key, value crypto.Digest) {
	t.one[0] = Entry{Key: key, Value: value}
	t.SetAll(t.one[:])
}

// SetAll is Set for each of the entries; two of one key must agree. The upper part of
// the paths is walked once for all of them.
func (t *Trie) SetAll(entries []Entry) {
	if len(entries) == 0 {
		return
	}
	if t.count == 0 {
		t.root = t.leaf(&entries[0])
	}
	t.set(&t.root, t.sorter.sort(entries))
	t.stale = true
}

// leaf makes a leaf for a new key.
func (t *Trie) leaf(e *Entry) child {
	t.count++
	return child{key: e.Key, digest: e.Value}
}

// set puts entries, which is not empty, at and below c.
func (t *Trie) set(c *child, entries sorted) {
	// Where the first and the last agree with c's keys, all between them do.
	part := min(firstDifference(&c.key, entries.key(0)), firstDifference(&c.key, entries.key(entries.len()-1)))
	switch {
	case c.inner == nil && part == digits:
		c.digest = entries.entry(0).Value
		return
	case c.inner == nil || part < int(c.inner.digit):
		n := &node{digit: uint8(part), generation: t.generation, children: make([]child, 0, 2)}
		n.insert(digit(&c.key, part), *c)
		if c.inner != nil {
			n.stale = n.present // perhaps; to hash it again does no harm
		}
		c.inner = n
	default:
		t.own(c)
	}
	n := c.inner
	for entries.len() > 0 {
		d := entries.digit(0, int(n.digit))
		k := 1
		for k < entries.len() && entries.digit(k, int(n.digit)) == d {
			k++
		}
		if !n.has(d) {
			n.insert(d, t.leaf(entries.entry(0)))
		}
		below := n.at(d)
		t.set(below, entries.slice(0, k))
		if below.inner != nil {
			n.stale |= 1 << d
		}
		entries = entries.slice(k, entries.len())
	}
}

// own makes the inner node c one that may be changed: a copy, if a View shares it.
func (t *Trie) own(c *child) {
	if c.inner.generation != t.generation {
		n := *c.inner
		n.children = slices.Clone(n.children)
		n.generation = t.generation
		c.inner = &n
	}
}

// Delete removes key and tells whether it was there.
func (t *Trie) Delete(key crypto.Digest) bool {
	if _, ok := t.Get(key); !ok {
		return false
	}
	t.count--
	t.stale = true
	if t.root.inner != nil {
		t.delete(&t.root, &key)
	}
	return true
}

// delete removes key, which is there, from below the inner node c.
func (t *Trie) delete(c *child, key *crypto.Digest) {
	t.own(c)
	n := c.inner
	d := digit(key, int(n.digit))
	if below := n.at(d); below.inner != nil {
		t.delete(below, key)
		if below.inner != nil {
			n.stale |= 1 << d
		}
		return
	}
	n.remove(d)
	if len(n.children) == 1 {
		*c = n.children[0] // takes the node's place, and counts as stale there
	}
}

// Get returns the value of key.
func (t *Trie) Get(key crypto.Digest) (value crypto.Digest, ok bool) {
	if t.count == 0 {
		return value, false
	}
	return t.root.get(&key)
}

func (c *child) get(key *crypto.Digest) (value crypto.Digest, ok bool) {
	for c != nil && c.inner != nil {
		c = c.inner.at(digit(key, int(c.inner.digit)))
	}
	if c == nil || c.key != *key {
		return value, false
	}
	return c.digest, true
}

// Root returns the digest of the content; that of the empty trie is zero.
func (t *Trie) Root() (d crypto.Digest) {
	if t.count == 0 {
		return d
	}
	if t.stale && t.root.inner != nil {
		t.rehash(&t.root)
	}
	t.stale = false
	return t.root.asRoot()
}

// rehash brings the digest of the inner node c up to date.
func (t *Trie) rehash(c *child) {
	n := c.inner
	for stale := n.stale; stale != 0; stale &= stale - 1 {
		if below := n.at(bits.TrailingZeros16(stale)); below.inner != nil {
			t.rehash(below)
		}
	}
	if n.stale != 0 { // else a View may share it
		n.stale = 0
	}
	c.digest, t.buf = hashNode(t.buf, n)
}

// asRoot is the digest of a trie with c at its root.
func (c *child) asRoot() crypto.Digest {
	if c.inner == nil {
		return hashLeaf(&c.key, &c.digest)
	}
	return c.digest
}

// View is the trie as it was at [Trie.View]. It is immutable and safe for
// concurrent use, also while the trie changes.
type View struct{ trie Trie }

// View returns a frozen copy. It costs what Root costs; afterwards a change to
// the trie copies the nodes along its path once.
func (t *Trie) View() *View {
	t.Root()
	t.generation++
	return &View{Trie{root: t.root, count: t.count}}
}

// Root returns the digest of the content.
func (v *View) Root() crypto.Digest { return v.trie.Root() }

// Len is the number of entries.
func (v *View) Len() int { return v.trie.count }

// Get returns the value of key.
func (v *View) Get(key crypto.Digest) (crypto.Digest, bool) { return v.trie.Get(key) }

// digit is the i-th group of four bits.
func digit(key *crypto.Digest, i int) int { return int(key[i>>1]>>(4*(1-i&1))) & (ways - 1) }

// firstDifference returns the first digit in which a and b differ, or digits.
func firstDifference(a, b *crypto.Digest) int {
	for i := 0; i < crypto.DigestSize; i += 8 {
		x := binary.BigEndian.Uint64(a[i:]) ^ binary.BigEndian.Uint64(b[i:])
		if x != 0 {
			return (8*i + bits.LeadingZeros64(x)) / 4
		}
	}
	return digits
}
