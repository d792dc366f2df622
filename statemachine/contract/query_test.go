package contract

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// Queries are answered from the last state, alike on two replicas that have it.
func TestQueries(t *testing.T) {
	w, coin := contracttest.NewWallet(testChainID, "ann"), contracttest.Load("Coin")
	deploy, at := w.Deploy(coin.Deploy(big.NewInt(1000)))
	transfer := w.Send(at, nil, coin.Call("transfer", common.Address{9}, big.NewInt(7)))
	a, b := newTestChain(t, DefaultGenesis()), newTestChain(t, DefaultGenesis())
	for _, c := range []*testChain{a, b} {
		c.send(deploy)
		c.send(transfer)
	}
	ask := func(method string, params ...any) string {
		q, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
		require.NoError(t, err)
		one, err := a.m.Query(context.Background(), q)
		require.NoError(t, err)
		other, err := b.m.Query(context.Background(), q)
		require.NoError(t, err)
		require.Equal(t, string(one), string(other))
		return string(one)
	}
	require.Contains(t, ask("eth_blockNumber"), `"0x2"`)
	require.Contains(t, ask("eth_getTransactionCount", w.Address, "latest"), `"0x2"`)
	call := map[string]any{"to": at, "data": hexutil.Bytes(coin.Call("balanceOf", common.Address{9}))}
	require.Contains(t, ask("eth_call", call, "latest"), "07\"}")
	require.Contains(t, ask("eth_call", call, "0x2"), "07\"}")
	require.Contains(t, ask("eth_call", call, "0x1"), "last state alone")
	require.Contains(t, ask("eth_getTransactionReceipt", transfer.Hash()), `"status":"0x1"`)
	require.Contains(t, ask("eth_getBlockByNumber", "latest", true), `"transactions":[{`)
	require.Contains(t, ask("eth_getLogs", map[string]any{"fromBlock": "0x0"}), `"logIndex":"0x0"`)
	require.Contains(t, ask("eth_sendRawTransaction", "0x00"), "-32601", "a query changes nothing")

	none := ask("eth_getProof", w.Address, []string{"0x0"}, "latest")
	require.Contains(t, none, `"code":-32004`)
	require.Contains(t, none, "eth_getProof is not supported")
	require.Contains(t, none, "store.ProofQuery of contract.AccountKey", "what there is instead")

	// Logs are bounded by their bytes too: the two that there are have 32 each.
	for most, want := range map[int]string{64: "", 63: "over 63 bytes in the logs of blocks 0 to 2"} {
		_, err := a.m.API(ReadLimits{LogBytes: most}).GetLogs(context.Background(), Filter{From: new(rpc.BlockNumber)})
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want)
		}
	}

	// Logs are looked for in turn with calls: whoever asks for many at once waits.
	busy := a.m.API(ReadLimits{Calls: 1})
	_, done, err := busy.turn(context.Background())
	require.NoError(t, err)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = busy.GetLogs(gone, Filter{})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "waits for its turn")
	done()
	_, err = read(busy, "", func(v view) ([]*types.Log, error) {
		logs, _, err := busy.collect(gone, v, &Filter{}, 0, 2)
		return logs, err
	})
	require.ErrorContains(t, err, "stopped at block 0 of 0 to 2")
	_, err = busy.GetLogs(context.Background(), Filter{})
	require.NoError(t, err)

	// A batch is as long as its bound and no longer.
	batch := func(calls int) []byte {
		return []byte("[" + strings.Repeat(`{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"},`, calls-1) + `{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}]`)
	}
	many, err := a.m.Query(context.Background(), batch(maxQueryBatch))
	require.NoError(t, err)
	require.Equal(t, maxQueryBatch, strings.Count(string(many), `"0x2"`))
	many, err = a.m.Query(context.Background(), batch(maxQueryBatch+1))
	require.NoError(t, err)
	require.Contains(t, string(many), "batch too large")
	require.NotContains(t, string(many), `"0x2"`)

	_, err = a.m.Query(context.Background(), make([]byte, MaxQueryBytes+1))
	require.ErrorContains(t, err, "malformed query")
	_, err = a.m.Query(gone, []byte(`{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`))
	require.ErrorIs(t, err, context.Canceled)
}

