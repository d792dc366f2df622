package store

import (
	"sync"

	"github.com/tidwall/btree"
)

// memoryDB is a database that is gone with the process.
type memoryDB struct {
	mu   sync.Mutex
	tree *btree.Map[string, []byte]
}

func newMemoryDB() *memoryDB { return &memoryDB{tree: new(btree.Map[string, []byte])} }

func (m *memoryDB) get(key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, _ := m.tree.Get(string(key))
	return v, nil // never changed
}

func (m *memoryDB) iterate(from, to []byte, reverse bool) (dbIterator, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memoryIterator{newMapCursor(m.tree.Copy(), from, to, reverse)}, nil
}

func (m *memoryDB) newBatch() batch { return &memoryBatch{m: m} }
func (m *memoryDB) close() error    { return nil }

type memoryIterator struct{ *mapCursor[[]byte] }

func (i *memoryIterator) key() []byte   { return []byte(i.name()) }
func (i *memoryIterator) value() []byte { return i.entry() }
func (i *memoryIterator) close() error  { return nil }

type memoryBatch struct {
	m       *memoryDB
	changes []memoryChange
	bytes   int
}

type memoryChange struct {
	key   string
	value []byte // nil deletes
}

func (b *memoryBatch) set(key, value []byte) {
	b.bytes += len(key) + len(value)
	b.changes = append(b.changes, memoryChange{string(key), append(make([]byte, 0, len(value)), value...)})
}

func (b *memoryBatch) delete(key []byte) {
	b.bytes += len(key)
	b.changes = append(b.changes, memoryChange{key: string(key)})
}

func (b *memoryBatch) size() int { return b.bytes }

func (b *memoryBatch) write(bool) error {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	for _, c := range b.changes {
		if c.value == nil {
			b.m.tree.Delete(c.key)
		} else {
			b.m.tree.Set(c.key, c.value)
		}
	}
	return nil
}

// inMemory makes databases in memory.
type inMemory struct{ inUse, next *memoryDB }

func (d *inMemory) again() (database, error) { return d.current() }

func (d *inMemory) current() (database, error) {
	if d.inUse == nil {
		d.inUse = newMemoryDB()
	}
	return d.inUse, nil
}

func (d *inMemory) fresh() (database, error) {
	d.next = newMemoryDB()
	return d.next, nil
}

func (d *inMemory) scratch() (database, error) { return newMemoryDB(), nil }
func (d *inMemory) adopt() error               { d.inUse, d.next = d.next, nil; return nil }
func (d *inMemory) drop() error                { d.next = nil; return nil }
func (d *inMemory) close() error               { return nil }
