// Package merkle is an authenticated map from digests to digests: a binary radix
// trie with path compression. Its shape and so its root depend on the content
// alone, not on the order in which it came about, and a change costs hashing only
// along the changed paths, when the root is next asked for.
//
// The trie has one inner node for each bit position at which keys part, so n
// entries have n-1 inner nodes and paths are about log2(n) long, since keys are
// digests. Keys that an adversary chooses should be hashed by the caller.
package merkle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
	"sort"

	"github.com/parley-bft/parley/crypto"
)

const (
	domainLeaf = crypto.Domain("parley/trie-leaf")
	domainNode = crypto.Domain("parley/trie-node")
	keyBits    = 8 * crypto.DigestSize
)

// Trie is the map. The zero Trie is empty and ready for use. It is not safe for
// concurrent use; a [View] is.
type Trie struct {
	root  ref
	count int
	// generation is the only one whose nodes may be changed in place: all others
	// are shared with a View.
	generation uint64
}

// ref is a leaf, an inner node, or (the zero ref) nothing.
type ref struct {
	inner *inner
	leaf  *leaf
}

func (n ref) isZero() bool { return n.inner == nil && n.leaf == nil }

type inner struct {
	child      [2]ref
	digest     crypto.Digest // valid if clean
	generation uint64
	bit        uint16 // the first bit at which keys below differ: 0 goes to child 0
	clean      bool
}

// leaf is immutable but for digest, which Root fills in.
type leaf struct {
	key, value crypto.Digest
	digest     crypto.Digest
	clean      bool
}

// Len is the number of entries.
func (t *Trie) Len() int { return t.count }

// Set maps key to value.
func (t *Trie) Set(key, value crypto.Digest) {
	l := &leaf{key: key, value: value}
	near := nearest(t.root, &key)
	if near == nil {
		t.root, t.count = ref{leaf: l}, 1
		return
	}
	at := firstDifference(&near.key, &key)
	if at == keyBits {
		if near.value == value {
			return
		}
	} else {
		t.count++
	}
	t.root = t.set(t.root, l, at)
}

// set puts l below n. at is the first bit in which l's key differs from the
// nearest one present, or keyBits if it replaces it.
func (t *Trie) set(n ref, l *leaf, at int) ref {
	if n.inner != nil && int(n.inner.bit) < at {
		m := t.own(n.inner)
		side := bit(&l.key, int(m.bit))
		m.child[side] = t.set(m.child[side], l, at)
		return ref{inner: m}
	}
	if at == keyBits {
		return ref{leaf: l}
	}
	m := &inner{bit: uint16(at), generation: t.generation}
	side := bit(&l.key, at)
	m.child[side] = ref{leaf: l}
	m.child[1-side] = n
	return ref{inner: m}
}

// own returns n, or a copy of it if a View shares n, marked as changed.
func (t *Trie) own(n *inner) *inner {
	if n.generation != t.generation {
		c := *n
		c.generation = t.generation
		n = &c
	}
	n.clean = false
	return n
}

// Entry is a key and what it is mapped to.
type Entry struct{ Key, Value crypto.Digest }

// SetAll is Set for each of the entries; two of one key must agree. It sorts them: the
// upper part of the paths is walked once for all of them.
func (t *Trie) SetAll(entries []Entry) {
	slices.SortFunc(entries, func(a, b Entry) int {
		if x, y := a.Key.Uint64(), b.Key.Uint64(); x != y {
			return cmp.Compare(x, y)
		}
		return bytes.Compare(a.Key[:], b.Key[:])
	})
	var fresh []Entry
	if !t.root.isZero() {
		t.root = t.replace(t.root, entries, &fresh)
	} else {
		fresh = entries
	}
	for i := range fresh {
		t.Set(fresh[i].Key, fresh[i].Value)
	}
}

// replace maps those keys that n has to their new values, and appends the other
// entries to fresh. A key that parts from n's somewhere above may be taken along to
// either side: it ends at a leaf that is not its own.
func (t *Trie) replace(n ref, entries []Entry, fresh *[]Entry) ref {
	if n.leaf != nil {
		for i := range entries {
			e := &entries[i]
			if e.Key != n.leaf.key {
				*fresh = append(*fresh, *e)
			} else if e.Value != n.leaf.value {
				n = ref{leaf: &leaf{key: e.Key, value: e.Value}}
			}
		}
		return n
	}
	m := t.own(n.inner)
	at := int(m.bit)
	right := sort.Search(len(entries), func(i int) bool { return bit(&entries[i].Key, at) == 1 })
	for side, part := range [2][]Entry{entries[:right], entries[right:]} {
		if len(part) > 0 {
			m.child[side] = t.replace(m.child[side], part, fresh)
		}
	}
	return ref{inner: m}
}

