package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/transport"
)

// Server runs one replica. Start one with [Start]; all methods are safe for
// concurrent use.
//
// Goroutines, and what passes between them:
//
//	peer's link -> inbox (verify) -> protocol -> log writer -> peers
//	                                 |   |  \-> outbox -> peers
//	                                 |   \-> executor -> clients, snapshots
//	                                 \-> aggregators, file server, transfers
//
// Only the protocol goroutine touches the Node. Everything that waits for a disk,
// a socket or many signatures is elsewhere and reports by an event.
type Server struct {
	cfg     Config
	self    pbft.ReplicaID
	epoch   pbft.Epoch
	logger  *slog.Logger
	metrics *metrics
	trace   *tracer // nil if switched off
	quiet   quiet

	data      *dataDir
	folder    *snapshotFolder
	archive   *resultArchive
	exec      *statemachine.Executor
	runner    *runner
	verifier  *pbft.Verifier
	quorums   *pbft.QuorumSystem
	stage     *verifyStage
	inboxes   []*inbox
	transport transport.Transport
	sender    *sender
	outbox    *outbox
	writer    *logWriter
	frontend  frontend
	// clients is the frontend once it has started: what the execution and protocol
	// goroutines see of it.
	clients atomic.Pointer[frontend]
	admin   *admin
	local   *localClient

	node       *Node // the protocol goroutine's
	events     *queue[func(*Node)]
	loopDone   chan struct{}
	ticks      int        // the protocol goroutine's: since it last looked at the round trips
	congestion congestion // the protocol goroutine's
	gather     gather     // the protocol goroutine's
	published  atomic.Pointer[published]

	aggregate  *queue[func()]
	files      *queue[func()]
	transfers  *queue[func()]
	background sync.WaitGroup // of the three
	incoming   *incoming      // the transfer goroutine's

	watch     sync.WaitGroup
	stopWatch chan struct{}
	// life ends when the replica is stopped.
	life    context.Context
	endLife context.CancelFunc

	failure  atomic.Pointer[error]
	failed   chan struct{} // closed with failure
	failOnce sync.Once
	// diverged says how the state here is not the certified one, nil if it is. Written by
	// the protocol goroutine.
	diverged atomic.Pointer[pbft.Divergence]
	asks     *stateAsks
	doctor   *doctor
	scrubs   scrubs
	stopOnce sync.Once
	stopErr  error
	stopped  chan struct{}
	stopping atomic.Bool
}

// published is what the protocol goroutine lets others see. It is replaced, never
// changed.
type published struct {
	position
	counters pbft.Counters
	node     NodeCounters
	gather   gatherCounters
}

// position is where a node stands. Positions can be compared.
type position struct {
	view      pbft.View
	primary   pbft.ReplicaID
	entered   bool
	open      bool
	suspects  bool
	follower  bool
	tip       pbft.Height
	committed pbft.Height
	executed  pbft.Height
	stable    pbft.Height
	oldest    pbft.Height
	snapshot  pbft.Height
	pool      int
	transfer  pbft.Height
	got       int
	total     int
}

