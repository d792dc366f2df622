package store

import (
	"math"

	"github.com/parley-bft/parley/statemachine"
)

var _ statemachine.Retainer = (*Machine)(nil)

// retainNothing is before anybody has said what is to be retained: [Config.Keep] decides.
const retainNothing = math.MaxUint64

// Retain is the store's.
func (m *Machine) Retain(from uint64) { m.store.Retain(from) }

// Retain keeps all heights readable from that one on, whatever [Config.Keep] is, until it
// is called with a higher one; a lower one than before changes nothing. What is not kept any
// more goes with the next block. Any goroutine may call it; it waits for nobody.
//
// A replica calls it with the height of the last but one checkpoint that a quorum has
// certified, so that what a client is to be proved is there, however many blocks are
// executed from one checkpoint to the next. The history that this keeps is bounded by how
// far the blocks may run ahead of certified snapshots (logMax in the cluster file).
func (s *Store) Retain(from uint64) {
	for {
		was := s.retain.Load()
		if was != retainNothing && from <= was || s.retain.CompareAndSwap(was, from) {
			return
		}
	}
}
