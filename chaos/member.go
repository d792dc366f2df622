package chaos

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
)

// member is one replica of the cluster across all of its lives.
type member struct {
	s       *Simulation
	id      pbft.ReplicaID
	disk    *disk
	plays   string   // the strategy of a traitor, "" for an honest replica
	traitor *Traitor // from its first start on
	up      *process // nil while it is down
	paused  bool
	parted  bool // its application's state has parts
	armed   crashPoint
	lives   int

	slow int // its disk and execution take so many times as long, if above 1
	lag  int // its execution, beside that

	skew  time.Duration // of its clock, at since
	rate  float64       // of its clock
	since time.Duration
	// farOff: it is off by more than maxSkew.
	farOff bool

	healed bool // whole and connected since the end of the storm
	// broken says why the replica is worthless for the rest of the run, though it is
	// no traitor.
	broken string
	// rotten: its disk is damaged, and the replica must see it. missing: synced writes
	// are missing from the log, and it must see that at its start. unusable: it has
	// seen it, and does not start any more.
	rotten, missing, unusable bool
	// failing: the application has panicked on command. differs: its state is not
	// everybody's. found: it has stopped for that.
	panics, failing, differs, found bool
	// lapse is how far its application is with being wrong once, lapsedAt the block with
	// which it was, lapses how often.
	lapse    lapse
	lapsedAt pbft.Height
	lapses   int
	// stateLost: its application's state is gone from its disk. stateRots: some of that cannot be read.
	// Both are over when it has the state again.
	stateLost, stateRots bool
	// sufferings are the faults that go on, for the chronicle.
	sufferings [numAspects][]*ongoing
}

func newMember(s *Simulation, id pbft.ReplicaID) *member {
	m := &member{s: s, id: id, disk: newDisk(), rate: 1}
	m.disk.state = s.newStateDisk()
	return m
}

// honest tells whether the replica keeps the rules as far as it can know them.
func (m *member) honest() bool { return m.plays == "" && m.broken == "" }

// rejoining tells whether the replica lost its disk and may not vote yet.
func (m *member) rejoining() bool {
	_, marked := m.disk.image[pbft.RecordKey{Kind: pbft.RecordRejoin}]
	return m.disk.follower || marked
}

// maxPoolBytes is the room for requests that wait at a replica.
const maxPoolBytes = 1 << 20

// memberKeys are the numbers of the members' keys among the symbolic world's.
const memberKeys = 1_000_000

// boot starts the replica from its disk.
func (m *member) boot() {
	s := m.s
	m.lives++
	p := &process{member: m}
	p.ticks = p.timePasses
	p.keys = pbft.Keys{Self: m.id, Signing: s.sym.Client(memberKeys + uint64(m.id)), Votes: s.sym.Signer(m.id), Checkpoints: s.sym.Signer(m.id)}
	m.stateRots = m.stateRots || m.recallsDamage()
	app, err := m.machine()
	if err != nil {
		m.refuses(err)
		return
	}
	cfg := p.configure(app)
	_, m.parted = cfg.Machine.(statemachine.PartedState)
	m.corrupt(p, cfg.Core, cfg.Verifier)
	sim, err := replica.NewSim(cfg)
	if err != nil {
		m.refuses(err)
		return
	}
	if m.missing {
		s.violate(Health, "replica %d starts from a log with a gap", m.id)
		return
	}
	m.disk.fresh = false
	p.sim, p.node, p.executor, m.up = sim, sim.Node(), sim.Executor(), p
	if m.disk.state != nil {
		m.disk.state.Beside(sim.Beside)
	}
	s.trace.event(s.now, "start", int(m.id), -1, nil, "")
	m.over(down)
	m.tell()
	p.seesStart()
	p.post(func() {
		sim.Start(m.clock())
		p.started = true
	})
	s.agenda.plan(s.now+m.tickLength(), event{life: p, work: eventTick})
	s.judge.started(p)
}

func (p *process) configure(app statemachine.StateMachine) replica.SimConfig {
	s, o := p.s, &p.s.opts
	votes, err := s.sym.Scheme(len(o.Weights), o.LazyVotes)
	must(err)
	checkpoints, err := s.sym.Scheme(len(o.Weights), true)
	must(err)
	keys := make([]crypto.PublicKey, len(o.Weights))
	for i := range keys {
		keys[i] = s.sym.Client(memberKeys + uint64(i)).Public()
	}
	bounds := pbft.Limits{MaxBlockBytes: 64 << 10, MaxBlockRequests: o.MaxBlockRequests, MaxOperationBytes: 4 << 10, Window: o.Window}
	caches := replica.NewSimCaches(1 << 11)
	p.verifier = pbft.NewVerifier(pbft.VerifierConfig{
		Self: p.id, Cluster: s.cluster, Start: s.start.Ref(), Quorums: s.quorums, Schedule: s.schedule,
		Votes: votes, Checkpoints: checkpoints, SigningKeys: keys, Requests: s.sym, Limits: bounds,
		Known: caches.Known(), Proven: caches.Proven(),
	})
	return replica.SimConfig{
		Core: pbft.Config{
			Self: p.id, Cluster: s.cluster, Quorums: s.quorums, Start: s.start,
			Window: o.Window, CheckpointEvery: o.CheckpointEvery, LogMax: 2*o.CheckpointEvery + 2*o.Window, Retain: o.Retain,
			MaxBlockBytes: bounds.MaxBlockBytes, MaxBlockRequests: bounds.MaxBlockRequests, MaxOperationBytes: bounds.MaxOperationBytes,
			MinCheckpointGap: 5 * time.Millisecond, MaxAhead: maxAhead, MaxPoolBytes: maxPoolBytes, MaxPoolPerClient: 64, MaxNewViews: 2,
			Timeouts: o.Timeouts, Incarnation: uint64(s.now) + 1,
		},
		Verifier: p.verifier, Caches: caches, LazyVotes: o.LazyVotes, LazyCheckpoints: true,
		Keys: p.keys, Limits: limits(), Machine: p.command(app), Reopen: p.reopens(),
		Store: p.disk, Snapshots: p.disk.snapshots, Voter: p.disk.fresh,
		Transfer: replica.TransferConfig{Deadline: transferDeadline, Pause: 20}, StatePatience: statePatience, ReceiptRetain: int64(o.Retain),
		Executed: p.executed, Alarm: p.alarm, Healed: p.healed,
		Evidence: func(e *pbft.Evidence) {
			s.sometimes(seenEvidence)
			s.judge.evidence(p, e)
		},
		Hooks: p.hooks(),
	}
}

