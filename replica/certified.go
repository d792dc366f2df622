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

// sealedStates remembers what the states of the last checkpoints are made of, because a
// certificate names only the digest of it all, and the certificates of the last ones,
// which may be here before the state is. After a restart those are there that the log and
// the last snapshot show.
type sealedStates struct {
	mu      sync.Mutex
	parts   [keptSeals]sealedParts
	bundles [keptSeals]*pbft.Bundle
	sealed  int // parts added
	stabled int // bundles added
	// latest is the last checkpoint of which both are here.
	latest *certifiedState
	// retain, if not nil, asks the application to keep what can be proved, and kept is what
	// it was last asked for: see retention.go.
	retain func(from uint64)
	kept   pbft.Height
	most   pbft.Height
	// gate is at the height of latest.
	gate heightGate
}

// sealedParts are those of the state after the block of a height. Blocks without operations
// do not change the state, so that several checkpoints may be of the same.
type sealedParts struct {
	height pbft.Height
	receipt.StateParts
}

// of tells whether a checkpoint is of that state, at that height.
func (p *sealedParts) of(b *pbft.Bundle) bool {
	return p.height == b.Height() && p.Digest() == b.Checkpoint.State
}

// certifiedState is a checkpoint that something can be proved under.
type certifiedState struct {
	bundle *pbft.Bundle
	parts  receipt.StateParts
}

// keptSeals is how many checkpoints may be under way to their certificates at once.
const keptSeals = 64

// add adds the parts of the state at a checkpoint.
func (s *sealedStates) add(h pbft.Height, parts receipt.StateParts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := sealedParts{h, parts}
	s.parts[s.sealed%keptSeals] = p
	s.sealed++
	for _, b := range s.bundles {
		if b != nil && p.of(b) {
			s.certified(b, parts)
		}
	}
}

// stable adds the certificate of a checkpoint.
func (s *sealedStates) stable(b *pbft.Bundle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bundles[s.stabled%keptSeals] = b
	s.stabled++
	for i := range s.parts {
		if p := &s.parts[i]; p.of(b) {
			s.certified(b, p.StateParts)
			return
		}
	}
}

// certified notes a checkpoint of which all is here. mu is held.
func (s *sealedStates) certified(b *pbft.Bundle, p receipt.StateParts) {
	if s.latest == nil || b.Height() > s.latest.bundle.Height() {
		s.retainFor(s.latest, b.Height())
		s.latest = &certifiedState{b, p}
		s.gate.raise(b.Height())
	}
}

// at finds the parts of a state by its digest.
func (s *sealedStates) at(state pbft.Digest) (receipt.StateParts, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.parts {
		if p := &s.parts[i]; p.Digest() == state {
			return p.StateParts, true
		}
	}
	return receipt.StateParts{}, false
}

// last returns the last checkpoint that something can be proved under, or nil.
func (s *sealedStates) last() *certifiedState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest
}

// stored takes up the certificate that the log has, once the log has been replayed.
func (s *sealedStates) stored(store Store) error {
	v, err := store.Get(pbft.RecordKey{Kind: pbft.RecordStable})
	if err != nil || v == nil {
		return err
	}
	b, err := pbft.DecodeRecordBundle(v)
	if err != nil {
		return err
	}
	s.stable(b)
	return nil
}

// proves makes what a client gets of a proof under the checkpoint.
func (c *certifiedState) proves(p *proof.Proof) *receipt.State {
	return &receipt.State{Header: c.bundle.Header, Certificate: c.bundle.Checkpoint, Parts: c.parts, Proof: p}
}

// statement is what this replica says about a checkpoint, with its parts remembered.
func (r *runner) statement(c *statemachine.CheckpointInfo, manifest pbft.Digest) pbft.CheckpointStatement {
	r.seals.add(pbft.Height(c.Height), receipt.StateParts{App: c.AppDigest, Sessions: c.SessionsDigest, Manifest: manifest})
	r.seals.retainAtMost(pbft.Height(c.Height))
	return statement(c, manifest)
}

// sealRestored remembers what the state of a snapshot is made of that was just restored,
// so that something can be proved under its certificate before there is a later one.
func (r *runner) sealRestored(h pbft.Height) error {
	root, ok := r.folder.root(h)
	if !ok {
		return nil
	}
	app, sessions, err := r.exec.Digests()
	if err != nil {
		return fmt.Errorf("the state of snapshot %d: %w", h, err)
	}
	r.seals.add(h, receipt.StateParts{App: app, Sessions: sessions, Manifest: root})
	return nil
}

