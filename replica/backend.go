package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

var _ backend = (*Server)(nil)

// Errors of queries and submissions; test with errors.Is.
var (
	// ErrNoQueries: the application is no statemachine.Querier.
	ErrNoQueries = errors.New("the application answers no queries")
	// ErrStopped: the replica was stopped or has failed.
	ErrStopped = errors.New("replica is stopped")
	// ErrNoHistory: the application is no statemachine.HistoryQuerier.
	ErrNoHistory = errors.New("the application answers from its last state only")
	// ErrHeightAhead: the height is not executed here yet.
	ErrHeightAhead = errors.New("height is not executed yet")
	// ErrNotServing: the state here is not the certified one, or not all of it is here, and
	// it is being repaired. Other replicas answer.
	ErrNotServing = errors.New("the state of this replica is not served now")
	// ErrNoReadIndex: the replica has lost its disk and does not vote yet, so it cannot
	// know what it promised before.
	ErrNoReadIndex = errors.New("replica does not know what it has voted for")
)

// offerLimit is how many offered requests may wait for the protocol goroutine.
const offerLimit = 1 << 16

// Offer implements backend.
func (s *Server) Offer(rs []*pbft.Request) {
	if s.stopping.Load() || s.Err() != nil || s.events.len() > offerLimit {
		for _, r := range rs {
			s.refused(r, pbft.DropBound) // nobody's fault: not DropPoolFull, which is held against a client
		}
		return
	}
	for _, r := range rs {
		s.stage.known.add(r)
	}
	s.post(func(n *Node) {
		s.trace.offered(rs)
		n.Offer(rs)
	})
}

func (s *Server) refused(r *pbft.Request, why pbft.Drop) {
	s.metrics.refused.WithLabelValues(why.String()).Inc()
	if s.local.refused(r, why) {
		return
	}
	if f := s.clients.Load(); f != nil {
		(*f).Refused(r, why)
	}
}

// Serving is nil if whoever asks may be answered from the state. Errors: ErrStopped,
// ErrNotServing.
func (s *Server) Serving() error {
	if err := s.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrStopped, err)
	}
	if d := s.diverged.Load(); d != nil {
		return fmt.Errorf("%w: %v; it is being repaired", ErrNotServing, d)
	}
	if s.runner.parts.missing.Load() {
		return fmt.Errorf("%w: it is being transferred", ErrNotServing)
	}
	return nil
}

// reading is Serving for whoever reads the state next, and keeps it as it is until done. It
// does not wait for a state that is being installed, which may take minutes.
func (s *Server) reading() (done func(), err error) {
	if err := s.Serving(); err != nil {
		return nil, err
	}
	if !s.runner.queryLock.TryRLock() {
		return nil, fmt.Errorf("%w: it is being transferred", ErrNotServing)
	}
	if err := s.Serving(); err != nil {
		s.runner.queryLock.RUnlock()
		return nil, err
	}
	return s.runner.queryLock.RUnlock, nil
}

func (s *Server) deliver(h pbft.Height, replies []statemachine.Reply) {
	s.trace.ran(h)
	defer s.trace.delivered(h)
	if len(replies) == 0 || s.diverged.Load() != nil {
		return
	}
	s.local.deliver(h, replies)
	if f := s.clients.Load(); f != nil {
		(*f).Deliver(s.epoch, h, replies)
	}
}

// Known implements backend.
func (s *Server) Known(r *pbft.Request) bool { return s.stage.known.Known(r.Digest(), r.Signature) }

// Lookup implements backend.
func (s *Server) Lookup(client crypto.PublicKey, seq uint64, digest pbft.Digest) (statemachine.Reply, bool) {
	if s.diverged.Load() != nil {
		return statemachine.Reply{}, false
	}
	return s.exec.Lookup(client, seq, digest)
}

// Query asks the application as it is on this replica, which may lag: for a
// linearizable read ask all replicas, as client.Client.Read does. The height is one whose effects the answer has at least.
func (s *Server) Query(ctx context.Context, q []byte) ([]byte, pbft.Height, error) {
	querier, ok := s.cfg.Machine.(statemachine.Querier)
	if !ok {
		return nil, 0, ErrNoQueries
	}
	done, err := s.reading()
	if err != nil {
		return nil, 0, err
	}
	defer done()
	h := s.runner.gate.height()
	answer, err := s.ask(func() ([]byte, error) { return querier.Query(ctx, q) })
	return answer, h, err
}

// AwaitExecuted implements backend.
func (s *Server) AwaitExecuted(ctx context.Context, h pbft.Height) error {
	return s.runner.gate.wait(ctx, h)
}

// QueryAt asks the application for its state after the block at exactly that height.
func (s *Server) QueryAt(ctx context.Context, h pbft.Height, q []byte) ([]byte, pbft.Height, error) {
	querier, ok := s.cfg.Machine.(statemachine.HistoryQuerier)
	if !ok {
		if _, ok := s.cfg.Machine.(statemachine.Querier); !ok {
			return nil, 0, ErrNoQueries
		}
		return nil, s.runner.gate.height(), ErrNoHistory
	}
	done, err := s.reading()
	if err != nil {
		return nil, 0, err
	}
	defer done()
	if now := s.runner.gate.height(); h > now {
		return nil, now, ErrHeightAhead
	}
	answer, err := s.ask(func() ([]byte, error) { return querier.QueryAt(ctx, uint64(h), q) })
	if errors.Is(err, statemachine.ErrPruned) {
		return nil, s.runner.gate.height(), fmt.Errorf("%w: %w", ErrPruned, err)
	}
	return answer, h, err
}

