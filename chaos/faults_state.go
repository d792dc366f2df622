package chaos

import (
	"slices"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// What is done to states on disks, beside what any crash does.

// faultStateLost takes the folder of a replica's state while it is down. Until it has the state
// again it counts among those that cannot be relied on.
func (s *Simulation) faultStateLost(kind string) bool {
	m := s.anyone()
	if m.disk.state == nil || !s.spare(m) {
		return false
	}
	m.crash()
	m.disk.state.Clear()
	m.stateLost = true
	s.strike(kind, lostState, m)
	s.planRestart(m)
	return true
}

// faultStateRot makes a part of a replica's state unreadable. It may come upon that by itself, or at
// a start, or in a scrub.
func (s *Simulation) faultStateRot(kind string) bool {
	m := s.anyone()
	if m.disk.state == nil || !s.spare(m) {
		return false
	}
	what := m.disk.state.Rot(s.rng.IntN)
	if what == "" {
		return false
	}
	m.stateRots = true
	s.note("rot", what)
	s.strike(kind, lostState, m)
	if s.rng.IntN(2) == 0 {
		m.crash()
		s.planRestart(m)
	}
	s.whileStorm(s.exp(3*time.Second), m.scrub)
	return true
}

// faultStateFlip changes a bit of a value of a replica's state beneath the tree, where no checksum
// tells, as memory that is bad does. What the replica reads there is wrong: like one whose
// application was wrong once it counts among the faulty ones, until it has found that out, by a scrub
// or because its state turns out to be another one, and has its state again.
func (s *Simulation) faultStateFlip(kind string) bool {
	m := s.anyone()
	if m.disk.state == nil || m.up == nil || m.differs || !s.spare(m) {
		return false
	}
	what := m.disk.state.Flip(s.rng.IntN)
	if what == "" {
		return false
	}
	s.note("flip", what)
	m.differs, m.found, m.broken, m.lapse = true, false, brokenDiffers, lapsed
	m.lapsedAt = pbft.Height(m.up.executor.Position().Height)
	m.lapses++
	s.strike(kind, differs, m)
	s.whileStorm(s.exp(2*time.Second), m.scrub)
	return true
}

// flipped tells whether a value on the disk is another one than was written.
func (m *member) flipped() bool { return m.disk.state != nil && m.disk.state.Flipped() }

// stateReads ends what nobody has come upon: else it would be found when the time of the others
// runs.
func (m *member) stateReads() {
	if m.stateRots {
		m.disk.state.Recover()
	}
}

// scrubsFlipped has those look at their states who would not find out by themselves.
func (s *Simulation) scrubsFlipped() {
	for _, m := range s.replicas {
		if m.healed && m.flipped() {
			m.scrub()
		}
	}
}

// statesHeal demands, when everything is answered and everybody level, that those who lost their
// states, or a part of them, have them again.
func (s *Simulation) statesHeal(bound time.Duration) {
	hurt := func(m *member) bool { return m.healed && m.stateHurt() && m.honest() }
	if len(s.report.Violations) > 0 || !s.until(s.now+bound, func() bool { return !slices.ContainsFunc(s.replicas, hurt) }) {
		return
	}
	if i := slices.IndexFunc(s.replicas, hurt); i >= 0 {
		s.violate(Liveness, "replica %d lost its state (%t), or a part of it (%t), and does not have it again within %v:\n%s%s",
			i, s.replicas[i].stateLost, s.replicas[i].stateRots, bound, s.replicas[i].text(), s.describe())
	}
}
