package replica

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// SimConfig is what a simulated replica is made of.
type SimConfig struct {
	// Core is without Executed, Follower, Admissible and CheckCertificate, which are
	// filled in.
	Core     pbft.Config
	Verifier *pbft.Verifier
	// Caches are those that the Verifier was made with; nil for a Verifier without.
	Caches *SimCaches
	// LazyVotes and LazyCheckpoints say that the votes are never verified one by one, as
	// for a lazy scheme (see crypto.Scheme).
	LazyVotes, LazyCheckpoints bool
	Keys                       pbft.Keys
	Limits                     statemachine.Limits
	// Machine is the application in its initial state.
	Machine statemachine.StateMachine
	// Reopen, if not nil, sets aside what the Machine has on its disk, which cannot be used because
	// of damage, and returns another one that begins without.
	Reopen func(cause error) (statemachine.StateMachine, error)
	// Store and Snapshots are the replica's disk: give the same to the next Sim after
	// a crash (and have the store lose what was not synced).
	Store     Store
	Snapshots *MemorySnapshots
	Transfer  TransferConfig
	Serve     ServeConfig
	// StatePatience is for how many ticks a peer may have a request for a part of an
	// application's state: 1000 if zero, which are a Server's ten seconds.
	StatePatience int
	// WholeStates has the replica transfer whole snapshots, also if the Machine is a
	// statemachine.PartedState.
	WholeStates bool
	// Voter says that the empty store is that of a replica that has never run. With
	// an empty store and no Voter the replica is one that lost its disk.
	Voter bool
	// ReceiptRetain as in Config.
	ReceiptRetain int64
	// Send gets every message for another replica, encoded; see also
	// SimHooks.Transmit. It is called in the midst of the Sim's own work: it has to put
	// the message aside and must not call the Sim, also not by way of another one that
	// answers at once.
	Send func(to pbft.ReplicaID, raw []byte)
	// Executed, if not nil, gets every block that was executed, with the replies;
	// not those of a replay.
	Executed func(b *pbft.Block, replies []statemachine.Reply)
	// Refused, Alarm, Healed and Evidence get what their namesakes of Host report; each
	// may be nil.
	Refused  func(r *pbft.Request, why pbft.Drop)
	Alarm    func(a pbft.Alarm)
	Healed   func(d *pbft.Divergence)
	Evidence func(e *pbft.Evidence)
	// Hooks let the caller look closer.
	Hooks SimHooks
}

// Work is a kind of work that a simulated replica does beside its protocol.
type Work uint8

// The kinds of work. Each is done in order; kinds are independent of each other.
const (
	// WorkDisk writes and syncs the batches that wait, and releases their messages.
	WorkDisk Work = iota
	// WorkExecute runs the next blocks, or installs a state.
	WorkExecute
	// WorkSnapshot writes the next snapshot.
	WorkSnapshot
	// WorkAggregate makes certificates, and signs votes for checkpoints.
	WorkAggregate
	// WorkFiles answers peers from the disk and prunes.
	WorkFiles
	// WorkTransfer keeps the chunks of a state transfer.
	WorkTransfer
	// WorkState is what the application does beside its blocks: see [Sim.Beside].
	WorkState
	// Works is the number of kinds.
	Works
)

// Sim is a replica whose every step is the caller's: the Node of a [Server] with
// memory for a disk, and no goroutine, clock or randomness. Work piles up until Do
// is called, so a schedule can let the disk lag, the executor stall, or the
// replica crash with anything of it undone. It is not safe for concurrent use.
//
// An application that gets its state from peers part by part waits for them in the midst
// of a piece of work. That piece is a coroutine: [Sim.Do] runs it until it waits, and again
// when there is something for it, so it never runs beside anything. A Sim that is not
// used any more is to be crashed or closed, or what waits would stay.
type Sim struct {
	cfg    SimConfig
	node   *Node
	runner *runner
	stage  *verifyStage
	writer logWriter
	jobs   [Works]simQueue[func() error]
	batch  simQueue[*Batch]
	// writing are the batches that Write is about.
	writing []*Batch
	err     error
	epoch   pbft.Epoch
	stats   SimStats
	// replies are of the block that is being executed.
	replies []statemachine.Reply
	// diverged: the state is known to be wrong.
	diverged bool
	// started: Start was called.
	started bool
	// restored is the height of the state that the replica began with.
	restored pbft.Height
	// asks are the parts of a state that peers were asked for, exchange who asks for them,
	// nil if nobody does, and errand what waits for that.
	asks     stateAsks
	exchange *simExchange
	errand   errand
	// held is how many calls of Together are under way.
	held int
	// taken is for Take: memory to use again. taking says that it is in use.
	taken  verifiedBatch
	taking bool
}

