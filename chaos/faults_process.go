package chaos

import "time"

// planRestart starts a replica that is down again, later.
func (s *Simulation) planRestart(m *member) {
	lives := m.lives
	s.after(s.exp(700*time.Millisecond), func() {
		if (s.storming || m.healed) && m.up == nil && m.lives == lives && !m.unusable {
			m.boot()
		}
	})
}

func (s *Simulation) faultCrash(kind string) bool {
	m := s.anyone()
	if m.up == nil {
		return false
	}
	if s.rng.IntN(3) > 0 {
		m.armed = crashPoint(1 + s.rng.IntN(int(crashPoints)-1))
		return true
	}
	m.crash()
	s.strike(kind, down, m)
	s.planRestart(m)
	return true
}

func (s *Simulation) faultPower(kind string) bool {
	var who []*member
	for _, m := range s.replicas {
		if m.up != nil {
			m.crash()
			s.planRestart(m)
			who = append(who, m)
		}
	}
	if len(who) == 0 {
		return false
	}
	s.strike(kind, down, who...)
	return true
}

func (s *Simulation) faultPause(kind string) bool {
	m := s.anyone()
	if m.up == nil || m.paused {
		return false
	}
	m.pause()
	s.strike(kind, paused, m)
	s.after(s.exp(time.Second), m.resume)
	return true
}

func (s *Simulation) faultSlow(kind string) bool {
	m := s.anyone()
	m.slow = 5 + s.rng.IntN(30)
	s.strike(kind, slowed, m)
	s.after(s.exp(2*time.Second), func() {
		m.slow = 1
		m.over(slowed)
	})
	return true
}

// faultRestore takes an image of a replica's disk, and later has the replica start
// from it again. Nothing tells such a replica that it has forgotten what it said
// since: it counts among the faulty ones from then on.
func (s *Simulation) faultRestore(kind string) bool {
	m := s.anyone()
	if !s.spare(m) {
		return false
	}
	image := m.disk.clone()
	s.begin(kind, "is taken", m)
	s.after(s.exp(2*time.Second), func() {
		if !s.storming || !s.spare(m) {
			return
		}
		m.crash()
		m.disk = image
		m.over(diskFails)
		m.broken = "it was restored from an old image of its disk"
		s.injected(oldImageBack)
		s.ruin(oldImageBack, "", m)
		s.planRestart(m)
	})
	return true
}