// A block's state root is the digest of the state before it, and proves what was there.
func TestStateRootProves(t *testing.T) {
	w, coin := contracttest.NewWallet(testChainID, "ann"), contracttest.Load("Coin")
	c := newTestChain(t, &Genesis{ChainID: testChainID, Alloc: rich(w)})
	deploy, at := w.Deploy(coin.Deploy(big.NewInt(1000)))
	c.send(deploy)
	digest := c.m.Digest()
	c.send(w.Send(at, nil, coin.Call("transfer", common.Address{9}, big.NewInt(7))))
	root := c.header(2).Root
	require.Equal(t, common.Hash(digest), root)

	prove := func(key []byte) *proof.Proof {
		b, err := c.m.Query(context.Background(), store.ProofQuery(1, key))
		require.NoError(t, err)
		p, err := proof.Decode(b)
		require.NoError(t, err)
		require.NoError(t, p.Verify(crypto.Digest(root), key))
		require.Error(t, p.Verify(crypto.Digest(c.header(1).Root), key))
		return p
	}
	p := prove(StorageKey(at, common.Hash{31: 2})) // the total supply
	require.Equal(t, int64(1000), new(big.Int).SetBytes(p.Value).Int64())
	p = prove(AccountKey(w.Address))
	a, err := DecodeAccount(p.Value)
	require.NoError(t, err)
	require.Equal(t, uint64(1), a.Nonce)
	require.False(t, prove(AccountKey(common.Address{9})).Present)
	_, err = DecodeAccount([]byte{1})
	require.Error(t, err)
}

// Long results leave out what a receipt has.
func TestLongOutcomes(t *testing.T) {
	w, hostile := contracttest.NewWallet(testChainID, "ann"), contracttest.Load("Hostile")
	c := newTestChain(t, DefaultGenesis())
	deploy, at := w.Deploy(hostile.Deploy())
	loud := w.Send(at, nil, hostile.Call("shout", big.NewInt(100_000)))
	rs := c.send(deploy, loud)
	o, err := DecodeOutcome(rs[1])
	require.NoError(t, err)
	require.True(t, o.Cut)
	require.Less(t, len(rs[1].Data), 200)
	require.Len(t, c.record(loud.Hash()).Logs[0].Data, 100_064)
	_, err = DecodeOutcome(statemachine.Result{Data: []byte{1}})
	require.ErrorIs(t, err, ErrOutcome)
}

func TestGenesisRefusals(t *testing.T) {
	addr := "0x" + strings.Repeat("00", 19) + "01"
	for want, text := range map[string]string{
		"chainId is 0":            `{}`,
		"fork is shanghai":        `{"chainId": 1, "fork": "shanghai"}`,
		"blockGasLimit is 5":      `{"chainId": 1, "blockGasLimit": 5}`,
		"txGasLimit is 20000000":  `{"chainId": 1, "txGasLimit": 20000000}`,
		"history is 7":            `{"chainId": 1, "history": 7}`,
		"gasLimt":                 `{"chainId": 1, "gasLimt": 5}`,
		"storage is given":        fmt.Sprintf(`{"chainId": 1, "alloc": {%q: {"balance": "1", "storage": {"0x01": "0x01"}}}}`, addr),
		"over 2^256-1 wei in all": fmt.Sprintf(`{"chainId": 1, "alloc": {%q: {"balance": "0x%s"}, "0x%s02": {"balance": "1"}}}`, addr, strings.Repeat("f", 64), strings.Repeat("00", 19)),
		"blance is no field":      fmt.Sprintf(`{"chainId": 1, "alloc": {%q: {"blance": "1"}}}`, addr),
		"there twice":             fmt.Sprintf(`{"chainId": 1, "alloc": {%q: {"balance": "1"}, %q: {"balance": "2"}}}`, addr, addr[2:]),
		"object of accounts":      `{"chainId": 1, "alloc": [1]}`,
		"bytes long":              fmt.Sprintf(`{"chainId": 1, "alloc": {%q: {"balance": "1", "code": "0x%s"}}}`, addr, strings.Repeat("00", 24577)),
	} {
		_, err := ParseGenesis([]byte(text))
		require.ErrorIs(t, err, ErrGenesis, text)
		require.ErrorContains(t, err, want)
	}
	g, err := ParseGenesis([]byte(fmt.Sprintf(`{"chainId": 9, "baseFee": 3, "coinbase": %q, "alloc": {%q: {"balance": "0x10", "nonce": "2", "code": "0x6000", "storage": {"0x01": "0x02"}}}}`, addr, addr)))
	require.NoError(t, err)
	a := g.Alloc[common.Address{19: 1}]
	require.Equal(t, types.Account{Balance: big.NewInt(16), Nonce: 2, Code: []byte{0x60, 0}, Storage: map[common.Hash]common.Hash{{31: 1}: {31: 2}}}, a)
	require.Equal(t, uint64(3), g.BaseFee)
	g, err = ParseGenesis(nil)
	require.NoError(t, err)
	require.Equal(t, DefaultGenesis(), g)
	require.NotEqual(t, g.digest(), (&Genesis{ChainID: 2}).filled().digest())
}

