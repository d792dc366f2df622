package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// ReadAt asks a query of the application as it was after the block at exactly that
// height, and returns what replicas of more than F weight answer alike. A height that is
// not executed yet is waited for, as long as ctx permits.
//
// Errors: ErrPruned (the state of that height is not kept any more, says more weight than
// may be faulty; how many are kept is the application's configuration), ErrNoHistory,
// ErrQuery, ErrNoQueries, ErrOtherEpoch, ErrClosed; ErrUnavailable with the context's error.
func (c *Client) ReadAt(ctx context.Context, height pbft.Height, q []byte) ([]byte, error) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	n := c.quorums.N()
	r := &readAt{
		client: c, height: height, query: q, data: make(map[crypto.Digest][]byte),
		said: make(map[crypto.Digest]crypto.Bitmap), errors: make(map[error]crypto.Bitmap), settled: crypto.NewBitmap(n), done: make(chan struct{}),
	}
	asking, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	for _, l := range c.links {
		all.Go(func() { r.ask(asking, l) })
	}
	select {
	case <-r.done:
		return r.answer, r.err
	case <-c.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		err := fmt.Errorf("%w: read at height %d: %w", ErrUnavailable, height, context.Cause(ctx))
		if r.problem != nil {
			err = fmt.Errorf("%w; the last problem: %w", err, r.problem)
		}
		return nil, err
	}
}

// readAt is one read of an earlier state.
type readAt struct {
	client *Client
	height pbft.Height
	query  []byte

	mu      sync.Mutex
	data    map[crypto.Digest][]byte
	said    map[crypto.Digest]crypto.Bitmap // who gave this answer
	errors  map[error]crypto.Bitmap         // and who says that there is none
	settled crypto.Bitmap                   // who said either
	problem error
	ended   bool
	answer  []byte
	err     error
	done    chan struct{}
}

// ask asks one replica until it has said something that stands.
func (r *readAt) ask(ctx context.Context, l *link) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	pause := r.client.cfg.BackoffMin
	for {
		m, err := l.line.api.Query(ctx, &api.QueryRequest{Query: r.query, Height: uint64(r.height), Exact: true, WaitMs: uint32(readWait / time.Millisecond)})
		if ctx.Err() != nil || r.hear(l, m, err) {
			return
		}
		timer.Reset(jitter(pause))
		pause = min(2*pause, r.client.cfg.BackoffMax)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
}

// hear takes up what a replica said, and tells whether that stands.
func (r *readAt) hear(l *link, m *api.QueryResponse, err error) (stands bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch code := status.Code(err); {
	case code == codes.Unimplemented:
		r.none(l, ErrNoQueries)
	case code == codes.InvalidArgument:
		r.problem = fmt.Errorf("%s: %s", l.name, status.Convert(err).Message())
		r.none(l, ErrQuery)
	case err != nil:
		r.problem = fmt.Errorf("%s: %w", l.name, err)
		return false
	case pbft.Epoch(m.Epoch) != r.client.epoch:
		r.none(l, ErrOtherEpoch)
	case m.State == api.QueryResponse_STATE_PRUNED:
		r.none(l, ErrPruned)
	case m.State == api.QueryResponse_STATE_NO_HISTORY:
		r.none(l, ErrNoHistory)
	case m.State == api.QueryResponse_STATE_ANSWERED && m.Height == uint64(r.height):
		r.answered(l, m.Answer)
	default:
		r.problem = fmt.Errorf("%s has executed %d", l.name, m.Height)
		return false
	}
	return true
}

// answered notes an answer. The mutex is held.
func (r *readAt) answered(l *link, answer []byte) {
	d := crypto.Hash("parley/client/read", answer)
	if r.said[d] == nil {
		r.said[d], r.data[d] = crypto.NewBitmap(r.client.quorums.N()), append([]byte{}, answer...)
	}
	r.said[d].Set(l.id)
	if r.client.quorums.IsBlocking(r.said[d]) {
		r.end(r.data[d], nil)
	}
	r.settle(l)
}

// none notes that there is no answer. The mutex is held.
func (r *readAt) none(l *link, why error) {
	if r.errors[why] == nil {
		r.errors[why] = crypto.NewBitmap(r.client.quorums.N())
	}
	r.errors[why].Set(l.id)
	if r.client.quorums.IsBlocking(r.errors[why]) {
		if why == ErrQuery {
			why = fmt.Errorf("%w: %w", why, r.problem)
		}
		r.end(nil, why)
	}
	r.settle(l)
}

// settle ends the read when nobody is left to be heard: honest replicas need not prune at
// the same height, so that too few may have the state and too few say it is gone.
func (r *readAt) settle(l *link) {
	r.settled.Set(l.id)
	if pruned := r.errors[ErrPruned]; pruned != nil && r.settled.Count() == r.client.quorums.N() {
		r.end(nil, fmt.Errorf("%w: by some replicas, and the others do not agree", ErrPruned))
	}
}

// end ends the read. The mutex is held.
func (r *readAt) end(answer []byte, err error) {
	if !r.ended {
		r.ended, r.answer, r.err = true, answer, err
		close(r.done)
	}
}
