package store

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/tidwall/btree"
)

// write is what a transaction did to a key last.
type write struct {
	value   []byte // nil: deleted
	deleted bool
}

// overlay is what the transaction of a block, and all within it, have written. All
// levels write to the same tree; what a level replaced is noted, and put back if the
// level is discarded.
type overlay struct {
	base   base
	writes btree.Map[string, write]
	levels []*txn // open, the block's first
	undo   []undo // of the levels above the block's
}

// base is what a transaction begins with.
type base interface {
	get(key []byte) ([]byte, bool)
	// cursor stands at the first (reverse: last) key in [from, to).
	cursor(from, to []byte, reverse bool) cursor
}

// cursor walks over entries in order.
type cursor interface {
	valid() bool
	key() string
	value() []byte
	next()
	close()
}

type undo struct {
	key string
	was write
	had bool
}

// txn is one level of an overlay.
type txn struct {
	o    *overlay
	mark int // the length of o.undo when it began
}

func newOverlay(b base) *overlay {
	o := &overlay{base: b}
	o.levels = append(o.levels, &txn{o: o})
	return o
}

// block returns the outermost level.
func (o *overlay) block() *txn { return o.levels[0] }

// check panics unless t is the innermost open level.
func (t *txn) check() {
	o := t.o
	if n := len(o.levels); n > 0 && o.levels[n-1] == t {
		return
	}
	for _, l := range o.levels {
		if l == t {
			panic("store: a transaction is used while one within it is open")
		}
	}
	panic("store: a transaction is used after its end")
}

func checkKey(key []byte) {
	if len(key) == 0 || len(key) > MaxKeyBytes {
		panic(fmt.Sprintf("store: a key of %d bytes, where 1 to %d are allowed", len(key), MaxKeyBytes))
	}
}

func (t *txn) Get(key []byte) ([]byte, bool) {
	t.check()
	if w, ok := t.o.writes.Get(string(key)); ok {
		return w.value, !w.deleted
	}
	return t.o.base.get(key)
}

func (t *txn) Set(key, value []byte) {
	checkKey(key)
	if len(value) > MaxValueBytes {
		panic(fmt.Sprintf("store: a value of %d bytes, where %d are allowed", len(value), MaxValueBytes))
	}
	t.put(string(key), write{value: append(make([]byte, 0, len(value)), value...)})
}

func (t *txn) Delete(key []byte) {
	checkKey(key)
	t.put(string(key), write{deleted: true})
}

func (t *txn) put(key string, w write) {
	t.check()
	was, had := t.o.writes.Set(key, w)
	if len(t.o.levels) > 1 {
		t.o.undo = append(t.o.undo, undo{key, was, had})
	}
}

func (t *txn) Begin() Txn {
	t.check()
	inner := &txn{o: t.o, mark: len(t.o.undo)}
	t.o.levels = append(t.o.levels, inner)
	return inner
}

func (t *txn) Commit() {
	t.check()
	o := t.o
	if len(o.levels) == 1 {
		panic("store: a block is committed by Store.Commit")
	}
	o.levels = o.levels[:len(o.levels)-1]
	if len(o.levels) == 1 {
		o.forget(0) // nobody can discard it any more
	}
}

func (t *txn) Discard() {
	o := t.o
	for i := len(o.levels) - 1; i >= 0; i-- {
		if o.levels[i] != t {
			continue
		}
		if i == 0 {
			o.reset()
			return
		}
		o.revert(t.mark)
		clear(o.levels[i:])
		o.levels = o.levels[:i]
		return
	}
}

// revert puts back what was replaced since the undo list had n entries.
func (o *overlay) revert(n int) {
	for i := len(o.undo) - 1; i >= n; i-- {
		if u := &o.undo[i]; u.had {
			o.writes.Set(u.key, u.was)
		} else {
			o.writes.Delete(u.key)
		}
	}
	o.forget(n)
}

func (o *overlay) forget(n int) {
	clear(o.undo[n:])
	o.undo = o.undo[:n]
}

// reset drops everything and ends all levels but the block's.
func (o *overlay) reset() {
	o.writes = btree.Map[string, write]{}
	o.forget(0)
	clear(o.levels[1:])
	o.levels = o.levels[:1]
}

func (t *txn) Range(from, to []byte) iter.Seq2[[]byte, []byte]    { return t.seq(from, to, false) }
func (t *txn) Backward(from, to []byte) iter.Seq2[[]byte, []byte] { return t.seq(from, to, true) }

func (t *txn) seq(from, to []byte, reverse bool) iter.Seq2[[]byte, []byte] {
	from, to = bytes.Clone(from), bytes.Clone(to)
	return func(yield func(k, v []byte) bool) {
		t.check()
		under := t.o.base.cursor(from, to, reverse)
		defer under.close()
		over := newMapCursor(t.o.writes.Copy(), from, to, reverse)
		for under.valid() || over.valid() {
			order := 1 // of under after over
			switch {
			case !over.valid():
				order = -1
			case under.valid():
				if order = compareStrings(under.key(), over.key()); reverse {
					order = -order
				}
			}
			if order < 0 {
				if !yield([]byte(under.key()), under.value()) {
					return
				}
				under.next()
				continue
			}
			if w := over.entry(); !w.deleted && !yield([]byte(over.key()), w.value) {
				return
			}
			if order == 0 {
				under.next()
			}
			over.next()
		}
	}
}

func compareStrings(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// mapCursor walks over a tree that does not change.
type mapCursor[V any] struct {
	it       btree.MapIter[string, V]
	from, to string
	open     bool // no upper bound
	reverse  bool
	ok       bool
}

func newMapCursor[V any](m *btree.Map[string, V], from, to []byte, reverse bool) *mapCursor[V] {
	c := &mapCursor[V]{it: m.Iter(), from: string(from), to: string(to), open: to == nil, reverse: reverse}
	switch {
	case !reverse:
		c.ok = c.it.Seek(c.from)
	case c.open:
		c.ok = c.it.Last()
	case c.it.Seek(c.to):
		c.ok = c.it.Prev()
	default:
		c.ok = c.it.Last()
	}
	c.bound()
	return c
}

func (c *mapCursor[V]) bound() {
	if c.ok && (c.reverse && c.it.Key() < c.from || !c.reverse && !c.open && c.it.Key() >= c.to) {
		c.ok = false
	}
}

func (c *mapCursor[V]) valid() bool { return c.ok }
func (c *mapCursor[V]) key() string { return c.it.Key() }
func (c *mapCursor[V]) entry() V    { return c.it.Value() }
func (c *mapCursor[V]) close()      {}

func (c *mapCursor[V]) next() {
	if c.reverse {
		c.ok = c.it.Prev()
	} else {
		c.ok = c.it.Next()
	}
	c.bound()
}
