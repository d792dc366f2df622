package store

import (
	"fmt"
	"io"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/stream"
)

// A machine's snapshots on a disk do not hold the state. The state is there already, in
// the database, and so is each state that is kept; a copy of ten million entries for each
// snapshot would cost a gigabyte of writing and hashing, and blocks would wait for it. So
// such a snapshot, in the encoding of package stream, is magic, the state's height and digest, and
// the height stays readable until [Machine.ReleaseSnapshots]. Who has the height returns
// to it; who does not gets it from another replica ([Store.Sync]).

const keptMagic = uint64(0x7061726c65796b31) // "parleyk1"

var _ statemachine.SnapshotKeeper = (*Machine)(nil)

// KeepsSnapshots tells whether the machine's snapshots only name a state that the store
// keeps: on a disk they do, in memory they hold it.
func (m *Machine) KeepsSnapshots() bool { return m.store.keeps }

// ReleaseSnapshots lets go of the heights of snapshots below one.
func (m *Machine) ReleaseSnapshots(below uint64) {
	r := &m.store.released
	for old := r.Load(); old < below && !r.CompareAndSwap(old, below); old = r.Load() {
	}
}

// namedState is a snapshot that names a height.
type namedState struct {
	s      *Store
	height uint64
	digest crypto.Digest
	// durable ends when the height is on the disk, or the store has failed; nil: it is there.
	durable *laterSync
}

// keep makes a snapshot of the last committed state that names it.
func (s *Store) keep() (statemachine.Snapshot, error) {
	d, err := s.Digest()
	if err != nil {
		return nil, err
	}
	if !s.begun || s.last == 0 {
		return &namedState{s, 0, d, nil}, nil // the state that every process begins with
	}
	s.note(s.last)
	if err := s.flushSoon(); err != nil {
		return nil, err
	}
	return &namedState{s, s.last, d, s.syncing}, nil
}

// WriteTo writes the snapshot, once the state that it names is durable.
func (k *namedState) WriteTo(dst io.Writer) (int64, error) {
	if k.durable != nil {
		k.durable.wait()
	}
	if f := k.s.failed.Load(); f != nil {
		return 0, f
	}
	w := stream.NewWriter(dst)
	w.Uint64(keptMagic)
	w.Uint64(k.height)
	w.Fixed(k.digest[:])
	return w.Flush()
}

// Close has nothing to let go of: the height stays until it is released.
func (k *namedState) Close() error { return nil }

// beginningError is of a snapshot of the state before the first block, which a process begins with.
type beginningError struct{ digest crypto.Digest }

func (e *beginningError) Error() string {
	return fmt.Sprintf("the snapshot is of the state before the first block, of digest %v: a machine makes that anew", e.digest)
}

// restoreKept returns to the height that a snapshot names: to the last one up to it that
// has its digest. At a later one the state may be the same again, but what the next
// block follows is this one.
func (s *Store) restoreKept(height uint64, digest crypto.Digest) error {
	if height == 0 {
		return &beginningError{digest}
	}
	if t, ok := s.lastWith(digest, height); ok {
		return s.rollback(t)
	}
	return fmt.Errorf("%w: it is that of height %d, of digest %v", statemachine.ErrStateElsewhere, height, digest)
}

// restoreBeginning makes the state anew that it has before the first block, if that is the
// one of a digest: what the disk has done to the values of the old one goes with them.
func (m *Machine) restoreBeginning(want crypto.Digest) error {
	m.begin.Lock()
	defer m.begin.Unlock()
	if err := m.store.clear(); err != nil {
		return err
	}
	m.stale.Store(false)
	if err := m.found(); err != nil {
		return err
	}
	got, err := m.store.Digest()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%w: the state before the first block has digest %v, the snapshot's is %v: was it made with another genesis?", ErrSnapshot, got, want)
	}
	return nil
}

// letGo drops the heights of snapshots that were released. mu is held.
func (s *Store) letGo() {
	below, n := s.released.Load(), 0
	for ; n < len(s.snapshots) && s.snapshots[n] < below; n++ {
	}
	if n > 0 {
		s.snapshots = append([]uint64(nil), s.snapshots[n:]...)
	}
}
