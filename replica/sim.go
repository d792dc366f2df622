package replica

import (
	"fmt"
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
	Keys     pbft.Keys
	Limits   statemachine.Limits
	// Machine is the application in its initial state.
	Machine statemachine.StateMachine
	// Store and Snapshots are the replica's disk: give the same to the next Sim after
	// a crash (and call Store.Crash).
	Store     *MemoryStore
	Snapshots *MemorySnapshots
	Transfer  TransferConfig
	Serve     ServeConfig
	// Voter says that the empty store is that of a replica that has never run. With
	// an empty store and no Voter the replica is one that lost its disk.
	Voter bool
	// ReceiptRetain as in Config.
	ReceiptRetain int64
	// Send gets every message for another replica, encoded.
	Send func(to pbft.ReplicaID, raw []byte)
	// Executed, if not nil, gets every block that was executed, with the replies.
	Executed func(b *pbft.Block, replies []statemachine.Reply)
	// Refused, Alarm and Evidence get what their namesakes of Host report; each may
	// be nil.
	Refused  func(r *pbft.Request, why pbft.Drop)
	Alarm    func(a pbft.Alarm)
	Evidence func(e *pbft.Evidence)
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
	// WorkOther is the rest: aggregating, serving peers, keeping chunks.
	WorkOther
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
	born   Born
	jobs   [Works][]func() error
	batch  []*Batch
	dirty  bool
	// waiting are blocks that wait for the state to be installed.
	waiting []*pbft.Block
	err     error
	epoch   pbft.Epoch
	stats   SimStats
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
	born, err := readBorn(cfg.Store)
	if err != nil {
		return nil, err
	}
	if s.born = born; born == BornNot {
		if s.born = BornFollower; cfg.Voter {
			s.born = BornVoter
		}
		if err := cfg.Store.WriteHost([]HostRecord{bornRecord(s.born)}, true); err != nil {
			return nil, err
		}
	}
	retain := cfg.ReceiptRetain
	if retain == 0 {
		retain = -1
	}
	s.runner = &runner{
		exec: statemachine.NewExecutor(cfg.Machine, cfg.Limits), folder: cfg.Snapshots, store: cfg.Store,
		archive: &resultArchive{store: cfg.Store, every: cfg.Core.CheckpointEvery, retain: retain},
		every:   cfg.Core.CheckpointEvery, epoch: cfg.Core.Epoch, logger: slog.New(slog.DiscardHandler),
		deliver:      func(pbft.Height, []statemachine.Reply) {},
		observe:      func(*pbft.Block) {},
		executed:     func(h pbft.Height) { s.node.Executed(h) },
		checkpointed: func(c pbft.CheckpointStatement) { s.node.Checkpointed(c) },
		installed:    func(b *pbft.Bundle, err error) { s.node.Installed(b, err) },
		fail:         func(err error) { s.fail(err) },
	}
	rec, err := recoverState(s.runner, s.runner.logger)
	if err != nil {
		return nil, err
	}
	core := cfg.Core
	core.Executed, core.Follower = rec.executed, s.born == BornFollower
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

// Tick is one unit of time.
func (s *Sim) Tick(now pbft.Time) {
	s.node.Tick(now)
	s.node.Flush()
}

// Offer brings requests of clients, whose signatures the caller has checked.
func (s *Sim) Offer(rs []*pbft.Request) {
	s.node.Offer(rs)
	s.node.Flush()
}

// Receive takes a message as it came over the link from a peer.
func (s *Sim) Receive(from pbft.ReplicaID, raw []byte) {
	epoch, m, err := pbft.Decode(raw)
	if err != nil {
		s.stats.Malformed++
		return
	}
	if epoch != s.epoch {
		s.stats.WrongEpoch++
		return
	}
	v, why := s.cfg.Verifier.Verify(from, m)
	if why != pbft.NoDrop {
		s.stats.Dropped++
		return
	}
	s.node.Receive(v)
	s.node.Flush()
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
		return s.sync()
	}
	if len(s.jobs[w]) == 0 {
		return false
	}
	job := s.jobs[w][0]
	s.jobs[w] = s.jobs[w][1:]
	if err := job(); err != nil {
		s.fail(err)
	}
	s.node.Flush()
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

// sync is logWriter.write and what follows it.
func (s *Sim) sync() bool {
	if len(s.batch) == 0 {
		return false
	}
	w := logWriter{store: s.cfg.Store, metrics: nil, born: s.born, dirty: s.dirty}
	batches := s.batch
	s.batch = nil
	if err := w.commit(batches); err != nil {
		s.fail(err)
		return true
	}
	s.born, s.dirty = w.born, w.dirty
	for _, b := range batches {
		own := b.Release(s.cfg.Core.Cluster, s.epoch, s.cfg.Keys, s.send, nil)
		s.node.Persisted(b.Seq, own)
	}
	s.node.Flush()
	return true
}

func (s *Sim) send(to pbft.ReplicaID, m pbft.Message) {
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
		h.later(WorkExecute, func() error { return h.s.execute(b) })
	}
}

