package chaos

import (
	"context"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// commanded is an application that misbehaves on command of its replica's member.
type commanded struct {
	statemachine.StateMachine
	m *member
}

// Apply implements statemachine.StateMachine.
func (c *commanded) Apply(b statemachine.Block) []statemachine.Result {
	if c.m.panics {
		c.m.panics = false
		c.m.failing = true
		c.m.turns(willPanic, down)
		panic("chaos: the application panics on command")
	}
	if c.m.lapse == lapseDue && len(b.Ops) > 0 {
		c.m.lapse = lapsed
		return c.wrong(b)
	}
	return c.StateMachine.Apply(b)
}

// Digest implements statemachine.StateMachine.
func (c *commanded) Digest() crypto.Digest {
	d := c.StateMachine.Digest()
	if c.m.differs && c.m.lapse == noLapse {
		d[0] ^= 0x80
	}
	return d
}

// Restored implements statemachine.HeightAware.
func (c *commanded) Restored(height uint64) {
	if h, ok := c.StateMachine.(statemachine.HeightAware); ok {
		h.Restored(height)
	}
}

// queried is a commanded application that answers reads.
type queried struct {
	*commanded
	statemachine.Querier
}

// command puts an application under command of the member.
func (m *member) command(app statemachine.StateMachine) statemachine.StateMachine {
	f := &m.s.opts.Faults
	if f.Panic == 0 && f.Differ == 0 && f.Lapse == 0 {
		return app
	}
	c := &commanded{app, m}
	q, ok := app.(statemachine.Querier)
	if p, is := app.(storedMachine); is && ok {
		return stored{parted{queried{c, q}, p}, p}
	}
	if p, is := app.(statemachine.PartedState); is && ok {
		return parted{queried{c, q}, p}
	}
	if ok {
		return queried{c, q}
	}
	return c
}

// parted is a commanded application whose state has parts.
type parted struct {
	queried
	app statemachine.PartedState
}

var _ statemachine.PartedState = parted{}

// storedMachine is what an application on statemachine/store is, beside a state machine.
type storedMachine interface {
	statemachine.StoredState
	statemachine.SnapshotKeeper
	statemachine.Retainer
}

// stored is a commanded application on statemachine/store.
type stored struct {
	parted
	app storedMachine
}

var _ storedMachine = stored{}

// KeepsSnapshots implements statemachine.SnapshotKeeper.
func (s stored) KeepsSnapshots() bool { return s.app.KeepsSnapshots() }

// ReleaseSnapshots implements statemachine.SnapshotKeeper.
func (s stored) ReleaseSnapshots(below uint64) { s.app.ReleaseSnapshots(below) }

// Retain implements statemachine.Retainer.
func (s stored) Retain(from uint64) { s.app.Retain(from) }

// OnDamage implements statemachine.StoredState.
func (s stored) OnDamage(damaged func(err error)) { s.app.OnDamage(damaged) }

// MendState implements statemachine.StoredState.
func (s stored) MendState(ctx context.Context) (statemachine.StateSyncStats, error) {
	return s.app.MendState(ctx)
}

// ScrubState implements statemachine.StoredState.
func (s stored) ScrubState(ctx context.Context, limit int, rest func(context.Context)) (statemachine.StateScrub, error) {
	return s.app.ScrubState(ctx, limit, rest)
}

// ServeState implements statemachine.PartedState.
func (p parted) ServeState(request []byte) ([]byte, error) { return p.app.ServeState(request) }

// SyncState implements statemachine.PartedState.
func (p parted) SyncState(ctx context.Context, want statemachine.StateTarget) (statemachine.StateSyncStats, error) {
	return p.app.SyncState(ctx, want)
}

// CompareState implements statemachine.PartedState.
func (p parted) CompareState(ctx context.Context, want statemachine.StateTarget, limit int) ([]statemachine.StateDifference, bool, error) {
	return p.app.CompareState(ctx, want, limit)
}

// Rerun implements statemachine.PartedState.
func (p parted) Rerun(ctx context.Context, b statemachine.Block, keys [][]byte) ([]statemachine.StateWrite, error) {
	return p.app.Rerun(ctx, b, keys)
}

// faultPanic has the application panic at the next block. The replica must stop;
// started again, it comes through.
func (s *Simulation) faultPanic(kind string) bool {
	m := s.anyone()
	if m.up == nil {
		return false
	}
	m.panics = true
	s.strike(kind, willPanic, m)
	return true
}

// faultLag makes one replica's application slow.
func (s *Simulation) faultLag(kind string) bool {
	m := s.anyone()
	m.lag = 20 + s.rng.IntN(100)
	s.strike(kind, lagging, m)
	s.after(s.exp(2*time.Second), func() {
		m.lag = 1
		m.over(lagging)
	})
	return true
}

// brokenDiffers is why a replica counts as faulty whose state is another one, until it is
// healed.
const brokenDiffers = "its application is not deterministic"

// faultDiffer makes a replica's state another one than everybody's, from now on. It
// must stop when it sees what the others certify; it is never of use again.
func (s *Simulation) faultDiffer(kind string) bool {
	m := s.anyone()
	if !s.spare(m) {
		return false
	}
	m.differs = true
	m.broken = brokenDiffers
	s.ruin(kind, "", m)
	return true
}
