package endpoint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
)

// solo orders operations by itself: an endpoint's own business needs no cluster.
type solo struct {
	mu     sync.Mutex
	m      *contract.Machine
	height uint64
	// before, if set, is called before each request runs.
	before func(ops [][]byte) error
	// behind: the cluster has run a request already, and this replica does so later.
	behind bool
	calls  int
}

func (s *solo) SubmitAll(_ context.Context, ops [][]byte) ([]statemachine.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.before != nil {
		if err := s.before(ops); err != nil {
			return nil, err
		}
	}
	if s.behind {
		go func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.apply(ops...)
		}()
		return []statemachine.Result{statemachine.Reject(contract.CodeNonceUsed, nil)}, nil
	}
	return s.apply(ops...), nil
}

// apply runs operations in a block of their own. The lock is held.
func (s *solo) apply(ops ...[]byte) []statemachine.Result {
	s.height++
	b := statemachine.Block{Height: s.height, Time: statemachine.Time((1_800_000_000 + s.height) * 1e9)}
	for _, op := range ops {
		b.Ops = append(b.Ops, statemachine.Op{Data: op})
	}
	return s.m.Apply(b)
}

type stand struct {
	*ethclient.Client
	t        testing.TB
	endpoint *endpoint.Server
	order    *solo
	ann, ben *contracttest.Wallet
}