// Start recovers the replica's state from its data folder, opens its listeners
// and takes part. It returns when the replica is up, which does not mean that the
// cluster is: see [Server.Status]. ctx bounds the start only; [Server.Stop] ends
// what was started.
//
// Errors: ErrConfig, ErrIdentity, ErrLocked, ErrStore (also ErrCorrupt,
// ErrDiskFull), the application's, those of the listeners.
func Start(ctx context.Context, cfg Config) (_ *Server, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	self, err := cfg.Roster.FindSelf(cfg.Keys.Public())
	if err != nil {
		return nil, err
	}
	member := cfg.Roster.Member(self)
	s := &Server{
		cfg: cfg, self: self, epoch: pbft.Epoch(cfg.Roster.Cluster.Epoch),
		logger:  cfg.Logger.With("replica", member.Name),
		metrics: newMetrics(),
		events:  newQueue[func(*Node)](), loopDone: make(chan struct{}),
		aggregate: newQueue[func()](), files: newQueue[func()](), transfers: newQueue[func()](),
		stopWatch: make(chan struct{}), failed: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.life, s.endLife = context.WithCancel(context.Background())
	s.quiet.logger = s.logger
	s.trace = newTracer(cfg.TraceBlocks, s.traced)
	s.cfg.trace = s.trace
	s.metrics.registry.MustRegister(newStateCollector(s))
	undo := []func(){s.endLife}
	defer func() {
		if err != nil {
			for i := len(undo) - 1; i >= 0; i-- {
				undo[i]()
			}
		}
	}()
	if s.data, err = openDataDir(cfg.DataDir, cfg.identity(self), DiskStoreConfig{
		Reserve: uint64(max(cfg.Reserve, 0)), FreeSpace: cfg.freeSpace, Logger: s.logger, disk: cfg.disk,
	}); err != nil {
		return nil, err
	}
	undo = append(undo, func() { _ = s.data.close() })
	if s.data.follower {
		s.logger.Warn("STARTING AS A FOLLOWER: this replica will not vote until it has rejoined, because it may have voted before and does not remember; "+
			"a new cluster's data folders must be made by 'parley init'", "folder", cfg.DataDir, "reason", s.data.reason)
	}
	node, err := s.openState(ctx)
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() { _ = s.closeMachine() })
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start of replica %s: %w", member.Name, err)
	}
	undo = append(undo, s.folder.close)
	s.node = node
	s.local = newLocalClient(s)
	if newFrontend != nil {
		if s.frontend, err = newFrontend(&s.cfg); err != nil {
			return nil, err
		}
		if s.cfg.between != nil {
			s.frontend = s.cfg.between.frontend(s, s.frontend)
		}
	}
	if err := s.listen(); err != nil {
		return nil, err
	}
	s.startGoroutines()
	if s.frontend != nil {
		if err := s.frontend.start(s); err != nil {
			s.frontend = nil
			undo = nil
			return nil, errors.Join(err, s.Stop(ctx))
		}
		s.clients.Store(&s.frontend)
	}
	for _, w := range cfg.Roster.Cluster.Warnings() {
		s.logger.Warn("cluster file: " + w)
	}
	s.logger.Info("replica is up", "cluster", cfg.Roster.Cluster.Name, "id", self, "epoch", s.epoch, "committed", s.published.Load().committed)
	return s, nil
}

// listen opens the peer and admin listeners. The transport may deliver from now on.
func (s *Server) listen() (err error) {
	if s.cfg.AdminListener == nil && s.cfg.AdminListen != "" {
		if s.cfg.AdminListener, err = net.Listen("tcp", s.cfg.AdminListen); err != nil {
			return fmt.Errorf("admin listener: %w", err)
		}
	}
	s.inboxes = make([]*inbox, s.cfg.Roster.N())
	for i := range s.inboxes {
		if pbft.ReplicaID(i) != s.self {
			s.inboxes[i] = newInbox(pbft.ReplicaID(i), s.stage)
		}
	}
	handler := transport.Handler(s)
	if s.cfg.between != nil {
		handler = s.cfg.between.handler(s)
	}
	if s.transport, err = newPeerTransport(&s.cfg, s.self, handler); err != nil {
		if s.cfg.AdminListener != nil {
			_ = s.cfg.AdminListener.Close()
		}
		s.closeInboxes()
		return err
	}
	if s.cfg.between != nil {
		s.transport = s.cfg.between.transport(s.transport)
	}
	return nil
}

func (s *Server) startGoroutines() {
	s.sender = &sender{
		transport: s.transport, cluster: s.cfg.Roster.ID, epoch: s.epoch, keys: s.signingKeys(),
		members: s.cfg.Roster.N(), metrics: s.metrics,
	}
	s.outbox = startOutbox(s.sender)
	s.asks.send = func(to pbft.ReplicaID, m pbft.Message) { s.outbox.queue.put(pbft.Envelope{To: to, Message: m}) }
	s.writer = &logWriter{
		store: s.data.store, metrics: s.metrics, trace: s.trace, now: time.Now, fail: s.fail,
		release: func(b *Batch) []pbft.Message {
			return b.Release(s.cfg.Roster.ID, s.epoch, s.sender.keys, s.sender.sendSigned, s.signLater)
		},
		report: func(seq uint64, own []pbft.Message) { s.post(func(n *Node) { n.Persisted(seq, own) }) },
	}
	if s.data.follower {
		s.writer.born = BornFollower
	}
	s.writer.start()
	s.runner.start()
	for range runtime.GOMAXPROCS(0) {
		s.work(s.aggregate)
	}
	s.work(s.files)
	s.work(s.transfers)
	s.publish()
	go s.loop()
	s.post(func(n *Node) { n.Start(pbft.TimeOf(s.cfg.Now())) })
	s.watch.Go(s.watchStore)
	s.hearDamage()
	s.watch.Go(s.scrub)
	if s.cfg.AdminListener != nil {
		s.admin = startAdmin(s, s.cfg.AdminListener, s.cfg.Pprof)
	}
}

