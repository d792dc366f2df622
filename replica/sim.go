package replica

import (
	"errors"
	"log/slog"

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
	// LazyVotes and LazyCheckpoints say that the votes are only verified as
	// aggregates, as for a lazy scheme (see crypto.Scheme).
	LazyVotes, LazyCheckpoints bool
	Keys                       pbft.Keys
	Limits                     statemachine.Limits
	// Machine is the application in its initial state.
	Machine statemachine.StateMachine
	// Store and Snapshots are the replica's disk: give the same to the next Sim after
	// a crash (and have the store lose what was not synced).
	Store     Store
	Snapshots *MemorySnapshots
	Transfer  TransferConfig
	Serve     ServeConfig
	// Voter says that the empty store is that of a replica that has never run. With
	// an empty store and no Voter the replica is one that lost its disk.
	Voter bool
	// ReceiptRetain as in Config.
	ReceiptRetain int64
	// Send gets every message for another replica, encoded; see also
	// SimHooks.Transmit.
	Send func(to pbft.ReplicaID, raw []byte)
	// Executed, if not nil, gets every block that was executed, with the replies;
	// not those of a replay.
	Executed func(b *pbft.Block, replies []statemachine.Reply)
	// Refused, Alarm and Evidence get what their namesakes of Host report; each may
	// be nil.
	Refused  func(r *pbft.Request, why pbft.Drop)
	Alarm    func(a pbft.Alarm)
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
	// Works is the number of kinds.
	Works
)

// Sim is a replica whose every step is the caller's: the Node of a [Server] with
// memory for a disk, and no goroutine, clock or randomness. Work piles up until Do
// is called, so a schedule can let the disk lag, the executor stall, or the
// replica crash with anything of it undone. It is not safe for concurrent use.
type Sim struct {
	cfg    SimConfig
	node   *Node
	runner *runner
	stage  *verifyStage
	writer logWriter
	jobs   [Works][]func() error
	batch  []*Batch
	err    error
	epoch  pbft.Epoch
	stats  SimStats
	// replies are of the block that is being executed.
	replies []statemachine.Reply
	// held is how many calls of Together are under way.
	held int
}

// SimStats count what a Sim did not pass on.
type SimStats struct {
	Malformed  uint64
	WrongEpoch uint64
	Dropped    uint64
}

// NewSim recovers a replica from its disk. Call Start next.
func NewSim(cfg SimConfig) (*Sim, error) {
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
		fail:         s.fail,
		later:        s.writeLater,
	}
	if f := cfg.Hooks.Applied; f != nil {
		s.runner.applied = func(b *pbft.Block, x *statemachine.Execution) { f(s.runner.exec, b, x) }
	}
	rec, err := recoverState(s.runner, s.runner.logger)
	if err != nil {
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
		Core: core, Verifier: cfg.Verifier, Log: log, Statements: rec.statements, Install: rec.install,
		Transfer: cfg.Transfer, Serve: cfg.Serve, CheckManifest: CheckManifest,
	}, simHost{s})
	if ferr := fault(); ferr != nil {
		return nil, ferr
	}
	if err != nil {
		return nil, err
	}
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
func (s *Sim) Start(now pbft.Time) { s.node.Start(now) }

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
	view, low, high := s.node.Core().TallyRange()
	now := tallyBounds{view, low, high, s.node.Core().Stable()}
	if b := s.stage.bounds.Load(); b == nil || *b != now {
		s.stage.bounds.Store(&now)
	}
}

// Tick is one unit of time.
func (s *Sim) Tick(now pbft.Time) {
	s.node.Tick(now)
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
	return s.runner.exec.Lookup(r.Client, r.Seq, r.Digest())
}

// Receive takes a message as it came over the link from a peer.
func (s *Sim) Receive(from pbft.ReplicaID, raw []byte) {
	b := s.stage.verify(from, [][]byte{raw})
	b.deliver(s.node)
	s.flush()
}

// Take takes a message that is already decoded and that nobody changes any more.
func (s *Sim) Take(from pbft.ReplicaID, epoch pbft.Epoch, m pbft.Message) {
	var b verifiedBatch
	s.stage.check(from, epoch, m, &b)
	s.stage.signatures(from, &b)
	b.deliver(s.node)
	s.flush()
}

// Pending is how much work of a kind waits.
func (s *Sim) Pending(w Work) int {
	if w == WorkDisk {
		return len(s.batch)
	}
	return len(s.jobs[w])
}

// Do does the next piece of work of a kind; false if there was none. Of WorkDisk
// it does all that waits, as one group commit.
func (s *Sim) Do(w Work) bool {
	if s.err != nil {
		return false
	}
	if w == WorkDisk {
		return s.Write(len(s.batch))
	}
	if len(s.jobs[w]) == 0 {
		return false
	}
	job := s.jobs[w][0]
	s.jobs[w][0] = nil
	s.jobs[w] = s.jobs[w][1:]
	if err := job(); err != nil {
		s.fail(err)
	}
	s.flush()
	return true
}