// ReadIndex implements backend.
func (s *Server) ReadIndex(context.Context) (pbft.Height, error) {
	if at := s.published.Load(); at == nil || at.follower {
		return 0, ErrNoReadIndex
	}
	v, err := s.data.store.Get(pbft.RecordKey{Kind: pbft.RecordHigh})
	if err != nil || v == nil {
		return 0, err // there is none as long as nothing was prepared
	}
	c, err := pbft.DecodeRecordCertificate(v)
	if err != nil {
		return 0, err
	}
	return c.Height, nil
}

// ReceiptAt implements backend.
func (s *Server) ReceiptAt(_ context.Context, h pbft.Height, request pbft.Digest, op int) (*receiptParts, error) {
	if err := s.Serving(); err != nil {
		return nil, err
	}
	at := s.published.Load()
	p, err := s.archive.receiptAt(h, s.runner.gate.height(), at.snapshot, at.oldest, request, op)
	if err != nil {
		return nil, err
	}
	p.Epoch = s.epoch
	return p, nil
}

// publish is called by the protocol goroutine, and by Start before it runs.
func (s *Server) publish() {
	n, c := s.node, s.node.Core()
	at := n.position()
	old := s.published.Load()
	if old != nil && at == old.position && old.counters == *c.Counters() && old.node == *n.Counters() && old.gather == s.gather.counters {
		return
	}
	p := &published{position: at, counters: *c.Counters(), node: *n.Counters(), gather: s.gather.counters}
	s.published.Store(p)
	if old != nil {
		s.logChanges(old, p)
	}
}

// position says where the node stands.
func (n *Node) position() position {
	c := n.core
	p := position{
		view: c.View(), primary: c.Primary(), entered: c.Entered(), open: c.Open(), suspects: c.Suspecting(),
		follower: c.IsFollower(), committed: c.Committed(), executed: c.ExecutedHeight(), stable: c.Stable(),
		oldest: c.Oldest(), pool: c.PoolLen(), tip: c.Tip().Height,
	}
	if b := c.SnapshotBundle(); b != nil {
		p.snapshot = b.Height()
	}
	p.transfer, p.got, p.total = n.Transfer()
	return p
}

// logChanges is the log of what an operator wants to follow.
func (s *Server) logChanges(old, p *published) {
	if p.view != old.view {
		s.logger.Warn("view changed", "view", p.view, "primary", p.primary, "from", old.view, "committed", p.committed)
	}
	if p.open && (!old.open || p.view != old.view) {
		s.logger.Info("view is open", "view", p.view, "primary", p.primary, "committed", p.committed)
	}
	for cause := range p.counters.Suspicions {
		if p.counters.Suspicions[cause] > old.counters.Suspicions[cause] {
			s.quiet.log(slog.LevelWarn, "suspecting the primary", "primary", old.primary, "view", old.view, "cause", pbft.Cause(cause).String())
		}
	}
	if old.follower && !p.follower {
		s.logger.Warn("rejoined: this replica votes again", "view", p.view)
	}
	if p.transfer != 0 && (p.transfer != old.transfer || p.got/16 != old.got/16) {
		s.quiet.log(slog.LevelInfo, "state transfer", "checkpoint", p.transfer, "chunks", p.got, "of", p.total)
	}
}

// Status says where the replica is.
func (s *Server) Status() Status {
	m := s.cfg.Roster.Member(s.self)
	st := Status{Cluster: s.cfg.Roster.ID, Epoch: s.epoch, Replica: s.self, Name: m.Name, Build: s.cfg.Build}
	if p := s.published.Load(); p != nil {
		st.View, st.Primary, st.Entered, st.Open, st.Suspects, st.Follower = p.view, p.primary, p.entered, p.open, p.suspects, p.follower
		st.Committed, st.Executed, st.Stable, st.Oldest, st.Snapshot = p.committed, p.executed, p.stable, p.oldest, p.snapshot
		st.Pool, st.Transfer, st.TransferChunks, st.TransferTotal = p.pool, p.transfer, p.got, p.total
	}
	for _, p := range s.transport.Peers() {
		st.Peers = append(st.Peers, PeerInfo{
			Replica: p.ID, Address: p.Address, Connected: p.Connected, RTTMicros: p.RTT.Microseconds(), LastError: p.LastError,
		})
	}
	if d := s.diverged.Load(); d != nil {
		st.Halted, st.Diverged = d.String()+"; its state is being repaired: see 'parley doctor'", d.Height()
	}
	st.Split = pbft.Height(s.runner.split.Load())
	if err := s.Err(); err != nil {
		st.Halted, st.Diverged = err.Error(), 0
	}
	return st
}

// unhealthy says why the replica does not take part, empty if it does.
func (s *Server) unhealthy() string {
	switch st := s.Status(); {
	case st.Diverged != 0:
		return "diverged: " + st.Halted
	case st.Halted != "":
		return "halted: " + st.Halted
	case s.stopping.Load():
		return "stopping"
	case st.Transfer != 0:
		return fmt.Sprintf("state transfer to checkpoint %d: %d of %d chunks", st.Transfer, st.TransferChunks, st.TransferTotal)
	}
	return ""
}

// Describe returns the protocol's state as text, for people.
func (s *Server) Describe(ctx context.Context) (string, error) {
	text := make(chan string, 1)
	if !s.post(func(n *Node) { text <- n.Core().Describe() }) {
		return "", ErrStopped
	}
	select {
	case t := <-text:
		return t, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s *Server) queueLengths() map[string]int {
	return map[string]int{
		"events": s.events.len(), "log": s.writer.queue.len(), "outbox": s.outbox.queue.len(),
		"execute": s.runner.jobs.len(), "snapshots": s.runner.snaps.len(), "aggregate": s.aggregate.len(),
		"files": s.files.len(), "transfers": s.transfers.len(),
	}
}
