package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// Before a state is made another's, what is damaged of it goes:
//
//  1. A value that is not the one of its digest, one that is missing and one that
//     nobody knows are deleted, from the values and from the tree, so that the tree is that of what is there. They
//     are then what differs, and come as everything that differs does.
//  2. Where a node of the tree is damaged, or more values are than are deleted one by
//     one, the tree is made anew from the values, right or wrong.
//  3. Where the database cannot read its files it is replaced by one that has what can still be
//     read of the values (salvage.go).

// mendValues is how many values are deleted one by one.
const mendValues = 1 << 12

// mend makes the tree that of what is here.
func (s *Store) mend(ctx context.Context, stats *SyncStats) error {
	if s.users.isShut() {
		return ErrClosed
	}
	if f := s.failed.Load(); f != nil {
		switch {
		case errors.Is(f, errFiles):
			return s.salvage(ctx, f, stats)
		case !isDamage(f):
			return f
		}
		s.failed.Store(nil) // what failed is found again
	}
	s.block.reset()
	err := s.alone(s.forget)
	if err == nil {
		err = s.mendParts(ctx, stats)
	}
	var f *Failure
	switch {
	case errors.Is(err, errFiles):
		return s.salvage(ctx, err, stats)
	case errors.As(err, &f):
		return s.fail("repair", f)
	}
	return err
}

// alone calls f while nobody reads.
func (s *Store) alone(f func() error) error {
	if !s.shut() {
		return ErrClosed
	}
	defer s.users.open()
	return f()
}

// forget empties the caches: they may have what the database has no more. Nobody reads
// meanwhile.
func (s *Store) forget() error {
	s.cache = newNodeCache(int(s.cfg.CacheBytes / 4 * 3))
	s.records = newRecordCache(int(s.cfg.CacheBytes / 4))
	return nil
}

func (s *Store) mendParts(ctx context.Context, stats *SyncStats) error {
	if s.incomplete && s.tree.root() == nil && len(s.tree.dirty) == 0 {
		if s.lost == nil { // by a process that has ended
			s.lost = &losses{more: true}
			stats.Unreadable = append(stats.Unreadable, statemachine.UnreadableStretch{
				Reason: "the tree over the keys was being made anew when this replica ended the last time: what was damaged then is not known any more, but for keys that are not there",
			})
		}
		return s.rebuild(ctx) // it was begun before
	}
	sc := s.scrubber(ctx, mendValues)
	ruined := false
	if failed := Catch(s.seal); failed != nil {
		if !isDamage(failed) {
			return failed
		}
		s.failed.Store(nil)
		// The tree stays that of before, in which what has changed since is not right.
		ruined = true
		sc.skip = func(key string) bool { _, changed := s.tree.dirty[key]; return changed }
	}
	sc.root = s.tree.root()
	// What is to be pruned is read before it is.
	err := s.journals(0, ^uint64(0), func([]byte, *journal) error { return nil })
	switch {
	case err == nil:
	case isDamage(err):
		ruined = true
	default:
		return s.fail("read", err)
	}
	if err := sc.run(); err != nil {
		return err
	}
	r := &sc.report
	if s.lost == nil {
		s.lost = new(losses)
	}
	s.lost.keys = make(map[string]struct{})
	for _, d := range r.Damages {
		if d.Kind != DamagedNode {
			stats.Damaged++
			s.lost.keys[string(d.Key)] = struct{}{}
		}
	}
	switch {
	case ruined || len(sc.lost) > 0 || r.More:
		s.lost.nodes, s.lost.more = sc.lost, r.More
		if sc.skip == nil {
			s.lost.was = proof.StateDigest(rootOf(sc.root))
		}
		if err := s.rebuild(ctx); err != nil {
			return err
		}
		s.lost.report(r, stats)
	case len(r.Damages) > 0:
		changes := make(map[string]record)
		for _, d := range r.Damages {
			changes[string(d.Key)] = record{deleted: true}
		}
		if err := s.patch(changes); err != nil {
			return err
		}
	}
	if sc.young > s.last {
		return s.age(ctx, s.last)
	}
	return nil
}

// scrubber is for what is here, be it a state or not.
func (s *Store) scrubber(ctx context.Context, limit int) *scrubber {
	fail := func(op string, err error) { panic(&Failure{Op: op, Err: err}) }
	sc := newScrubber(ctx, limit)
	sc.root = s.tree.root()
	sc.fetch = func(c *child) (*node, error) {
		id := c.id()
		if enc, ok := s.pend.nodes[id]; ok {
			return decodeNode(enc, &id.prefix)
		}
		n, _, err := s.readNode(c, &id)
		return n, err
	}
	sc.each = func(f func(key string, r record)) {
		s.mu.Lock() // copies write to what they are made of
		over := s.pend.last.Copy()
		s.mu.Unlock()
		under, err := s.iterate(spaceLast, nil, nil, false)
		if err != nil {
			fail("iterate", err)
		}
		under.fail, under.lenient = fail, true
		c := &layered{recordCursor{newMapCursor(over, nil, nil, false)}, under, false}
		defer c.close()
		for ; c.valid(); c.next() {
			if r := c.record(); !r.deleted {
				f(c.name(), r)
			}
		}
	}
	return sc
}

