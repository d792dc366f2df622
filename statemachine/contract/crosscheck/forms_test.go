package crosscheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/ethclient/simulated"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/contract/endpoint"
	"github.com/parley-bft/parley/statemachine/store"
)

// forms are go-ethereum's node and an endpoint of ours, which have the same history.
type forms struct {
	t            *testing.T
	theirs, ours *rpc.Client
	commit       func()
	ann, ben     *contracttest.Wallet
	poor         *contracttest.Wallet
	coin         common.Address
	art          common.Address
	hostile      common.Address
	txs          []*types.Transaction
}

// order runs each request in a block of its own.
type order struct {
	mu     sync.Mutex
	m      *contract.Machine
	height uint64
}

func (o *order) SubmitAll(_ context.Context, ops [][]byte) ([]statemachine.Result, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.height++
	b := statemachine.Block{Height: o.height, Time: statemachine.Time((1_800_000_000 + o.height) * 1e9)}
	for _, op := range ops {
		b.Ops = append(b.Ops, statemachine.Op{Data: op})
	}
	return o.m.Apply(b), nil
}

func newForms(t *testing.T) *forms {
	ctx := t.Context()
	f := &forms{
		t: t, ann: contracttest.NewWallet(contract.DevChainID, "ann"), ben: contracttest.NewWallet(contract.DevChainID, "ben"),
		poor: contracttest.NewWallet(contract.DevChainID, "poor"),
	}
	alloc := make(types.GenesisAlloc)
	for _, w := range []*contracttest.Wallet{f.ann, f.ben, f.poor} {
		w.FeeCap, w.Tip = big.NewInt(20e9), big.NewInt(2e9)
	}
	for _, w := range []*contracttest.Wallet{f.ann, f.ben} {
		alloc[w.Address] = types.Account{Balance: new(big.Int).Mul(big.NewInt(1000), big.NewInt(1e18))}
	}
	g := &contract.Genesis{ChainID: contract.DevChainID, BlockGasLimit: 30_000_000, BaseFee: 1e9, Alloc: alloc}

	// Not in the test's folder: the name of a socket must be short.
	dir, err := os.MkdirTemp("", "geth")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "geth.ipc")
	backend := simulated.NewBackend(alloc, func(n *node.Config, c *ethconfig.Config) {
		n.IPCPath = socket
		genesis := *c.Genesis
		genesis.Config, genesis.GasLimit = g.ChainConfig(), g.BlockGasLimit
		c.Genesis = &genesis
		c.Miner.GasCeil = g.BlockGasLimit
		c.RPCGasCap = g.BlockGasLimit
	})
	t.Cleanup(func() { _ = backend.Close() })
	f.theirs, err = rpc.Dial(socket)
	require.NoError(t, err)
	t.Cleanup(f.theirs.Close)
	f.commit = func() { backend.Commit() }

	s, err := store.Open(ctx, store.DefaultConfig())
	require.NoError(t, err)
	m, err := contract.New(s, g)
	require.NoError(t, err)
	e, err := endpoint.Start(ctx, endpoint.Config{Machine: m, Submit: &order{m: m}, Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	t.Cleanup(e.Stop)
	f.ours, err = rpc.Dial("ws" + strings.TrimPrefix(e.URL(), "http"))
	require.NoError(t, err)
	t.Cleanup(f.ours.Close)
	return f
}

// send has a transaction run on both.
func (f *forms) send(tx *types.Transaction) {
	raw, err := tx.MarshalBinary()
	require.NoError(f.t, err)
	for _, c := range []*rpc.Client{f.theirs, f.ours} {
		require.NoError(f.t, c.CallContext(f.t.Context(), nil, "eth_sendRawTransaction", hexutil.Bytes(raw)))
	}
	f.commit()
	f.txs = append(f.txs, tx)
}

// live has a history with every kind of transaction.
func (f *forms) live() {
	coin, art := contracttest.Load("Coin"), contracttest.Load("Art")
	deploy, at := f.ann.Deploy(coin.Deploy(big.NewInt(1000)))
	f.coin = at
	f.send(deploy)
	transfer := coin.Call("transfer", f.ben.Address, big.NewInt(7))
	f.send(f.ann.Send(at, nil, transfer))
	f.send(f.ann.Sign(&types.LegacyTx{Nonce: f.ann.Nonce, Gas: 100_000, GasPrice: big.NewInt(5e9), To: &f.ben.Address, Value: big.NewInt(1)}))
	f.send(f.ann.Sign(&types.AccessListTx{
		ChainID: big.NewInt(contract.DevChainID), Nonce: f.ann.Nonce + 1, Gas: 100_000, GasPrice: big.NewInt(5e9), To: &at, Data: transfer,
		AccessList: types.AccessList{{Address: at, StorageKeys: []common.Hash{{31: 2}}}},
	}))
	f.ann.Nonce += 2
	f.send(f.ann.Send(at, nil, coin.Call("transfer", f.ben.Address, big.NewInt(1e9)))) // fails
	auth, err := types.SignSetCode(f.ben.Key, types.SetCodeAuthorization{ChainID: *uint256.NewInt(contract.DevChainID), Address: at, Nonce: 0})
	require.NoError(f.t, err)
	f.send(f.ann.Sign(&types.SetCodeTx{
		ChainID: uint256.NewInt(contract.DevChainID), Nonce: f.ann.Nonce, Gas: 200_000, GasFeeCap: uint256.NewInt(20e9), GasTipCap: uint256.NewInt(2e9),
		To: f.ben.Address, AuthList: []types.SetCodeAuthorization{auth},
	}))
	f.ann.Nonce++
	deploy, f.art = f.ann.Deploy(art.Deploy())
	f.send(deploy)
	deploy, f.hostile = f.ann.Deploy(contracttest.Load("Hostile").Deploy())
	f.send(deploy)
}

// reply is an answer of JSON-RPC.
type reply struct {
	result  any
	code    int
	message string
	data    any
}

func ask(ctx context.Context, c *rpc.Client, method string, params ...any) (r reply) {
	var raw json.RawMessage
	err := c.CallContext(ctx, &raw, method, params...)
	var coded rpc.Error
	var data rpc.DataError
	switch {
	case errors.As(err, &coded):
		r.code, r.message = coded.ErrorCode(), err.Error()
		if errors.As(err, &data) {
			r.data = data.ErrorData()
		}
	case err != nil:
		r.message = err.Error()
	default:
		_ = json.Unmarshal(raw, &r.result)
	}
	return r
}

func (r reply) failed() bool { return r.message != "" }

func (r reply) String() string {
	if r.failed() {
		return fmt.Sprintf("error %d %q, data %v", r.code, r.message, r.data)
	}
	b, _ := json.Marshal(r.result)
	return string(b)
}

var quantity = regexp.MustCompile(`^0x(0|[1-9a-f][0-9a-f]*)$`)

// fixed are lengths of what is no number: addresses, hashes, a nonce of a block, a bloom.
var fixed = []int{2 + 2*20, 2 + 2*32, 2 + 2*8, 2 + 2*256}

// differ tells where two values of JSON have different forms.
func differ(at string, theirs, ours any) (out []string) {
	say := func(format string, args ...any) { out = append(out, at+": "+fmt.Sprintf(format, args...)) }
	switch a := theirs.(type) {
	case map[string]any:
		b, ok := ours.(map[string]any)
		if !ok {
			say("an object in geth, and %v here", ours)
			return out
		}
		for _, k := range slices.Sorted(maps.Keys(a)) {
			if v, ok := b[k]; ok {
				out = append(out, differ(at+"."+k, a[k], v)...)
			} else {
				out = append(out, at+"."+k+": only in geth")
			}
		}
		for _, k := range slices.Sorted(maps.Keys(b)) {
			if _, ok := a[k]; !ok {
				out = append(out, at+"."+k+": only here")
			}
		}
	case []any:
		b, ok := ours.([]any)
		if !ok || len(a) != len(b) {
			say("%d elements in geth, and here %v", len(a), ours)
			return out
		}
		for i := range a {
			out = append(out, differ(fmt.Sprintf("%s[%d]", at, i), a[i], b[i])...)
		}
	case string:
		b, ok := ours.(string)
		switch {
		case !ok:
			say("%q in geth, and %v here", a, ours)
		case a == b:
		case slices.Contains(fixed, len(a)) || slices.Contains(fixed, len(b)):
			if len(a) != len(b) {
				say("%q in geth, and %q here", a, b)
			}
		case quantity.MatchString(a) != quantity.MatchString(b):
			say("%q in geth, and %q here", a, b)
		}
	default:
		if fmt.Sprintf("%T", theirs) != fmt.Sprintf("%T", ours) {
			say("%v in geth, and %v here", theirs, ours)
		}
	}
	return out
}

// TestFormsAreGeths asks a node of go-ethereum and an endpoint of ours the same, on the
// same history: answers have the same fields in the same notation, and errors the same
// code, words and data, but for what is said here.
func TestFormsAreGeths(t *testing.T) {
	f := newForms(t)
	f.live()
	ctx := t.Context()
	coin, art := contracttest.Load("Coin"), contracttest.Load("Art")
	call := func(to common.Address, data []byte) map[string]any {
		return map[string]any{"from": f.ann.Address, "to": to, "input": hexutil.Bytes(data)}
	}
	with := func(m map[string]any, key string, v any) map[string]any {
		m[key] = v
		return m
	}
	raw := func(tx *types.Transaction) hexutil.Bytes {
		b, err := tx.MarshalBinary()
		require.NoError(t, err)
		return b
	}
	wordy := func(theirs, ours string) func(a, b reply) string {
		return func(a, b reply) string {
			if strings.Contains(a.message, theirs) && strings.Contains(b.message, ours) {
				return ""
			}
			return fmt.Sprintf("it is not %q there and %q here", theirs, ours)
		}
	}
	// Geth's errors of calls have more around them: "err: ... (supplied gas 1)".
	within := func(a, b reply) string {
		if a.code == b.code && reflect.DeepEqual(a.data, b.data) && strings.Contains(a.message, b.message) {
			return ""
		}
		return "ours is no part of theirs"
	}
	type question struct {
		name   string
		method string
		params []any
		// but says what else than equality is expected of two errors.
		but func(theirs, ours reply) string
		// less are the differences of fields that there may be.
		less []string
		// same results are wanted, and not only of the same form.
		same bool
	}
	foreign := contracttest.NewWallet(contract.DevChainID+1, "ann")
	foreign.FeeCap = big.NewInt(20e9)
	unprotected, err := types.SignNewTx(f.ann.Key, types.HomesteadSigner{}, &types.LegacyTx{Nonce: 9, Gas: 21000, GasPrice: big.NewInt(5e9), To: &common.Address{1}})
	require.NoError(t, err)
	questions := []question{
		{method: "eth_chainId"}, {method: "net_version"}, {method: "net_listening"}, {method: "net_peerCount"}, {method: "web3_clientVersion"},
		{method: "web3_sha3", params: []any{"0x68"}},
		{method: "eth_blockNumber"}, {method: "eth_syncing"}, {method: "eth_accounts"},
		{method: "eth_gasPrice"}, {method: "eth_maxPriorityFeePerGas"}, {method: "eth_blobBaseFee"},
		{method: "eth_feeHistory", params: []any{"0x3", "latest", []int{10, 90}}}, {method: "eth_feeHistory", params: []any{3, "latest", nil}},
		{method: "eth_getBalance", params: []any{f.ann.Address, "latest"}}, {method: "eth_getBalance", params: []any{f.poor.Address, "pending"}},
		{method: "eth_getTransactionCount", params: []any{f.ann.Address, "pending"}},
		{method: "eth_getTransactionCount", params: []any{f.ann.Address, map[string]any{"blockNumber": "0x2"}}},
		{method: "eth_getCode", params: []any{f.coin, "latest"}}, {method: "eth_getCode", params: []any{f.poor.Address, "latest"}},
		{method: "eth_getCode", params: []any{f.ben.Address, "latest"}},
		{method: "eth_getStorageAt", params: []any{f.coin, "0x2", "latest"}}, {method: "eth_getStorageAt", params: []any{f.poor.Address, "0x0", "latest"}},
		{name: "a future state", method: "eth_getBalance", params: []any{f.ann.Address, "0xffff"}, but: wordy("header not found", "block not found")},

		{method: "eth_getBlockByNumber", params: []any{"latest", false}}, {method: "eth_getBlockByNumber", params: []any{"0x0", true}},
		{method: "eth_getBlockByNumber", params: []any{"0xffff", false}}, {method: "eth_getBlockByNumber", params: []any{"finalized", false}, less: []string{"result.transactions"}},
		{method: "eth_getBlockByHash", params: []any{common.Hash{1}, true}},
		{method: "eth_getBlockTransactionCountByNumber", params: []any{"latest"}}, {method: "eth_getBlockTransactionCountByHash", params: []any{common.Hash{1}}},
		{method: "eth_getBlockReceipts", params: []any{"0x2"}},
		{method: "eth_getTransactionByHash", params: []any{common.Hash{1}}}, {method: "eth_getTransactionReceipt", params: []any{common.Hash{1}}},
		{method: "eth_getTransactionByBlockNumberAndIndex", params: []any{"0x1", "0x0"}},
		{method: "eth_getTransactionByBlockNumberAndIndex", params: []any{"0x1", "0x7"}},
		{method: "eth_getRawTransactionByHash", params: []any{common.Hash{1}}},

		{method: "eth_getLogs", params: []any{map[string]any{"fromBlock": "0x0", "toBlock": "latest"}}},
		{method: "eth_getLogs", params: []any{map[string]any{"fromBlock": "0x0", "address": f.poor.Address}}},
		{method: "eth_getLogs", params: []any{map[string]any{"fromBlock": "0x0", "topics": []any{coin.ABI.Events["Transfer"].ID, nil, common.BytesToHash(f.ben.Address[:])}}}},
		{name: "logs of an unknown block", method: "eth_getLogs", params: []any{map[string]any{"blockHash": common.Hash{1}}}, but: wordy("unknown block", "block not found")},
		{name: "a range that is upside down", method: "eth_getLogs", params: []any{map[string]any{"fromBlock": "0x5", "toBlock": "0x4"}}, but: wordy("invalid block range params", "the first is above the last")},
		{method: "eth_newFilter", params: []any{map[string]any{"fromBlock": "0x0"}}}, {method: "eth_newBlockFilter"}, {method: "eth_newPendingTransactionFilter"},
		{name: "a filter that is none", method: "eth_getFilterChanges", params: []any{"0x1"}},
		{method: "eth_uninstallFilter", params: []any{"0x1"}},

		{method: "eth_call", params: []any{call(f.coin, coin.Call("balanceOf", f.ben.Address)), "latest"}},
		{method: "eth_call", params: []any{call(f.poor.Address, nil), "latest"}},
		{name: "a custom error", method: "eth_call", params: []any{call(f.coin, coin.Call("transfer", f.ben.Address, big.NewInt(1e9))), "latest"}},
		{name: "a revert with a reason", method: "eth_call", params: []any{call(f.hostile, contracttest.Load("Hostile").Call("refuse", "not today")), "latest"}},
		{name: "a revert without data", method: "eth_call", params: []any{call(f.coin, []byte{1, 2, 3, 4}), "latest"}},
		{name: "a call without gas", method: "eth_call", params: []any{with(call(f.coin, coin.Call("balanceOf", f.ben.Address)), "gas", "0x5300"), "latest"}, but: within},
		{name: "a call with less gas than it begins with", method: "eth_call", params: []any{with(call(f.coin, nil), "gas", "0x1"), "latest"}, but: within},
		{name: "a call that costs more than there is", method: "eth_call", params: []any{map[string]any{"from": f.poor.Address, "to": f.coin, "value": "0x1"}, "latest"}, but: within},
		{name: "a call below the base fee", method: "eth_call", params: []any{with(call(f.coin, nil), "gasPrice", "0x1"), "latest"}, but: wordy("max fee per gas less than block base fee", "max fee per gas less than block base fee")},
		{name: "a tip above the fee", method: "eth_call", params: []any{with(with(call(f.coin, nil), "maxFeePerGas", "0x77359400"), "maxPriorityFeePerGas", "0xffffffffff"), "latest"}, but: within},
		{name: "two prices", method: "eth_call", params: []any{with(with(call(f.coin, nil), "maxFeePerGas", "0x77359400"), "gasPrice", "0x77359400"), "latest"}},
		{name: "another chain", method: "eth_call", params: []any{with(call(f.coin, nil), "chainId", "0x7"), "latest"}},
		{name: "two inputs", method: "eth_call", params: []any{with(call(f.coin, []byte{1}), "data", "0x02"), "latest"}},
		{name: "code that is no instruction", method: "eth_call", params: []any{map[string]any{"input": "0xfe"}, "latest"}},
		{method: "eth_call", params: []any{map[string]any{"input": "0x60006000f3"}, "latest"}},

		{method: "eth_estimateGas", params: []any{call(f.coin, coin.Call("transfer", f.ben.Address, big.NewInt(1)))}, same: true},
		{method: "eth_estimateGas", params: []any{map[string]any{"from": f.ann.Address, "to": f.ben.Address, "value": "0x1"}}, same: true},
		{name: "an estimate of a custom error", method: "eth_estimateGas", params: []any{call(f.art, art.Call("transferFrom", f.ann.Address, f.ben.Address, big.NewInt(5))), "latest"}},
		{name: "an estimate without gas", method: "eth_estimateGas", params: []any{with(call(f.coin, coin.Call("transfer", f.ben.Address, big.NewInt(1))), "gas", "0x5500")}, but: wordy("insufficient gas for floor data gas cost", "gas required exceeds allowance")},
		{name: "an estimate that costs more than there is", method: "eth_estimateGas", params: []any{map[string]any{"from": f.poor.Address, "to": f.coin, "value": "0x1"}}, but: within},
		{name: "an estimate with a price and without funds", method: "eth_estimateGas", params: []any{map[string]any{"from": f.poor.Address, "to": f.ben.Address, "gasPrice": "0x77359400"}}},
		{method: "eth_createAccessList", params: []any{call(f.coin, coin.Call("transfer", f.ben.Address, big.NewInt(1))), "latest"}, same: true},
		{method: "eth_createAccessList", params: []any{call(f.coin, coin.Call("transfer", f.ben.Address, big.NewInt(1e9))), "latest"}, same: true},

		{name: "a nonce that was used", method: "eth_sendRawTransaction", params: []any{raw(f.ann.Sign(&types.LegacyTx{Nonce: 0, Gas: 21000, GasPrice: big.NewInt(5e9), To: &common.Address{2}}))}, but: wordy("nonce too low", "nonce too low")},
		{name: "no funds", method: "eth_sendRawTransaction", params: []any{raw(f.poor.Sign(&types.LegacyTx{Gas: 21000, GasPrice: big.NewInt(5e9), To: &common.Address{2}}))}, but: wordy("insufficient funds for gas * price + value", "insufficient funds for gas * price + value")},
		{name: "no gas", method: "eth_sendRawTransaction", params: []any{raw(f.ann.Sign(&types.LegacyTx{Nonce: f.ann.Nonce, Gas: 20999, GasPrice: big.NewInt(5e9), To: &common.Address{2}}))}, but: wordy("intrinsic gas too low", "intrinsic gas too low")},
		{name: "too much gas", method: "eth_sendRawTransaction", params: []any{raw(f.ann.Sign(&types.LegacyTx{Nonce: f.ann.Nonce, Gas: 29e6, GasPrice: big.NewInt(5e9), To: &common.Address{2}}))}, but: wordy("transaction gas limit too high", "transaction gas limit too high")},
		{name: "another chain's", method: "eth_sendRawTransaction", params: []any{raw(foreign.Send(common.Address{1}, nil, nil))}, but: wordy("invalid chain id for signer", "signature is not for this chain")},
		{name: "every chain's", method: "eth_sendRawTransaction", params: []any{raw(unprotected)}, but: wordy("only replay-protected (EIP-155) transactions", "only replay-protected (EIP-155) transactions")},
		{name: "no transaction", method: "eth_sendRawTransaction", params: []any{"0xdeadbeef"}, but: wordy("rlp: ", "malformed operation")},
		{name: "a method that is none", method: "eth_nothing"},
		{name: "a missing argument", method: "eth_getBalance"},
		{name: "a bad address", method: "eth_getBalance", params: []any{"0x1", "latest"}},
	}
	// Calls that find another state, or another block.
	nobody := common.Address{0xaa}
	two, seven := common.Hash{31: 2}.Hex(), common.Hash{31: 7}.Hex()
	supply := map[string]any{"to": f.coin, "input": hexutil.Bytes(coin.Call("totalSupply"))}
	for _, o := range []map[string]any{
		{"stateDiff": map[string]any{two: seven}}, {"state": map[string]any{two: seven}}, {"state": map[string]any{}}, {"stateDiff": map[string]any{two: common.Hash{}}},
		{"code": "0x"}, {"code": "0x5f5f5ff05f5260205ff3", "nonce": "0x7"}, {"code": "0x475f5260205ff3", "balance": "0x7"}, {"nonce": "0x1", "balance": "0x0"},
		{"state": map[string]any{}, "stateDiff": map[string]any{}},
	} {
		for at, args := range map[common.Address]map[string]any{f.coin: supply, nobody: {"to": nobody, "from": f.ann.Address}} {
			name := fmt.Sprintf("%v of %v", o, at)
			overrides := map[string]any{at.Hex(): o}
			questions = append(questions,
				question{name: name, method: "eth_call", params: []any{args, "latest", overrides}, same: true},
				question{name: name, method: "eth_estimateGas", params: []any{args, "latest", overrides}, same: true},
				question{name: name, method: "eth_createAccessList", params: []any{args, "latest", overrides}, same: true},
			)
		}
	}
	questions = append(questions, question{
		name: "another block", method: "eth_call", same: true,
		params: []any{
			map[string]any{"to": nobody, "from": f.ann.Address, "gasPrice": "0x77359400"}, "latest",
			// NUMBER TIMESTAMP COINBASE PREVRANDAO BASEFEE BLOBBASEFEE GASPRICE, each as a word
			map[string]any{nobody.Hex(): map[string]any{"code": "0x435f52426020524160405244606052486080524a60a0523a60c05260e05ff3"}},
			map[string]any{"number": "0x7", "time": "0x8", "feeRecipient": nobody, "prevRandao": seven, "baseFeePerGas": "0x9", "blobBaseFee": "0xa"},
		},
	})
	for i, tx := range f.txs {
		questions = append(questions,
			question{name: fmt.Sprintf("transaction %d", i), method: "eth_getTransactionByHash", params: []any{tx.Hash()}},
			question{name: fmt.Sprintf("raw transaction %d", i), method: "eth_getRawTransactionByHash", params: []any{tx.Hash()}},
			question{name: fmt.Sprintf("receipt %d", i), method: "eth_getTransactionReceipt", params: []any{tx.Hash()}},
			question{name: fmt.Sprintf("block %d", i+1), method: "eth_getBlockByNumber", params: []any{hexutil.Uint(i + 1), true}},
		)
	}
	for _, q := range questions {
		name := q.method
		if q.name != "" {
			name += ": " + q.name
		}
		theirs, ours := ask(ctx, f.theirs, q.method, q.params...), ask(ctx, f.ours, q.method, q.params...)
		var problems []string
		switch {
		case theirs.failed() != ours.failed():
			problems = []string{"one fails and the other does not"}
		case !theirs.failed():
			less := append(q.less, "result.extraData") // geth's version, and nothing here
			problems = slices.DeleteFunc(differ("result", theirs.result, ours.result), func(p string) bool {
				return slices.ContainsFunc(less, func(may string) bool { return strings.HasPrefix(p, may) })
			})
			if q.same && theirs.String() != ours.String() {
				problems = append(problems, "the results differ")
			}
		case q.but != nil:
			if p := q.but(theirs, ours); p != "" {
				problems = []string{p}
			}
		case theirs.String() != ours.String():
			problems = []string{"the errors differ"}
		}
		if len(problems) > 0 {
			t.Errorf("%s\n  %s\n  geth: %.600v\n  here: %.600v", name, strings.Join(problems, "\n  "), theirs, ours)
		}
	}
}

// TestNewsHasGethsForm compares what subscribers and filters are told of the same transaction.
func TestNewsHasGethsForm(t *testing.T) {
	f := newForms(t)
	coin := contracttest.Load("Coin")
	deploy, at := f.ann.Deploy(coin.Deploy(big.NewInt(1000)))
	f.send(deploy)
	filter := map[string]any{"address": at, "topics": []any{coin.ABI.Events["Transfer"].ID}}
	type listener struct{ heads, logs chan json.RawMessage }
	var both []listener
	var filters [2][2]string
	for i, c := range []*rpc.Client{f.theirs, f.ours} {
		l := listener{make(chan json.RawMessage, 10), make(chan json.RawMessage, 10)}
		for name, sub := range map[chan json.RawMessage][]any{l.heads: {"newHeads"}, l.logs: {"logs", filter}} {
			s, err := c.EthSubscribe(t.Context(), name, sub...)
			require.NoError(t, err)
			t.Cleanup(s.Unsubscribe)
		}
		require.NoError(t, c.CallContext(t.Context(), &filters[i][0], "eth_newFilter", filter))
		require.NoError(t, c.CallContext(t.Context(), &filters[i][1], "eth_newBlockFilter"))
		both = append(both, l)
	}
	f.send(f.ann.Send(at, nil, coin.Call("transfer", f.ben.Address, big.NewInt(7))))
	parse := func(raw json.RawMessage) (v any) {
		require.NoError(t, json.Unmarshal(raw, &v))
		return v
	}
	heads := differ("head", parse(<-both[0].heads), parse(<-both[1].heads))
	require.Empty(t, slices.DeleteFunc(heads, func(p string) bool { return strings.HasPrefix(p, "head.extraData") }))
	require.Empty(t, differ("log", parse(<-both[0].logs), parse(<-both[1].logs)))
	for i := range 2 {
		theirs, ours := ask(t.Context(), f.theirs, "eth_getFilterChanges", filters[0][i]), ask(t.Context(), f.ours, "eth_getFilterChanges", filters[1][i])
		require.Empty(t, differ("changes", theirs.result, ours.result))
		require.Len(t, ours.result, 1)
	}
}
