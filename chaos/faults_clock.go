package chaos

import (
	"fmt"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// maxSkew is how far a replica's clock is off at most, before or behind, and the replica
// still of use: well within pbft.Config.MaxAhead. One whose clock is far off holds back
// every block of the others, or they its own.
const maxSkew = 3 * time.Second

// clock is the replica's wall clock.
func (m *member) clock() pbft.Time { return m.s.clock().Add(m.offset()) }

// offset is how far the clock is off.
func (m *member) offset() time.Duration {
	off := m.skew + time.Duration(float64(m.s.now-m.since)*(m.rate-1))
	if m.farOff {
		return off
	}
	return min(max(off, -maxSkew), maxSkew)
}

// setClock sets how far the clock is off and how fast it runs.
func (m *member) setClock(skew time.Duration, rate float64) {
	m.skew, m.rate, m.since = skew, rate, m.s.now
	if rate == 1 {
		m.over(misclocks)
	}
}

// tickLength is how long a tick of the replica's own clock lasts. Timers do not
// stand still with the wall clock.
func (m *member) tickLength() time.Duration {
	return time.Duration(float64(m.s.opts.Tick) / max(m.rate, 0.5))
}

// faultClock has a clock jump: mostly by what a cluster has to live with, now and then
// to another hour or year, for a while. Then its replica counts among the faulty ones.
func (s *Simulation) faultClock(kind string) bool {
	m := s.anyone()
	if s.rng.IntN(4) == 0 && !m.farOff && s.spare(m) {
		s.jumpFar(kind, m)
		return true
	}
	m.setClock(time.Duration(s.rng.Int64N(int64(2*maxSkew)))-maxSkew, m.rate)
	s.begin(kind, fmt.Sprintf("to %v", m.skew.Round(time.Millisecond)), m)
	return true
}

// faultRate has a clock run up to twice as fast, or half as fast.
func (s *Simulation) faultRate(kind string) bool {
	m := s.anyone()
	m.setClock(m.offset(), 0.5+1.5*s.rng.Float64())
	s.strike(kind, misclocks, m)
	s.after(s.exp(2*time.Second), func() { m.setClock(m.offset(), 1) })
	return true
}

func (s *Simulation) faultFreeze(kind string) bool {
	m := s.anyone()
	m.setClock(m.offset(), 0)
	s.strike(kind, misclocks, m)
	s.after(s.exp(time.Second), func() { m.setClock(m.offset(), 1) })
	return true
}

func (s *Simulation) jumpFar(kind string, m *member) {
	jump := pick(s.rng, time.Minute, time.Hour, 24*time.Hour, 10*365*24*time.Hour)
	if s.rng.IntN(2) == 0 {
		jump = -jump
	}
	m.setClock(jump, 1)
	m.farOff = true
	s.sometimes(seenClockFarOff)
	s.strike(kind, misclocks, m)
	s.after(s.exp(2*time.Second), m.setRight)
}

// setRight ends a clock's being far off.
func (m *member) setRight() {
	if m.farOff {
		m.farOff = false
		m.setClock(0, 1)
	}
}
