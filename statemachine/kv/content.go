package kv

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/tidwall/btree"
)

// The content is kept twice. The table of cells finds a key in one step; the tree has
// the same entries in order, and copies of it are frozen states. An entry that no
// frozen state shares is changed in place, so that writing a key that is there
// touches neither the tree nor the allocator.

// cell is a key and what it is mapped to.
type cell struct {
	key   string
	path  crypto.Digest // its place in the trie
	entry *entry        // nil if the key is not there
	dirty bool          // in Machine.dirty
}

// entry is the tree's. It is immutable once a copy of the tree shares it, that is if
// its generation is below the machine's.
type entry struct {
	value                []byte
	create, mod, version uint64
	generation           uint64
}

func entrySize(keyLen, valueLen int) int64 { return EntryOverhead + int64(keyLen) + int64(valueLen) }

// get returns the entry of key, or nil. It is valid until the next write.
func (m *Machine) get(key []byte) *entry {
	if c := m.cells[string(key)]; c != nil {
		return c.entry
	}
	return nil
}

func (m *Machine) put(key, value []byte, next uint64) (e *entry, existed bool) {
	c := m.cells[string(key)]
	if c == nil {
		c = m.newCell(string(key))
	}
	m.revision = next
	m.touch(c)
	if e = c.entry; e == nil {
		c.entry = &entry{value: clone(value), create: next, mod: next, version: 1, generation: m.generation}
		m.tree.Set(c.key, c.entry)
		m.size += entrySize(len(key), len(value))
		return c.entry, false
	}
	m.size += int64(len(value) - len(e.value))
	if e.generation != m.generation {
		e = &entry{create: e.create, version: e.version, generation: m.generation}
		c.entry = e
		m.tree.Set(c.key, e)
	}
	e.setValue(value)
	e.mod, e.version = next, e.version+1
	return e, true
}

// setValue copies value into the memory that is there if that is not far too large.
func (e *entry) setValue(value []byte) {
	if len(value) > cap(e.value) || cap(e.value) > 2*len(value)+64 {
		e.value = clone(value)
	} else {
		e.value = append(e.value[:0], value...)
	}
}

func (m *Machine) delete(key []byte, next uint64) bool {
	c := m.cells[string(key)]
	if c == nil || c.entry == nil {
		return false
	}
	m.tree.Delete(c.key)
	m.size -= entrySize(len(key), len(c.entry.value))
	c.entry = nil // the cell goes when the trie has been told
	m.touch(c)
	m.revision = next
	return true
}

func (m *Machine) newCell(key string) *cell {
	c := &cell{key: key, path: path(key)}
	m.cells[key] = c
	return c
}

// touch notes that the trie is out of date about c.
func (m *Machine) touch(c *cell) {
	if !c.dirty {
		c.dirty = true
		m.dirty = append(m.dirty, c)
	}
}

func (m *Machine) fits(growth int64) bool {
	return growth <= 0 || m.size+growth <= m.limits.MaxStateBytes
}

func (m *Machine) at() uint64 { return m.revision }

func (m *Machine) ascend(from string, do func(key string, e *entry) bool) { m.tree.Ascend(from, do) }

// ascend is that of a frozen content.
func (v *view) ascend(from string, do func(key string, e *entry) bool) { v.tree.Ascend(from, do) }

// freeze returns the content as it is, for good. It costs a constant, and the writes
// that follow copy what they change.
func (m *Machine) freeze() *btree.Map[string, *entry] {
	m.generation++
	return m.tree.Copy()
}
