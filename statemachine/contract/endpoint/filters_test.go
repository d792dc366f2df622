package endpoint_test

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
)

// Filters, as ethers.js uses them.
func TestFilters(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { c.MaxFilters = 3 })
	ctx, c := t.Context(), s.Client.Client()
	var blocks, logs, silent string
	require.NoError(t, c.CallContext(ctx, &blocks, "eth_newBlockFilter"))
	coin := contracttest.Load("Coin")
	deploy, at := s.ann.Deploy(coin.Deploy(big.NewInt(1000)))
	require.NoError(t, c.CallContext(ctx, &logs, "eth_newFilter", map[string]any{"address": at, "topics": []any{nil, []any{common.Hash{}}}}))
	require.NoError(t, c.CallContext(ctx, &silent, "eth_newPendingTransactionFilter"))
	require.ErrorContains(t, c.CallContext(ctx, nil, "eth_newBlockFilter"), "too many filters")
	for range 2 {
		var hashes []common.Hash
		require.NoError(t, c.CallContext(ctx, &hashes, "eth_getFilterChanges", blocks))
		require.Empty(t, hashes)
	}
	require.NoError(t, s.SendTransaction(ctx, deploy))
	require.NoError(t, s.SendTransaction(ctx, s.ann.Send(at, nil, coin.Call("transfer", s.ben.Address, big.NewInt(3)))))
	for _, want := range []int{2, 0} {
		var hashes []common.Hash
		require.NoError(t, c.CallContext(ctx, &hashes, "eth_getFilterChanges", blocks))
		require.Len(t, hashes, want)
	}
	for _, want := range []int{1, 0} { // the mint alone comes from nobody
		var found []types.Log
		require.NoError(t, c.CallContext(ctx, &found, "eth_getFilterChanges", logs))
		require.Len(t, found, want)
	}
	var none []common.Hash
	require.NoError(t, c.CallContext(ctx, &none, "eth_getFilterChanges", silent))
	require.Empty(t, none)
	var gone bool
	require.NoError(t, c.CallContext(ctx, &gone, "eth_uninstallFilter", logs))
	require.True(t, gone)
	require.ErrorContains(t, c.CallContext(ctx, nil, "eth_getFilterChanges", logs), "filter not found")
}
