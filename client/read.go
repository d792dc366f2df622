package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// ReadAnswer is what a linearizable read found.
type ReadAnswer struct {
	// Data is the answer of the application's Querier; nil if Logged is set.
	Data []byte
	// Height is a block whose effects the answer has at least.
	Height pbft.Height
	// Logged is the result of the operation, if the read went through the log.
	Logged *statemachine.Result
}

// Read asks a query of the application and returns a linearizable answer: it has the
// effects of all that was acknowledged to anybody, and of all that any such read had
// shown to anybody, before Read was called. It does not go through the log, so it costs a
// round trip (two while blocks are under way), no signature and no disk, and depends on no
// primary: see "Linearizable reads" in the package's notes.
//
// There may be no such answer: what is read changes with each block and the application
// keeps no earlier states, or blocks stopped being committed, or more than F are down.
// Then the read goes through the log if op, an operation that reads the same, is not nil;
// its result is in Logged.
//
// Errors: ErrNotLinearizable; ErrQuery, ErrNoQueries (unless there is op); ErrOtherEpoch,
// ErrClosed; the context's; and for op those of [Client.Do].
func (c *Client) Read(ctx context.Context, q, op []byte) (ReadAnswer, error) {
	c.mu.Lock()
	closed, fenced := c.closed, c.fenced
	c.stats.Reads++
	c.mu.Unlock()
	switch {
	case closed:
		return ReadAnswer{}, ErrClosed
	case errors.Is(fenced, ErrOtherEpoch):
		return ReadAnswer{}, fenced
	}
	a, err := c.newRead(q).run(ctx)
	if err == nil || op == nil || !errors.Is(err, ErrNotLinearizable) && !errors.Is(err, ErrNoQueries) {
		return a, err
	}
	c.mu.Lock()
	c.stats.ReadsLogged++
	c.mu.Unlock()
	logged, err := c.Do(ctx, op)
	if err != nil {
		return ReadAnswer{}, err
	}
	return ReadAnswer{Height: logged.Ref.Height, Logged: &logged.Result}, nil
}

const (
	// readRounds is how often one replica is asked within one read.
	readRounds = 8
	// readFirstWait and readWait bound how long a replica may wait for the height that it
	// is to answer from, in the first round and in others. In the first one that is its own
	// claim, which under load it has executed within a block's time.
	readFirstWait = 25 * time.Millisecond
	readWait      = 250 * time.Millisecond
	// readPause is the first pause before a replica is asked again; it doubles each time.
	readPause = 2 * time.Millisecond
)

// read is one linearizable read.
type read struct {
	client *Client
	query  []byte

	mu      sync.Mutex
	tally   *readTally
	data    map[crypto.Digest][]byte
	indexed chan struct{} // closed once there is an index

	// Who said that the application answers no queries, refuses this one, or is of another
	// epoch; and who was asked often enough.
	mute, refused, elsewhere, exhausted crypto.Bitmap
	problem                             error // the last thing that went wrong

	ended  bool
	answer ReadAnswer
	err    error
	done   chan struct{}
}

func (c *Client) newRead(q []byte) *read {
	n := c.quorums.N()
	return &read{
		client: c, query: q, tally: newReadTally(c.quorums), data: make(map[crypto.Digest][]byte),
		indexed: make(chan struct{}), done: make(chan struct{}),
		mute: crypto.NewBitmap(n), refused: crypto.NewBitmap(n), elsewhere: crypto.NewBitmap(n), exhausted: crypto.NewBitmap(n),
	}
}

// run asks all replicas until the answer is there or cannot be had.
func (r *read) run(ctx context.Context) (ReadAnswer, error) {
	c := r.client
	asking, cancel := context.WithTimeout(ctx, c.cfg.MaxRetry)
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
		return ReadAnswer{}, ErrClosed
	case <-asking.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.ended:
		return r.answer, r.err
	case ctx.Err() != nil:
		return ReadAnswer{}, fmt.Errorf("read: %w", context.Cause(ctx))
	}
	return ReadAnswer{}, r.none()
}

// none is the error for an answer that cannot be had. The mutex is held.
func (r *read) none() error {
	why := "replicas gave different answers, or have not executed what was prepared"
	if _, ok := r.tally.index(); !ok {
		why = "fewer replicas than a quorum say what they have prepared"
	}
	err := fmt.Errorf("%w: %s: submit an operation that reads the same, or read again", ErrNotLinearizable, why)
	if r.problem != nil {
		err = fmt.Errorf("%w; the last problem: %w", err, r.problem)
	}
	return err
}

