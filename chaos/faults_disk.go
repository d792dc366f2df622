package chaos

import (
	"errors"
	"fmt"
	"time"

	"github.com/parley-bft/parley/replica"
)

// errIO is what a failing disk says.
var errIO = errors.New("input/output error")

// repair replaces what cannot be used: the operator's remedy for damage that a
// replica has found is an empty disk.
func (m *member) repair() {
	m.diskWorks()
	switch {
	case m.unusable:
		m.wipe()
	case m.rotten && !m.missing && m.disk.damagedNow():
		m.crash()
		m.wipe()
	case m.rotten && !m.missing:
		m.rotten = false // what was damaged has been written anew
		m.over(rots)
	}
}

// diskWorks ends what makes accesses fail.
func (m *member) diskWorks() {
	m.disk.fault(nil, nil)
	m.over(diskFails)
}

// wipe replaces the disk of a replica that is down by an empty one.
func (m *member) wipe() {
	m.disk = emptyDisk(m.s.judge.certified, m.s.judge.lives[m.id].voted)
	m.disk.state = m.s.newStateDisk()
	m.unusable, m.rotten, m.missing, m.stateRots, m.stateLost = false, false, false, false, false
	m.over(diskFails)
	m.over(rots)
}

// faultWipe takes a replica's disk. Until it has rejoined it counts among the
// faulty ones.
func (s *Simulation) faultWipe(kind string) bool {
	m := s.anyone()
	if !s.spare(m) {
		return false
	}
	m.crash()
	m.wipe()
	s.strike(kind, lostLog, m)
	s.planRestart(m)
	return true
}

func (s *Simulation) faultSnapshots(kind string) bool {
	m := s.anyone()
	if m.disk.newest() == 0 || !s.spare(m) {
		return false
	}
	m.crash()
	m.disk.damaged = m.disk.newest()
	m.disk.snapshots = replica.NewMemorySnapshots(chunkSize)
	s.strike(kind, down, m)
	s.planRestart(m)
	return true
}

// faultIOError makes an access to the disk fail. The replica must stop; once it is
// started again the disk works.
func (s *Simulation) faultIOError(kind string) bool {
	m := s.anyone()
	if m.up == nil || m.disk.failing {
		return false
	}
	left, op := s.rng.IntN(20), []string{"write", "sync", "read"}[s.rng.IntN(3)]
	m.disk.fault(errIO, func(o string) error {
		if o == op {
			left--
		}
		if left < 0 {
			return errIO
		}
		return nil
	})
	s.strike(kind, diskFails, m)
	s.after(s.exp(time.Second), m.diskWorks)
	return true
}

// faultFull fills a replica's disk for a while. It does not start before there is
// room.
func (s *Simulation) faultFull(kind string) bool {
	m := s.anyone()
	if m.disk.failing {
		return false
	}
	m.disk.fault(replica.ErrDiskFull, func(o string) error {
		if o == "write" || o == "beginning" {
			return &replica.DiskFullError{Folder: "memory"}
		}
		return nil
	})
	s.strike(kind, diskFails, m)
	s.after(s.exp(time.Second), m.diskWorks)
	return true
}

// faultRot flips a bit. The replica must find it before it acts on it, and stop;
// the operator gives it an empty disk.
func (s *Simulation) faultRot(kind string) bool {
	m := s.anyone()
	if !s.spare(m) {
		return false
	}
	if hs := m.disk.snapshots.Heights(); len(hs) > 0 && s.rng.IntN(4) == 0 {
		h := hs[s.rng.IntN(len(hs))]
		m.disk.damaged = max(m.disk.damaged, h)
		if !m.disk.snapshots.Damage(h) {
			return false
		}
		s.begin(kind, fmt.Sprintf("of the snapshot at %d", h), m)
		return true
	}
	if m.disk.Rot(s.rng.IntN) == "" {
		return false
	}
	m.rotten = true
	s.strike(kind, rots, m)
	if s.rng.IntN(2) == 0 { // nobody reads it before the next start
		m.crash()
		s.planRestart(m)
	}
	return true
}

// faultTorn crashes a replica, and some of its last synced writes are gone. If
// more than the last are, and the log behind can be read, the replica must see it.
// If not, nothing tells it from a crash in the middle of the write: a disk that
// says "synced" and lies makes its replica a faulty one.
func (s *Simulation) faultTorn(kind string) bool {
	m := s.anyone()
	if !s.spare(m) {
		return false
	}
	m.crash()
	later := s.rng.IntN(2) == 0
	n := m.disk.lose(1+s.rng.IntN(4), later)
	if n == 0 {
		s.crashed(m)
		s.planRestart(m)
		return false
	}
	if later && n > 1 {
		m.rotten, m.missing = true, true
		s.strike(kind, rots, m)
	} else {
		m.broken = "its disk lost what it had synced"
		s.ruin(kind, "", m)
	}
	s.planRestart(m)
	return true
}

// faultMisread makes a read return another key's value, which must be found, or
// what the key held before, which cannot be.
func (s *Simulation) faultMisread(kind string) bool {
	m := s.anyone()
	if m.up == nil || m.disk.failing || !s.spare(m) {
		return false
	}
	if s.rng.IntN(2) == 0 {
		m.disk.Misdirect()
		s.begin(kind, "of another key's value", m)
		return true
	}
	m.crash()
	if m.disk.Stale(s.rng.IntN) == "" {
		s.crashed(m)
		s.planRestart(m)
		return false
	}
	m.broken = "its disk returned old values"
	s.ruin(kind, "of an old value", m)
	s.planRestart(m)
	return true
}
