package chaos

import (
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

// boot starts the replica from its disk.
func (m *member) boot() {
	s := m.s
	m.lives++
	p := &process{member: m, scheduled: false}
	p.keys = pbft.Keys{Self: m.id, Signing: s.sym.Client(memberKeys + uint64(m.id)), Votes: s.sym.Signer(m.id), Checkpoints: s.sym.Signer(m.id)}
	p.executor = statemachine.NewExecutor(s.opts.machine(), limits())
	rec := p.recover()
	cfg := p.configure(rec)
	var records []pbft.Record
	must(m.disk.Load(nil, func(r pbft.Record) error {
		records = append(records, r)
		return nil
	}))
	cfg.Log = func(yield func(pbft.Record) bool) {
		for _, r := range records {
			if !yield(r) {
				return
			}
		}
	}
	m.corrupt(p, cfg)
	node, err := replica.NewNode(cfg, p)
	if err != nil {
		s.fail("replica %d cannot start from its disk: %v", m.id, err)
		return
	}
	p.node, m.up = node, p
	s.trace.event(s.now, "start", int(m.id), -1, nil, "")
	p.post(func(n *replica.Node) { n.Start(m.clock()) })
	p.after(s.opts.Tick, p.tick)
	s.judge.started(p)
}

// memberKeys are the numbers of the members' keys among the symbolic world's.
const memberKeys = 1_000_000

func (p *process) configure(rec *recovered) replica.NodeConfig {
	s, o := p.s, &p.s.opts
	votes, err := s.sym.Scheme(len(o.Weights), o.LazyVotes)
	must(err)
	checkpoints, err := s.sym.Scheme(len(o.Weights), true)
	must(err)
	keys := make([]crypto.PublicKey, len(o.Weights))
	for i := range keys {
		keys[i] = s.sym.Client(memberKeys + uint64(i)).Public()
	}
	limits := pbft.Limits{MaxBlockBytes: 64 << 10, MaxBlockRequests: o.MaxBlockRequests, MaxOperationBytes: 4 << 10, Window: o.Window}
	p.verifier = pbft.NewVerifier(pbft.VerifierConfig{
		Self: p.id, Cluster: s.cluster, Start: s.start.Ref(), Quorums: s.quorums, Schedule: s.schedule,
		Votes: votes, Checkpoints: checkpoints, SigningKeys: keys, Requests: s.sym, Limits: limits,
	})
	return replica.NodeConfig{
		Core: pbft.Config{
			Self: p.id, Cluster: s.cluster, Quorums: s.quorums, Start: s.start,
			Window: o.Window, CheckpointEvery: o.CheckpointEvery, LogMax: 2*o.CheckpointEvery + 2*o.Window, Retain: o.Retain,
			MaxBlockBytes: limits.MaxBlockBytes, MaxBlockRequests: limits.MaxBlockRequests, MaxOperationBytes: limits.MaxOperationBytes,
			MinCheckpointGap: 5 * time.Millisecond, MaxAhead: maxAhead, MaxPoolBytes: 1 << 20, MaxPoolPerClient: 64,
			Timeouts: o.Timeouts, Executed: rec.executed, Follower: p.disk.follower, CheckCertificate: p.verifier.CheckCertificate,
			Incarnation: uint64(s.now) + 1,
		},
		Verifier: p.verifier, Statements: rec.statements, Install: rec.install,
		Transfer: replica.TransferConfig{Deadline: 50, Pause: 20}, CheckManifest: replica.CheckManifest,
	}
}

// crash stops the replica where it stands. How much of what was being written has
// reached the disk is drawn.
func (m *member) crash() {
	p := m.up
	if p == nil {
		return
	}
	p.dead, m.up, m.armed = true, nil, neverCrash
	reached := m.s.rng.IntN(len(p.batches) + 1)
	m.disk.crash(p.batches[:reached])
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

// reach crashes the replica if it is to crash here.
func (p *process) reach(at crashPoint) bool {
	if p.armed != at {
		return false
	}
	p.s.report.Faults["crash at a boundary"]++
	p.crash()
	p.s.planRestart(p.member)
	return true
}
