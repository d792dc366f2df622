package endpoint_test

import (
	"context"
	"math/big"
	"sync/atomic"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
)

// ahead is a cluster that this replica does not keep up with: it has used every nonce.
type ahead struct{}

func (ahead) SubmitAll(_ context.Context, ops [][]byte) ([]statemachine.Result, error) {
	all := make([]statemachine.Result, len(ops))
	for i := range all {
		all[i] = statemachine.Reject(contract.CodeNonceUsed, nil)
	}
	return all, nil
}

// A replica that lags does not call a transaction refused that may have run.
func TestOutcomeUnknownHere(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { c.Submit = ahead{} })
	err := s.SendTransaction(t.Context(), s.ann.Send(common.Address{1}, big.NewInt(1), nil))
	require.ErrorContains(t, err, "the outcome is unknown")
}

// eth_syncing says of a replica that is behind how far it has come, and else false.
func TestSyncing(t *testing.T) {
	executed := uint64(40)
	var known atomic.Uint64
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) {
		c.Behind = func(context.Context) (uint64, uint64, bool) {
			return executed, known.Load(), known.Load()-executed > 32
		}
	})
	for _, k := range []uint64{40, 72} {
		known.Store(k)
		p, err := s.SyncProgress(t.Context())
		require.NoError(t, err)
		require.Nil(t, p, "blocks are under way at any time")
	}
	known.Store(73)
	p, err := s.SyncProgress(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, []uint64{40, 73}, []uint64{p.CurrentBlock, p.HighestBlock})
}
