package endpoint_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
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

// One connection has no more subscriptions than it may, others have their own, and what
// was ended leaves room.
func TestSubscriptionsAreBounded(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { c.MaxSubscriptions = 3 })
	ctx := t.Context()
	heads := make(chan *types.Header, 10)
	open := func(c *ethclient.Client) (ethereum.Subscription, error) { return c.SubscribeNewHead(ctx, heads) }
	ws := s.socket()
	first, err := open(ws)
	require.NoError(t, err)
	_, err = ws.SubscribeFilterLogs(ctx, ethereum.FilterQuery{}, make(chan types.Log, 10))
	require.NoError(t, err)
	pending := func() (ethereum.Subscription, error) {
		return ws.Client().EthSubscribe(ctx, make(chan common.Hash, 10), "newPendingTransactions")
	}
	silent, err := pending()
	require.NoError(t, err)
	_, err = pending()
	require.ErrorContains(t, err, "the connection has 3 subscriptions")
	_, err = open(ws)
	require.ErrorContains(t, err, "the connection has 3 subscriptions, as many as it may have: end some with eth_unsubscribe")
	_, err = open(s.socket())
	require.NoError(t, err)
	for _, sub := range []ethereum.Subscription{first, silent} {
		sub.Unsubscribe()
		require.Eventually(t, func() bool { // it ends beside the answer
			_, err = open(ws)
			return err == nil
		}, time.Minute, time.Millisecond, "%v", err)
		_, err = open(ws)
		require.Error(t, err)
	}
}
