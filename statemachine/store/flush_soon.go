package store

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
	height, epoch, done := s.last, s.epoch.Load(), make(chan struct{})
	s.syncing = done
	go func() {
		defer close(done)
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
	}()
	return nil
}

// synced waits for the sync that runs beside blocks.
func (s *Store) synced() {
	if s.syncing != nil {
		<-s.syncing
		s.syncing = nil
	}
}
