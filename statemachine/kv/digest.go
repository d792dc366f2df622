package kv

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/merkle"
)

const (
	domainKey   = crypto.Domain("parley/kv-key")
	domainEntry = crypto.Domain("parley/kv-entry")
	domainState = crypto.Domain("parley/kv-state")
)

// path is a key's place in the trie: clients choose keys, so it is a hash.
func path(key string) crypto.Digest { return crypto.Hash(domainKey, []byte(key)) }

func (e *entry) digest() crypto.Digest {
	var fixed [24]byte
	b := canon.AppendUint64(fixed[:0], e.create)
	b = canon.AppendUint64(b, e.mod)
	b = canon.AppendUint64(b, e.version)
	return crypto.Hash(domainEntry, b, e.value)
}

// maxScratch bounds the lists of changed keys that are kept for the next time.
const maxScratch = 1 << 16

// Digest covers the whole content, the revision and the limits. It costs hashing
// for the keys that changed since it was last called.
func (m *Machine) Digest() crypto.Digest {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.digest()
}

// maxDirty bounds the keys about which the trie is out of date, and so the memory of those
// that are gone from the content: nobody asks for a digest for hundreds of blocks at times.
const maxDirty = maxScratch

// settle brings the trie up to date, as far as it can without hashing its nodes.
func (m *Machine) settle() {
	// In any order: the trie's root depends on the content alone.
	m.changed = m.changed[:0]
	for _, c := range m.dirty {
		if c.dirty = false; c.entry != nil {
			m.changed = append(m.changed, merkle.Entry{Key: c.path, Value: c.entry.digest()})
		} else {
			m.trie.Delete(c.path)
			delete(m.cells, c.key)
		}
	}
	m.trie.SetAll(m.changed)
	clear(m.dirty)
	m.dirty = m.dirty[:0]
	if cap(m.changed) > maxScratch {
		m.changed, m.dirty = nil, nil
	}
}

func (m *Machine) digest() crypto.Digest {
	m.settle()
	limits, root := m.limits.Digest(), m.trie.Root()
	b := append([]byte(nil), limits[:]...)
	b = canon.AppendUint64(b, m.revision)
	b = canon.AppendUint64(b, uint64(m.tree.Len()))
	b = canon.AppendUint64(b, uint64(m.size))
	b = append(b, root[:]...)
	return crypto.Hash(domainState, b)
}
