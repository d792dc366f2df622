package client_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/statemachine"
)

// A later process with the same key, which remembers nothing, goes on; tokens of
// the earlier one are good until the later one's first request.
func TestRestartWithTheSameKey(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	c := f.connect(f.config(1))
	_, err := c.Submit(testContext(t), []byte("before"))
	require.NoError(t, err)
	f.nextArrival()
	for id := range 4 {
		f.set(id, func(r *fakeReplica) { r.mute = true })
	}
	call := c.Start(testContext(t), []byte("lost"))
	f.nextArrival()
	f.eventually(func() bool { return len(f.ran) == 2 })
	require.NoError(t, c.Close())
	_, err = call.Answer()
	var unknown *client.UnknownError
	require.ErrorAs(t, err, &unknown)
	stored, err := unknown.Token.MarshalBinary()
	require.NoError(t, err)

	for id := range 4 {
		f.set(id, func(r *fakeReplica) { r.mute = false })
	}
	later := f.connect(f.config(1))
	var token client.Token
	require.NoError(t, token.UnmarshalBinary(stored))
	a, err := later.Outcome(testContext(t), token)
	require.NoError(t, err)
	require.Equal(t, "re: lost", string(a.Result.Data))
	for i := range 3 {
		_, err = later.Submit(testContext(t), fmt.Appendf(nil, "after %d", i))
		require.NoError(t, err)
	}
	require.Equal(t, []string{"before", "lost", "after 0", "after 1", "after 2"}, f.ops())
}

// Of two clients with one key the later one wins; the earlier one learns it and
// stops. Nothing runs twice.
func TestTwoClientsWithOneKey(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	a := f.connect(f.config(1))
	_, err := a.Submit(testContext(t), []byte("a1"))
	require.NoError(t, err)
	b := f.connect(f.config(1))
	_, err = b.Submit(testContext(t), []byte("b1"))
	require.NoError(t, err)
	for i := range 2 {
		_, err = a.Submit(testContext(t), fmt.Appendf(nil, "lost %d", i))
		require.ErrorIs(t, err, client.ErrOutcomeUnknown)
		require.ErrorIs(t, err, client.ErrRejected)
	}
	_, err = a.Submit(testContext(t), []byte("a4"))
	require.ErrorIs(t, err, client.ErrSuperseded)
	require.NotErrorIs(t, err, client.ErrOutcomeUnknown)
	_, err = b.Submit(testContext(t), []byte("b2"))
	require.NoError(t, err)
	require.Equal(t, []string{"a1", "b1", "b2"}, f.ops())
}

// The same numbers for other requests are noticed at once.
func TestNumbersUsedTwice(t *testing.T) {
	f := newFakeCluster(t, four, nil)
	cfg := f.config(1)
	cfg.FirstSequence = 5
	a := f.connect(cfg)
	_, err := a.Submit(testContext(t), []byte("a"))
	require.NoError(t, err)
	require.NoError(t, a.Close())
	b := f.connect(cfg)
	_, err = b.Submit(testContext(t), []byte("b"))
	var rejected *client.RejectedError
	require.ErrorAs(t, err, &rejected)
	require.Equal(t, statemachine.Conflict, rejected.Status)
	_, err = b.Submit(testContext(t), []byte("b"))
	require.ErrorIs(t, err, client.ErrSuperseded)
	require.Equal(t, []string{"a"}, f.ops())
}