// Delete removes key and tells whether it was there.
func (t *Trie) Delete(key crypto.Digest) bool {
	near := nearest(t.root, &key)
	if near == nil || near.key != key {
		return false
	}
	t.count--
	t.root = t.delete(t.root, &key)
	return true
}

func (t *Trie) delete(n ref, key *crypto.Digest) ref {
	if n.leaf != nil {
		return ref{}
	}
	side := bit(key, int(n.inner.bit))
	if n.inner.child[side].leaf != nil {
		return n.inner.child[1-side]
	}
	m := t.own(n.inner)
	m.child[side] = t.delete(m.child[side], key)
	return ref{inner: m}
}

// Get returns the value of key.
func (t *Trie) Get(key crypto.Digest) (crypto.Digest, bool) { return get(t.root, &key) }

// Root returns the digest of the content; that of the empty trie is zero.
func (t *Trie) Root() crypto.Digest { return rehash(t.root) }

func rehash(n ref) crypto.Digest {
	switch {
	case n.leaf != nil:
		if !n.leaf.clean {
			n.leaf.digest, n.leaf.clean = hashLeaf(&n.leaf.key, &n.leaf.value), true
		}
		return n.leaf.digest
	case n.inner != nil:
		if !n.inner.clean {
			left, right := rehash(n.inner.child[0]), rehash(n.inner.child[1])
			n.inner.digest, n.inner.clean = hashNode(n.inner.bit, &left, &right), true
		}
		return n.inner.digest
	default:
		return crypto.Digest{}
	}
}

// View is the trie as it was at [Trie.View]. It is immutable and safe for
// concurrent use, also while the trie changes.
type View struct {
	root   ref
	digest crypto.Digest
	count  int
}

// View returns a frozen copy. It costs what Root costs; afterwards a change to
// the trie copies the nodes along its path once.
func (t *Trie) View() *View {
	v := &View{root: t.root, digest: t.Root(), count: t.count}
	t.generation++
	return v
}

// Root returns the digest of the content.
func (v *View) Root() crypto.Digest { return v.digest }

// Len is the number of entries.
func (v *View) Len() int { return v.count }

// Get returns the value of key.
func (v *View) Get(key crypto.Digest) (crypto.Digest, bool) { return get(v.root, &key) }

func get(n ref, key *crypto.Digest) (crypto.Digest, bool) {
	if l := nearest(n, key); l != nil && l.key == *key {
		return l.value, true
	}
	return crypto.Digest{}, false
}

// nearest follows key's bits down: if key is present, it is that leaf.
func nearest(n ref, key *crypto.Digest) *leaf {
	for n.inner != nil {
		n = n.inner.child[bit(key, int(n.inner.bit))]
	}
	return n.leaf
}

func bit(key *crypto.Digest, i int) int { return int(key[i>>3]>>(7-i&7)) & 1 }

// firstDifference returns the first bit in which a and b differ, or keyBits.
func firstDifference(a, b *crypto.Digest) int {
	for i := 0; i < crypto.DigestSize; i += 8 {
		x := binary.BigEndian.Uint64(a[i:]) ^ binary.BigEndian.Uint64(b[i:])
		if x != 0 {
			return 8*i + bits.LeadingZeros64(x)
		}
	}
	return keyBits
}

// The two below equal crypto.Hash of the same parts, without its allocations.

func hashLeaf(key, value *crypto.Digest) crypto.Digest {
	var buf [1 + len(domainLeaf) + 2*crypto.DigestSize]byte
	b := append(buf[:0], byte(len(domainLeaf)))
	b = append(b, domainLeaf...)
	b = append(b, key[:]...)
	b = append(b, value[:]...)
	return sha256.Sum256(b)
}

func hashNode(at uint16, left, right *crypto.Digest) crypto.Digest {
	var buf [1 + len(domainNode) + 2 + 2*crypto.DigestSize]byte
	b := append(buf[:0], byte(len(domainNode)))
	b = append(b, domainNode...)
	b = binary.BigEndian.AppendUint16(b, at)
	b = append(b, left[:]...)
	b = append(b, right[:]...)
	return sha256.Sum256(b)
}
