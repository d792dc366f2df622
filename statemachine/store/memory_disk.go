package store

import (
	"errors"
	"slices"

	"github.com/tidwall/btree"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// MemoryDisk is a simulated disk, for a store that is to do all that one in a folder does
// without files, goroutines and a clock (see [Config.Disk]): what was not synced is lost by
// [MemoryDisk.Crash], and memory_disk_faults.go has what else a disk does. The stores of one
// replica's lives, one after the other, are on the same one. It belongs to one goroutine, and
// so does a store on it.
type MemoryDisk struct {
	inUse *diskDB
	// life counts the crashes: who has a database since before one can do nothing any more.
	life   uint64
	beside func(do func())
	fault  func(op string) error
	syncs  uint64
}

// NewMemoryDisk returns an empty disk.
func NewMemoryDisk() *MemoryDisk { return new(MemoryDisk) }

// Beside has run get what a store does beside its blocks: to sync a batch that it has written.
// Whoever has to wait for that before run has done it does it on the spot. A nil run is as one that
// does it at once.
func (d *MemoryDisk) Beside(run func(do func())) { d.beside = run }

func (d *MemoryDisk) runBeside(do func()) {
	if d.beside != nil {
		d.beside(do)
		return
	}
	do()
}

// errCrashed is what a store hears that has survived a crash of its disk.
var errCrashed = errors.New("the disk has crashed since the store was opened")

// diskDB is a database on a MemoryDisk.
type diskDB struct {
	disk *MemoryDisk
	life uint64
	tree *btree.Map[string, diskValue]
	// bad is how many entries are damaged, flipped how many of them have another value.
	bad, flipped int
	// undo has for each batch that is not synced what was there before, in the order of its
	// changes.
	undo [][]diskUndo
}

// diskValue is what is under a key.
type diskValue struct {
	value []byte
	// written is what was written, if value is another one because of damage.
	written    []byte
	unreadable bool
}

func (v *diskValue) damaged() bool { return v.unreadable || v.written != nil }

// whole is the value without damage.
func (v *diskValue) whole() diskValue {
	if v.written != nil {
		return diskValue{value: v.written}
	}
	return diskValue{value: v.value}
}

type diskUndo struct {
	key   string
	was   diskValue
	there bool
}

func (b *diskDB) set(key string, v diskValue) (was diskValue, there bool) {
	was, there = b.tree.Set(key, v)
	b.count(&was, -1)
	b.count(&v, 1)
	return was, there
}

func (b *diskDB) delete(key string) (was diskValue, there bool) {
	was, there = b.tree.Delete(key)
	b.count(&was, -1)
	return was, there
}

func (b *diskDB) count(v *diskValue, n int) {
	if v.damaged() {
		b.bad += n
	}
	if v.written != nil {
		b.flipped += n
	}
}

func (d *MemoryDisk) newDB() *diskDB {
	return &diskDB{disk: d, life: d.life, tree: new(btree.Map[string, diskValue])}
}

func (b *diskDB) ask(op string) error {
	switch {
	case b.life != b.disk.life:
		return errCrashed
	case b.disk.fault != nil:
		return b.disk.fault(op)
	}
	return nil
}

func (b *diskDB) get(key []byte) ([]byte, error) {
	if err := b.ask("read"); err != nil {
		return nil, err
	}
	v, _ := b.tree.Get(string(key))
	if v.unreadable {
		return nil, unreadable()
	}
	return v.value, nil // never changed
}

func (b *diskDB) iterate(from, to []byte, reverse bool) (dbIterator, error) {
	if err := b.ask("read"); err != nil {
		return nil, err
	}
	return &diskIterator{mapCursor: newMapCursor(b.tree.Copy(), from, to, reverse)}, nil
}

func (b *diskDB) newBatch() batch { return &diskBatch{db: b} }
func (b *diskDB) close() error    { return nil }

// sync implements durableDB.
func (b *diskDB) sync() error { return b.settle("later") }

func (b *diskDB) settle(op string) error {
	if err := b.ask(op); err != nil {
		return err
	}
	b.undo = nil
	b.disk.syncs++
	return nil
}

// back takes back all batches that are not synced but the first ones. What they have put in the
// place of damage is good.
func (b *diskDB) back(kept int) {
	for _, batch := range slices.Backward(b.undo[kept:]) {
		for _, u := range slices.Backward(batch) {
			if u.there {
				b.set(u.key, u.was.whole())
			} else {
				b.delete(u.key)
			}
		}
	}
	b.undo = nil
}

type diskIterator struct {
	*mapCursor[diskValue]
	err error
}

// valid ends the walk at what cannot be read, as databases do; close tells.
func (i *diskIterator) valid() bool {
	if i.err != nil || !i.mapCursor.valid() {
		return false
	}
	if i.entry().unreadable {
		i.err = unreadable()
		return false
	}
	return true
}

func (i *diskIterator) key() []byte   { return []byte(i.name()) }
func (i *diskIterator) value() []byte { return i.entry().value }
func (i *diskIterator) close() error  { return i.err }

type diskBatch struct {
	memoryBatch
	db *diskDB
}

func (b *diskBatch) write(sync bool) error {
	if err := b.db.ask("write"); err != nil {
		return err
	}
	undo := make([]diskUndo, len(b.changes))
	for i, c := range b.changes {
		u := &undo[i]
		if u.key = c.key; c.value == nil {
			u.was, u.there = b.db.delete(c.key)
		} else {
			u.was, u.there = b.db.set(c.key, diskValue{value: c.value})
		}
	}
	b.db.undo = append(b.db.undo, undo)
	if !sync {
		return nil
	}
	return b.db.settle("sync")
}

// open makes databases on the disk.
func (d *MemoryDisk) open() disks { return &memoryDisks{d: d} }

type memoryDisks struct {
	d    *MemoryDisk
	next *diskDB
}

func (m *memoryDisks) current() (database, error) {
	if m.d.inUse == nil {
		m.d.inUse = m.d.newDB()
	}
	return m.d.inUse, m.d.inUse.ask("read")
}

func (m *memoryDisks) again() (database, error) { return m.current() }

func (m *memoryDisks) fresh() (database, error) {
	m.next = m.d.newDB()
	return m.next, m.next.ask("read")
}

func (m *memoryDisks) scratch() (database, error) { return newMemoryDB(), nil }

func (m *memoryDisks) adopt() error {
	if err := m.next.ask("sync"); err != nil {
		return err
	}
	m.d.inUse, m.next = m.next, nil
	m.d.syncs++
	return nil
}

func (m *memoryDisks) drop() error  { m.next = nil; return nil }
func (m *memoryDisks) close() error { return nil }

// Syncs is how often what a crash leaves has become another.
func (d *MemoryDisk) Syncs() uint64 { return d.syncs }

// Holds tells whether a store that is opened on what a crash leaves goes back to the state of
// this digest when it is given a snapshot that names it and the height.
func (d *MemoryDisk) Holds(height uint64, digest crypto.Digest) bool {
	if d.inUse == nil {
		return false
	}
	v := d.durable(string(rune(spaceHead)))
	if v.value == nil || v.unreadable {
		return false
	}
	h, err := decodeHead(v.value)
	if err != nil || !h.begun || h.incomplete {
		return false
	}
	for _, t := range h.seals {
		if t.height <= height && t.height >= h.oldest && proof.StateDigest(rootOf(t.root)) == digest {
			return true
		}
	}
	return false
}

// durable is what a crash leaves under a key.
func (d *MemoryDisk) durable(key string) diskValue {
	for _, batch := range d.inUse.undo {
		for i := range batch {
			if batch[i].key == key {
				return batch[i].was
			}
		}
	}
	v, _ := d.inUse.tree.Get(key)
	return v
}
