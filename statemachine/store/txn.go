package store

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/tidwall/btree"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// overlay is what the transaction of a block, and all within it, have written. All
// levels write to the same tree; what a level replaced is noted, and put back if the
// level is discarded.
type overlay struct {
	base   base
	reads  map[string]record // what the block has read of the base
	writes btree.Map[string, record]
	levels []*txn // open, the block's first
	stamp  uint64 // is put on what is written, in place of a height
	undo   []undo // of the levels above the block's
	meter  *statemachine.Meter
}

// overworked unwinds an operation that reads more than it may.
type overworked struct{ code statemachine.ResultCode }

// Unwound tells whether a panic's value is that with which the store ends an operation, because
// it reads more than it may or writes a key of the store's own, and what its result is then. It is for
// handlers around another, which keep something of an operation that is unwound so.
func Unwound(panicked any) (r statemachine.Result, ok bool) {
	switch v := panicked.(type) {
	case *ReservedKeyError:
		return statemachine.Reject(statemachine.CodeReservedKey, []byte(v.Error())), true
	case overworked:
		return statemachine.Reject(v.code, nil), true
	}
	return r, false
}

// count counts an entry that is read.
func (o *overlay) count(key int, r *record) {
	if code := o.meter.Read(key + len(r.value)); code != statemachine.CodeOK {
		panic(overworked{code})
	}
}

// base is what a transaction begins with.
type base interface {
	find(key string) record
	// digest is that of the state.
	digest() (crypto.Digest, error)
	// cursor stands at the first (reverse: last) key in [from, to).
	cursor(from, to []byte, reverse bool) cursor
}

type undo struct {
	key string
	was record
	had bool
}

// txn is one level of an overlay.
type txn struct {
	o    *overlay
	mark int // the length of o.undo when it began
}

func newOverlay(b base) *overlay {
	o := &overlay{base: b, reads: make(map[string]record)}
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
	if isReserved(key) {
		panic(&ReservedKeyError{bytes.Clone(key)})
	}
}

func (t *txn) Get(key []byte) ([]byte, bool) {
	t.check()
	if isReserved(key) {
		return nil, false
	}
	r, ok := t.o.writes.Get(string(key))
	if !ok {
		r = t.o.read(string(key))
	}
	t.o.count(len(key), &r)
	return r.value, !r.deleted
}

// read returns what the block began with.
func (o *overlay) read(key string) record {
	r, ok := o.reads[key]
	if !ok {
		r = o.base.find(key)
		o.reads[key] = r
	}
	return r
}

func (t *txn) Set(key, value []byte) {
	checkKey(key)
	if len(value) > MaxValueBytes {
		panic(fmt.Sprintf("store: a value of %d bytes, where %d are allowed", len(value), MaxValueBytes))
	}
	t.put(string(key), record{value: append(make([]byte, 0, len(value)), value...)})
}

func (t *txn) Delete(key []byte) {
	checkKey(key)
	t.put(string(key), record{deleted: true})
}

func (t *txn) put(key string, w record) {
	t.check()
	w.height = t.o.stamp
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
	o.writes = btree.Map[string, record]{}
	clear(o.reads)
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
		over := recordCursor{newMapCursor(t.o.writes.Copy(), from, to, reverse)}
		c := &layered{over, under, reverse}
		yieldAll(c, func(k, v []byte) bool {
			t.o.count(len(k), &record{value: v})
			return yield(k, v)
		}, func() {
			if c.upper() { // what the block has deleted; of older blocks that depends on the replica
				t.o.count(0, &record{})
			}
		})
	}
}

// yieldAll ends the walk of c. The store's own keys are left out. skipped, if not nil, hears
// of those that are deleted.
func yieldAll(c cursor, yield func(k, v []byte) bool, skipped func()) {
	defer c.close()
	for ; c.valid(); c.next() {
		if isReserved(c.name()) {
			continue
		}
		r := c.record()
		switch {
		case r.deleted && skipped != nil:
			skipped()
		case r.deleted:
		case !yield([]byte(c.name()), r.value):
			return
		}
	}
}