func newStand(t testing.TB, edit func(*contract.Genesis, *endpoint.Config)) *stand {
	s := &stand{t: t, ann: contracttest.NewWallet(contract.DevChainID, "ann"), ben: contracttest.NewWallet(contract.DevChainID, "ben")}
	g := &contract.Genesis{ChainID: contract.DevChainID, Alloc: rich(s.ann, s.ben)}
	cfg := endpoint.Config{Listen: "127.0.0.1:0"}
	if edit != nil {
		edit(g, &cfg)
	}
	cfg.Machine = newMachine(t, g)
	s.order = &solo{m: cfg.Machine}
	if cfg.Submit == nil {
		cfg.Submit = s.order
	}
	var err error
	s.endpoint, err = endpoint.Start(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(s.endpoint.Stop)
	s.Client, err = ethclient.Dial(s.endpoint.URL())
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// What go-ethereum's client asks for.
func TestClient(t *testing.T) {
	s := newStand(t, nil)
	ctx := t.Context()
	id, err := s.ChainID(ctx)
	require.NoError(t, err)
	require.Equal(t, big.NewInt(contract.DevChainID), id)
	net, err := s.NetworkID(ctx)
	require.NoError(t, err)
	require.Equal(t, id, net)
	progress, err := s.SyncProgress(ctx)
	require.NoError(t, err)
	require.Nil(t, progress)
	price, err := s.SuggestGasPrice(ctx)
	require.NoError(t, err)
	require.Zero(t, price.Sign())
	tip, err := s.SuggestGasTipCap(ctx)
	require.NoError(t, err)
	require.Zero(t, tip.Sign())
	var version string
	require.NoError(t, s.Client.Client().CallContext(ctx, &version, "web3_clientVersion"))
	require.Equal(t, "parley", version)

	// Deployed and called by geth's bindings, which estimate gas and fees themselves.
	coin := contracttest.Load("Coin")
	auth := bind.NewKeyedTransactor(s.ann.Key, id)
	auth.Context = ctx
	deployed, err := bind.LinkAndDeploy(&bind.DeploymentParams{
		Contracts: []*bind.MetaData{{Bin: hexutil.Encode(coin.Code), ID: "coin"}},
		Inputs:    map[string][]byte{"coin": coin.Call("", big.NewInt(1000))},
	}, bind.DefaultDeployer(auth, s))
	require.NoError(t, err)
	at := deployed.Addresses["coin"]
	_, err = bind.WaitDeployed(ctx, s, deployed.Txs["coin"].Hash())
	require.NoError(t, err)
	bound := bind.NewBoundContract(at, coin.ABI, s, s, s)
	tx, err := bound.Transact(auth, "transfer", s.ben.Address, big.NewInt(10))
	require.NoError(t, err)
	receipt, err := bind.WaitMined(ctx, s, tx.Hash())
	require.NoError(t, err)
	require.Equal(t, types.ReceiptStatusSuccessful, receipt.Status)
	require.Less(t, tx.Gas(), receipt.GasUsed*3/2, "a good estimate")
	require.Equal(t, uint64(2), receipt.BlockNumber.Uint64())
	require.Len(t, receipt.Logs, 1)
	require.Equal(t, receipt.BlockHash, receipt.Logs[0].BlockHash)

	// Refusals carry the reason.
	_, err = bound.Transact(auth, "transfer", s.ben.Address, big.NewInt(100_000))
	require.ErrorContains(t, err, "execution reverted")
	data, ok := ethclient.RevertErrorData(err)
	require.True(t, ok)
	require.Equal(t, coin.ABI.Errors["ERC20InsufficientBalance"].ID.Bytes()[:4], data[:4])
	_, err = s.EstimateGas(ctx, ethereum.CallMsg{From: s.ann.Address, To: &at, Gas: 30_000, Data: coin.Call("transfer", s.ben.Address, big.NewInt(1))})
	require.ErrorContains(t, err, "gas required exceeds allowance")

	// Earlier states.
	for height, want := range map[int64]int64{1: 0, 2: 10} {
		out, err := s.CallContract(ctx, ethereum.CallMsg{To: &at, Data: coin.Call("balanceOf", s.ben.Address)}, big.NewInt(height))
		require.NoError(t, err)
		require.Equal(t, want, new(big.Int).SetBytes(out).Int64())
	}
	none, err := s.CodeAt(ctx, at, new(big.Int))
	require.NoError(t, err)
	require.Empty(t, none)
	code, err := s.CodeAt(ctx, at, nil)
	require.NoError(t, err)
	require.NotEmpty(t, code)
	slot, err := s.StorageAt(ctx, at, common.BigToHash(big.NewInt(2)), nil)
	require.NoError(t, err)
	require.Equal(t, int64(1000), new(big.Int).SetBytes(slot).Int64(), "the total supply is the third word")
	nonce, err := s.PendingNonceAt(ctx, s.ann.Address)
	require.NoError(t, err)
	require.Equal(t, uint64(2), nonce)
	_, err = s.BalanceAt(ctx, at, big.NewInt(99))
	require.ErrorContains(t, err, "block not found")

	// Blocks and transactions by every name.
	block, err := s.BlockByNumber(ctx, big.NewInt(2))
	require.NoError(t, err)
	require.Equal(t, receipt.BlockHash, block.Hash())
	byHash, err := s.BlockByHash(ctx, block.Hash())
	require.NoError(t, err)
	require.Equal(t, block.Hash(), byHash.Hash())
	parent, err := s.HeaderByHash(ctx, block.ParentHash())
	require.NoError(t, err)
	require.Equal(t, int64(1), parent.Number.Int64())
	got, pending, err := s.TransactionByHash(ctx, tx.Hash())
	require.NoError(t, err)
	require.False(t, pending)
	require.Equal(t, tx.Hash(), got.Hash())
	got, err = s.TransactionInBlock(ctx, block.Hash(), 0)
	require.NoError(t, err)
	require.Equal(t, tx.Hash(), got.Hash())
	from, err := s.TransactionSender(ctx, got, block.Hash(), 0)
	require.NoError(t, err)
	require.Equal(t, s.ann.Address, from)
	count, err := s.TransactionCount(ctx, block.Hash())
	require.NoError(t, err)
	require.Equal(t, uint(1), count)
	receipts, err := s.BlockReceipts(ctx, rpc.BlockNumberOrHashWithNumber(2))
	require.NoError(t, err)
	require.Equal(t, text(t, receipt), text(t, receipts[0]))
	_, err = s.TransactionReceipt(ctx, common.Hash{1})
	require.ErrorIs(t, err, ethereum.NotFound)
	_, _, err = s.TransactionByHash(ctx, common.Hash{1})
	require.ErrorIs(t, err, ethereum.NotFound)
	_, err = s.BlockByNumber(ctx, big.NewInt(99))
	require.ErrorIs(t, err, ethereum.NotFound)
	fees, err := s.FeeHistory(ctx, 2, nil, []float64{50})
	require.NoError(t, err)
	require.Len(t, fees.BaseFee, 3)
	require.Len(t, fees.Reward, 2)

	// Logs by address and topic.
	transfer := coin.ABI.Events["Transfer"].ID
	for want, q := range map[int]ethereum.FilterQuery{
		2: {FromBlock: new(big.Int), Addresses: []common.Address{at}, Topics: [][]common.Hash{{transfer}}},
		1: {FromBlock: new(big.Int), Topics: [][]common.Hash{nil, {common.BytesToHash(s.ann.Address[:])}}},
		0: {FromBlock: new(big.Int), Addresses: []common.Address{{1}}},
	} {
		logs, err := s.FilterLogs(ctx, q)
		require.NoError(t, err)
		require.Len(t, logs, want)
	}
	hash := block.Hash()
	logs, err := s.FilterLogs(ctx, ethereum.FilterQuery{BlockHash: &hash})
	require.NoError(t, err)
	require.Len(t, logs, 1)

	// Executed in one call, with its receipt.
	receipt, err = s.SendTransactionSync(ctx, s.ben.Send(s.ann.Address, big.NewInt(5), nil), nil)
	require.NoError(t, err)
	require.Equal(t, uint64(21000), receipt.GasUsed)
}

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
	require.ErrorContains(t, s.SendTransaction(t.Context(), other), "another transaction with that nonce")
	s.order.before = nil
	close(leave)
	require.NoError(t, <-outcome)
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

// post sends bytes as they are.
func (s *stand) post(body string, edit func(*http.Request)) (status int, answer string) {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.endpoint.URL(), bytes.NewReader([]byte(body)))
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	if edit != nil {
		edit(req)
	}
	r, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(s.t, err)
	return r.StatusCode, string(b)
}

func TestMalformedRequests(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) {
		c.MaxBodyBytes, c.MaxBatch, c.Read.LogBlocks = 64<<10, 3, 5
	})
	call := func(method, params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
	}
	addr := `"0x0000000000000000000000000000000000000001"`
	for name, c := range map[string]struct{ body, want string }{
		"no JSON":                {`{"jsonrpc":`, "-32700"},
		"no request":             {`[1,2]`, "-32600"},
		"no method":              {call("eth_nothing", `[]`), "-32601"},
		"a private method":       {call("eth_sendTransaction", `[{}]`), "-32601"},
		"an admin's method":      {call("admin_peers", `[]`), "-32601"},
		"too few arguments":      {call("eth_getBalance", `[]`), "-32602"},
		"too many":               {call("eth_chainId", `[1,2,3]`), "-32602"},
		"no list of arguments":   {call("eth_getBalance", `{"a":1}`), "-32602"},
		"a bad address":          {call("eth_getBalance", `["0x01","latest"]`), "-32602"},
		"a bad block":            {call("eth_getBalance", `[`+addr+`,"someday"]`), "-32602"},
		"a negative block":       {call("eth_getBalance", `[`+addr+`,"-0x1"]`), "-32602"},
		"a block of the future":  {call("eth_getBalance", `[`+addr+`,"0xffffffffff"]`), "block not found"},
		"a transaction of noise": {call("eth_sendRawTransaction", `["0xdeadbeef"]`), "-32003"},
		"odd hex":                {call("eth_sendRawTransaction", `["0x123"]`), "-32602"},
		"too long a transaction": {call("eth_sendRawTransaction", `["0x`+strings.Repeat("00", 20000)+`"]`), "-32003"},
		"a slot of 33 bytes":     {call("eth_getStorageAt", `[`+addr+`,"0x`+strings.Repeat("11", 33)+`","latest"]`), "slot"},
		"a slot that is none":    {call("eth_getStorageAt", `[`+addr+`,"zz","latest"]`), "slot"},
		"five topics":            {call("eth_getLogs", `[{"topics":[null,null,null,null,null]}]`), "at most 4"},
		"a topic that is none":   {call("eth_getLogs", `[{"topics":["0x1"]}]`), "-32602"},
		"a range and a hash":     {call("eth_getLogs", `[{"fromBlock":"0x1","blockHash":"0x`+strings.Repeat("11", 32)+`"}]`), "one of them"},
		"a range of nothing":     {call("eth_getLogs", `[{"fromBlock":"0x9"}]`), "block not found"},
		"a value over 256 bits":  {call("eth_call", `[{"to":`+addr+`,"value":"0x1`+strings.Repeat("00", 32)+`"}]`), "-32602"},
		"two prices":             {call("eth_call", `[{"to":`+addr+`,"gasPrice":"0x1","maxFeePerGas":"0x1"}]`), "both gasPrice"},
		"another state":          {call("eth_call", `[{"to":`+addr+`},"latest",{`+addr+`:{"balance":"0x1"}}]`), "not supported"},
		"deep nesting":           {call("eth_call", strings.Repeat("[", 5000)+strings.Repeat("]", 5000)), "-32602"},
		"too many at once":       {`[` + strings.TrimSuffix(strings.Repeat(call("eth_chainId", `[]`)+",", 4), ",") + `]`, "batch too large"},
		"a subscription by HTTP": {call("eth_subscribe", `["newHeads"]`), "notifications not supported"},
		"many percentiles":       {call("eth_feeHistory", `["0x1","latest",[`+strings.TrimSuffix(strings.Repeat("1,", 101), ",")+`]]`), "at most 100"},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := s.post(c.body, nil)
			require.Equal(t, http.StatusOK, status, answer)
			require.True(t, json.Valid([]byte(answer)), answer)
			require.Contains(t, answer, c.want)
			require.Contains(t, answer, "error")
		})
	}
	status, _ := s.post(strings.Repeat(" ", 65<<10), nil)
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	status, _ = s.post("{}", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	require.Equal(t, http.StatusUnsupportedMediaType, status)
	status, _ = s.post(call("eth_chainId", `[]`), func(r *http.Request) { r.Method = http.MethodPut })
	require.Equal(t, http.StatusMethodNotAllowed, status)

	for range 6 {
		require.NoError(t, s.SendTransaction(t.Context(), s.ann.Send(common.Address{1}, nil, nil)))
	}
	_, answer := s.post(call("eth_getLogs", `[{"fromBlock":"0x0"}]`), nil)
	require.Contains(t, answer, "at most 5 at once")
}

