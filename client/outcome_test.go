package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

func TestUnknownOutcomeAndThenOutcome(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	f.hold = true
	c := f.connect(f.config(1))
	ctx, cancel := context.WithCancel(context.Background())
	call := c.Start(ctx, []byte("pay 10"))
	f.nextArrival()
	cancel()
	_, err := call.Answer()
	require.ErrorIs(t, err, client.ErrOutcomeUnknown)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, client.ErrNotSent)
	var unknown *client.UnknownError
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, "pay 10", string(unknown.Token.Operation()))

	// Asking while it is still open attaches to it, and the outcome is the real one.
	ctx, cancel = context.WithCancel(context.Background())
	cancel()
	_, err = c.Outcome(ctx, unknown.Token)
	require.ErrorIs(t, err, client.ErrOutcomeUnknown)
	answers := make(chan client.Answer, 1)
	go func() {
		a, err := c.Outcome(testContext(t), unknown.Token)
		if err != nil {
			t.Error(err)
		}
		answers <- a
	}()
	f.nextArrival() // it is sent again, to ask
	f.release()
	require.Equal(t, "re: pay 10", string((<-answers).Result.Data))
	require.Equal(t, []string{"pay 10"}, f.ops(), "once")

	// And later it comes from the client's memory or the cluster's.
	a, err := c.Outcome(testContext(t), unknown.Token)
	require.NoError(t, err)
	require.Equal(t, "re: pay 10", string(a.Result.Data))
	require.Equal(t, []string{"pay 10"}, f.ops())
}

// The outcome is to be had although others were submitted meanwhile: the
// low-water mark waits for it.
func TestUnknownOutcomeHoldsTheLowWaterMark(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	c := f.connect(f.config(1))
	for id := range 4 {
		f.set(id, func(r *fakeReplica) { r.mute = true })
	}
	ctx, cancel := context.WithCancel(context.Background())
	call := c.Start(ctx, []byte("lost reply"))
	first := f.nextArrival().request
	f.eventually(func() bool { return len(f.ran) == 1 })
	cancel()
	_, err := call.Answer()
	var unknown *client.UnknownError
	require.ErrorAs(t, err, &unknown)
	for id := range 4 {
		f.set(id, func(r *fakeReplica) { r.mute = false })
	}
	for range 20 {
		_, err := c.Submit(testContext(t), []byte("x"))
		require.NoError(t, err)
		require.Equal(t, first.Seq, f.nextArrival().request.Low)
	}
	a, err := c.Outcome(testContext(t), unknown.Token)
	require.NoError(t, err)
	require.Equal(t, "re: lost reply", string(a.Result.Data))
	require.Equal(t, client.Ref{Height: 1, Request: first.Digest()}, a.Ref)
	_, err = c.Submit(testContext(t), []byte("y"))
	require.NoError(t, err)
	for a := f.nextArrival(); ; a = f.nextArrival() {
		if string(a.request.Ops[0]) == "y" {
			require.Equal(t, a.request.Seq, a.request.Low, "nothing is open any more")
			break
		}
	}
}

// Requests that nobody waits for are given up before they block new ones.
func TestAbandonedRequestsDoNotBlock(t *testing.T) {
	f := newFakeCluster(t, four, func(c *crypto.Cluster) { c.Parameters.MaxInFlight = 64 })
	c := f.connect(f.config(1))
	for id := range 4 {
		f.set(id, func(r *fakeReplica) { r.deaf = true })
	}
	var first client.Token
	for i := range 100 {
		ctx, cancel := context.WithCancel(context.Background())
		call := c.Start(ctx, fmt.Appendf(nil, "%d", i))
		f.nextArrival()
		cancel()
		_, err := call.Answer()
		var unknown *client.UnknownError
		require.ErrorAs(t, err, &unknown)
		if i == 0 {
			first = unknown.Token
		}
	}
	require.LessOrEqual(t, c.Stats().UnderWay, 64)
	for id := range 4 {
		f.set(id, func(r *fakeReplica) { r.deaf = false })
	}
	_, err := c.Submit(testContext(t), []byte("last"))
	require.NoError(t, err)
	// The first was given up: it can never run again, and that is what we hear.
	_, err = c.Outcome(testContext(t), first)
	require.ErrorIs(t, err, client.ErrOutcomeUnknown)
	var rejected *client.RejectedError
	require.ErrorAs(t, err, &rejected)
	require.Equal(t, statemachine.Forgotten, rejected.Status)
	require.Equal(t, []string{"last"}, f.ops())
	_, err = c.Submit(testContext(t), []byte("after"))
	require.NoError(t, err, "asking for what is gone supersedes nobody")
}

