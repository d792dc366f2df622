package endpoint_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract/contracttest"
)

func TestSubscriptions(t *testing.T) {
	s := newStand(t, nil)
	ctx := t.Context()
	ws, err := ethclient.Dial(strings.Replace(s.endpoint.URL(), "http", "ws", 1))
	require.NoError(t, err)
	defer ws.Close()
	heads, logs := make(chan *types.Header, 10), make(chan types.Log, 10)
	h, err := ws.SubscribeNewHead(ctx, heads)
	require.NoError(t, err)
	defer h.Unsubscribe()
	coin := contracttest.Load("Coin")
	deploy, at := s.ann.Deploy(coin.Deploy(big.NewInt(1000)))
	l, err := ws.SubscribeFilterLogs(ctx, ethereum.FilterQuery{Addresses: []common.Address{at}}, logs)
	require.NoError(t, err)
	defer l.Unsubscribe()
	require.NoError(t, s.SendTransaction(ctx, deploy))
	require.NoError(t, s.SendTransaction(ctx, s.ann.Send(at, nil, coin.Call("transfer", s.ben.Address, big.NewInt(3)))))
	for i := range 2 {
		header := <-heads
		require.Equal(t, int64(i+1), header.Number.Int64())
		log := <-logs
		require.Equal(t, at, log.Address)
		require.Equal(t, header.Hash(), log.BlockHash)
	}
}