// SimStats count what a Sim did not pass on.
type SimStats struct {
	Malformed  uint64
	WrongEpoch uint64
	Dropped    uint64
}

// NewSim recovers a replica from its disk. Call Start next.
func NewSim(cfg SimConfig) (*Sim, error) {
	s, err := recoverSim(cfg)
	if cfg.Reopen == nil || !errors.Is(err, statemachine.ErrDamaged) {
		return s, err
	}
	if cfg.Machine, err = cfg.Reopen(err); err != nil {
		return nil, err
	}
	return recoverSim(cfg)
}

func recoverSim(cfg SimConfig) (*Sim, error) {
	s := &Sim{cfg: cfg, epoch: cfg.Core.Epoch}
	if store, ok := cfg.Store.(interface{ checkLog() error }); ok {
		if err := store.checkLog(); err != nil {
			return nil, err
		}
	}
	born, err := readBorn(cfg.Store)
	if err != nil {
		return nil, err
	}
	if born == BornNot {
		if born = BornFollower; cfg.Voter {
			born = BornVoter
		}
		if err := cfg.Store.WriteHost([]HostRecord{bornRecord(born)}, true); err != nil {
			return nil, err
		}
	}
	s.writer = logWriter{store: cfg.Store, born: born}
	caches := cfg.Caches
	if caches == nil {
		caches = NewSimCaches(1 << 10)
	}
	s.stage = &verifyStage{
		epoch: s.epoch, self: cfg.Core.Self, verifier: cfg.Verifier, known: caches.known,
		lazy: cfg.LazyVotes, lazyCP: cfg.LazyCheckpoints, metrics: simCounts{s},
		distrusted: make([]atomic.Bool, cfg.Core.Quorums.N()),
	}
	retain := cfg.ReceiptRetain
	if retain == 0 {
		retain = -1
	}
	s.runner = &runner{
		exec: statemachine.NewExecutor(cfg.Machine, cfg.Limits), folder: cfg.Snapshots, store: cfg.Store,
		archive: &resultArchive{store: cfg.Store, every: cfg.Core.CheckpointEvery, retain: retain},
		every:   cfg.Core.CheckpointEvery, epoch: cfg.Core.Epoch, logger: slog.New(slog.DiscardHandler),
		deliver:      func(_ pbft.Height, replies []statemachine.Reply) { s.replies = replies },
		observe:      s.executed,
		executed:     func(h pbft.Height) { s.node.Executed(h) },
		checkpointed: s.checkpointed,
		installed:    s.installed,
		rebuilt:      s.rebuilt,
		begun:        s.begun,
		cannotBegin:  func() { s.node.CannotBegin() },
		fail:         s.fail,
		later:        s.writeLater,
	}
	partChunks := s.getParts()
	s.runner.repair.still = func() { s.node.StandsStill() }
	s.runner.repair.forgotten = func() { s.node.Forgotten() }
	if f := cfg.Hooks.Applied; f != nil {
		s.runner.applied = func(b *pbft.Block, x *statemachine.Execution) { f(s.runner.exec, b, x) }
	}
	s.runner.seals.retainBy(cfg.Machine, &crypto.Parameters{
		LogMax: uint64(cfg.Core.LogMax), CheckpointEvery: uint64(cfg.Core.CheckpointEvery), Window: uint64(cfg.Core.Window),
	})
	s.runner.makeGood(context.Background(), cfg.Machine, s.damaged, nil)
	s.runner.damage.hear = s.hearDamage
	rec, err := recoverStored(s.runner)
	if err != nil {
		return nil, err
	}
	s.restored = rec.base
	if err := s.runner.seals.stored(cfg.Store); err != nil {
		return nil, err
	}
	if f := cfg.Hooks.Stated; f != nil {
		for _, st := range rec.statements {
			f(st)
		}
	}
	core := cfg.Core
	core.Executed, core.Follower = rec.executed, born == BornFollower
	core.CheckCertificate = cfg.Verifier.CheckCertificate
	log, fault := logSeq(cfg.Store)
	s.node, err = NewNode(NodeConfig{
		Core: core, Verifier: cfg.Verifier, Log: log, Statements: rec.statements, Base: rec.base, Install: rec.install,
		Damaged:  rec.damaged,
		Transfer: cfg.Transfer, Serve: cfg.Serve, CheckManifest: CheckManifest, PartChunks: partChunks,
	}, simHost{s})
	if ferr := fault(); ferr != nil {
		return nil, ferr
	}
	if err != nil {
		return nil, err
	}
	if s.node.Core().Diverged() != nil {
		s.diverged = true
		s.runner.repair.stops.Store(1)
	}
	s.hearDamage()
	return s, nil
}

