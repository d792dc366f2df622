package endpoint_test

import (
	"errors"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
)

// talker is a contract of which each call makes logs.
func (s *stand) talker() (at common.Address, speak func(n int)) {
	hostile := contracttest.Load("Hostile")
	deploy, at := s.ann.Deploy(hostile.Deploy())
	require.NoError(s.t, s.SendTransaction(s.t.Context(), deploy))
	return at, func(n int) {
		require.NoError(s.t, s.SendTransaction(s.t.Context(), s.ann.Send(at, nil, hostile.Call("shout", big.NewInt(int64(n))))))
	}
}

// A subscription to logs that cannot be told those of a block ends with the reason, and
// tells nothing of the blocks after it.
func TestSubscriptionsEndWhereTheyCannotGoOn(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { c.Read.LogBytes = 300 })
	at, speak := s.talker()
	logs := make(chan types.Log, 10)
	sub, err := s.socket().SubscribeFilterLogs(t.Context(), ethereum.FilterQuery{Addresses: []common.Address{at}}, logs)
	require.NoError(t, err)
	speak(100)
	require.Equal(t, uint64(2), (<-logs).BlockNumber)
	speak(1000)
	speak(100)
	err = <-sub.Err()
	var closed *websocket.CloseError
	require.True(t, errors.As(err, &closed), "%v", err)
	require.Equal(t, websocket.CloseTryAgainLater, closed.Code)
	require.Equal(t, "over 300 bytes in the logs of blocks 3 to 3: ask for fewer blocks", closed.Text)
	require.Empty(t, logs)
}

// A filter that was not asked for long goes on in pieces, and loses nothing.
func TestFiltersGoOnInPieces(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) {
		c.Read.LogBlocks, c.Read.Logs, c.Read.LogBytes = 3, 1, 300
	})
	ctx, c := t.Context(), s.Client.Client()
	at, speak := s.talker()
	var id string
	require.NoError(t, c.CallContext(ctx, &id, "eth_newFilter", map[string]any{"address": at}))
	for range 5 {
		speak(10)
		require.NoError(t, s.SendTransaction(ctx, s.ben.Send(common.Address{1}, nil, nil)))
	}
	var got []uint64
	for range 6 {
		var found []types.Log
		require.NoError(t, c.CallContext(ctx, &found, "eth_getFilterChanges", id))
		for _, l := range found {
			got = append(got, l.BlockNumber)
		}
	}
	require.Equal(t, []uint64{2, 4, 6, 8, 10}, got)

	speak(1000)
	require.ErrorContains(t, c.CallContext(ctx, nil, "eth_getFilterChanges", id), "filter not found any more: over 300 bytes in the logs of blocks 12 to 12")
	require.EqualError(t, c.CallContext(ctx, nil, "eth_getFilterChanges", id), "filter not found")
}

// Filters whose next block is not kept any more say so, and are gone.
func TestFiltersEndWhereBlocksAreForgotten(t *testing.T) {
	s := newStand(t, func(g *contract.Genesis, _ *endpoint.Config) { g.History = 256 })
	ctx, c := t.Context(), s.Client.Client()
	var blocks, logs string
	require.NoError(t, c.CallContext(ctx, &blocks, "eth_newBlockFilter"))
	require.NoError(t, c.CallContext(ctx, &logs, "eth_newFilter", map[string]any{}))
	s.order.pass(256 + 1)
	for _, id := range []string{blocks, logs} {
		require.EqualError(t, c.CallContext(ctx, nil, "eth_getFilterChanges", id), "filter not found any more: block 1 is not kept any more")
		require.EqualError(t, c.CallContext(ctx, nil, "eth_getFilterChanges", id), "filter not found")
	}
}
