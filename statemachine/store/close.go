package store

// Close closes the store: what was committed becomes durable, so that the next process
// restores it at the cost of what changed since its last snapshot.
func (m *Machine) Close() error { return m.store.Close() }
