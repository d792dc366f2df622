package replica

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/pbft"
)

func TestQueryWithIndex(t *testing.T) {
	verifyNoLeaks(t)
	c, b := newClientTestCluster(t, nil), newFakeBackend()
	executed, awaited := pbft.Height(5), make(chan pbft.Height, 16)
	b.query = func(context.Context, []byte) ([]byte, pbft.Height, error) { return []byte("a"), executed, nil }
	b.queryAt = func(_ context.Context, h pbft.Height, _ []byte) ([]byte, pbft.Height, error) {
		switch {
		case h > executed:
			return nil, executed, ErrHeightAhead
		case h < 3:
			return nil, executed, ErrPruned
		}
		return []byte("then"), h, nil
	}
	b.await = func(ctx context.Context, h pbft.Height) error {
		awaited <- h
		if h > 8 {
			<-ctx.Done()
			return ctx.Err()
		}
		executed = max(executed, h)
		return nil
	}
	cl := api.NewParleyClient(dialClientServer(t, c, startClientServer(t, c, b, nil), clientTestKey(1)))
	ask := func(q *api.QueryRequest) *api.QueryResponse {
		q.Query = []byte("q")
		r, err := cl.Query(t.Context(), q)
		require.NoError(t, err)
		require.Equal(t, c.roster.Cluster.Epoch, r.Epoch)
		return r
	}

	r := ask(&api.QueryRequest{Index: true, WaitMs: 1000})
	require.Nil(t, r.Prepared, "a replica that lost its disk claims nothing")
	require.EqualValues(t, 5, r.Height)
	b.index = func() (pbft.Height, error) { return 7, nil }
	r = ask(&api.QueryRequest{})
	require.Nil(t, r.Prepared, "nobody asked")
	r = ask(&api.QueryRequest{Index: true})
	require.EqualValues(t, 7, *r.Prepared)
	require.EqualValues(t, 5, r.Height, "it may not wait")
	for len(awaited) > 0 {
		<-awaited
	}
	r = ask(&api.QueryRequest{Index: true, WaitMs: 1000})
	require.EqualValues(t, 7, r.Height, "it waits for what it claims")
	require.EqualValues(t, 7, <-awaited)
	r = ask(&api.QueryRequest{Index: true, Height: 8, WaitMs: 1000})
	require.EqualValues(t, 8, r.Height)
	require.EqualValues(t, 8, <-awaited)
	r = ask(&api.QueryRequest{Index: true, Height: 1 << 62, WaitMs: 10})
	require.EqualValues(t, 8, r.Height, "it does not wait for ever")
	require.Equal(t, "a", string(r.Answer))

	// At exactly a height.
	r = ask(&api.QueryRequest{Height: 4, Exact: true})
	require.Equal(t, "then", string(r.Answer))
	require.EqualValues(t, 4, r.Height)
	for h, want := range map[uint64]api.QueryResponse_State{99: api.QueryResponse_STATE_AHEAD, 2: api.QueryResponse_STATE_PRUNED} {
		r = ask(&api.QueryRequest{Height: h, Exact: true})
		require.Equal(t, want, r.State)
		require.Empty(t, r.Answer)
		require.EqualValues(t, 8, r.Height)
	}
	b.queryAt = func(context.Context, pbft.Height, []byte) ([]byte, pbft.Height, error) { return nil, 8, ErrNoHistory }
	require.Equal(t, api.QueryResponse_STATE_NO_HISTORY, ask(&api.QueryRequest{Height: 4, Exact: true}).State)

	b.index = func() (pbft.Height, error) { return 0, errors.New("the disk") }
	_, err := cl.Query(t.Context(), &api.QueryRequest{Index: true})
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.NotContains(t, err.Error(), "disk")
}
