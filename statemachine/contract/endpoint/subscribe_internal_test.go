package endpoint

import (
	"testing"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/store"
)

// A subscriber that was too slow for the blocks to be there still is not told of those
// after them.
func TestTooSlowForBlocks(t *testing.T) {
	s, err := store.Open(t.Context(), store.DefaultConfig())
	require.NoError(t, err)
	m, err := contract.New(s, &contract.Genesis{ChainID: contract.DevChainID, History: 256})
	require.NoError(t, err)
	for h := range uint64(300) {
		m.Apply(statemachine.Block{Height: h + 1, Time: statemachine.Time((h + 1) * 1e9)})
	}
	a := newSubscribeAPI(t.Context(), &Config{Machine: m}, m.API(contract.ReadLimits{LogBlocks: 10}), nil)
	silent := func(any) error { return nil }
	err = a.tellLogs(contract.Filter{}, silent, 1, 300)
	require.ErrorIs(t, err, contract.ErrForgotten)
	require.NoError(t, a.tellLogs(contract.Filter{}, silent, 100, 300), "piece by piece")
	require.ErrorIs(t, a.tellLogs(contract.Filter{}, silent, 301, 310), errInterrupted, "there was such a head before")
	_, err = a.cfg.header(1)
	require.ErrorIs(t, err, contract.ErrForgotten)
	var told []*types.Header
	require.ErrorIs(t, a.tellHeads(func(v any) error { told = append(told, v.(*types.Header)); return nil }, 1, 300), contract.ErrForgotten)
	require.Empty(t, told)
}
