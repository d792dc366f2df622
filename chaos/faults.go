package chaos

import (
	"fmt"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
)

// startFaults plans the first fault of each kind.
func (s *Simulation) startFaults() {
	f := &s.opts.Faults
	s.repeat("crash", f.Crash, s.faultCrash)
	s.repeat("power loss", f.Power, s.faultPower)
	s.repeat("pause", f.Pause, s.faultPause)
	s.repeat("partition", f.Partition, s.faultPartition)
	s.repeat("one-way cut", f.OneWay, s.faultOneWay)
	s.repeat("wiped disk", f.Wipe, s.faultWipe)
	s.repeat("lost snapshots", f.Snapshots, s.faultSnapshots)
	s.repeat("clock jump", f.Clock, s.faultClock)
	s.repeat("slow replica", f.Slow, s.faultSlow)
}

// repeat injects a fault at random intervals as long as the storm lasts. A fault
// that finds nothing to do says so.
func (s *Simulation) repeat(name string, mean time.Duration, inject func() bool) {
	if mean <= 0 {
		return
	}
	s.after(s.exp(mean), func() {
		if !s.storming {
			return
		}
		if inject() {
			s.report.Faults[name]++
			s.note("fault", name)
		}
		s.repeat(name, mean, inject)
	})
}

func (s *Simulation) anyone() *member { return s.replicas[s.rng.IntN(len(s.replicas))] }

// planRestart starts a replica that is down again, later.
func (s *Simulation) planRestart(m *member) {
	lives := m.lives
	s.after(s.exp(700*time.Millisecond), func() {
		if s.storming && m.up == nil && m.lives == lives {
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

// cutFor cuts links, given by a predicate, for a while.
func (s *Simulation) cutFor(d time.Duration, cut func(from, to pbft.ReplicaID) bool) {
	change := func(by int) {
		for i := range s.network.cut {
			for k := range s.network.cut[i] {
				if i != k && cut(pbft.ReplicaID(i), pbft.ReplicaID(k)) {
					s.network.cut[i][k] += by
				}
			}
		}
	}
	change(1)
	s.after(d, func() {
		if s.storming {
			change(-1)
		}
	})
}

func (s *Simulation) faultPartition() bool {
	side := crypto.NewBitmap(len(s.replicas))
	if s.rng.IntN(2) == 0 {
		side.Set(s.anyone().id)
	} else {
		for _, i := range s.rng.Perm(len(s.replicas))[:len(s.replicas)/2] {
			side.Set(pbft.ReplicaID(i))
		}
	}
	s.cutFor(s.exp(2*time.Second), func(from, to pbft.ReplicaID) bool { return side.Has(from) != side.Has(to) })
	return true
}

func (s *Simulation) faultOneWay() bool {
	a, b := s.anyone().id, s.anyone().id
	if a == b {
		return false
	}
	s.cutFor(s.exp(3*time.Second), func(from, to pbft.ReplicaID) bool { return from == a && to == b })
	return true
}

// weak tells whether a replica may not be relied on: a traitor, one that lost its
// disk and has not rejoined, or one that lost the state below its log.
func (m *member) weak() bool {
	return !m.honest() || m.rejoining() || m.disk.newest() == 0 && m.lostState()
}

// lostState tells whether the log does not reach back to the beginning.
func (m *member) lostState() bool {
	_, ok := m.disk.image[pbft.RecordKey{Kind: pbft.RecordSnapshot}]
	return ok
}

// spare tells whether the cluster can do without m, beside those that are weak.
func (s *Simulation) spare(m *member) bool {
	weak := crypto.NewBitmap(len(s.replicas))
	for _, x := range s.replicas {
		if x.weak() || x == m {
			weak.Set(x.id)
		}
	}
	return !m.weak() && s.quorums.WeightOf(weak) <= s.quorums.MaxFaulty()
}

// faultWipe takes a replica's disk. Until it has rejoined it counts among the
// faulty ones, who weigh at most F together.
func (s *Simulation) faultWipe() bool {
	m := s.anyone()
	if !s.spare(m) {
		return false
	}
	m.crash()
	m.disk = emptyDisk()
	s.planRestart(m)
	return true
}

func (s *Simulation) faultSnapshots() bool {
	m := s.anyone()
	if m.disk.newest() == 0 || !s.spare(m) {
		return false
	}
	m.crash()
	m.disk.damaged = m.disk.newest()
	m.disk.snapshots = replica.NewMemorySnapshots(chunkSize)
	s.planRestart(m)
	return true
}

func (s *Simulation) faultClock() bool {
	m := s.anyone()
	m.skew = time.Duration(s.rng.Int64N(int64(6*time.Second))) - 3*time.Second
	return true
}

func (s *Simulation) faultSlow() bool {
	m := s.anyone()
	m.slow = 5 + s.rng.IntN(30)
	s.after(s.exp(2*time.Second), func() { m.slow = 1 })
	return true
}

// heal ends the storm and names the honest replicas that are whole and connected
// from now on: all of them, or a quorum. The others stay as they are, cut off.
func (s *Simulation) heal() (healed []pbft.ReplicaID) {
	chosen := crypto.NewBitmap(len(s.replicas))
	for _, i := range s.rng.Perm(len(s.replicas)) {
		m := s.replicas[i]
		if m.honest() && (s.opts.HealAll || !m.weak() && !s.quorums.IsQuorum(chosen)) {
			chosen.Set(m.id)
		}
	}
	for i := range s.network.cut {
		for k := range s.network.cut[i] {
			s.network.cut[i][k] = 0
		}
	}
	for _, m := range s.replicas {
		if m.honest() && !chosen.Has(m.id) {
			for i := range s.replicas {
				s.network.cut[i][m.id], s.network.cut[m.id][i] = 1, 1
			}
			continue
		}
		if m.honest() {
			healed = append(healed, m.id)
		}
		m.armed, m.slow = neverCrash, 1
		m.resume()
		if m.up == nil {
			m.boot()
		}
	}
	s.note("heal", fmt.Sprint(healed))
	return healed
}
