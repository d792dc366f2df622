package replica

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// What the application keeps so that something can be proved. A checkpoint is certified
// some time after its block, and is the newest until the next one is; meanwhile blocks are
// executed, any number of them, and an application that keeps the last so many heights would
// let go of the one height that proofs are wanted of. So it is told:
//
//  1. Before the first block is executed: everything. What the log replays has checkpoints,
//     too, of which some are certified.
//  2. When a checkpoint is certified and its state is here: from the one before on. So the
//     two newest can be read, whoever has just asked for the last but one included, and
//     everything that may be certified next.
//  3. With each checkpoint: no more heights than lie between the last but one certified
//     checkpoint and the last block that this replica may vote for. As long as the protocol
//     goes on that is no bound at all; it is one where certificates do not reach this replica.

// retainBy has the application keep what can be proved, if it can.
func (s *sealedStates) retainBy(app statemachine.StateMachine, p *crypto.Parameters) {
	a, ok := app.(statemachine.Retainer)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retain = a.Retain
	// Votes stop LogMax above the last certified snapshot, and what others commit goes on for
	// a window; the checkpoint before that snapshot is CheckpointEvery lower at most.
	s.most = pbft.Height(p.LogMax + p.CheckpointEvery + p.Window)
	s.retain(0)
}

// retainFor is called when a checkpoint of that height becomes the newest after before,
// which is nil if there was none. mu is held.
func (s *sealedStates) retainFor(before *certifiedState, h pbft.Height) {
	if before != nil {
		h = before.bundle.Height()
	}
	s.keepFrom(h)
}

// retainAtMost is called with the height of each checkpoint that is executed.
func (s *sealedStates) retainAtMost(h pbft.Height) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h > s.most {
		s.keepFrom(h - s.most)
	}
}

// keepFrom is called with mu held.
func (s *sealedStates) keepFrom(h pbft.Height) {
	if s.retain != nil && h > s.kept {
		s.kept = h
		s.retain(uint64(h))
	}
}
