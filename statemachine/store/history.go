package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-bft/parley/statemachine"
)

var _ statemachine.HistoryQuerier = (*Machine)(nil)

// QueryAt is [Machine.Query] from the state after the block of a height, which is not
// pruned as long as the handler reads it. The error for one that is pruned wraps
// [statemachine.ErrPruned] and the *[HeightError]. A [ProofQuery] names its own height,
// and so do the queries about the feed.
func (m *Machine) QueryAt(ctx context.Context, height uint64, q []byte) (answer []byte, err error) {
	if IsStoreQuery(q) {
		return m.Query(ctx, q)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := m.fresh(); err != nil {
		return nil, err
	}
	v, release, err := m.store.heldAt(height)
	switch {
	case errors.Is(err, ErrPruned):
		return nil, fmt.Errorf("%w: %w", statemachine.ErrPruned, err)
	case err != nil:
		return nil, err
	}
	defer release()
	failed := Catch(func() { answer, err = m.handler.Query(ctx, v, q) })
	if failed != nil {
		return nil, fmt.Errorf("query: %w", failed)
	}
	return answer, err
}