func (s *Sim) execute(b *pbft.Block) error {
	r := s.runner
	if uint64(b.Height) <= r.exec.Position().Height {
		return nil
	}
	if r.pending {
		s.waiting = append(s.waiting, b) // for the state to be installed
		return nil
	}
	x, err := r.apply(b)
	if err != nil {
		return err
	}
	if s.cfg.Executed != nil {
		s.cfg.Executed(b, x.Replies)
	}
	r.gate.raise(b.Height)
	s.node.Executed(b.Height)
	if x.Checkpoint == nil {
		return nil
	}
	if !r.isSnapshot(b.Height) {
		s.node.Checkpointed(statement(x.Checkpoint, pbft.Digest{}))
		return nil
	}
	snap, err := r.exec.Snapshot()
	if err != nil {
		return err
	}
	job := snapshotJob{info: *x.Checkpoint, snap: snap}
	s.jobs[WorkSnapshot] = append(s.jobs[WorkSnapshot], func() error {
		root, err := r.writeSnapshot(&job)
		if err == nil {
			s.node.Checkpointed(statement(&job.info, root))
		}
		return err
	})
	return nil
}

func (h simHost) Aggregate(p *pbft.Pending) {
	h.later(WorkOther, func() error {
		c, culprits := h.s.cfg.Verifier.Aggregate(p)
		h.s.node.Aggregated(p, c, culprits)
		return nil
	})
}

func (h simHost) AggregateCheckpoint(p *pbft.CheckpointPending) {
	h.later(WorkOther, func() error {
		c, culprits := h.s.cfg.Verifier.AggregateCheckpoint(p)
		h.s.node.AggregatedCheckpoint(p, c, culprits)
		if c == nil {
			return nil
		}
		return h.s.runner.archive.certified(c)
	})
}

func (h simHost) Serve(v *Serving) {
	h.later(WorkOther, func() error {
		var m pbft.Message
		var err error
		if _, blocks := v.Ask.(*pbft.GetBlocks); blocks {
			m, err = v.Blocks(h.s.cfg.Store)
		} else {
			m = h.s.cfg.Snapshots.answer(v.Ask)
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
	h.later(WorkOther, func() error {
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
	h.later(WorkOther, func() error {
		manifest, have := h.s.cfg.Snapshots.begin(b.Height(), func(m []byte) error {
			_, err := CheckManifest(b, m)
			return err
		})
		h.s.node.TransferOpened(b.Height(), manifest, have)
		return nil
	})
}

func (h simHost) SaveManifest(height pbft.Height, data []byte) {
	h.later(WorkOther, func() error {
		h.s.cfg.Snapshots.save(height, data)
		h.s.node.ManifestSaved(height, data)
		return nil
	})
}

func (h simHost) CheckChunk(height pbft.Height, index uint32, from pbft.ReplicaID, data []byte) {
	h.later(WorkOther, func() error {
		h.s.node.ChunkChecked(height, index, from, h.s.cfg.Snapshots.put(height, index, data))
		return nil
	})
}

func (h simHost) Install(b *pbft.Bundle) {
	h.later(WorkExecute, func() error {
		s := h.s
		if err := s.cfg.Snapshots.finish(b.Height()); err != nil {
			return fmt.Errorf("install the state of checkpoint %d: %w", b.Height(), err)
		}
		if err := s.runner.adopt(b); err != nil {
			return err
		}
		waiting := s.waiting
		s.waiting = nil
		for _, b := range waiting {
			if err := s.execute(b); err != nil {
				return err
			}
		}
		return nil
	})
}

func (h simHost) CloseTransfer(pbft.Height) {}
