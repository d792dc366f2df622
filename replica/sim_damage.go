package replica

import (
	"context"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// What a Sim knows of a state that its application keeps on a simulated disk.

// Stateless tells whether what the application has is no state at the moment: it is missing,
// damaged, or being transferred.
func (s *Sim) Stateless() bool { return s.runner.parts.missing.Load() }

// Restored is the height of the state with which the replica began: of a snapshot on its disk, 0
// if it had none that was of use.
func (s *Sim) Restored() pbft.Height { return s.restored }

// Beside has work done as WorkState: what an application does beside its blocks, by itself.
func (s *Sim) Beside(do func()) {
	simHost{s}.later(WorkState, func() error {
		do()
		return nil
	})
}

// Scrub has all that the application keeps on its disk read, as Config.ScrubEvery does.
func (s *Sim) Scrub() {
	app, ok := s.cfg.Machine.(statemachine.StoredState)
	if !ok || s.err != nil || s.diverged || s.Stateless() {
		return
	}
	r, err := app.ScrubState(context.Background(), maxScrubDamages, func(context.Context) {})
	if damage := scrubFound(&r, err); damage != nil {
		s.damaged(damage)
	}
	s.flush()
}

// hearDamage is Server.hearDamage.
func (s *Sim) hearDamage() {
	if app, ok := s.cfg.Machine.(statemachine.StoredState); ok {
		app.OnDamage(s.damaged)
	}
}

// damaged is Server.damaged.
func (s *Sim) damaged(err error) {
	if s.runner.meets(err) && s.started {
		s.node.Damaged()
	}
}