// A web page that a browser has open must not use the endpoint of its user's machine.
func TestWebPages(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) {
		c.Hosts, c.Origins = []string{"parley.example"}, []string{"https://wallet.example"}
	})
	const call = `{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`
	for host, want := range map[string]int{
		"evil.example": http.StatusForbidden, "evil.example:8545": http.StatusForbidden,
		"parley.example": http.StatusOK, "localhost:1": http.StatusOK, "[::1]:1": http.StatusOK, "10.0.0.1": http.StatusOK,
	} {
		status, _ := s.post(call, func(r *http.Request) { r.Host = host })
		require.Equal(t, want, status, host)
	}
	socket := func(origin string) error {
		ws, err := rpc.DialWebsocket(t.Context(), strings.Replace(s.endpoint.URL(), "http", "ws", 1), origin)
		if err == nil {
			err = ws.CallContext(t.Context(), nil, "eth_chainId")
			ws.Close()
		}
		return err
	}
	for origin, may := range map[string]bool{
		"": true, "https://wallet.example": true, "https://Wallet.example:443": true, s.endpoint.URL(): true,
		"https://evil.example": false, "http://wallet.example": false, "https://wallet.example:8443": false,
		"https://wallet.example.evil.example": false, "null": false, "wallet.example": false,
		"http://localhost": false, "http://localhost:3000": false, "http://127.0.0.1": false, "http://127.0.0.1:1": false,
	} {
		from := func(r *http.Request) { r.Header.Set("Origin", origin) }
		status, answer := s.post(call, from)
		require.Equal(t, may, status == http.StatusOK, origin)
		if !may {
			require.Contains(t, answer, origin)
			require.Contains(t, answer, "contractOrigins", "what to set")
		}
		if origin != "" {
			status, _ = s.post("", func(r *http.Request) { r.Method = http.MethodOptions; from(r) })
			require.Equal(t, may, status == http.StatusNoContent, origin)
		}
		require.Equal(t, may, socket(origin) == nil, "a WebSocket of %q", origin)
	}
}

