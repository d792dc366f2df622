package store

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/merkle"
	"github.com/parley-bft/parley/statemachine/store/proof"
	"github.com/tidwall/btree"
)

// View is the state after a block, as a [Reader] for any number of goroutines. It is
// good until its height is pruned, or the store is restored or closed; a read after that
// panics with a *[HeightError] or a *[Failure] ([Catch] makes errors of them).
//
// A view needs no locks against blocks that are committed meanwhile. It first looks at
// the last record of a key: one that is not younger than the view is what the view
// wants. A younger one has replaced a record that the history has had from the same
// moment on.
type View struct {
	s      *Store
	height uint64
	epoch  uint64
	// What was pending when the view was made. What is written later is in the database
	// with its history.
	last, history *btree.Map[string, record]
	// newest: no later block was there when the view was made. Until the database changes,
	// nothing in it is younger.
	newest  bool
	flushes uint64
	// quiet is for those who look for damage: finding it does not fail the store, and a value
	// that is damaged is what there is.
	quiet bool
}

var _ Reader = (*View)(nil)

// Height is the height of the block.
func (v *View) Height() uint64 { return v.height }

// enter keeps the database open until it is left.
func (v *View) enter() {
	if f := v.s.failed.Load(); f != nil && !(v.quiet && isDamage(f)) {
		panic(f)
	}
	if !v.s.users.enter() {
		panic(&Failure{Op: "read", Err: ErrClosed})
	}
	if v.s.epoch.Load() != v.epoch {
		v.s.users.leave()
		v.pruned()
	}
}

// check panics if the height was pruned before what was just read.
func (v *View) check() {
	if v.height < v.s.oldest.Load() {
		v.pruned()
	}
}

func (v *View) pruned() {
	oldest, last := v.s.Heights()
	panic(&HeightError{v.height, oldest, last, ErrPruned})
}

// fail is for what the database says, unless it is no wonder.
func (v *View) fail(op string, err error) {
	v.check()
	if v.quiet {
		panic(&Failure{Op: op, Err: err})
	}
	v.s.stop(op, err)
}

func (v *View) lost(key string) {
	if v.quiet {
		return
	}
	v.fail("read", fmt.Errorf("%w: key %x has no record for height %d", ErrCorrupt, key, v.height))
}

// settled tells, after a read of the database, whether that was the database as it was
// when the view was made, with nothing younger in it.
func (v *View) settled() bool { return v.newest && v.s.flushes.Load() == v.flushes }

// Get is that of [Reader].
func (v *View) Get(key []byte) ([]byte, bool) {
	if isReserved(key) {
		return nil, false
	}
	v.enter()
	defer v.s.users.leave()
	r := v.find(string(key))
	v.check()
	return r.value, !r.deleted
}

func (v *View) find(key string) record {
	r, pending := v.last.Get(key)
	if !pending {
		var err error
		if r, err = v.s.stored(key); err != nil && !(v.quiet && errors.Is(err, errRecordFormat)) {
			v.fail("read", err)
		}
		if r.deleted && v.settled() {
			return r
		}
	}
	if r.height <= v.height && (pending || !r.deleted) {
		return r
	}
	from, to := []byte(historyName(key, v.height+1)), []byte(historyName(key, ^uint64(0)))
	c := newEarlier(v.changes(from, to, false), v.height, v.fail)
	defer c.close()
	switch {
	case c.valid():
		return c.record()
	case !r.deleted || pending:
		v.lost(key)
		return record{deleted: true}
	}
	return r
}

// changed returns the height of the last block, up to that of the view, that changed
// what r says key is mapped to; 0 if that is not known.
func (v *View) changed(key string, r record) uint64 {
	if !r.deleted {
		return r.height
	}
	// The history has what a key had before the block that deleted it.
	c := v.changes([]byte(historyName(key, 0)), []byte(historyName(key, v.height+1)), true)
	defer c.close()
	if !c.valid() {
		return 0
	}
	_, height, err := splitHistoryName([]byte(c.name()))
	if err != nil {
		v.fail("read", err)
	}
	return height
}

// changes walks over the history.
func (v *View) changes(from, to []byte, reverse bool) cursor {
	return &layered{recordCursor{newMapCursor(v.history, from, to, reverse)}, v.walk(spaceHistory, from, to, reverse), reverse}
}

func (v *View) walk(space byte, from, to []byte, reverse bool) cursor {
	c, err := v.s.iterate(space, from, to, reverse)
	if err != nil {
		v.fail("iterate", err)
	}
	c.fail, c.lenient = v.fail, v.quiet
	return c
}

// Range is that of [Reader].
func (v *View) Range(from, to []byte) iter.Seq2[[]byte, []byte] { return v.seq(from, to, false) }

// Backward is that of [Reader].
func (v *View) Backward(from, to []byte) iter.Seq2[[]byte, []byte] { return v.seq(from, to, true) }