// Settle does all work there is, in a fixed order, and what comes of it.
func (s *Sim) Settle() {
	for again := true; again && s.err == nil; {
		again = false
		for w := range Works {
			for s.Do(w) {
				again = true
			}
		}
	}
}

// Write writes and syncs the first n batches that wait, as one group commit, and
// releases their messages; false if there was nothing to do.
func (s *Sim) Write(n int) bool {
	if s.err != nil || n == 0 || len(s.batch) == 0 {
		return false
	}
	if s.crashes(SimBeforeWrite) {
		return true
	}
	batches := s.batch[:n:n]
	s.batch = s.batch[n:]
	if err := s.writer.commit(batches); err != nil {
		s.fail(err)
		return true
	}
	if s.crashes(SimAfterSync) {
		return true
	}
	for _, b := range batches {
		own := b.Release(s.cfg.Core.Cluster, s.epoch, s.cfg.Keys, s.send, s.signLater)
		if s.err != nil || len(b.Durable) > 0 && s.crashes(SimReleased) {
			return true
		}
		s.node.Persisted(b.Seq, own)
	}
	s.flush()
	return true
}

// Synced tells whether anything waits for the sync of the first n batches.
func (s *Sim) Synced(n int) bool {
	for _, b := range s.batch[:n] {
		if len(b.Durable) > 0 {
			return true
		}
	}
	return false
}

// Crash ends the replica as a crash does, after the first n batches that wait have
// reached the disk all the same. Nothing leaves it any more.
func (s *Sim) Crash(n int) error {
	if s.err == nil {
		s.err = ErrSimCrashed
	}
	s.node.Fail()
	if n == 0 {
		return nil
	}
	return s.writer.commit(append(s.batch[:n:n], &Batch{Durable: []pbft.Envelope{{}}}))
}

// signLater is Server.signLater.
func (s *Sim) signLater(e pbft.Envelope) bool {
	if s.err != nil {
		return true
	}
	if e.Message.Kind() != pbft.KindCheckpointVote {
		return false
	}
	simHost{s}.later(WorkAggregate, func() error {
		if own := ReleaseOne(e, s.cfg.Core.Cluster, s.epoch, s.cfg.Keys, s.send); own != nil && s.err == nil {
			s.node.Own(own)
		}
		return nil
	})
	return true
}

// send gives a signed message to the caller.
func (s *Sim) send(to pbft.ReplicaID, m pbft.Message) {
	if s.err != nil {
		return
	}
	if f := s.cfg.Hooks.Transmit; f != nil {
		f(to, m)
		return
	}
	raw := pbft.Encode(s.epoch, m)
	if to != pbft.Everyone {
		s.cfg.Send(to, raw)
		return
	}
	for id := range s.cfg.Core.Quorums.N() {
		if pbft.ReplicaID(id) != s.cfg.Keys.Self {
			s.cfg.Send(pbft.ReplicaID(id), raw)
		}
	}
}

// executed follows what the runner gives to deliver.
func (s *Sim) executed(b *pbft.Block) {
	if s.cfg.Executed != nil {
		s.cfg.Executed(b, s.replies)
	}
	s.replies = nil
}

// checkpointed reports a statement to the node.
func (s *Sim) checkpointed(c pbft.CheckpointStatement) {
	if f := s.cfg.Hooks.Stated; f != nil {
		f(c)
	}
	s.node.Checkpointed(c)
}

func (s *Sim) installed(b *pbft.Bundle, err error) {
	if f := s.cfg.Hooks.Installed; f != nil {
		f(s.runner.exec, b, err)
	}
	s.node.Installed(b, err)
}

// writeLater has a snapshot written as WorkSnapshot.
func (s *Sim) writeLater(j snapshotJob) bool {
	simHost{s}.later(WorkSnapshot, func() error {
		if waiting := s.jobs[WorkSnapshot]; s.runner.overtaken(&j, len(waiting) > 0) {
			if err := j.snap.Close(); err != nil {
				return err
			}
			s.jobs[WorkSnapshot] = waiting[1:]
			return waiting[0]()
		}
		root, err := s.runner.writeSnapshot(&j)
		if err == nil {
			s.checkpointed(statement(&j.info, root))
		}
		return err
	})
	return true
}

// simHost is the Sim as its Node sees it.
type simHost struct{ s *Sim }

var _ Host = simHost{}

func (h simHost) later(w Work, job func() error) { h.s.jobs[w] = append(h.s.jobs[w], job) }

func (h simHost) Persist(b *Batch) { h.s.batch = append(h.s.batch, b) }

