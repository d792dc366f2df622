package chaos

import (
	"fmt"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// maxSkew is how far a replica's clock is off at most, before or behind.
const maxSkew = 3 * time.Second

// clock is the replica's wall clock.
func (m *member) clock() pbft.Time { return m.s.clock().Add(m.offset()) }

// offset is how far the clock is off.
func (m *member) offset() time.Duration {
	off := m.skew + time.Duration(float64(m.s.now-m.since)*(m.rate-1))
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

func (s *Simulation) faultClock(kind string) bool {
	m := s.anyone()
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
