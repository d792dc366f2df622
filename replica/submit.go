package replica

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// Errors of [Server.Submit]; test with errors.Is.
var (
	// ErrNotExecuted: the operation has not run and never will.
	ErrNotExecuted = errors.New("not executed")
	// ErrOutcomeUnknown: the caller stopped waiting; the operation may run yet, or
	// have run, until its deadline (Config.SubmitLife).
	ErrOutcomeUnknown = errors.New("outcome unknown")
)

// localClient proposes for the application in this process. It is a client like
// all others, with a session in the replicated state; only the answer is taken
// from the execution here, because this process is trusted to itself.
type localClient struct {
	server *Server

	mu     sync.Mutex
	key    crypto.KeySigner
	seq    uint64
	open   map[uint64]*submission // by sequence number
	closed bool
}

type submission struct {
	request *pbft.Request
	reply   chan statemachine.Reply // holds one
}

// resendAfter is how long a request waits before it is offered again: the pool
// may have refused it, or a view change lost it.
const resendAfter = 500 * time.Millisecond

func newLocalClient(s *Server) *localClient {
	return &localClient{server: s, key: s.cfg.LocalClient, open: make(map[uint64]*submission)}
}

// Submit proposes an operation through this replica and waits for its result.
//
// Operations of concurrent calls are ordered anyhow; a call that begins after
// another returned is ordered after it. At most the cluster's MaxInFlight calls
// wait at once, others wait for their turn. When ctx ends first the error wraps
// ErrOutcomeUnknown and ctx's: the operation may still run.
//
// Errors: ErrOutcomeUnknown, ErrNotExecuted (too late, or refused for good),
// ErrStopped.
func (s *Server) Submit(ctx context.Context, op []byte) (statemachine.Result, error) {
	results, err := s.SubmitAll(ctx, [][]byte{op})
	if err != nil {
		return statemachine.Result{}, err
	}
	return results[0], nil
}

// SubmitAll proposes several operations as one request: they run together, in
// order, in one block.
func (s *Server) SubmitAll(ctx context.Context, ops [][]byte) ([]statemachine.Result, error) {
	p := &s.cfg.Roster.Cluster.Parameters
	total := 0
	for _, op := range ops {
		total += len(op)
	}
	if len(ops) == 0 || len(ops) > int(p.MaxRequestOperations) || total > int(p.MaxOperationBytes) {
		return nil, fmt.Errorf("%w: %d operations of %d bytes: the cluster takes 1 to %d of up to %d bytes together in a request",
			ErrNotExecuted, len(ops), total, p.MaxRequestOperations, p.MaxOperationBytes)
	}
	sub, err := s.local.begin(ctx, ops)
	if err != nil {
		return nil, err
	}
	defer s.local.end(sub)
	s.Offer([]*pbft.Request{sub.request})
	again := time.NewTicker(resendAfter)
	defer again.Stop()
	for {
		select {
		case r := <-sub.reply:
			if r.Status.Ran() {
				return r.Results, nil
			}
			return nil, fmt.Errorf("%w: %v in block %d", ErrNotExecuted, r.Status, r.Height)
		case <-again.C:
			if r, ok := s.Lookup(sub.request.Client, sub.request.Seq, sub.request.Digest()); ok {
				return r.Results, nil
			}
			if s.stopping.Load() {
				return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, ErrStopped)
			}
			s.Offer([]*pbft.Request{sub.request})
		case <-s.failed:
			return nil, fmt.Errorf("%w: %w: %w", ErrOutcomeUnknown, ErrStopped, s.Err())
		case <-s.stopped:
			return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, ErrStopped)
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrOutcomeUnknown, ctx.Err())
		}
	}
}

// begin numbers and signs a request.
func (l *localClient) begin(ctx context.Context, ops [][]byte) (*submission, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.server.Err() != nil {
		return nil, ErrStopped
	}
	cfg := &l.server.cfg
	if l.key == nil {
		key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("local client: %w", err)
		}
		l.key = ed25519.NewSigner(key)
	}
	if !cfg.Roster.Admits(l.key.Public()) {
		return nil, fmt.Errorf("%w: the cluster lists its clients: give a listed key as Config.LocalClient", ErrNotExecuted)
	}
	now := cfg.Now()
	if l.seq == 0 {
		// Above every number that an earlier run with this key has used.
		l.seq = uint64(pbft.TimeOf(now))
	}
	for len(l.open) > 0 && l.seq+1 >= l.low()+uint64(cfg.Limits.MaxInFlight) {
		// The window is full. Waiting by polling is good enough: a caller with so many
		// operations in flight packs them into requests.
		l.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-l.server.failed:
		case <-l.server.stopped:
		case <-time.After(time.Millisecond):
		}
		l.mu.Lock()
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotExecuted, err)
		}
		if l.closed || l.server.Err() != nil {
			return nil, ErrStopped
		}
	}
	l.seq++
	low := l.seq
	if len(l.open) > 0 {
		low = l.low()
	}
	own := make([][]byte, len(ops))
	for i, op := range ops {
		own[i] = append([]byte(nil), op...)
	}
	r := pbft.NewRequest(l.key.Public(), l.seq, low, pbft.TimeOf(now.Add(cfg.SubmitLife)), own)
	d := r.Digest()
	sig, ok := crypto.SignatureOf(l.key.Sign(crypto.Context{Kind: crypto.KindRequest, Cluster: cfg.Roster.ID}, d[:]))
	if !ok {
		return nil, fmt.Errorf("%w: Config.LocalClient made a signature of another length than %d bytes", ErrNotExecuted, crypto.SignatureSize)
	}
	sub := &submission{request: r.WithSignature(sig), reply: make(chan statemachine.Reply, 1)}
	l.open[l.seq] = sub
	l.server.trace.received(sub.request, l.server.trace.now())
	return sub, nil
}

// low is the lowest number whose answer is still wanted.
func (l *localClient) low() uint64 {
	low := l.seq
	for seq := range l.open {
		low = min(low, seq)
	}
	return low
}

func (l *localClient) end(sub *submission) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, sub.request.Seq)
}

// deliver is called by the executor's goroutine.
func (l *localClient) deliver(_ pbft.Height, replies []statemachine.Reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) == 0 {
		return
	}
	own := l.key.Public()
	for i := range replies {
		r := &replies[i]
		if r.Client != own {
			continue
		}
		sub := l.open[r.Seq]
		if sub == nil || sub.request.Digest() != r.Request || !r.Status.Definite() && r.Status != statemachine.Conflict {
			continue // what is not settled may run yet: it is offered again
		}
		select {
		case sub.reply <- *r:
		default:
		}
	}
}

// refused tells whether the request was this client's; it is offered again later.
func (l *localClient) refused(r *pbft.Request, _ pbft.Drop) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	sub := l.open[r.Seq]
	return sub != nil && sub.request == r
}

func (l *localClient) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}
