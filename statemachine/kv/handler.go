package kv

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// Handler is the key-value store as an application on a statemachine/store: the same
// operations, queries, results and codes as those of a [Machine], with proofs, reads of
// earlier heights and an access policy if one is put around it, in a state that may be
// larger than memory. An operation costs it about ten times as much.
type Handler struct{ limits Limits }

var (
	_ store.Handler = (*Handler)(nil)
	_ store.Founder = (*Handler)(nil)
	_ store.Checker = (*Handler)(nil)
)

// NewHandler returns the application with these limits. They become part of the state.
func NewHandler(limits Limits) (*Handler, error) {
	if err := limits.Validate(); err != nil {
		return nil, err
	}
	switch {
	case limits.MaxKeyBytes > maxStoredKey:
		return nil, fmt.Errorf("%w: MaxKeyBytes is %d: set up to %d in a store", ErrLimits, limits.MaxKeyBytes, maxStoredKey)
	case limits.MaxValueBytes > maxStoredValue:
		return nil, fmt.Errorf("%w: MaxValueBytes is %d: set up to %d in a store", ErrLimits, limits.MaxValueBytes, maxStoredValue)
	}
	return &Handler{limits}, nil
}

// NewStored returns the application on a store of its own.
func NewStored(s *store.Store, limits Limits) (*store.Machine, error) {
	h, err := NewHandler(limits)
	if err != nil {
		return nil, err
	}
	return store.NewMachine(s, h)
}

// Found writes the limits, and that the revision is 0.
func (h *Handler) Found(t store.Txn) {
	d := h.limits.Digest()
	t.Set(limitsKey, d[:])
	(&totals{}).save(t)
}

// CheckState tells whether a state was made under these limits.
func (h *Handler) CheckState(r store.Reader) error {
	have, _ := r.Get(limitsKey)
	if want := h.limits.Digest(); string(have) != string(want[:]) {
		return fmt.Errorf("%w: it was made under others, or is none of a key-value store: use those that it was made with", ErrLimits)
	}
	return nil
}

// Apply runs one operation.
func (h *Handler) Apply(t store.Txn, b *statemachine.Block, op *statemachine.Op) statemachine.Result {
	s := &stored{limits: &h.limits, t: t, r: t}
	s.totals.load(t)
	b.Meter().CountsItself() // as it does in memory, so that both end alike
	out, code := run{s, &h.limits, b.Meter()}.operation(nil, op.Data)
	if out == nil {
		return statemachine.Reject(code, nil)
	}
	if s.changed {
		s.totals.save(t)
	}
	return statemachine.Result{Code: code, Data: out}
}

// Query is [Machine.Query]. The answer to a [DigestQuery] is the digest of the store, if
// the replica took one at that height: it does at checkpoints.
func (h *Handler) Query(_ context.Context, r store.Reader, q []byte) ([]byte, error) {
	var op operation
	if code := h.limits.decode(q, &op); code != statemachine.CodeOK {
		return nil, fmt.Errorf("%w: %v", ErrQuery, code)
	}
	s := &stored{limits: &h.limits, r: r}
	out := make([]byte, 8, 64)
	switch op.kind {
	case KindGet:
		return h.limits.appendGet(out, op.key, s.get(op.key)), nil
	case KindRange:
		out, _ = h.limits.appendRange(out, s, &op, nil)
		return out, nil
	case KindRevision, KindDigest:
		s.totals.load(r)
		out = append(canon.AppendUint64(out[:0], s.at()), byte(op.kind))
		if op.kind == KindRevision {
			return out, nil
		}
		d, err := store.DigestOf(r)
		if errors.Is(err, store.ErrNoProof) {
			return nil, fmt.Errorf("%w: the last block is no checkpoint, so there is no digest of it: ask again", err)
		}
		return append(out, d[:]...), err
	default:
		return nil, fmt.Errorf("%w: operation of kind %d goes through the log", ErrQuery, op.kind)
	}
}