// unprovable says that nothing can be proved under the newest certified checkpoint now: its
// state is being replaced, or the application does not keep it. It is [ErrPruned].
type unprovable struct {
	height pbft.Height // of the checkpoint
	err    error
}

func (e *unprovable) Error() string   { return fmt.Sprintf("checkpoint %d: %v", e.height, e.err) }
func (e *unprovable) Unwrap() []error { return []error{ErrPruned, e.err} }

// nextAfter is the height from which on a checkpoint may prove what err says that none
// does.
func nextAfter(err error) pbft.Height {
	if e := (*unprovable)(nil); errors.As(err, &e) {
		return e.height + 1
	}
	return 1
}

// pruned tells whether an error of the application says that a state is not there.
func pruned(err error) bool {
	return errors.Is(err, store.ErrPruned) || errors.Is(err, store.ErrNoProof) || errors.Is(err, store.ErrFuture)
}

// underNewest asks for something under the newest certified checkpoint. One that is pruned
// while it is asked for was not the newest any more: then it asks under that.
func (s *Server) underNewest(ask func(c *certifiedState) error) error {
	c := s.runner.seals.last()
	if c == nil {
		return ErrNotCertified
	}
	for {
		err := ask(c)
		if !pruned(err) {
			return err
		}
		newest := s.runner.seals.last()
		if newest == c {
			return &unprovable{c.bundle.Height(), err}
		}
		c = newest
	}
}

// Certified implements backend.
func (s *Server) Certified(ctx context.Context, key []byte) (*receipt.State, error) {
	querier, ok := s.cfg.Machine.(statemachine.Querier)
	if !ok {
		return nil, ErrNoQueries
	}
	done, err := s.reading()
	if err != nil {
		return nil, err
	}
	defer done()
	var state *receipt.State
	err = s.underNewest(func(c *certifiedState) error {
		// As a query, so that whoever decides on queries decides on this one.
		encoded, err := s.ask(func() ([]byte, error) {
			return querier.Query(ctx, store.ProofQuery(uint64(c.bundle.Height()), key))
		})
		if err != nil {
			return err
		}
		p, err := proof.Decode(encoded)
		if err == nil {
			state = c.proves(p)
		}
		return err
	})
	return state, err
}

// certified is Certified of the backend, and waits a moment for a checkpoint if there is
// one whose state is not here.
func (s *clientService) certified(ctx context.Context, key []byte) (*receipt.State, error) {
	// Of the time that the call has, enough must be left to answer.
	wait, cancel := context.WithTimeout(ctx, min(maxReadWait, s.limits.CallTimeout/2))
	defer cancel()
	defer context.AfterFunc(s.stopped, cancel)()
	for {
		p, err := s.backend.Certified(ctx, key)
		if !errors.Is(err, ErrPruned) || s.backend.AwaitCertified(wait, nextAfter(err)) != nil {
			return p, err
		}
	}
}

// Refresh implements backend.
func (s *Server) Refresh() { s.post((*Node).Refresh) }

// Certified implements api.ParleyServer.
func (s *clientService) Certified(ctx context.Context, q *api.CertifiedRequest) (*api.CertifiedResponse, error) {
	if len(q.Key) > s.limits.MaxQueryBytes {
		return nil, status.Errorf(codes.InvalidArgument, "key of %d bytes, at most %d", len(q.Key), s.limits.MaxQueryBytes)
	}
	p, err := s.certified(ctx, q.Key)
	switch {
	case err == nil:
		if uint64(p.Time().UnixNano()) < q.After {
			s.backend.Refresh()
		}
		return &api.CertifiedResponse{State: api.CertifiedResponse_STATE_FOUND, Proof: p.Encode()}, nil
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, ErrNoQueries):
		return nil, status.Error(codes.Unimplemented, "the application proves nothing of its state")
	case errors.Is(err, ErrNotCertified):
		if q.After > 0 {
			s.backend.Refresh()
		}
		return &api.CertifiedResponse{State: api.CertifiedResponse_STATE_NOT_CERTIFIED}, nil
	case errors.Is(err, ErrPruned):
		return &api.CertifiedResponse{State: api.CertifiedResponse_STATE_PRUNED}, nil
	case errors.Is(err, ErrStore):
		return nil, status.Error(codes.Internal, "the state cannot be read")
	case unreadable(err): // its text names folders
		return nil, status.Error(codes.Unavailable, "the state cannot be read")
	case errors.Is(err, ErrStopped), errors.Is(err, ErrNotServing):
		return nil, status.Error(codes.Unavailable, ErrNotServing.Error())
	}
	return nil, status.Error(codes.InvalidArgument, truncated(err.Error(), 256))
}
