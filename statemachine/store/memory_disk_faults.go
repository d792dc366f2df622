package store

import (
	"errors"
	"fmt"
	"slices"
)

// What a disk can do to what is on a MemoryDisk.

// Crash forgets what was not synced: of the n batches that are not, all but the first
// pick(n+1) ones. Stores that are open are of no use any more. It returns how many it forgot.
func (d *MemoryDisk) Crash(pick func(n int) int) (lost int) {
	d.life++
	d.beside = nil
	b := d.inUse
	if b == nil {
		return 0
	}
	kept := 0
	if n := len(b.undo); n > 0 {
		kept = pick(n + 1)
		lost = n - kept
	}
	b.back(kept)
	d.inUse = &diskDB{disk: d, life: d.life, tree: b.tree, bad: b.bad, flipped: b.flipped}
	d.syncs++
	return lost
}

// Clear empties the disk. Stores that are open are of no use any more.
func (d *MemoryDisk) Clear() {
	d.life++
	d.beside, d.inUse = nil, nil
	d.syncs++
}

// Clone is an image of what a crash leaves.
func (d *MemoryDisk) Clone() *MemoryDisk {
	c := &MemoryDisk{syncs: d.syncs}
	if b := d.inUse; b != nil {
		c.inUse = &diskDB{disk: c, tree: b.tree.Copy(), bad: b.bad, flipped: b.flipped, undo: b.undo}
		c.inUse.back(0)
	}
	return c
}

// Fault has every access ask f whether it fails: a "read"; a "write" into what a crash takes; a
// "sync" of all that was written; and "later", which is a sync that a store does beside its blocks. A
// nil f asks nobody.
func (d *MemoryDisk) Fault(f func(op string) error) { d.fault = f }

// errSector is why something cannot be read.
var errSector = errors.New("a sector of the simulated disk cannot be read")

func unreadable() error { return &filesError{"the simulated disk", errSector} }

// maxRot is how many entries that are next to each other rot at most.
const maxRot = 8

// Rot has a few entries that are next to each other be unreadable until they are written again,
// wherever in the database they are. It returns the key of the first, "" if there is nothing on the disk.
func (d *MemoryDisk) Rot(pick func(n int) int) string {
	if d.inUse == nil || d.inUse.tree.Len() == 0 {
		return ""
	}
	tree := d.inUse.tree
	at := pick(tree.Len())
	first, _, _ := tree.GetAt(at)
	for n := 1 + pick(maxRot); n > 0; n-- {
		if key, v, ok := tree.GetAt(at); ok {
			v.unreadable = true
			d.inUse.set(key, v)
			at++
		}
	}
	return fmt.Sprintf("%q", first)
}

// Flip changes a bit of the value that some key of the state has, beneath the tree. It returns
// the key, "" if there is no value on the disk.
func (d *MemoryDisk) Flip(pick func(n int) int) string {
	if d.inUse == nil {
		return ""
	}
	tree := d.inUse.tree
	var keys []string
	for c := newMapCursor(tree, []byte{spaceLast}, []byte{spaceLast + 1}, false); c.valid(); c.next() {
		if r, err := decodeRecord(c.entry().value); err == nil && len(r.value) > 0 {
			keys = append(keys, c.name())
		}
	}
	if len(keys) == 0 {
		return ""
	}
	key := keys[pick(len(keys))]
	v, _ := tree.Get(key)
	v.value, v.written = slices.Clone(v.value), v.whole().value
	v.value[9+pick(len(v.value)-9)] ^= 1 << pick(8)
	d.inUse.set(key, v)
	return fmt.Sprintf("%q", key[1:])
}

// Damaged tells whether anything on the disk is not as it was written, or cannot be read.
func (d *MemoryDisk) Damaged() bool { return d.inUse != nil && d.inUse.bad > 0 }

// Flipped tells whether a value on the disk is another one than was written.
func (d *MemoryDisk) Flipped() bool { return d.inUse != nil && d.inUse.flipped > 0 }

// Recover has everything that is unreadable be readable again, as it is.
func (d *MemoryDisk) Recover() {
	if d.inUse == nil {
		return
	}
	d.inUse.tree.Copy().Scan(func(key string, v diskValue) bool {
		if v.unreadable {
			v.unreadable = false
			d.inUse.set(key, v)
		}
		return true
	})
}
