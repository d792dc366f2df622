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

func (s *Simulation) faultCrash() bool {
	m := s.anyone()
	if m.up == nil {
		return false
	}
	if s.rng.IntN(3) > 0 {
		m.armed = crashPoint(1 + s.rng.IntN(int(crashPoints)-1))
		return true
	}
	m.crash()
	s.planRestart(m)
	return true
}

func (s *Simulation) faultPower() bool {
	for _, m := range s.replicas {
		if m.up != nil {
			m.crash()
			s.planRestart(m)
		}
	}
	return true
}

func (s *Simulation) faultPause() bool {
	m := s.anyone()
	if m.up == nil || m.paused {
		return false
	}
	m.pause()
	s.after(s.exp(time.Second), m.resume)
	return true
}

func (s *Simulation) faultSlow() bool {
	m := s.anyone()
	m.slow = 5 + s.rng.IntN(30)
	s.after(s.exp(2*time.Second), func() { m.slow = 1 })
	return true
}

// faultRestore takes an image of a replica's disk, and later has the replica start
// from it again. Nothing tells such a replica that it has forgotten what it said
// since: it counts among the faulty ones from then on.
func (s *Simulation) faultRestore() bool {
	m := s.anyone()
	if !s.spare(m) {
		return false
	}
	image := m.disk.clone()
	s.after(s.exp(2*time.Second), func() {
		if !s.storming || !s.spare(m) {
			return
		}
		m.crash()
		m.disk = image
		m.broken = "it was restored from an old image of its disk"
		s.injected("old disk image comes back")
		s.planRestart(m)
	})
	return true
}