func (v *View) seq(from, to []byte, reverse bool) iter.Seq2[[]byte, []byte] {
	from, to = slices.Clone(from), slices.Clone(to)
	return func(yield func(k, v []byte) bool) {
		v.enter()
		defer v.s.users.leave()
		c := v.cursor(from, to, reverse)
		v.check()
		yieldAll(c, yield, nil)
	}
}

// all yields everything, the store's own keys too, in ascending order.
func (v *View) all() iter.Seq2[string, record] {
	return func(yield func(string, record) bool) {
		v.enter()
		defer v.s.users.leave()
		c := v.cursor(nil, nil, false)
		defer c.close()
		v.check()
		for ; c.valid(); c.next() {
			if r := c.record(); !r.deleted && !yield(c.name(), r) {
				return
			}
		}
	}
}

// cursor walks over the state. It first opens the walk over the last records, then that
// over the history, so that the history knows all that the first one may find too young.
// Once both are open, pruning does not touch them.
func (v *View) cursor(from, to []byte, reverse bool) cursor {
	last := &layered{recordCursor{newMapCursor(v.last, from, to, reverse)}, v.walk(spaceLast, from, to, reverse), reverse}
	if v.settled() {
		return last
	}
	var hfrom, hto []byte
	if from != nil {
		hfrom = escape(nil, string(from))
	}
	if to != nil {
		hto = escape(nil, string(to))
	}
	changes := newEarlier(v.changes(hfrom, hto, reverse), v.height, v.fail)
	return newAsOf(last, changes, v.height, reverse, v.lost)
}

// seal returns the tree at the view's height.
func (v *View) seal() (seal, error) {
	v.s.mu.RLock()
	defer v.s.mu.RUnlock()
	if t, ok := v.s.tree.at(v.height); ok && v.epoch == v.s.epoch.Load() {
		return t, nil
	}
	e := &HeightError{v.height, v.s.oldest.Load(), v.s.last, ErrNoProof}
	if v.height < e.Oldest || v.epoch != v.s.epoch.Load() {
		e.err = ErrPruned
	}
	return seal{}, e
}

// Digest returns the digest of the state, if [Store.Digest] was asked for it at that
// height; else the error wraps [ErrNoProof].
func (v *View) Digest() (crypto.Digest, error) {
	t, err := v.seal()
	if err != nil {
		return crypto.Digest{}, err
	}
	return proof.StateDigest(rootOf(t.root)), nil
}

// Prove returns the proof of what the state maps key to, under its [View.Digest].
func (v *View) Prove(key []byte) (p *proof.Proof, err error) {
	t, err := v.seal()
	if err != nil {
		return nil, err
	}
	failed := Catch(func() {
		v.enter()
		defer v.s.users.leave()
		p = new(proof.Proof)
		if p.Empty = t.root == nil; p.Empty {
			return
		}
		v.path(p, t.root, proof.Path(key))
		r := v.find(string(key))
		p.Value, p.Present = r.value, !r.deleted
		v.check()
	})
	if failed != nil {
		return nil, failed
	}
	return p, nil
}

// path fills in the way from the root to where key is, or would be.
func (v *View) path(p *proof.Proof, c *child, key crypto.Digest) {
	for c != nil && !c.leaf {
		n := v.load(c)
		d := merkle.Digit(&key, int(n.digit))
		step := merkle.Step{Digit: n.digit, Present: n.present &^ (1 << d)}
		for i := range n.children {
			x := &n.children[i]
			if merkle.Digit(&x.place, int(n.digit)) == d && n.present>>d&1 == 1 {
				continue
			}
			sibling := merkle.Sibling{Digest: x.digest, Leaf: x.leaf}
			if x.leaf {
				sibling.Key = x.place
			}
			step.Siblings = append(step.Siblings, sibling)
		}
		p.Tree.Steps = append(p.Tree.Steps, step)
		c = n.at(d)
	}
	slices.Reverse(p.Tree.Steps)
	if p.Tree.Nothing = c == nil; c != nil {
		p.Tree.Key, p.Tree.Value = c.place, c.digest
	}
}

// load returns an inner node, from any goroutine.
func (v *View) load(c *child) *node {
	id := c.id()
	v.s.mu.RLock()
	enc, pending := v.s.pend.nodes[id]
	v.s.mu.RUnlock()
	var n *node
	var err error
	if pending {
		n, err = decodeNode(enc, &id.prefix)
	} else {
		n, err = v.s.fetch(c, &id)
	}
	if err != nil {
		v.fail("read the tree", err)
	}
	return n
}

// inspect is load from the database, whatever is kept in memory.
func (v *View) inspect(c *child) (*node, error) {
	v.enter()
	defer v.s.users.leave()
	id := c.id()
	v.s.mu.RLock()
	enc, pending := v.s.pend.nodes[id]
	v.s.mu.RUnlock()
	if pending {
		return decodeNode(enc, &id.prefix)
	}
	n, _, err := v.s.readNode(c, &id)
	return n, err
}
