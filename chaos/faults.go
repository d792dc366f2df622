package chaos

import (
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// Faults are the mean times between two faults of a kind, 0 for never. What a
// fault did ends by itself after some time, at the latest with the storm. What
// makes a replica worthless strikes only as long as those that are worthless
// weigh, with the traitors, at most F.
type Faults struct {
	Crash   time.Duration // of one replica, anywhere or at a boundary of a log write
	Power   time.Duration // of all replicas at once
	Pause   time.Duration // a replica does nothing, and then goes on
	Slow    time.Duration // a replica's disk and execution get slow
	Restore time.Duration // a replica comes back with an old image of its disk

	Partition time.Duration // two groups, or one replica alone
	Partial   time.Duration // two groups, and replicas that see both
	OneWay    time.Duration // one direction of one link
	Flap      time.Duration // a link that comes and goes
	Isolate   time.Duration // whoever is primary now
	Clog      time.Duration // links hold what they carry, and let go one after another
	Narrow    time.Duration // links lose their bandwidth

	Wipe      time.Duration // a replica loses its disk
	Snapshots time.Duration // a replica stops and loses its snapshots only
	IOError   time.Duration // a write, sync or read fails
	Full      time.Duration // a disk is full for a while
	Rot       time.Duration // a bit of what is stored flips
	Torn      time.Duration // a crash takes synced writes with it
	Misread   time.Duration // a read returns what belongs elsewhere, or is old

	StateLost time.Duration // a replica stops and loses its application's state only (see Options.OnDisk)
	StateRot  time.Duration // a part of an application's state cannot be read any more
	StateFlip time.Duration // a value in an application's state becomes another one

	Clock  time.Duration // a replica's clock jumps
	Rate   time.Duration // a replica's clock runs fast or slow
	Freeze time.Duration // a replica's clock stands still

	Panic  time.Duration // a replica's application panics
	Lag    time.Duration // a replica's application gets slow
	Differ time.Duration // a replica's application is not deterministic any more
	Lapse  time.Duration // a replica's application is wrong once

	Hints time.Duration // a replica's host is mistaken about links and load
}

// kinds names all kinds of fault with their mean times and what they do.
func (s *Simulation) kinds() []faultKind {
	f := &s.opts.Faults
	return []faultKind{
		{"crash", f.Crash, s.faultCrash}, {"power loss", f.Power, s.faultPower}, {"pause", f.Pause, s.faultPause},
		{"partition", f.Partition, s.faultPartition}, {"one-way cut", f.OneWay, s.faultOneWay}, {"wiped disk", f.Wipe, s.faultWipe},
		{"lost snapshots", f.Snapshots, s.faultSnapshots}, {"clock jump", f.Clock, s.faultClock}, {"slow replica", f.Slow, s.faultSlow},
		{"old disk image", f.Restore, s.faultRestore}, {"partial partition", f.Partial, s.faultPartial}, {"flapping link", f.Flap, s.faultFlap},
		{"isolated primary", f.Isolate, s.faultIsolate}, {"clogged links", f.Clog, s.faultClog}, {"narrow links", f.Narrow, s.faultNarrow},
		{"disk error", f.IOError, s.faultIOError}, {"full disk", f.Full, s.faultFull}, {"bit rot", f.Rot, s.faultRot},
		{"torn log", f.Torn, s.faultTorn}, {"wrong read", f.Misread, s.faultMisread},
		{"lost state", f.StateLost, s.faultStateLost}, {"unreadable state", f.StateRot, s.faultStateRot},
		{"flipped state", f.StateFlip, s.faultStateFlip},
		{"clock rate", f.Rate, s.faultRate}, {"frozen clock", f.Freeze, s.faultFreeze},
		{"application panics", f.Panic, s.faultPanic}, {"application lags", f.Lag, s.faultLag}, {"application differs", f.Differ, s.faultDiffer},
		{"application is wrong once", f.Lapse, s.faultLapse},
		{"wrong hints", f.Hints, s.faultHints},
	}
}

// FaultKinds are the names of all faults that Report.Faults counts in a long run, those
// that come of others included.
func FaultKinds() []string {
	names := []string{replayedMessage, crashAtBoundary, oldImageBack}
	for _, k := range new(Simulation).kinds() {
		names = append(names, k.name)
	}
	return names
}

// Faults that are no kind of their own.
const (
	replayedMessage = "replayed message"
	crashAtBoundary = "crash at a boundary"
	oldImageBack    = "old disk image comes back"
)

type faultKind struct {
	name   string
	mean   time.Duration
	inject func(kind string) bool
}

// startFaults plans the first fault of each kind.
func (s *Simulation) startFaults() {
	for _, k := range s.kinds() {
		s.repeat(k)
	}
}

// repeat injects a fault at random intervals as long as the storm lasts. A fault
// that finds nothing to do says so. One that does something tells the chronicle.
func (s *Simulation) repeat(k faultKind) {
	if k.mean <= 0 {
		return
	}
	s.after(s.exp(k.mean), func() {
		if !s.storming {
			return
		}
		if k.inject(k.name) {
			s.injected(k.name)
		}
		s.repeat(k)
	})
}

// injected counts a fault.
func (s *Simulation) injected(name string) {
	s.report.Faults[name]++
	s.note("fault", name)
}

func (s *Simulation) anyone() *member { return s.replicas[s.rng.IntN(len(s.replicas))] }

// whileStorm plans the end of a fault; the end of the storm ends it anyway.
func (s *Simulation) whileStorm(d time.Duration, end func()) {
	s.after(d, func() {
		if s.storming {
			end()
		}
	})
}

// weak tells whether a replica may not be relied on: a traitor, a broken one, one
// whose clock is far off, one that lost its disk and has not rejoined, or one that lost
// the state below its log.
func (m *member) weak() bool {
	return !m.honest() || m.unusable || m.stateHurt() || m.rotten || m.farOff || m.rejoining() || m.disk.newest() == 0 && m.lostState()
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

// crashed counts a crash that another fault has come to.
func (s *Simulation) crashed(m *member) {
	s.strike("crash", down, m)
	s.injected("crash")
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
	for i := range s.network.links {
		for k := range s.network.links[i] {
			l := &s.network.links[i][k]
			l.cut, l.narrow = 0, 0
			s.network.unclog(pbft.ReplicaID(i), pbft.ReplicaID(k), l.clogged)
		}
	}
	s.chronicle.linksHealed()
	var left []*member
	for _, m := range s.replicas {
		if m.honest() && !chosen.Has(m.id) {
			for i := range s.replicas {
				s.network.links[i][m.id].cut, s.network.links[m.id][i].cut = 1, 1
			}
			left = append(left, m)
			continue
		}
		if m.honest() {
			healed = append(healed, m.id)
		}
		m.healed = true
		m.armed, m.slow, m.lag, m.panics = neverCrash, 1, 1, false
		if m.lapse == lapseDue {
			m.rightAgain()
			healed = append(healed, m.id)
		}
		m.over(slowed)
		m.over(lagging)
		m.over(willPanic)
		m.repair()
		m.stateReads()
		m.setRight()
		m.setClock(m.offset(), 1)
		m.resume()
		if m.up == nil {
			m.boot()
		} else {
			m.up.rightHints()
		}
	}
	if len(left) > 0 {
		s.ruin("not healed", "cut off for good", left...)
	}
	return healed
}