// States that the store does not keep any more are refused, by name; blocks and logs of
// that time are there.
func TestPrunedStates(t *testing.T) {
	cfg := store.DefaultConfig()
	cfg.Keep = 2
	s, err := store.Open(context.Background(), cfg)
	require.NoError(t, err)
	m, err := New(s, DefaultGenesis())
	require.NoError(t, err)
	c := &testChain{t: t, m: m, seconds: 1_800_000_000}
	w := contracttest.NewWallet(testChainID, "ann")
	for range 6 {
		c.send(w.Send(common.Address{1}, nil, nil))
	}
	api, ctx := m.API(ReadLimits{}), context.Background()
	at := func(n int64) *rpc.BlockNumberOrHash {
		b := rpc.BlockNumberOrHashWithNumber(rpc.BlockNumber(n))
		return &b
	}
	nonce, err := api.GetTransactionCount(ctx, w.Address, at(4))
	require.NoError(t, err)
	require.Equal(t, hexutil.Uint64(4), nonce)
	_, err = api.GetTransactionCount(ctx, w.Address, at(3))
	require.ErrorIs(t, err, store.ErrPruned)
	_, err = api.Call(ctx, CallArgs{To: &common.Address{1}}, at(1), nil, nil)
	require.ErrorIs(t, err, store.ErrPruned)
	block, err := api.GetBlockByNumber(ctx, 1, true)
	require.NoError(t, err)
	require.Len(t, block["transactions"], 1)
}

func FuzzFilter(f *testing.F) {
	f.Add([]byte(`{"fromBlock":"0x1","toBlock":"latest","address":["0x0000000000000000000000000000000000000001"],"topics":[null,["0x0000000000000000000000000000000000000000000000000000000000000001",null]]}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		var q Filter
		if json.Unmarshal(data, &q) == nil {
			q.Matches(&types.Log{Topics: []common.Hash{{1}, {2}}})
			q.mayMatch(types.Bloom{})
		}
	})
}

func FuzzAccount(f *testing.F) {
	f.Add([]byte{0xc3, 1, 2, 0x80})
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = DecodeAccount(data) })
}

// Whoever polls and is far behind waits for a turn, and gets as much as there is time for.
func TestPollingFarBehind(t *testing.T) {
	c := newTestChain(t, &Genesis{ChainID: testChainID})
	c.pass(2*fewBlocks, 0)
	a := c.m.API(ReadLimits{Calls: 1, LogBlocks: 150})
	_, done, err := a.turn(context.Background())
	require.NoError(t, err)
	_, next, err := a.Logs(context.Background(), Filter{}, 1, fewBlocks)
	require.NoError(t, err)
	require.Equal(t, uint64(fewBlocks+1), next)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_, next, err = a.Logs(gone, Filter{}, 1, fewBlocks+1)
	require.ErrorContains(t, err, "waits for its turn")
	require.Equal(t, uint64(1), next)
	done()
	_, next, err = a.Logs(context.Background(), Filter{}, 1, 1<<40)
	require.NoError(t, err)
	require.Equal(t, uint64(151), next)
	_, next, err = a.Logs(context.Background(), Filter{}, next, 1<<40)
	require.NoError(t, err)
	require.Equal(t, uint64(2*fewBlocks+1), next)
	_, next, err = a.Logs(context.Background(), Filter{}, next, 1<<40)
	require.NoError(t, err)
	require.Equal(t, uint64(2*fewBlocks+1), next)
}