// excused tells whether a replica may stop with this error, because of what was
// done to it: each fault excuses the errors that it causes, and no others. Only of a
// traitor, and of a replica whose disk has lied to it, nothing is demanded.
func (m *member) excused(err error) bool {
	return m.plays != "" || m.broken != "" && !m.differs ||
		m.disk.failing && errors.Is(err, m.disk.failure) ||
		m.failing && errors.Is(err, statemachine.ErrApplicationPanic) ||
		m.rotten && errors.Is(err, replica.ErrCorrupt) ||
		m.stateRots && errors.Is(err, statemachine.ErrDamaged) ||
		m.stopsFor(err)
}

// stopsFor tells whether an error is what a replica may stop for whose application is not
// deterministic. One that was wrong once does not stop: it can be healed.
func (m *member) stopsFor(err error) bool {
	return m.differs && m.lapse == noLapse && differing(err)
}

// goesOn looks at a replica that did not stop. It must not outlive an error of its
// disk, since nothing is known of what is there after one, or a panic of its
// application.
func (m *member) goesOn() {
	switch {
	case m.plays != "" || m.broken != "" && !m.differs:
	case m.disk.owes:
		m.s.violate(Health, "replica %d goes on after an error of its disk: %v", m.id, m.disk.failure)
	case m.failing:
		m.s.violate(Health, "replica %d goes on after a panic of its application", m.id)
	}
}

// failed takes note of a replica that stopped by itself. It is started again.
func (m *member) failed(err error) {
	if errors.Is(err, replica.ErrSimCrashed) {
		return
	}
	if !m.excused(err) {
		m.s.violate(Health, "replica %d stops: %v", m.id, err)
		return
	}
	m.found = m.found || m.stopsFor(err)
	m.s.note("stopped", fmt.Sprintf("replica %d: %v", m.id, err))
	m.s.stoppedFor(err)
	m.crash()
	m.s.planRestart(m)
}

// refuses takes note of a replica that does not start from its disk. A disk that
// fails is tried again, one that is damaged is replaced, sooner or later.
func (m *member) refuses(err error) {
	s := m.s
	if !m.excused(err) {
		s.violate(Health, "replica %d cannot start from its disk: %v", m.id, err)
		return
	}
	m.found = m.found || m.stopsFor(err)
	s.note("no start", fmt.Sprintf("replica %d: %v", m.id, err))
	s.stoppedFor(err)
	failing := m.disk.failing || m.stateRots
	m.disk.crashState(func(int) int { return 0 })
	m.disk.Crash()
	if failing {
		s.planRestart(m)
		return
	}
	m.unusable, m.missing = true, false
	s.after(s.exp(2*time.Second), func() {
		if m.unusable && (s.storming || m.healed) {
			m.wipe()
			m.boot()
		}
	})
}

// crash stops the replica where it stands. How much of what was being written has
// reached the disk is drawn.
func (m *member) crash() {
	p := m.up
	if p == nil {
		return
	}
	p.dead, m.up, m.armed, m.panics, m.failing = true, nil, neverCrash, false, false
	m.over(willPanic)
	m.tell()
	if m.disk.crashState(m.s.rng.IntN) {
		m.s.sometimes(seenStateUnsynced)
	}
	reached := m.s.rng.IntN(p.sim.Pending(replica.WorkDisk) + 1)
	if err := p.sim.Crash(reached); err != nil {
		m.s.note("disk", fmt.Sprintf("replica %d: %v", m.id, err))
	}
	m.disk.Crash()
	m.s.trace.event(m.s.now, "crash", int(m.id), -1, []byte{byte(reached)}, "")
	if !slices.ContainsFunc(m.s.replicas, func(x *member) bool { return x.up != nil }) {
		m.s.sometimes(seenAllDown)
	}
}

// pause makes the replica do nothing until resume.
func (m *member) pause() {
	m.paused = true
	m.tell()
}

func (m *member) resume() {
	m.paused = false
	m.over(paused)
	m.tell()
	if m.up != nil {
		m.up.wake()
	}
}

// crashPoint is a boundary of a log write.
type crashPoint int

const (
	neverCrash    crashPoint = iota
	beforeWrite              // nothing of the batch is on the disk
	afterSync                // it is, and nothing has left
	duringRelease            // some of its messages have left
	afterRelease             // all have, and the node does not know
	crashPoints
)

// reach tells whether the replica is to crash here, and has it do so soon.
func (p *process) reach(at crashPoint) bool {
	if p.armed != at {
		return false
	}
	p.s.report.Faults[crashAtBoundary]++
	p.s.strike(crashAtBoundary, down, p.member)
	p.s.sometimes(crashMarks[at])
	p.armed = neverCrash
	p.dying = true
	return true
}