func (h simHost) Send(to pbft.ReplicaID, m pbft.Message) {
	h.s.send(to, pbft.Sign(h.s.cfg.Core.Cluster, h.s.epoch, m, h.s.cfg.Keys))
}

func (h simHost) Execute(blocks []*pbft.Block) {
	for _, b := range blocks {
		h.later(WorkExecute, func() error {
			return h.s.runner.do(&runnerJob{blocks: []*pbft.Block{b}})
		})
	}
}

func (h simHost) Aggregate(p *pbft.Pending) {
	h.later(WorkAggregate, func() error {
		c, culprits := h.s.cfg.Verifier.Aggregate(p)
		if f := h.s.cfg.Hooks.Certified; f != nil {
			f(c, culprits)
		}
		h.s.node.Aggregated(p, c, culprits)
		return nil
	})
}

func (h simHost) AggregateCheckpoint(p *pbft.CheckpointPending) {
	h.later(WorkAggregate, func() error {
		c, culprits := h.s.cfg.Verifier.AggregateCheckpoint(p)
		if f := h.s.cfg.Hooks.CheckpointCertified; f != nil {
			f(c, culprits)
		}
		h.s.node.AggregatedCheckpoint(p, c, culprits)
		if c == nil {
			return nil
		}
		return h.s.runner.archive.certified(c)
	})
}

func (h simHost) Serve(v *Serving) {
	h.later(WorkFiles, func() error {
		var m pbft.Message
		var err error
		if _, blocks := v.Ask.(*pbft.GetBlocks); blocks {
			m, err = v.Blocks(h.s.cfg.Store)
		} else {
			m, err = h.s.cfg.Snapshots.answer(v.Ask)
		}
		if err != nil && !errors.Is(err, ErrStore) {
			err = nil // the peer asks somebody else
		}
		if m != nil && err == nil {
			h.Send(v.To, m)
		}
		h.s.node.Served(v.To)
		return err
	})
}

func (h simHost) Admissible(r *pbft.Request) pbft.Drop {
	er := executorRequest(r)
	status, ok := h.s.runner.exec.Admissible(&er, statemachine.Time(h.s.node.now))
	if ok {
		return pbft.NoDrop
	}
	return dropOfStatus(status)
}

func (h simHost) Refused(r *pbft.Request, why pbft.Drop) {
	if h.s.cfg.Refused != nil {
		h.s.cfg.Refused(r, why)
	}
}

func (h simHost) Stable(b *pbft.Bundle) {
	if f := h.s.cfg.Hooks.Stable; f != nil {
		f(b)
	}
	h.s.runner.certifiedSnapshot(b.Height())
	h.later(WorkFiles, func() error {
		r := h.s.runner
		err := r.archive.certified(b.Checkpoint)
		if err == nil && r.isSnapshot(b.Height()) {
			if err = r.archive.prune(b.Height()); err == nil {
				err = r.folder.prune(b.Height())
			}
		}
		return err
	})
}

func (h simHost) Evidence(e *pbft.Evidence) {
	if h.s.cfg.Evidence != nil {
		h.s.cfg.Evidence(e)
	}
}

func (h simHost) Alarm(a pbft.Alarm) {
	if h.s.cfg.Alarm != nil {
		h.s.cfg.Alarm(a)
	}
}

func (h simHost) OpenTransfer(b *pbft.Bundle) {
	h.later(WorkTransfer, func() error {
		manifest, have := h.s.cfg.Snapshots.begin(b.Height(), func(m []byte) error {
			_, err := CheckManifest(b, m)
			return err
		})
		h.s.node.TransferOpened(b.Height(), manifest, have)
		return nil
	})
}

func (h simHost) SaveManifest(height pbft.Height, data []byte) {
	h.later(WorkTransfer, func() error {
		ok, err := h.s.cfg.Snapshots.save(height, data)
		if ok && err == nil {
			h.s.node.ManifestSaved(height, data)
		}
		return err
	})
}

func (h simHost) CheckChunk(height pbft.Height, index uint32, from pbft.ReplicaID, data []byte) {
	h.later(WorkTransfer, func() error {
		snaps := h.s.cfg.Snapshots
		if !snaps.transferring(height) {
			return nil
		}
		good, err := snaps.put(index, data)
		if err != nil {
			return err
		}
		if f := h.s.cfg.Hooks.Poisoned; f != nil && !good {
			f(from)
		}
		h.s.node.ChunkChecked(height, index, from, good)
		return nil
	})
}

func (h simHost) Install(b *pbft.Bundle) {
	h.later(WorkTransfer, func() error {
		if files := h.s.cfg.Snapshots.hand(b.Height()); files != nil {
			h.later(WorkExecute, func() error { return h.s.runner.do(&runnerJob{install: b, files: files}) })
		}
		return nil
	})
}

func (h simHost) CloseTransfer(pbft.Height) {}