// Node gives access to the node, for reading.
func (s *Sim) Node() *Node { return s.node }

// Executor gives access to the executor, for reading.
func (s *Sim) Executor() *statemachine.Executor { return s.runner.exec }

// Stats returns the counters.
func (s *Sim) Stats() SimStats { return s.stats }

// Err is why the replica failed, nil if it did not. A replica that failed does
// nothing any more.
func (s *Sim) Err() error { return s.err }

func (s *Sim) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.node.Fail()
}

// Start begins to take part, at wall clock now.
func (s *Sim) Start(now pbft.Time) {
	s.node.Start(now)
	s.started = true
	if s.runner.damage.found.Load() != nil {
		s.node.Damaged()
	}
	s.flush()
}

// Together runs f, which calls other methods of the Sim, and performs the effects
// of all of them as one, like a replica that finds several events waiting.
func (s *Sim) Together(f func()) {
	s.held++
	f()
	s.held--
	s.flush()
}

func (s *Sim) flush() {
	if s.held > 0 {
		return
	}
	s.node.Flush()
	s.stage.bound(boundsOf(s.node.Core(), s.node.cfg.Core.CheckpointEvery))
}

// Tick is one unit of time.
func (s *Sim) Tick(now pbft.Time) {
	s.node.Tick(now)
	s.exchange.tick()
	s.flush()
}

// Offer brings requests of clients, whose signatures the caller has checked.
func (s *Sim) Offer(rs []*pbft.Request) {
	for _, r := range rs {
		s.stage.known.add(r)
	}
	s.node.Offer(rs)
	s.flush()
}

// Lookup answers a request that was executed already, from the session table.
func (s *Sim) Lookup(r *pbft.Request) (statemachine.Reply, bool) {
	if s.diverged || s.Stateless() {
		return statemachine.Reply{}, false
	}
	return s.runner.exec.Lookup(r.Client, r.Seq, r.Digest())
}

// Receive takes a message as it came over the link from a peer.
func (s *Sim) Receive(from pbft.ReplicaID, raw []byte) {
	b := s.stage.verify(from, [][]byte{raw}, nil)
	b.deliver(s.node)
	s.flush()
}

// Take takes a message that is already decoded and that nobody changes any more. It
// panics if it is called from within itself, by a Send that delivers at once.
func (s *Sim) Take(from pbft.ReplicaID, epoch pbft.Epoch, m pbft.Message) {
	if s.taking {
		panic("replica: Sim.Take is called from within Sim.Take: SimConfig.Send must put messages aside")
	}
	s.taking = true
	b := &s.taken
	s.stage.check(from, epoch, m, b)
	s.stage.signatures(from, b)
	b.deliver(s.node)
	b.clear()
	s.flush()
	s.taking = false
}
