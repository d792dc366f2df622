package store

import "sync/atomic"

// durableDB is a database whose batches can become durable later.
type durableDB interface {
	// sync returns when all batches that were written are on the disk.
	sync() error
}

// flushSoon gives the database what is pending, and does not wait for the disk: a sync of
// many megabytes may take seconds, in which no block would be executed. Blocks go on
// beside it, until the next batch is due, which waits for it: so no more than that is
// written and not durable. A crash before leaves an earlier height; batches become durable
// in their order.
func (s *Store) flushSoon() error {
	db, ok := s.db.(durableDB)
	if !ok {
		return s.flush()
	}
	s.synced()
	if err := s.err(); err != nil {
		return err
	}
	if err := s.write(false); err != nil {
		return err
	}
	if !s.begun || !s.users.enter() { // enter: so that the database is not closed meanwhile
		return s.err()
	}
	height, epoch := s.last, s.epoch.Load()
	s.syncing = &laterSync{ended: make(chan struct{}), sync: func() {
		defer s.users.leave()
		if err := db.sync(); err != nil {
			_ = s.fail("sync", err) // whoever is next learns of it
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.epoch.Load() == epoch {
			s.durable = max(s.durable, height)
		}
	}}
	s.beside(s.syncing.wait)
	return nil
}

// beside runs f beside blocks.
func (s *Store) beside(f func()) {
	if d := s.cfg.Disk; d != nil {
		d.runBeside(f)
		return
	}
	go f()
}

// synced waits for the sync that runs beside blocks.
func (s *Store) synced() {
	if s.syncing != nil {
		s.syncing.wait()
		s.syncing = nil
	}
}

// shut lets nobody in any more, as users.shut does, for the goroutine that the store belongs
// to. The sync that runs beside blocks is one of those who are in.
func (s *Store) shut() bool {
	s.synced()
	return s.users.shut()
}

// laterSync is a sync that runs beside blocks, or when somebody waits for it who comes first.
type laterSync struct {
	sync  func()
	begun atomic.Bool
	ended chan struct{}
}

// wait returns when it has ended. Any goroutine may call it.
func (l *laterSync) wait() {
	if !l.begun.CompareAndSwap(false, true) {
		<-l.ended
		return
	}
	defer close(l.ended)
	l.sync()
}