// rebuild makes the tree anew from the values. Until that is done the database says that
// there is no tree, and whoever finds it so begins again.
func (s *Store) rebuild(ctx context.Context) error {
	return s.alone(func() error { return s.replant(ctx) })
}

func (s *Store) replant(ctx context.Context) error {
	s.mu.Lock()
	s.unfinished()
	s.mu.Unlock()
	b := s.db.newBatch()
	s.pend.last.Scan(func(key string, r record) bool {
		if r.deleted {
			b.delete(lastKey(key))
		} else {
			b.set(lastKey(key), r.encode())
		}
		return true
	})
	h := head{begun: true, incomplete: true, last: s.last, oldest: s.last, version: s.tree.version}
	b.set([]byte{spaceHead}, h.encode())
	if err := b.write(true); err != nil {
		return s.fail("write", err)
	}
	err, lost := s.plant(ctx, h), s.lost
	if uerr := s.use(s.db); uerr != nil {
		return uerr
	}
	s.lost = lost // of what is here: it is the same database
	s.flushes.Add(1)
	var f *Failure
	if err != nil && !errors.As(err, &f) && ctx.Err() == nil {
		err = s.fail("make the tree anew", err)
	}
	return err
}

// plant deletes all but the values, and makes a tree of them.
func (s *Store) plant(ctx context.Context, h head) (err error) {
	b := s.db.newBatch()
	for _, space := range []byte{spaceHistory, spaceJournal, spaceNodes, spaceLinks, spacePieces} {
		if err := s.erase(ctx, space, &b); err != nil {
			return err
		}
	}
	scratch, err := s.disks.scratch()
	if err != nil {
		return err
	}
	l := &loader{s: s, db: s.db, scratch: scratch, b: b, sb: scratch.newBatch(), seen: s.lost.count()}
	defer func() { err = errors.Join(err, scratch.close(), s.disks.drop()) }()
	it, err := s.db.iterate([]byte{spaceLast}, []byte{spaceLast + 1}, false)
	if err != nil {
		return err
	}
	if err := errors.Join(l.take(ctx, it), it.close()); err != nil {
		return err
	}
	h.version++
	_, err = l.finish(h)
	return err
}

// take adds the leaves of all values, and deletes what is none.
func (l *loader) take(ctx context.Context, it dbIterator) error {
	for n := 0; it.valid(); it.next() {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		key := string(it.key()[1:])
		r, err := decodeRecord(it.value())
		if err != nil || r.deleted || len(key) == 0 || len(key) > MaxKeyBytes {
			l.b.delete(lastKey(key))
			err = spill(&l.b, l.db)
		} else {
			err = l.sort(key, r.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetHistory deletes the history, which is of no use any more, also what no journal
// names because that was damaged.
func (s *Store) forgetHistory(ctx context.Context) error {
	b := s.db.newBatch()
	for _, space := range []byte{spaceHistory, spaceJournal} {
		if err := s.erase(ctx, space, &b); err != nil {
			if ctx.Err() != nil {
				return err
			}
			return s.fail("prune", err)
		}
	}
	if err := b.write(true); err != nil {
		return s.fail("write", err)
	}
	return nil
}

// erase deletes everything in a space.
func (s *Store) erase(ctx context.Context, space byte, b *batch) (err error) {
	it, err := s.db.iterate([]byte{space}, []byte{space + 1}, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.close()) }()
	for n := 0; it.valid(); it.next() {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		(*b).delete(it.key())
		if err := spill(b, s.db); err != nil {
			return err
		}
	}
	return nil
}

// startOver replaces the database by an empty one.
func (s *Store) startOver(cause error) error {
	if s.cfg.Logger != nil {
		s.cfg.Logger.Error("state: the database is damaged and is replaced by an empty one; the whole state comes from other replicas", "error", cause)
	}
	err := s.alone(func() error {
		_ = s.db.close() // whatever it says
		s.mu.Lock()
		defer s.mu.Unlock()
		s.db = newMemoryDB() // until the new one is there
		s.failed.Store(nil)
		return nil
	})
	if err != nil {
		return err
	}
	s.block.reset()
	return s.clear()
}

// verify tells whether a leaf's key is the one of its path, where the record has both.
func (n *node) verify() error {
	for i := range n.children {
		if c := &n.children[i]; c.leaf && len(c.name) >= longName && proof.Path([]byte(c.name)) != c.place {
			return fmt.Errorf("%w: the key %x... is not the one of its path", errNodeFormat, c.name[:16])
		}
	}
	return nil
}
