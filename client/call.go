package client

import (
	"context"
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// Ref names an operation that ran, for [Client.Receipt].
type Ref struct {
	Height  pbft.Height // of the block in which it ran
	Request pbft.Digest
	Op      int // its position in the request
}

// Answer is the outcome of an operation that ran.
type Answer struct {
	Result statemachine.Result
	Ref    Ref
}

// Call is an operation under way.
type Call struct {
	op   []byte
	came time.Time   // when it was submitted
	stop func() bool // of the context's hook
	done chan struct{}

	// Guarded by the client's mutex until done is closed, constant after that.
	finished bool
	request  *pending // nil while it waits
	index    int
	answer   Answer
	err      error
}

// Done is closed when the outcome is there, or the call's context has ended.
func (c *Call) Done() <-chan struct{} { return c.done }

// Answer waits for Done and returns the outcome. The errors are those of
// [Client.Submit].
func (c *Call) Answer() (Answer, error) {
	<-c.done
	return c.answer, c.err
}

// finish must be called with the client's mutex held.
func (c *Call) finish(a Answer, err error) {
	if c.finished {
		return
	}
	c.finished, c.answer, c.err = true, a, err
	if c.stop != nil {
		c.stop()
	}
	close(c.done)
}

// Start submits an operation and returns at once. ctx governs the whole call: when
// it ends, the call does. op must not be changed until Done.
func (c *Client) Start(ctx context.Context, op []byte) *Call {
	call := &Call{op: op, done: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.enqueue(ctx, call) {
		call.stop = context.AfterFunc(ctx, func() { c.cancel(call, context.Cause(ctx)) })
	}
	return call
}

// enqueue lets a call wait for its request, or finishes it with what is in the way.
// The mutex is held.
func (c *Client) enqueue(ctx context.Context, call *Call) bool {
	call.came = c.cfg.Now()
	if err := c.refuse(ctx, call); err != nil {
		call.finish(Answer{}, err)
		return false
	}
	c.waiting = append(c.waiting, call)
	c.waitingBytes += len(call.op)
	if c.waitingCalls() >= c.enough || c.full() {
		c.wake()
	}
	return true
}

// Do submits an operation and waits for its outcome.
//
// Errors: nothing was sent: ErrNotSent (with the context's error), ErrOverloaded,
// ErrTooLarge, ErrSuperseded, ErrOtherEpoch, ErrClosed. It never ran and never
// will: ErrExpired. Anything may be true: ErrOutcomeUnknown, whatever else the
// error is; ask with [Client.Outcome]. An operation that the application refused is
// no error but a result with a code.
func (c *Client) Do(ctx context.Context, op []byte) (Answer, error) {
	call := &Call{op: op, done: make(chan struct{})}
	c.mu.Lock()
	c.enqueue(ctx, call)
	c.mu.Unlock()
	// Whoever waits here can see to the context himself: a hook would cost as much as
	// the rest of the call.
	select {
	case <-call.done:
	case <-ctx.Done():
		c.cancel(call, context.Cause(ctx))
	}
	return call.Answer()
}

// Submit is [Client.Do] without what only a receipt needs.
func (c *Client) Submit(ctx context.Context, op []byte) (statemachine.Result, error) {
	a, err := c.Do(ctx, op)
	return a.Result, err
}
