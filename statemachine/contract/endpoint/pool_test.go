package endpoint_test

import (
	"context"
	"errors"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
)

// Transactions that come in the wrong order wait for those before them.
func TestNoncesInAnyOrder(t *testing.T) {
	s := newStand(t, nil)
	const n = 20
	txs := make([]*types.Transaction, n)
	for i := range txs {
		txs[i] = s.ann.Send(common.Address{1}, big.NewInt(1), nil)
	}
	var all sync.WaitGroup
	errs := make([]error, n)
	for i := n - 1; i >= 0; i-- {
		all.Go(func() { errs[i] = s.SendTransaction(t.Context(), txs[i]) })
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	balance, err := s.BalanceAt(t.Context(), common.Address{1}, nil)
	require.NoError(t, err)
	require.Equal(t, int64(n), balance.Int64())
}

// A block without room refuses a transaction, and the endpoint sends it again.
func TestFullBlocksAreRetried(t *testing.T) {
	s := newStand(t, func(g *contract.Genesis, _ *endpoint.Config) { g.BlockGasLimit, g.TxGasLimit = 8_000_000, 8_000_000 })
	var all sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		tx := s.ann.Send(common.Address{1}, big.NewInt(1), nil)
		all.Go(func() { errs[i] = s.SendTransaction(t.Context(), tx) })
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// What a sender is told of a transaction that was refused.
func TestRefusedTransactions(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { c.Gap = 30 * time.Millisecond })
	ctx := t.Context()
	require.NoError(t, s.SendTransaction(ctx, s.ann.Send(common.Address{1}, nil, nil)))
	calls := s.order.calls
	foreign := contracttest.NewWallet(contract.DevChainID+1, "ann")
	for want, tx := range map[string]*types.Transaction{
		"nonce too low":                   s.ann.Sign(&types.LegacyTx{Nonce: 0, Gas: 21000, To: &common.Address{2}}),
		"signature is not for this chain": foreign.Send(common.Address{1}, nil, nil),
		"transaction gas limit too high":  s.ann.Sign(&types.LegacyTx{Nonce: 1, Gas: 1 << 30, To: &common.Address{}}),
		"nonce too high":                  s.ann.Sign(&types.LegacyTx{Nonce: 9, Gas: 21000, To: &common.Address{}}),
	} {
		err := s.SendTransaction(ctx, tx)
		require.ErrorContains(t, err, want)
		var coded rpc.Error
		require.ErrorAs(t, err, &coded)
		require.Equal(t, -32003, coded.ErrorCode())
	}
	require.Equal(t, calls, s.order.calls, "the cluster had nothing to do with them")
	require.ErrorContains(t, s.SendTransaction(ctx, s.ben.Sign(&types.LegacyTx{Gas: 20000, To: &common.Address{}})), "intrinsic gas too low")
	require.ErrorContains(t, s.SendTransaction(ctx, s.ben.Sign(&types.LegacyTx{Gas: 21000, To: &common.Address{}, Value: new(big.Int).Lsh(big.NewInt(1), 100)})), "insufficient funds")

	s.order.before = func([][]byte) error { return errors.New("no quorum") }
	require.ErrorContains(t, s.SendTransaction(ctx, s.ben.Send(common.Address{1}, nil, nil)), "no quorum")
}

// A transaction that is sent again although it ran is none that is refused: its sender
// asks because it did not hear of the outcome.
func TestSentAgain(t *testing.T) {
	s := newStand(t, nil)
	ctx := t.Context()
	good := s.ann.Send(common.Address{1}, big.NewInt(1), nil)
	require.NoError(t, s.SendTransaction(ctx, good))
	calls := s.order.calls
	require.NoError(t, s.SendTransaction(ctx, good))
	receipt, err := s.SendTransactionSync(ctx, good, nil)
	require.NoError(t, err)
	require.Equal(t, good.Hash(), receipt.TxHash)
	require.Equal(t, calls, s.order.calls, "the cluster had nothing to do with it")

	// One that another replica brought while this one had it on its way: the cluster says
	// that the nonce was used, and it was by this very transaction. Another one is refused.
	overtaken := func(by *types.Transaction) {
		b, err := by.MarshalBinary()
		require.NoError(t, err)
		s.order.before = func([][]byte) error {
			s.order.before = nil
			s.order.apply(b)
			return nil
		}
	}
	twin := s.ann.Send(common.Address{1}, big.NewInt(1), nil)
	overtaken(twin)
	require.NoError(t, s.SendTransaction(ctx, twin))
	late := s.ann.Sign(&types.LegacyTx{Nonce: s.ann.Nonce, Gas: 21000, To: &common.Address{2}})
	overtaken(s.ann.Send(common.Address{1}, big.NewInt(1), nil))
	require.ErrorContains(t, s.SendTransaction(ctx, late), "nonce too low")
	balance, err := s.BalanceAt(ctx, common.Address{1}, nil)
	require.NoError(t, err)
	require.Equal(t, int64(3), balance.Int64(), "each ran once")

	// The cluster says so before this replica has got there.
	s.order.behind = true
	require.NoError(t, s.SendTransaction(ctx, s.ann.Send(common.Address{1}, big.NewInt(1), nil)))
}

// Two transactions with one nonce: the first is under way, the second is refused, and the
// same one again waits with it.
func TestReplacement(t *testing.T) {
	s := newStand(t, nil)
	entered, leave := make(chan struct{}), make(chan struct{})
	s.order.before = func([][]byte) error { close(entered); <-leave; return nil }
	first := s.ann.Send(common.Address{1}, nil, nil)
	other := s.ann.Sign(&types.LegacyTx{Gas: 21000, To: &common.Address{2}})
	outcome := make(chan error, 1)
	go func() { outcome <- s.SendTransaction(t.Context(), first) }()
	<-entered
	require.ErrorContains(t, s.SendTransaction(t.Context(), other), "replacement transaction underpriced: another transaction with that nonce")
	s.order.before = nil
	close(leave)
	require.NoError(t, <-outcome)
}

// What waits for its turn is not too early, however long that takes: of its account none is missing.
func TestSlowIsNotEarly(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) {
		c.Gap, c.MaxRequestBytes = time.Nanosecond, 1 // a request for each
	})
	var txs []*types.Transaction
	for range 3 {
		txs = append(txs, s.ann.Send(common.Address{1}, big.NewInt(1), nil))
	}
	_, answers, text := s.sendAll("eth_sendRawTransaction", nil, txs...)
	require.Len(t, answers, len(txs), text)
	for _, a := range answers {
		require.Nil(t, a.Error, text)
	}
	require.Equal(t, len(txs), s.order.calls)
	early := s.ann.Sign(&types.LegacyTx{Nonce: 9, Gas: 21000, To: &common.Address{}})
	require.ErrorContains(t, s.SendTransaction(t.Context(), early), "nonce too high")
}

func TestBoundsOnWaiting(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) {
		c.MaxWaiting, c.MaxWaitingPerSender, c.Gap = 3, 2, time.Hour
	})
	ctx, cancel := context.WithCancel(t.Context())
	errs := make(chan error, 10)
	var all sync.WaitGroup
	// Transactions whose predecessor never comes: as many wait as there is room for.
	early := func(w *contracttest.Wallet, n int) {
		for nonce := range uint64(n) {
			tx := w.Sign(&types.LegacyTx{Nonce: nonce + 1, Gas: 21000, To: &common.Address{}})
			all.Go(func() { errs <- s.SendTransaction(ctx, tx) })
		}
	}
	early(s.ann, 5)
	for range 3 {
		require.ErrorContains(t, <-errs, "too many transactions wait")
	}
	early(s.ben, 2)
	require.ErrorContains(t, <-errs, "too many transactions wait")
	cancel()
	for range 3 {
		require.ErrorIs(t, <-errs, context.Canceled)
	}
	all.Wait()
}
