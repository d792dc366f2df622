package chaos

import (
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
	return c.StateMachine.Apply(b)
}

// Digest implements statemachine.StateMachine.
func (c *commanded) Digest() crypto.Digest {
	d := c.StateMachine.Digest()
	if c.m.differs {
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
	if f.Panic == 0 && f.Differ == 0 {
		return app
	}
	c := &commanded{app, m}
	if q, ok := app.(statemachine.Querier); ok {
		return queried{c, q}
	}
	return c
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