// signLater has checkpoint votes signed elsewhere: a BLS signature takes as long as
// a sync, and votes for blocks must not wait for it.
func (s *Server) signLater(e pbft.Envelope) bool {
	if !signedLater(e.Message) {
		return false
	}
	return s.aggregate.put(func() {
		if own := ReleaseOne(e, s.cfg.Roster.ID, s.epoch, s.sender.keys, s.sender.sendSigned); own != nil {
			s.post(func(n *Node) { n.Own(own) })
		}
	})
}

func signedLater(m pbft.Message) bool {
	v, ok := m.(*pbft.CheckpointVote)
	return ok && len(v.Signature) == 0
}

// work runs the jobs of a queue, one after another.
func (s *Server) work(q *queue[func()]) {
	s.background.Add(1)
	go func() {
		defer s.background.Done()
		for job, ok := q.take(); ok; job, ok = q.take() {
			job()
		}
	}()
}

// post gives the protocol goroutine something to do.
func (s *Server) post(event func(*Node)) bool { return s.events.put(event) }

// watchStore ends the replica when its database gives up by itself, in the middle of
// its own work, also while nothing is to be written.
func (s *Server) watchStore() {
	select {
	case <-s.data.store.broken():
		s.fail(s.data.store.err())
	case <-s.stopWatch:
	}
}

// Receive implements transport.Handler.
func (s *Server) Receive(from crypto.ReplicaID, message []byte) {
	if int(from) < len(s.inboxes) && s.inboxes[from] != nil {
		s.inboxes[from].put(message)
	}
}

func (s *Server) closeInboxes() {
	for _, in := range s.inboxes {
		if in != nil {
			in.close()
		}
	}
}

// fail stops the replica for good: nothing is signed, written or sent any more.
func (s *Server) fail(err error) {
	err = s.adviseStorage(err)
	s.failOnce.Do(func() {
		s.failure.Store(&err)
		s.interrupt()
		s.post((*Node).Fail)
		if errors.Is(err, ErrDiskFull) {
			s.logger.Error("THE DISK IS FULL: this replica has stopped and lost nothing; free space and start it again", "error", err)
		} else {
			s.logger.Error("this replica has failed and stopped taking part", "error", err)
		}
		close(s.failed)
	})
}

// Failed is closed when the replica could not go on; [Server.Err] says why. The
// owner calls Stop and ends, or starts anew once the cause is removed.
func (s *Server) Failed() <-chan struct{} { return s.failed }

// Err is why the replica failed, nil if it did not.
func (s *Server) Err() error {
	if p := s.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Stop ends the replica: clients first, then peers, then the log is synced and
// closed. ctx bounds how long clients may take to leave; the rest is not bounded,
// since it only waits for the disk. After Stop no goroutine of the replica runs.
// A second call waits for the first and returns the same.
func (s *Server) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() {
		defer close(s.stopped)
		s.stopping.Store(true)
		var errs []error
		if s.frontend != nil {
			errs = append(errs, s.frontend.stop(ctx))
		}
		s.local.close()
		if s.admin != nil {
			s.admin.stop(ctx)
		}
		close(s.stopWatch)
		s.endLife()
		s.watch.Wait()
		// Inboxes first: a full one holds up the transport.
		s.closeInboxes()
		errs = append(errs, s.transport.Close())
		s.stage.wg.Wait()
		// The executor and the background reports to the loop, the loop to the writer.
		s.runner.stop()
		for _, q := range []*queue[func()]{s.aggregate, s.files, s.transfers} {
			q.close()
		}
		s.background.Wait()
		s.incoming.close()
		s.events.close()
		<-s.loopDone
		s.writer.stop()
		s.outbox.stop()
		s.folder.close()
		errs = append(errs, s.closeMachine(), s.data.close())
		s.stopErr = errors.Join(errs...)
		s.logger.Info("replica stopped")
	})
	<-s.stopped
	return s.stopErr
}
