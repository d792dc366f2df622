package chaos

import (
	"errors"
	"fmt"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
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
	skew    time.Duration // of its clock
	slow    int           // its disk and execution take so many times as long, if above 1
	armed   crashPoint
	lives   int
}

func (m *member) honest() bool { return m.plays == "" }

// rejoining tells whether the replica lost its disk and may not vote yet.
func (m *member) rejoining() bool {
	_, marked := m.disk.image[pbft.RecordKey{Kind: pbft.RecordRejoin}]
	return m.disk.follower || marked
}

func (m *member) clock() pbft.Time { return m.s.clock().Add(m.skew) }

// memberKeys are the numbers of the members' keys among the symbolic world's.
const memberKeys = 1_000_000

// boot starts the replica from its disk.
func (m *member) boot() {
	s := m.s
	m.lives++
	p := &process{member: m}
	p.keys = pbft.Keys{Self: m.id, Signing: s.sym.Client(memberKeys + uint64(m.id)), Votes: s.sym.Signer(m.id), Checkpoints: s.sym.Signer(m.id)}
	cfg := p.configure()
	m.corrupt(p, cfg.Core, cfg.Verifier)
	sim, err := replica.NewSim(cfg)
	if err != nil {
		s.violate(Health, "replica %d cannot start from its disk: %v", m.id, err)
		return
	}
	m.disk.fresh = false
	p.sim, p.node, p.executor, m.up = sim, sim.Node(), sim.Executor(), p
	s.trace.event(s.now, "start", int(m.id), -1, nil, "")
	p.post(func() { sim.Start(m.clock()) })
	p.after(s.opts.Tick, p.tick)
	s.judge.started(p)
}

func (p *process) configure() replica.SimConfig {
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
			MinCheckpointGap: 5 * time.Millisecond, MaxAhead: maxAhead, MaxPoolBytes: 1 << 20, MaxPoolPerClient: 64,
			Timeouts: o.Timeouts, Incarnation: uint64(s.now) + 1,
		},
		Verifier: p.verifier, Caches: caches, LazyVotes: o.LazyVotes, LazyCheckpoints: true,
		Keys: p.keys, Limits: limits(), Machine: o.machine(),
		Store: p.disk, Snapshots: p.disk.snapshots, Voter: p.disk.fresh,
		Transfer: replica.TransferConfig{Deadline: 50, Pause: 20}, ReceiptRetain: int64(o.Retain),
		Executed: p.executed, Evidence: func(e *pbft.Evidence) { s.judge.evidence(p, e) }, Alarm: p.alarm,
		Hooks: p.hooks(),
	}
}

// failed ends a replica that stopped by itself.
func (m *member) failed(err error) {
	if errors.Is(err, replica.ErrSimCrashed) {
		return
	}
	m.s.violate(Health, "replica %d stops: %v", m.id, err)
}

// crash stops the replica where it stands. How much of what was being written has
// reached the disk is drawn.
func (m *member) crash() {
	p := m.up
	if p == nil {
		return
	}
	p.dead, m.up, m.armed = true, nil, neverCrash
	reached := m.s.rng.IntN(p.sim.Pending(replica.WorkDisk) + 1)
	if err := p.sim.Crash(reached); err != nil {
		m.s.note("disk", fmt.Sprintf("replica %d: %v", m.id, err))
	}
	m.disk.Crash()
	m.s.trace.event(m.s.now, "crash", int(m.id), -1, []byte{byte(reached)}, "")
}

// pause makes the replica do nothing until resume.
func (m *member) pause() { m.paused = true }

func (m *member) resume() {
	m.paused = false
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
	p.s.report.Faults["crash at a boundary"]++
	p.armed = neverCrash
	p.dying = true
	return true
}
