package client_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
)

type queryHandler func(context.Context, *api.QueryRequest) (*api.QueryResponse, error)

// says answers like a replica that has prepared one height and executed another.
func says(answer string, executed, prepared uint64) queryHandler {
	return func(context.Context, *api.QueryRequest) (*api.QueryResponse, error) {
		return &api.QueryResponse{Answer: []byte(answer), Height: executed, Prepared: &prepared, Epoch: 1}, nil
	}
}

// hangs never answers.
func hangs(ctx context.Context, _ *api.QueryRequest) (*api.QueryResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// fails answers with an error.
func fails(code codes.Code, text string) queryHandler {
	return func(context.Context, *api.QueryRequest) (*api.QueryResponse, error) {
		return nil, status.Error(code, text)
	}
}

// readers starts a cluster of replicas that answer queries so.
func readers(t *testing.T, replicas ...queryHandler) (*fakeCluster, *client.Client) {
	weights := make([]uint64, len(replicas))
	for i := range weights {
		weights[i] = 1
	}
	f := newFakeCluster(t, weights, nil)
	return f, f.readers(replicas...)
}

// readers has the replicas answer queries so, and connects a client.
func (f *fakeCluster) readers(replicas ...queryHandler) *client.Client {
	for i, q := range replicas {
		f.set(i, func(r *fakeReplica) { r.query = q })
	}
	return f.connect(f.config(1))
}

// TestReadWithstandsALiar: whatever one of four says, the answer is the others'.
func TestReadWithstandsALiar(t *testing.T) {
	honest := says("new", 10, 10)
	withoutEpoch := func(context.Context, *api.QueryRequest) (*api.QueryResponse, error) {
		h := uint64(10)
		return &api.QueryResponse{Answer: []byte("old"), Height: h, Prepared: &h}, nil
	}
	for name, liar := range map[string]queryHandler{
		"another answer":      says("old", 10, 10),
		"an answer from ever": says("old", 1<<62, 1<<62),
		"too high a claim":    says("new", 10, 1<<62),
		"too low a claim":     says("new", 10, 0),
		"another epoch":       withoutEpoch,
		"no claim": func(context.Context, *api.QueryRequest) (*api.QueryResponse, error) {
			return &api.QueryResponse{Answer: []byte("old"), Height: 10, Epoch: 1}, nil
		},
		"no answer":      hangs,
		"refused":        fails(codes.InvalidArgument, "no such query"),
		"knows no reads": fails(codes.Unimplemented, "none"),
		"unavailable":    fails(codes.Unavailable, "none"),
	} {
		t.Run(name, func(t *testing.T) {
			_, c := readers(t, liar, honest, honest, honest)
			a, err := c.Read(testContext(t), []byte("q"), nil)
			require.NoError(t, err)
			require.Equal(t, "new", string(a.Data))
			require.GreaterOrEqual(t, a.Height, client.Ref{Height: 10}.Height)
			require.Nil(t, a.Logged)
		})
	}
}

// TestReadIsNotStale is the trace for which executed heights are no read index: the
// write at 10 was acknowledged by 0, which is honest and out of reach now, and by the
// faulty 3; 1 and 2 have only prepared it.
func TestReadIsNotStale(t *testing.T) {
	behind := func(_ context.Context, q *api.QueryRequest) (*api.QueryResponse, error) {
		prepared := uint64(10)
		r := &api.QueryResponse{Answer: []byte("old"), Height: 9, Prepared: &prepared, Epoch: 1}
		if q.Height >= 10 { // it waits, until it has executed the block
			r.Answer, r.Height = []byte("new"), 10
		}
		return r, nil
	}
	_, c := readers(t, hangs, behind, behind, says("old", 9, 9))
	a, err := c.Read(testContext(t), []byte("q"), nil)
	require.NoError(t, err)
	require.Equal(t, "new", string(a.Data))
}

// TestReadWithReplicasInTheDark: the primary, which lies, keeps one honest replica of
// four in the dark; of seven, two and two.
func TestReadWithReplicasInTheDark(t *testing.T) {
	dark, honest := says("old", 3, 3), says("new", 10, 10)
	for _, liar := range []queryHandler{says("old", 3, 3), says("old", 10, 1<<62), says("mad", 10, 10), hangs} {
		_, c := readers(t, liar, dark, honest, honest)
		a, err := c.Read(testContext(t), []byte("q"), nil)
		require.NoError(t, err)
		require.Equal(t, "new", string(a.Data))
		_, c = readers(t, liar, dark, honest, honest, dark, liar, honest)
		a, err = c.Read(testContext(t), []byte("q"), nil)
		require.NoError(t, err)
		require.Equal(t, "new", string(a.Data))
	}
}

// TestReadOfWhatChanges: answers of no two replicas are equal, because each has executed
// another block, until they are asked for one and the same state.
func TestReadOfWhatChanges(t *testing.T) {
	changing := func(lead uint64, history bool) queryHandler {
		now := 12 + lead // never the same as another
		return func(_ context.Context, q *api.QueryRequest) (*api.QueryResponse, error) {
			prepared := uint64(20)
			r := &api.QueryResponse{Prepared: &prepared, Epoch: 1}
			now = max(now+4, q.Height+lead)
			r.Height = now
			switch {
			case q.Exact && !history:
				r.State = api.QueryResponse_STATE_NO_HISTORY
			case q.Exact && q.Height < 15:
				r.State = api.QueryResponse_STATE_PRUNED
			case q.Exact:
				r.Height = q.Height
				fallthrough
			default:
				r.Answer = fmt.Append(nil, r.Height)
			}
			return r, nil
		}
	}
	_, c := readers(t, changing(0, true), changing(1, true), changing(2, true), changing(3, true))
	a, err := c.Read(testContext(t), []byte("q"), nil)
	require.NoError(t, err)
	require.Equal(t, "20", string(a.Data))

	// Without history there is the log.
	_, c = readers(t, changing(0, false), changing(1, false), changing(2, false), changing(3, false))
	_, err = c.Read(testContext(t), []byte("q"), nil)
	require.ErrorIs(t, err, client.ErrNotLinearizable)
	require.ErrorContains(t, err, "submit an operation")
	a, err = c.Read(testContext(t), []byte("q"), []byte("op"))
	require.NoError(t, err)
	require.Nil(t, a.Data)
	require.Equal(t, "re: op", string(a.Logged.Data))
	require.EqualValues(t, 1, c.Stats().ReadsLogged)
	require.EqualValues(t, 2, c.Stats().Reads)
}

// TestReadNeedsAQuorumOfClaims: equal answers of more than F are not enough.
func TestReadNeedsAQuorumOfClaims(t *testing.T) {
	inBubble(t, four, func(t *testing.T, f *fakeCluster) {
		honest := says("new", 10, 10)
		c := f.readers(honest, honest, hangs, hangs)
		ctx, cancel := context.WithCancel(testContext(t))
		end := time.AfterFunc(100*time.Millisecond, cancel)
		defer end.Stop()
		_, err := c.Read(ctx, []byte("q"), nil)
		require.ErrorIs(t, err, context.Canceled)

		// It does not wait for ever.
		cfg := f.config(2)
		cfg.Retry, cfg.MaxRetry = 50*time.Millisecond, 50*time.Millisecond
		c = f.connect(cfg)
		_, err = c.Read(testContext(t), []byte("q"), nil)
		require.ErrorIs(t, err, client.ErrNotLinearizable)
		require.ErrorContains(t, err, "fewer replicas than a quorum")
	})
}

func TestReadErrors(t *testing.T) {
	honest, none, bad := says("new", 10, 10), fails(codes.Unimplemented, "none"), fails(codes.InvalidArgument, "no such thing")
	_, c := readers(t, none, none, none, honest)
	_, err := c.Read(testContext(t), []byte("q"), nil)
	require.ErrorIs(t, err, client.ErrNoQueries)
	a, err := c.Read(testContext(t), []byte("q"), []byte("op"))
	require.NoError(t, err)
	require.Equal(t, "re: op", string(a.Logged.Data))

	_, c = readers(t, bad, bad, bad, honest)
	_, err = c.Read(testContext(t), []byte("q"), []byte("op"))
	require.ErrorIs(t, err, client.ErrQuery)
	require.ErrorContains(t, err, "no such thing")

	later := func(context.Context, *api.QueryRequest) (*api.QueryResponse, error) {
		h := uint64(10)
		return &api.QueryResponse{Answer: []byte("old"), Height: h, Prepared: &h, Epoch: 2}, nil
	}
	_, c = readers(t, later, later, later, honest)
	_, err = c.Read(testContext(t), []byte("q"), nil)
	require.ErrorIs(t, err, client.ErrOtherEpoch)

	_, c = readers(t, hangs, hangs, hangs, hangs)
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(context.Background(), []byte("q"), nil)
		ended <- err
	}()
	require.Eventually(t, func() bool { return c.Stats().Reads == 1 }, 20*time.Second, time.Millisecond)
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-ended, client.ErrClosed)
	_, err = c.Read(testContext(t), []byte("q"), nil)
	require.ErrorIs(t, err, client.ErrClosed)
}

