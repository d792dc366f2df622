package replica

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/pbft"
)

// maxReadWait bounds how long a query waits for a height: whoever waits holds one of
// his places for calls.
const maxReadWait = time.Second

// Query implements api.ParleyServer.
func (s *clientService) Query(ctx context.Context, q *api.QueryRequest) (*api.QueryResponse, error) {
	if len(q.Query) > s.limits.MaxQueryBytes {
		return nil, status.Errorf(codes.InvalidArgument, "query of %d bytes, at most %d", len(q.Query), s.limits.MaxQueryBytes)
	}
	r := &api.QueryResponse{Epoch: s.roster.Cluster.Epoch}
	target := pbft.Height(q.Height)
	if q.Index {
		// Before the wait: a claim is as good as any later one of this read, and lower.
		h, err := s.backend.ReadIndex(ctx)
		switch {
		case err == nil:
			r.Prepared = (*uint64)(&h)
			target = max(target, h)
		case !errors.Is(err, ErrNoReadIndex):
			return nil, status.Error(codes.Unavailable, "the read index cannot be read")
		}
	}
	if q.Exact {
		target = pbft.Height(q.Height)
	}
	s.await(ctx, target, time.Duration(q.WaitMs)*time.Millisecond)
	var err error
	var height pbft.Height
	if q.Exact {
		r.Answer, height, err = s.backend.QueryAt(ctx, pbft.Height(q.Height), q.Query)
	} else {
		r.Answer, height, err = s.backend.Query(ctx, q.Query)
	}
	r.Height = uint64(height)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, ErrNoQueries):
		return nil, status.Error(codes.Unimplemented, ErrNoQueries.Error())
	case errors.Is(err, ErrQueryPanicked):
		return nil, status.Error(codes.Internal, ErrQueryPanicked.Error())
	case errors.Is(err, ErrStopped):
		return nil, status.Error(codes.Unavailable, ErrStopped.Error())
	case errors.Is(err, ErrNotServing):
		return nil, status.Error(codes.Unavailable, ErrNotServing.Error())
	case errors.Is(err, ErrHeightAhead):
		r.State = api.QueryResponse_STATE_AHEAD
	case errors.Is(err, ErrPruned):
		r.State = api.QueryResponse_STATE_PRUNED
	case errors.Is(err, ErrNoHistory):
		r.State = api.QueryResponse_STATE_NO_HISTORY
	default:
		// The application's words to its own client, and nothing of ours.
		return nil, status.Error(codes.InvalidArgument, truncated(err.Error(), 256))
	}
	return r, nil
}

// await returns when the height is executed, or it took too long.
func (s *clientService) await(ctx context.Context, h pbft.Height, patience time.Duration) {
	if patience <= 0 {
		return
	}
	// Of the time that the call has, enough must be left to answer.
	ctx, cancel := context.WithTimeout(ctx, min(patience, maxReadWait, s.limits.CallTimeout/2))
	defer cancel()
	_ = s.backend.AwaitExecuted(ctx, h)
}

func truncated(s string, limit int) string {
	if len(s) > limit {
		return s[:limit]
	}
	return s
}
