package store

// Restored notes the height of a restored state. On a disk it becomes durable, as that of a
// snapshot: after a crash, too, the store returns to it and does not load it again.
func (m *Machine) Restored(height uint64) {
	m.store.SetHeight(height)
	halt("note the height of a restored state", m.store.keepRestored(height))
}

func (s *Store) keepRestored(height uint64) error {
	if !s.cfg.onDisk() || !s.begun || s.last != height {
		return nil
	}
	s.note(height)
	return s.Flush()
}
