package store

// Back to a height that is kept. What the blocks above it changed is put back, the last block
// first, in batches of about Config.stepBytes: a replica may have executed thousands of
// full blocks since, and all of that in one batch would be gigabytes in memory, and more than
// the database bears. Each batch ends at a height that has a tree, so a crash in between leaves
// a whole state.

// rollback returns to a height that is kept.
func (s *Store) rollback(to seal) error {
	if to.height == s.last {
		s.returned = true
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	if !s.shut() {
		return ErrClosed
	}
	defer s.users.open()
	stepped, err := s.undo(to)
	if err != nil {
		err = s.fail("return to an earlier height", err)
	}
	if stepped {
		s.flushes.Add(1)
		if uerr := s.use(s.db); err == nil {
			err = uerr
		}
	}
	s.returned = err == nil
	return err
}

// undo puts back what the blocks above a height changed. It tells whether the database was
// changed; after an error that may be some of the way.
func (s *Store) undo(to seal) (stepped bool, err error) {
	seals := s.tree.seals // those that are left, the last one is the next stop
	for n := len(seals); n > 0 && seals[n-1].height == s.last; n-- {
		seals = seals[:n-1]
	}
	b := s.db.newBatch()
	stop := func(at seal) error {
		if err := s.undoTo(at, b); err != nil {
			return err
		}
		stepped, b = true, s.db.newBatch()
		return nil
	}
	it, err := s.db.iterate(journalKey(to.height+1, 0), []byte{spaceJournal + 1}, true)
	if err != nil {
		return false, err
	}
	err = func() error {
		for ; it.valid(); it.next() {
			j, key, err := journalAt(it)
			if err != nil {
				return err
			}
			// All blocks above the next stop are undone when the first at or below it comes.
			for n := len(seals); n > 0 && seals[n-1].height >= j.height; n-- {
				at := seals[n-1]
				if seals = seals[:n-1]; b.size() >= s.cfg.stepBytes {
					if err := stop(at); err != nil {
						return err
					}
				}
			}
			if err := s.undoPart(j, b); err != nil {
				return err
			}
			b.delete(key)
		}
		return nil
	}()
	if cerr := it.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return stepped, err
	}
	return stepped, stop(to)
}

// undoPart gives keys that a block changed what they had before.
func (s *Store) undoPart(j *journal, b batch) error {
	for _, k := range j.keys {
		name := inSpace(spaceHistory, historyName(k, j.height))
		v, err := s.db.get(name)
		if err != nil {
			return err
		}
		r, err := decodeRecord(v)
		if err != nil {
			return err
		}
		if r.deleted {
			b.delete(lastKey(k))
		} else {
			b.set(lastKey(k), r.encode())
		}
		b.delete(name)
	}
	return nil
}

// undoTo writes what was put back down to a height.
func (s *Store) undoTo(to seal, b batch) error {
	// The nodes of later versions.
	first := nodeID{version: to.version + 1}
	it, err := s.db.iterate(first.key(), []byte{spaceNodes + 1}, false)
	if err != nil {
		return err
	}
	for ; it.valid(); it.next() {
		b.delete(it.key())
	}
	if err := it.close(); err != nil {
		return err
	}
	for i := s.feed.from(to.height); i < len(s.feed.kept); i++ {
		s.feed.kept[i].delete(b)
	}
	h := head{begun: true, last: to.height, oldest: s.oldest.Load(), version: s.tree.version}
	for _, t := range s.tree.seals {
		if t.height <= to.height {
			h.seals = append(h.seals, t)
		}
	}
	for _, height := range s.snapshots {
		if height <= to.height {
			h.snapshots = append(h.snapshots, height)
		}
	}
	b.set([]byte{spaceHead}, h.encode())
	return b.write(true)
}