// A cancelled operation that was never sent is definitely not sent, and one that
// shares a request with others that go on is not.
func TestCancelBeforeSending(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	f.hold = true
	c := f.connect(f.config(1))
	first := c.Start(testContext(t), []byte("first"))
	f.nextArrival()
	ctx, cancel := context.WithCancelCause(context.Background())
	because := errors.New("changed my mind")
	withdrawn := c.Start(ctx, []byte("withdrawn"))
	stays := c.Start(testContext(t), []byte("stays"))
	cancel(because)
	_, err := withdrawn.Answer()
	require.ErrorIs(t, err, client.ErrNotSent)
	require.ErrorIs(t, err, because)
	require.NotErrorIs(t, err, client.ErrOutcomeUnknown)
	f.release()
	for _, call := range []*client.Call{first, stays} {
		_, err := call.Answer()
		require.NoError(t, err)
	}
	require.Equal(t, []string{"first", "stays"}, f.ops())
	_, err = c.Submit(ctx, []byte("never"))
	require.ErrorIs(t, err, client.ErrNotSent)
}

// expire has the cluster order a request after its deadline, and returns its error.
func expire(t *testing.T, f *fakeCluster) error {
	t.Helper()
	f.hold = true
	cfg := f.config(1)
	cfg.Life = time.Millisecond
	c := f.connect(cfg)
	call := c.Start(testContext(t), []byte("x"))
	q := f.nextArrival().request
	f.eventually(func() bool { return pbft.TimeOf(time.Now()) > q.Deadline })
	f.release()
	_, err := call.Answer()
	require.ErrorIs(t, err, client.ErrExpired)
	return err
}

func TestExpired(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	require.NotErrorIs(t, expire(t, f), client.ErrOutcomeUnknown)
	require.Empty(t, f.ops())
}

// Replicas turn a request down at different heights, each at its own: that they
// turned it down for good is what must be equal.
func TestExpiredAtDifferentHeights(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	for id := range 4 {
		f.set(id, func(r *fakeReplica) { r.lie = func(m *api.Reply) { m.Height += uint64(10 * id) } })
	}
	expire(t, f)
}

// While no replica can be reached a request may be signed and not sent. Who
// leaves it then cannot say that his operation never runs if others stay.
func TestCancelOfASharedRequestThatWasNotSent(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	f.hold = true
	c := f.connect(f.config(1))
	ctx, cancel := context.WithCancel(context.Background())
	first := c.Start(ctx, []byte("first"))
	f.nextArrival()
	leaving, leave := context.WithCancel(context.Background())
	leaves := c.Start(leaving, []byte("leaves"))
	stays := c.Start(testContext(t), []byte("stays"))
	for id := range 4 {
		f.stop(pbft.ReplicaID(id))
	}
	f.eventually(func() bool { return c.Stats().Connected == 0 })
	cancel() // makes room: the two others get their request
	_, err := first.Answer()
	require.ErrorIs(t, err, client.ErrOutcomeUnknown)
	f.eventually(func() bool { return c.Stats().UnderWay == 2 })
	leave()
	_, err = leaves.Answer()
	require.ErrorIs(t, err, client.ErrOutcomeUnknown)
	require.NotErrorIs(t, err, client.ErrNotSent)
	f.release()
	for id := range 4 {
		f.start(pbft.ReplicaID(id))
	}
	_, err = stays.Answer()
	require.NoError(t, err)
	require.Contains(t, f.ops(), "leaves")

	// Alone in its request, it can.
	for id := range 4 {
		f.stop(pbft.ReplicaID(id))
	}
	f.eventually(func() bool { return c.Stats().Connected == 0 })
	ctx, cancel = context.WithCancel(context.Background())
	alone := c.Start(ctx, []byte("alone"))
	before := c.Stats().UnderWay
	f.eventually(func() bool { return c.Stats().UnderWay >= before })
	cancel()
	_, err = alone.Answer()
	require.ErrorIs(t, err, client.ErrNotSent)
	require.NotErrorIs(t, err, client.ErrOutcomeUnknown)
}