// A page that comes from the same place as the endpoint, by a proxy in front of both, may
// use it.
func TestSameOrigin(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { c.Hosts = []string{"Parley.example"} })
	for origin, want := range map[string]int{
		"https://parley.example": http.StatusOK, "https://Parley.example:443": http.StatusOK,
		"https://parley.example:444": http.StatusForbidden, "https://page.parley.example": http.StatusForbidden,
	} {
		status, _ := s.post(`{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`, func(r *http.Request) {
			r.Host = "parley.example"
			r.Header.Set("Origin", origin)
		})
		require.Equal(t, want, status, origin)
	}
}

// By default no page may use the endpoint, not even one of the same machine.
func TestWebPagesByDefault(t *testing.T) {
	s := newStand(t, nil)
	name, err := os.Hostname()
	require.NoError(t, err)
	for _, origin := range []string{"http://localhost", "http://localhost:8080", "http://" + name, "https://evil.example"} {
		_, err := rpc.DialWebsocket(t.Context(), strings.Replace(s.endpoint.URL(), "http", "ws", 1), origin)
		require.Error(t, err, origin)
		status, _ := s.post(`{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`, func(r *http.Request) { r.Header.Set("Origin", origin) })
		require.Equal(t, http.StatusForbidden, status, origin)
	}
	s = newStand(t, func(_ *contract.Genesis, c *endpoint.Config) { c.Origins = []string{"*"} })
	ws, err := rpc.DialWebsocket(t.Context(), strings.Replace(s.endpoint.URL(), "http", "ws", 1), "https://anybody.example")
	require.NoError(t, err)
	ws.Close()
}