// ask asks one replica until it was asked often enough.
func (r *read) ask(ctx context.Context, l *link) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	pause, history := readPause, true
	var reached pbft.Height // what the last answer has at least
	for round := range readRounds {
		q := &api.QueryRequest{Query: r.query, Index: true, WaitMs: uint32(readFirstWait / time.Millisecond)}
		if index, known := r.index(); known {
			q.Height, q.WaitMs = uint64(index), uint32(readWait/time.Millisecond)
			// Different answers from the index on: all have the same of the index itself.
			q.Exact = round > 0 && history && reached >= index
		}
		m, err := l.line.api.Query(ctx, q)
		if ctx.Err() != nil {
			return
		}
		r.hear(l, q, m, err)
		if err == nil && m.State == api.QueryResponse_STATE_ANSWERED {
			reached = max(reached, pbft.Height(m.Height))
		} else if err == nil {
			history = history && m.State == api.QueryResponse_STATE_AHEAD
		}
		index, known := r.index()
		indexed := r.indexed
		switch {
		case known && err == nil && reached < index && q.Height < uint64(index):
			continue // it waits for the index itself, now that there is one
		case known || err != nil:
			indexed = nil
			timer.Reset(jitter(pause))
		default:
			timer.Reset(jitter(readWait))
		}
		pause *= 2
		select {
		case <-timer.C:
		case <-indexed:
		case <-ctx.Done():
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exhausted.Set(l.id)
	if r.client.quorums.IsQuorum(r.exhausted) {
		r.end(ReadAnswer{}, r.none())
	}
}

// index returns the index, if there is one.
func (r *read) index() (index pbft.Height, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tally.index()
}

// hear takes up what a replica said.
func (r *read) hear(l *link, q *api.QueryRequest, m *api.QueryResponse, err error) {
	quorums := r.client.quorums
	r.mu.Lock()
	defer r.mu.Unlock()
	switch code := status.Code(err); {
	case code == codes.Unimplemented:
		r.mute.Set(l.id)
	case code == codes.InvalidArgument:
		r.refused.Set(l.id)
		r.problem = fmt.Errorf("%s: %s", l.name, status.Convert(err).Message())
	case err != nil:
		r.problem = fmt.Errorf("%s: %w", l.name, err)
	case pbft.Epoch(m.Epoch) != r.client.epoch:
		r.elsewhere.Set(l.id)
	default:
		r.heard(l.id, q, m)
		return
	}
	switch {
	case quorums.IsBlocking(r.elsewhere):
		r.end(ReadAnswer{}, ErrOtherEpoch)
	case quorums.IsBlocking(r.mute):
		r.end(ReadAnswer{}, ErrNoQueries)
	case quorums.IsBlocking(r.refused):
		r.end(ReadAnswer{}, fmt.Errorf("%w: %w", ErrQuery, r.problem))
	}
}

// heard takes up an answer. The mutex is held.
func (r *read) heard(by pbft.ReplicaID, q *api.QueryRequest, m *api.QueryResponse) {
	if m.Prepared != nil {
		_, before := r.tally.index()
		r.tally.claim(by, pbft.Height(*m.Prepared))
		if _, now := r.tally.index(); now && !before {
			close(r.indexed)
		}
	}
	if m.State == api.QueryResponse_STATE_ANSWERED {
		d := crypto.Hash("parley/client/read", m.Answer)
		if r.data[d] == nil {
			r.data[d] = append([]byte{}, m.Answer...)
		}
		height := pbft.Height(m.Height)
		if q.Exact { // it is no later state, whatever the replica says
			height = pbft.Height(q.Height)
		}
		r.tally.answer(by, height, d)
	}
	if d, height, ok := r.tally.agreed(); ok {
		r.end(ReadAnswer{Data: r.data[d], Height: height}, nil)
	}
}

// end ends the read. The mutex is held.
func (r *read) end(a ReadAnswer, err error) {
	if !r.ended {
		r.ended, r.answer, r.err = true, a, err
		close(r.done)
	}
}

// isFinal tells whether a replica's error is about the question, so that asking it again
// is no use.
func isFinal(err error) bool {
	code := status.Code(err)
	return code == codes.Unimplemented || code == codes.InvalidArgument
}
