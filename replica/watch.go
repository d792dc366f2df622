package replica

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// changedBlocks is an answer about the feed.
type changedBlocks struct {
	*store.FeedAnswer
	// until is up to which height: that of the checkpoint, of which state is the proof.
	until pbft.Height
	state *receipt.State
}

// Links implements backend.
func (s *Server) Links(ctx context.Context, after feed.Position, until pbft.Height) (*changedBlocks, error) {
	q := store.LinksQuery{After: after, Until: uint64(until)}
	if until != 0 {
		a, err := s.feed(ctx, q.Encode())
		if err != nil {
			return nil, err
		}
		return &changedBlocks{FeedAnswer: a, until: until}, nil
	}
	var b *changedBlocks
	err := s.underNewest(func(c *certifiedState) error {
		q.Until, q.Prove = uint64(c.bundle.Height()), true
		a, err := s.feed(ctx, q.Encode())
		switch {
		case err != nil:
			return err
		case a.Proof == nil:
			return fmt.Errorf("%w: the application proves nothing of its feed", ErrNoQueries)
		}
		b = &changedBlocks{FeedAnswer: a, until: c.bundle.Height(), state: c.proves(a.Proof)}
		return nil
	})
	if errors.Is(err, ErrNotCertified) {
		// Whoever cannot watch is not to wait for a certificate to hear it.
		if _, refused := s.feed(ctx, (&store.LinksQuery{}).Encode()); refused != nil {
			return nil, refused
		}
	}
	return b, err
}

// Pieces implements backend.
func (s *Server) Pieces(ctx context.Context, q *store.PiecesQuery) (*store.FeedAnswer, error) {
	return s.feed(ctx, q.Encode())
}

// feed asks the application about its feed: as a query, so that whoever decides on queries
// decides on this one.
func (s *Server) feed(ctx context.Context, q []byte) (*store.FeedAnswer, error) {
	querier, ok := s.cfg.Machine.(statemachine.Querier)
	if !ok {
		return nil, ErrNoQueries
	}
	done, err := s.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	answer, err := s.ask(func() ([]byte, error) { return querier.Query(ctx, q) })
	if err != nil {
		return nil, err
	}
	return store.DecodeFeedAnswer(answer)
}

// AwaitCertified implements backend.
func (s *Server) AwaitCertified(ctx context.Context, h pbft.Height) error {
	return s.runner.seals.gate.wait(ctx, h)
}

// maxWatchWait bounds how long one call waits for something to change.
const maxWatchWait = 5 * time.Second

// Watch implements api.ParleyServer.
func (s *clientService) Watch(ctx context.Context, q *api.WatchRequest) (*api.WatchResponse, error) {
	after := feed.Position{Height: q.Height}
	switch len(q.Chain) {
	case 0: // only the proof is wanted
	case crypto.DigestSize:
		after.Chain = crypto.Digest(q.Chain)
	default:
		return nil, status.Errorf(codes.InvalidArgument, "digest of the chain of %d bytes, want %d", len(q.Chain), crypto.DigestSize)
	}
	if len(q.Chain) > 0 && after.Chain.IsZero() { // which the store takes for none
		return nil, status.Error(codes.InvalidArgument, "a digest of the chain that is zero: leave it out for the proof only")
	}
	// Of the time that the call has, enough must be left to answer.
	wait, cancel := context.WithTimeout(ctx, min(time.Duration(q.WaitMs)*time.Millisecond, maxWatchWait, s.limits.CallTimeout/2))
	defer cancel()
	defer context.AfterFunc(s.stopped, cancel)()
	turn := turnOf(ctx)
	for {
		// A checkpoint wakes all who wait: they are answered a few at a time.
		if err := turn.begin(ctx); err != nil {
			return nil, err
		}
		b, err := s.backend.Links(ctx, after, pbft.Height(q.Until))
		var next pbft.Height // of a checkpoint that may bring something new
		switch {
		case errors.Is(err, ErrNotCertified), errors.Is(err, ErrPruned):
			next = nextAfter(err)
		case err != nil:
			return nil, feedError(ctx, err)
		case b.State != store.FeedFound, len(b.Links) > 0, q.Until != 0, len(q.Chain) == 0:
			return s.watched(ctx, b)
		default:
			next = b.until + 1
		}
		turn.end()
		if s.backend.AwaitCertified(wait, next) == nil {
			continue
		}
		if err != nil {
			return &api.WatchResponse{State: api.WatchState_WATCH_STATE_NOT_CERTIFIED}, nil
		}
		return s.watched(ctx, b)
	}
}

// watched is an answer, with what the first blocks changed as far as there is room.
func (s *clientService) watched(ctx context.Context, b *changedBlocks) (*api.WatchResponse, error) {
	r := &api.WatchResponse{State: watchState(b.State), Links: feed.AppendLinks(nil, b.Links), More: b.More}
	if b.state != nil {
		r.Proof = b.state.Encode()
	}
	if b.State == store.FeedCompacted {
		r.OldestHeight, r.OldestChain = b.Oldest.Height, b.Oldest.Chain[:]
	}
	if len(b.Links) == 0 {
		return r, nil
	}
	p, err := s.backend.Pieces(ctx, &store.PiecesQuery{Height: b.Links[0].Height, Until: uint64(b.until)})
	if err != nil {
		return nil, feedError(ctx, err)
	}
	r.Pieces = p.Pieces // none if they were just compacted: the client asks for them then
	return r, nil
}

// Changes implements api.ParleyServer.
func (s *clientService) Changes(ctx context.Context, q *api.ChangesRequest) (*api.ChangesResponse, error) {
	if err := turnOf(ctx).begin(ctx); err != nil {
		return nil, err
	}
	p, err := s.backend.Pieces(ctx, &store.PiecesQuery{Height: q.Height, Index: q.Piece, Until: q.Until})
	if err != nil {
		return nil, feedError(ctx, err)
	}
	return &api.ChangesResponse{State: watchState(p.State), Pieces: p.Pieces}, nil
}

func watchState(s store.FeedState) api.WatchState {
	switch s {
	case store.FeedFound:
		return api.WatchState_WATCH_STATE_FOUND
	case store.FeedCompacted:
		return api.WatchState_WATCH_STATE_COMPACTED
	}
	return api.WatchState_WATCH_STATE_UNKNOWN
}

// unreadable tells whether an error of the application says that its store cannot be read.
func unreadable(err error) bool {
	return errors.Is(err, store.ErrFailed) || errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrClosed) || errors.Is(err, store.ErrIncomplete)
}

// feedError is an error of the backend in the words of gRPC.
func feedError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, ErrNoQueries):
		return status.Error(codes.Unimplemented, "the application has no feed of its changes")
	case errors.Is(err, ErrStopped):
		return status.Error(codes.Unavailable, ErrStopped.Error())
	case errors.Is(err, ErrPruned), pruned(err), errors.Is(err, ErrNotServing):
		return status.Error(codes.Unavailable, "the state is being replaced; try again")
	case unreadable(err):
		return status.Error(codes.Unavailable, "the feed cannot be read")
	}
	// The application's words to its own client, and nothing of ours.
	return status.Error(codes.InvalidArgument, truncated(err.Error(), 256))
}
