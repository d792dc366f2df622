package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// sealedStates remembers what the states of the last checkpoints are made of: a
// certificate names only the digest of it all. It is lost with the process, and back with
// the next checkpoint.
type sealedStates struct {
	mu    sync.Mutex
	parts [keptSeals]receipt.StateParts
	next  int
}

// keptSeals is how many checkpoints may be under way to their certificates at once.
const keptSeals = 64

func (s *sealedStates) add(p receipt.StateParts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts[s.next%keptSeals] = p
	s.next++
}

// at finds the parts of a certified state.
func (s *sealedStates) at(state pbft.Digest) (receipt.StateParts, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.parts {
		if p.Digest() == state {
			return p, true
		}
	}
	return receipt.StateParts{}, false
}

// statement is what this replica says about a checkpoint, with its parts remembered.
func (r *runner) statement(c *statemachine.CheckpointInfo, manifest pbft.Digest) pbft.CheckpointStatement {
	r.seals.add(receipt.StateParts{App: c.AppDigest, Sessions: c.SessionsDigest, Manifest: manifest})
	return statement(c, manifest)
}

// Certified implements backend.
func (s *Server) Certified(ctx context.Context, key []byte) (*receipt.State, error) {
	querier, ok := s.cfg.Machine.(statemachine.Querier)
	if !ok {
		return nil, ErrNoQueries
	}
	if err := s.Serving(); err != nil {
		return nil, err
	}
	v, err := s.data.store.Get(pbft.RecordKey{Kind: pbft.RecordStable})
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, ErrNotCertified
	}
	b, err := pbft.DecodeRecordBundle(v)
	if err != nil {
		return nil, err
	}
	parts, ok := s.runner.seals.at(b.Checkpoint.State)
	if !ok {
		return nil, ErrNotCertified
	}
	s.runner.queryLock.RLock()
	defer s.runner.queryLock.RUnlock()
	// As a query, so that whoever decides on queries decides on this one.
	encoded, err := querier.Query(ctx, store.ProofQuery(uint64(b.Height()), key))
	switch {
	case errors.Is(err, store.ErrPruned), errors.Is(err, store.ErrNoProof):
		return nil, fmt.Errorf("%w: %w", ErrPruned, err)
	case err != nil:
		return nil, err
	}
	p, err := proof.Decode(encoded)
	if err != nil {
		return nil, err
	}
	return &receipt.State{Header: b.Header, Certificate: b.Checkpoint, Parts: parts, Proof: p}, nil
}

// Certified implements api.ParleyServer.
func (s *clientService) Certified(ctx context.Context, q *api.CertifiedRequest) (*api.CertifiedResponse, error) {
	if len(q.Key) > s.limits.MaxQueryBytes {
		return nil, status.Errorf(codes.InvalidArgument, "key of %d bytes, at most %d", len(q.Key), s.limits.MaxQueryBytes)
	}
	p, err := s.backend.Certified(ctx, q.Key)
	switch {
	case err == nil:
		return &api.CertifiedResponse{State: api.CertifiedResponse_STATE_FOUND, Proof: p.Encode()}, nil
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, ErrNoQueries):
		return nil, status.Error(codes.Unimplemented, "the application proves nothing of its state")
	case errors.Is(err, ErrNotCertified):
		return &api.CertifiedResponse{State: api.CertifiedResponse_STATE_NOT_CERTIFIED}, nil
	case errors.Is(err, ErrPruned):
		return &api.CertifiedResponse{State: api.CertifiedResponse_STATE_PRUNED}, nil
	case errors.Is(err, ErrStore):
		return nil, status.Error(codes.Internal, "the state cannot be read")
	case errors.Is(err, ErrStopped), errors.Is(err, ErrNotServing):
		return nil, status.Error(codes.Unavailable, ErrNotServing.Error())
	}
	return nil, status.Error(codes.InvalidArgument, truncated(err.Error(), 256))
}
