package store

import (
	"bytes"
	"context"
	"errors"
	"math/big"
	"slices"

	"github.com/parley-bft/parley/statemachine"
)

// What is left of a database that cannot read its files.
//
// Its tables are made of blocks of 4 KiB with checksums. A block that is damaged hides the
// keys in it; a walk cannot get past it, and so it cannot get at what other tables
// have of the keys between either. So:
//
//  1. All values are walked over. Where the walk ends in an error, the next key is looked
//     for from which it goes on, by halving what is left.
//  2. Keys in between are looked up one by one, by the names that the tree has: most are in
//     other tables, and a search for a single key does not come past the damaged block.
//  3. What was found goes into a new database, and gets a tree of its own. Right or wrong, it
//     differs from the certified state where something is missing, and that is what a
//     synchronisation gets.
//
// Nothing of it is believed: every value has a digest in the tree, which has to be the
// certified one in the end.

const (
	// maxGaps is how often a walk goes on after an error; a database with more of them is not
	// worth the time.
	maxGaps = 1 << 12
	// maxHalvings is how often what is left is halved: that is as good as sixteen bytes that
	// differ.
	maxHalvings = 128
)

var errGaps = errors.New("too much of the database cannot be read")

// salvage replaces the database by one that has what can be read of it. Until a
// synchronisation has ended there is no state then.
func (s *Store) salvage(ctx context.Context, cause error, stats *SyncStats) error {
	log := s.cfg.Logger
	if log != nil {
		log.Error("state: the files of the database are damaged: what can be read of it is copied, the rest comes from other replicas", "error", cause)
	}
	file := damagedFile(cause) // while it is there
	s.block.reset()
	if err := s.standStill(cause); errors.Is(err, ErrClosed) {
		return err
	} else if err != nil {
		return s.startOver(err)
	}
	l, err := newLoader(s)
	if err != nil {
		return err
	}
	v := &salvager{ctx: ctx, db: s.db, seals: s.tree.seals, to: l}
	if err := v.values(); err == nil {
		_, err = l.finish(head{begun: true, incomplete: true, last: s.last, oldest: s.last, version: 1})
		v.sink = errors.Join(v.sink, err)
	} else if v.sink == nil {
		if err := l.abandon(); err != nil {
			return s.fail("make a database", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return s.startOver(err)
	}
	if v.sink != nil {
		return errors.Join(s.fail("copy what can be read", v.sink), l.abandon())
	}
	err = s.alone(func() error {
		_ = s.db.close() // whatever it says
		s.mu.Lock()
		s.db = newMemoryDB() // until the new one is there
		s.mu.Unlock()
		if err := errors.Join(s.disks.adopt(), l.scratch.close(), s.disks.drop()); err != nil {
			return s.fail("replace the state", errors.Join(err, l.db.close()))
		}
		s.failed.Store(nil)
		s.flushes.Add(1)
		return s.use(l.db)
	})
	if errors.Is(err, ErrClosed) {
		return errors.Join(err, l.abandon())
	}
	if err != nil {
		return err
	}
	s.lost = &losses{files: true}
	for _, g := range v.gaps {
		if len(stats.Unreadable) < statemachine.MaxUnreadable {
			stats.Unreadable = append(stats.Unreadable, g.stretch)
		}
	}
	if len(v.gaps) == 0 { // of the tree or the history, which are made anew
		stats.Unreadable = append(stats.Unreadable, statemachine.UnreadableStretch{File: file, Reason: cause.Error()})
	}
	if log != nil {
		log.Warn("state: copied what can be read", "values", v.found, "gaps", len(v.gaps), "foundInGaps", v.inGaps)
	}
	return nil
}

// standStill opens the database once more, so that it does not change any more by itself.
func (s *Store) standStill(cause error) error {
	_ = s.fail("read", cause) // nobody else reads
	return s.alone(func() error {
		_ = s.db.close() // whatever it says
		db, err := s.disks.again()
		if err != nil {
			db = newMemoryDB()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.db = db
		return err
	})
}

func inGap(gaps []gap, key []byte) bool {
	i, found := slices.BinarySearchFunc(gaps, key, func(g gap, key []byte) int {
		if bytes.Compare(g.to, key) <= 0 {
			return -1
		}
		return 1
	})
	return !found && i < len(gaps) && bytes.Compare(gaps[i].after, key) < 0
}

// gap is a stretch of the database that no walk could pass: between a key, or the beginning,
// and to.
type gap struct {
	after, to []byte
	err       error
	stretch   statemachine.UnreadableStretch
}

// salvager copies the values of a database.
type salvager struct {
	ctx   context.Context
	db    database
	seals []seal // of the trees that it has
	to    *loader

	gaps          []gap
	found, inGaps int
	steps         int
	sink          error // what went wrong with the copy
}

var errSink = errors.New("the copy failed")

// values copies all values that can be read. The error is that of the context, what is
// wrong with the database, or errSink.
func (v *salvager) values() error {
	err := v.walk(spaceLast, func(key, value []byte) error {
		v.found++
		return v.keep(key, value)
	})
	if err != nil || len(v.gaps) == 0 {
		return err
	}
	for _, t := range slices.Backward(v.seals) {
		if ok, err := v.below(t.root); ok || err != nil {
			return err
		}
	}
	return nil
}

// below looks for the leaves at and below c, as far as the tree can be read. ok tells that c
// can.
func (v *salvager) below(c *child) (ok bool, err error) {
	switch {
	case c == nil:
		return true, nil
	case c.leaf:
		return true, v.look(c.name)
	}
	if err := v.poll(); err != nil {
		return false, err
	}
	id := c.id()
	n, _, err := readNode(v.db, c, &id)
	if err != nil {
		return false, nil // what is below comes from peers
	}
	for i := range n.children {
		if _, err := v.below(&n.children[i]); err != nil {
			return true, err
		}
	}
	return true, nil
}

// look looks for one key, if it is in a gap.
func (v *salvager) look(name string) error {
	key := lastKey(name)
	if !inGap(v.gaps, key) {
		return nil
	}
	value, err := v.db.get(key)
	if err != nil || value == nil {
		return nil
	}
	v.inGaps++
	return v.keep(key, value)
}

// keep copies a value.
func (v *salvager) keep(key, value []byte) error {
	name := string(key[1:])
	r, err := decodeRecord(value)
	if err != nil || r.deleted || name == "" || len(name) > MaxKeyBytes {
		return nil
	}
	r = record{value: r.value} // of an unknown height
	l := v.to
	l.b.set(key, r.encode())
	if err := errors.Join(spill(&l.b, l.db), l.sort(name, r.value)); err != nil {
		v.sink = err
		return errSink
	}
	return nil
}

// walk calls f for what can be read of a space, and notes the gaps.
func (v *salvager) walk(space byte, f func(key, value []byte) error) error {
	from, to := []byte{space}, []byte{space + 1}
	for n := 0; ; n++ {
		last, err := v.run(from, to, f)
		switch {
		case err == nil:
			return nil
		case v.ctx.Err() != nil:
			return v.ctx.Err()
		case v.sink != nil, !errors.Is(err, errFiles):
			return err
		case n == maxGaps:
			return errors.Join(errGaps, err)
		}
		g := gap{after: from, err: err}
		g.stretch = statemachine.UnreadableStretch{File: damagedFile(err), Reason: err.Error()}
		if last != nil {
			g.after = last
			from = append(bytes.Clone(last), 0) // the next one
			g.stretch.After = last[1:]
		}
		if from, err = v.resume(from, to); err != nil {
			return err
		}
		g.to = from
		if above, ok := v.begins(from, to); ok && above != nil {
			g.stretch.Before = above[1:]
		}
		v.gaps = append(v.gaps, g)
		if bytes.Equal(from, to) {
			return nil
		}
	}
}

// run walks as far as it goes.
func (v *salvager) run(from, to []byte, f func(key, value []byte) error) (last []byte, err error) {
	it, err := v.db.iterate(from, to, false)
	if err != nil {
		return nil, err
	}
	for ; err == nil && it.valid(); it.next() {
		if err = v.poll(); err == nil {
			last = append(last[:0], it.key()...)
			err = f(last, it.value())
		}
		if err != nil {
			break
		}
	}
	if cerr := it.close(); err == nil {
		err = cerr
	}
	return last, err
}

func (v *salvager) poll() error {
	if v.steps++; v.steps%1024 == 0 {
		return v.ctx.Err()
	}
	return nil
}

// resume finds the key from which a walk goes on that cannot begin at from: by halving, and
// what that leaves open by walking down.
func (v *salvager) resume(from, to []byte) ([]byte, error) {
	bad, good := from, to
	for range maxHalvings {
		mid := between(bad, good)
		if mid == nil {
			break
		}
		if err := v.ctx.Err(); err != nil {
			return nil, err
		}
		if _, ok := v.begins(mid, to); ok {
			good = mid
		} else {
			bad = mid
		}
	}
	it, err := v.db.iterate(bad, good, true)
	if err != nil {
		return good, nil
	}
	for ; it.valid(); it.next() {
		if err = v.poll(); err != nil {
			break
		}
		good = bytes.Clone(it.key())
	}
	_ = it.close() // that is how it is expected to end
	return good, err
}

// begins tells whether a walk can begin at a key, and which is the first then, if there is
// one.
func (v *salvager) begins(from, to []byte) (first []byte, ok bool) {
	it, err := v.db.iterate(from, to, false)
	if err != nil {
		return nil, false
	}
	if it.valid() {
		first = bytes.Clone(it.key())
	}
	return first, it.close() == nil || first != nil
}

// between is a key between two others, about halfway, or nil.
func between(low, high []byte) []byte {
	n := max(len(low), len(high)) + 1
	number := func(b []byte) *big.Int {
		padded := make([]byte, n)
		copy(padded, b)
		return new(big.Int).SetBytes(padded)
	}
	sum := number(low)
	sum.Add(sum, number(high)).Rsh(sum, 1)
	mid := bytes.TrimRight(sum.FillBytes(make([]byte, n)), "\x00")
	if bytes.Compare(low, mid) >= 0 || bytes.Compare(mid, high) >= 0 {
		return nil
	}
	return mid
}
