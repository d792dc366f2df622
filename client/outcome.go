package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// Outcome asks again what became of an operation, with the very same request: if
// it has not run, it may run now. The answer is to be had as long as the cluster
// remembers it: until maxInFlight further requests of this key, or until a later
// Client with the same key sends its first (so ask before that), and as long as
// the cluster's memory for answers permits. After that the error is
// ErrOutcomeUnknown for good, with a [*RejectedError] of status Forgotten.
//
// Errors: ErrExpired (it never ran and never will), ErrOutcomeUnknown, and, when
// nothing was sent this time, ErrOutcomeUnknown all the same.
func (c *Client) Outcome(ctx context.Context, t Token) (Answer, error) {
	if t.request == nil {
		return Answer{}, fmt.Errorf("token: it names nothing")
	}
	unknown := func(reason error) (Answer, error) { return Answer{}, &UnknownError{Token: t, Reason: reason} }
	if own := c.signer.Public(); t.request.Client != own {
		return unknown(fmt.Errorf("the token is of key %s, this client has %s", t.request.Client.Hex(), own.Hex()))
	}
	call := &Call{op: t.Operation(), done: make(chan struct{}), index: t.op}
	c.mu.Lock()
	switch err := ctx.Err(); {
	case err != nil:
		c.mu.Unlock()
		return unknown(context.Cause(ctx))
	case c.closed:
		c.mu.Unlock()
		return unknown(ErrClosed)
	}
	d := t.request.Digest()
	if r := c.late.byDigest[d]; r != nil {
		c.mu.Unlock()
		if r.Status == statemachine.Expired {
			return Answer{}, ErrExpired
		}
		return answerOf(r, t.op), nil
	}
	p := c.requests[d]
	if p == nil {
		p = c.newPending(t.request, c.cfg.Now())
		p.calls = make([]*Call, len(t.request.Ops))
		c.requests[d] = p
	}
	if p.calls[t.op] != nil { // somebody waits for it already: wait with him
		first := p.calls[t.op]
		c.mu.Unlock()
		select {
		case <-first.done:
			return first.Answer()
		case <-ctx.Done():
			return unknown(context.Cause(ctx))
		}
	}
	if p.live == 0 {
		p.next, p.pause = c.cfg.Now(), c.cfg.Retry
	}
	c.join(p, 1)
	p.calls[t.op] = call
	call.request = p
	call.stop = context.AfterFunc(ctx, func() { c.cancel(call, context.Cause(ctx)) })
	c.wake()
	c.mu.Unlock()

	a, err := call.Answer()
	if err != nil && !errors.Is(err, ErrExpired) && !errors.Is(err, ErrOutcomeUnknown) {
		return unknown(err) // not sent now, but it was before
	}
	return a, err
}

// Level says what a read may miss.
type Level int

// Linearizable: the answer reflects everything that was acknowledged to anybody
// before the query was made. The query goes through the log as an operation, so
// it is one that the application understands as an operation, and it costs as
// much as one.
const Linearizable Level = 1

// Query reads. With Linearizable it is [Client.Submit]. What one replica alone says
// is [Client.QueryReplica].
func (c *Client) Query(ctx context.Context, q []byte, level Level) (statemachine.Result, error) {
	if level != Linearizable {
		return statemachine.Result{}, fmt.Errorf("query level %d: use Linearizable, or QueryReplica", level)
	}
	return c.Submit(ctx, q)
}

// ReplicaAnswer is what one replica said.
type ReplicaAnswer struct {
	Data []byte
	// Height is a block whose effects the answer has at least, as the replica says.
	Height pbft.Height
}

// QueryReplica asks the application of one replica. The answer may be stale, and
// if that replica is faulty it may be anything: it is for diagnosis, and for data
// that proves itself.
func (c *Client) QueryReplica(ctx context.Context, id pbft.ReplicaID, q []byte) (ReplicaAnswer, error) {
	l, err := c.link(id)
	if err != nil {
		return ReplicaAnswer{}, err
	}
	m, err := l.line.api.Query(ctx, &api.QueryRequest{Query: q})
	if err != nil {
		return ReplicaAnswer{}, fmt.Errorf("query replica %d (%s): %w", id, l.name, err)
	}
	return ReplicaAnswer{Data: m.Answer, Height: pbft.Height(m.Height)}, nil
}

// ReplicaStatus is what one replica says about itself; see StatusResponse in
// parley.proto.
func (c *Client) ReplicaStatus(ctx context.Context, id pbft.ReplicaID) (*api.StatusResponse, error) {
	l, err := c.link(id)
	if err != nil {
		return nil, err
	}
	m, err := l.line.api.Status(ctx, new(api.StatusRequest))
	if err != nil {
		return nil, fmt.Errorf("status of replica %d (%s): %w", id, l.name, err)
	}
	return m, nil
}

func (c *Client) link(id crypto.ReplicaID) (*link, error) {
	if int(id) >= len(c.links) {
		return nil, fmt.Errorf("replica %d: the cluster has %d", id, len(c.links))
	}
	return c.links[id], nil
}