// A call that never ends is given up, and others have their turn.
func TestEndlessCalls(t *testing.T) {
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) {
		c.Read = contract.ReadLimits{CallGas: 1 << 60, CallTime: 20 * time.Millisecond, Calls: 1}
	})
	hostile := contracttest.Load("Hostile")
	deploy, at := s.ann.Deploy(hostile.Deploy())
	require.NoError(t, s.SendTransaction(t.Context(), deploy))
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			_, err := s.CallContract(t.Context(), ethereum.CallMsg{To: &at, Data: hostile.Call("loop")}, nil)
			if err == nil || !strings.Contains(err.Error(), "took too long") {
				t.Errorf("a call without end: %v", err)
			}
		})
	}
	all.Wait()
}

func TestConfig(t *testing.T) {
	m := newMachine(t, nil)
	for field, c := range map[string]endpoint.Config{
		"Machine":     {},
		"Listen":      {Machine: m, Listen: "0.0.0.0:8545"},
		"MaxBatch":    {Machine: m, MaxBatch: -1},
		"host:port":   {Machine: m, Listen: "here"},
		"MaxWaiting ": {Machine: m, MaxWaiting: -1},
		"Origins[1]":  {Machine: m, Origins: []string{"*", "wallet.example"}},
		"Origins[0]":  {Machine: m, Origins: []string{"https://wallet.example/app"}},
		"Hosts[0]":    {Machine: m, Hosts: []string{"parley.example:8545"}},
	} {
		err := c.Validate()
		require.ErrorIs(t, err, endpoint.ErrConfig)
		require.ErrorContains(t, err, field)
	}
	require.NoError(t, endpoint.Config{Machine: m}.Validate())
	require.NoError(t, endpoint.Config{Machine: m, Listen: "0.0.0.0:1", Remote: true}.Validate())
	e, err := endpoint.Start(t.Context(), endpoint.Config{Machine: m, Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	c, err := ethclient.Dial(e.URL())
	require.NoError(t, err)
	w := contracttest.NewWallet(contract.DevChainID, "ann")
	require.ErrorContains(t, c.SendTransaction(t.Context(), w.Send(common.Address{}, nil, nil)), "only reads")
	c.Close()
	e.Stop()
	e.Stop()
}

// While the replica's state is not to be read the endpoint says so, and to whom to go.
func TestNotServing(t *testing.T) {
	var why atomic.Pointer[error]
	s := newStand(t, func(_ *contract.Genesis, c *endpoint.Config) {
		c.Serving = func() error {
			if p := why.Load(); p != nil {
				return *p
			}
			return nil
		}
	})
	const call = `{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}`
	status, _ := s.post(call, nil)
	require.Equal(t, http.StatusOK, status)
	bad := errors.New("the state is being repaired")
	why.Store(&bad)
	status, body := s.post(call, nil)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "being repaired: ask another replica")
	why.Store(nil)
	status, _ = s.post(call, nil)
	require.Equal(t, http.StatusOK, status)
}
