package replica

import (
	"errors"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// SimHooks let the caller of a [Sim] see what happens inside, and have it crash at
// the worst moments. Each may be nil. None may call the Sim, but for reading.
type SimHooks struct {
	// Transmit gets every signed message for others in place of SimConfig.Send,
	// before it is encoded; to is pbft.Everyone for a broadcast.
	Transmit func(to pbft.ReplicaID, m pbft.Message)
	// Crash tells whether the replica crashes here. Call [Sim.Crash] afterwards.
	Crash func(at SimPoint) bool
	// Dropped gets messages of peers that were not used, and why. They need not be
	// wrong: what is of no use any more is dropped before it is verified.
	Dropped func(from pbft.ReplicaID, m pbft.Message, why pbft.Drop)
	// Applied gets every block that the executor ran, also in the replay of the log.
	Applied func(on *statemachine.Executor, b *pbft.Block, x *statemachine.Execution)
	// Stated gets what the replica is about to say about a checkpoint.
	Stated func(s pbft.CheckpointStatement)
	// Installed gets a state that was transferred, or why it could not be installed.
	Installed func(on *statemachine.Executor, b *pbft.Bundle, err error)
	// Stable gets a new stable checkpoint.
	Stable func(b *pbft.Bundle)
	// Certified gets the certificate that the replica made of votes, nil if it could
	// not, and whose signatures were bad.
	Certified func(c *pbft.Certificate, culprits []pbft.ReplicaID)
	// CheckpointCertified is the same for checkpoints.
	CheckpointCertified func(c *pbft.CheckpointCertificate, culprits []pbft.ReplicaID)
	// Poisoned gets who sent a wrong chunk.
	Poisoned func(from pbft.ReplicaID)
	// Lied gets who sent a part of a state that it cannot have, and why not.
	Lied func(from pbft.ReplicaID, err error)
	// Synced gets what an application came to that asked peers for the parts of its state.
	Synced func(height pbft.Height, stats statemachine.StateSyncStats, err error)
}

// SimPoint is a boundary of a log write.
type SimPoint uint8

// The boundaries. Between two recipients of one message the caller stops by itself.
const (
	// SimBeforeWrite: nothing of the batches is on the disk.
	SimBeforeWrite SimPoint = iota + 1
	// SimAfterSync: they are, and nothing has left.
	SimAfterSync
	// SimReleased: the messages of a batch have left, and the node does not know.
	SimReleased
)

// ErrSimCrashed is the error of a Sim that a hook or its caller had crash.
var ErrSimCrashed = errors.New("simulated crash")

func (s *Sim) crashes(at SimPoint) bool {
	if s.err != nil {
		return true
	}
	if f := s.cfg.Hooks.Crash; f == nil || !f(at) {
		return false
	}
	s.fail(ErrSimCrashed)
	return true
}

// SimCaches are the memory of what was verified before, as a [Server] has it. Give
// them to the pbft.Verifier and the Sim. They do not survive a restart.
type SimCaches struct {
	known  knownRequests
	proven *digestSet
}

// NewSimCaches returns caches of about so many entries.
func NewSimCaches(size int) *SimCaches {
	return &SimCaches{known: knownRequests{newDigestSet(size)}, proven: newDigestSet(size)}
}

// Known are requests whose signatures were verified.
func (c *SimCaches) Known() pbft.KnownRequests { return c.known }

// Proven are certificates that were verified.
func (c *SimCaches) Proven() pbft.ProofCache { return c.proven }

// simCounts counts for the Sim what its stage left out.
type simCounts struct{ s *Sim }

var _ stageCounts = simCounts{}

func (c simCounts) received(pbft.MessageKind, int) {}

func (c simCounts) malformed(from pbft.ReplicaID) {
	c.s.stats.Malformed++
	if f := c.s.cfg.Hooks.Dropped; f != nil {
		f(from, nil, pbft.DropMalformed)
	}
}

func (c simCounts) dropped(from pbft.ReplicaID, m pbft.Message, why pbft.Drop) {
	if why == pbft.DropEpoch {
		c.s.stats.WrongEpoch++
	} else {
		c.s.stats.Dropped++
	}
	if f := c.s.cfg.Hooks.Dropped; f != nil {
		f(from, m, why)
	}
}

func (c simCounts) rejected(int) {}