// at answers only for one height.
func at(height uint64, answer string, state api.QueryResponse_State) queryHandler {
	return func(_ context.Context, q *api.QueryRequest) (*api.QueryResponse, error) {
		if !q.Exact || q.Height != height {
			return nil, status.Error(codes.InvalidArgument, "not asked so")
		}
		return &api.QueryResponse{Answer: []byte(answer), Height: height, Epoch: 1, State: state}, nil
	}
}

func TestReadAtAHeight(t *testing.T) {
	honest := at(7, "then", api.QueryResponse_STATE_ANSWERED)
	pruned, none := at(7, "", api.QueryResponse_STATE_PRUNED), at(7, "", api.QueryResponse_STATE_NO_HISTORY)
	for name, liar := range map[string]queryHandler{
		"another answer": at(7, "never", api.QueryResponse_STATE_ANSWERED), "pruned": pruned, "no history": none, "no answer": hangs,
		"refused": fails(codes.InvalidArgument, "bad"), "of another height": says("now", 9, 9),
	} {
		t.Run(name, func(t *testing.T) {
			_, c := readers(t, liar, liar, honest, honest, honest, honest, honest)
			a, err := c.ReadAt(testContext(t), 7, []byte("q"))
			require.NoError(t, err)
			require.Equal(t, "then", string(a))
		})
	}
	_, c := readers(t, pruned, pruned, none, honest)
	_, err := c.ReadAt(testContext(t), 7, []byte("q"))
	require.ErrorIs(t, err, client.ErrPruned)
	_, c = readers(t, none, none, none, honest)
	_, err = c.ReadAt(testContext(t), 7, []byte("q"))
	require.ErrorIs(t, err, client.ErrNoHistory)
}

func TestReadAtAHeightThatComes(t *testing.T) {
	inBubble(t, four, func(t *testing.T, f *fakeCluster) {
		honest := at(7, "then", api.QueryResponse_STATE_ANSWERED)
		ahead := make(chan struct{})
		later := func(ctx context.Context, q *api.QueryRequest) (*api.QueryResponse, error) {
			select {
			case <-ahead:
				return honest(ctx, q)
			default:
				return &api.QueryResponse{Height: 6, Epoch: 1, State: api.QueryResponse_STATE_AHEAD}, nil
			}
		}
		c := f.readers(later, later, later, hangs)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := c.ReadAt(ctx, 7, []byte("q"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, client.ErrUnavailable)
		close(ahead)
		a, err := c.ReadAt(testContext(t), 7, []byte("q"))
		require.NoError(t, err)
		require.Equal(t, "then", string(a))
	})
}
