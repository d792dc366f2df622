package contract

import (
	"context"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/signed"
	"github.com/parley-bft/parley/statemachine/statetest"
	"github.com/parley-bft/parley/statemachine/store"
)

func keyOf(n byte) crypto.PublicKey {
	return ed25519.NewKeyFromSeed([ed25519.SeedSize]byte{n}).Public()
}

// guardedMachine is a chain under a policy in which the wallets named have roles.
func guardedMachine(t require.TestingT, mode access.Mode, alloc types.GenesisAlloc, members ...access.Member) *Machine {
	s, err := store.Open(context.Background(), store.DefaultConfig())
	require.NoError(t, err)
	m, err := NewGuarded(s, &Genesis{ChainID: testChainID, History: minHistory, Alloc: alloc}, crypto.Hash("test", nil), access.Policy{
		Mode: mode, Administrators: signed.Of(1, keyOf(1)), Members: members,
		Roles: []access.Role{
			{Name: "payer", Submit: []string{KindTransfer}},
			{Name: "anything", Submit: []string{"*"}, Read: []string{"*"}},
			{Name: "reader", Read: []string{"eth_getBalance", "eth_blockNumber"}},
		},
	})
	require.NoError(t, err)
	return m
}

// Of a block the policy refuses some, the rest run as if the others had not been there:
// each as its own sender's, whoever hands it in.
func TestPolicyRefusesSenders(t *testing.T) {
	ann, ben := contracttest.NewWallet(testChainID, "ann"), contracttest.NewWallet(testChainID, "ben")
	c := &testChain{t: t, seconds: 1_800_000_000}
	c.m = guardedMachine(t, access.Consortium, rich(ann, ben), access.Member{Key: AddressKey(ann.Address), Roles: []string{"payer"}})
	to := common.Address{9}
	foreign, _ := ben.Deploy(contracttest.Load("Hostile").Deploy())
	var txs []*types.Transaction
	var want []statemachine.ResultCode
	for i := range 12 { // enough for the block to be decoded on several goroutines
		if i%3 == 1 {
			txs, want = append(txs, foreign), append(want, access.CodeRefused)
		} else {
			txs, want = append(txs, ann.Send(to, big.NewInt(1), nil)), append(want, statemachine.CodeOK)
		}
	}
	call := ann.Send(to, nil, []byte{1}) // not among the role's
	txs, want = append(txs, call), append(want, access.CodeRefused)
	for i, r := range c.send(txs...) {
		require.Equal(t, want[i], r.Code, i)
		if why := access.RefusalOf(r); i == 1 {
			require.Equal(t, access.RuleConsortium, why.Rule)
			require.Contains(t, why.Detail, strings.ToLower(ben.Address.Hex()[2:]))
		} else if i == 12 {
			require.Equal(t, access.RuleRoles, why.Rule)
			require.Contains(t, why.Detail, KindCall)
		}
	}
	balance, err := c.m.APIOf(keyOf(1), ReadLimits{}).GetBalance(context.Background(), to, nil)
	require.NoError(t, err)
	require.EqualValues(t, 8, balance.ToInt().Int64())
	require.NoError(t, c.m.Check())
	for _, r := range c.block([]byte("nonsense"), raw(t, foreign)) {
		require.Equal(t, statemachine.ResultCode(access.CodeRefused), r.Code)
	}
}

// What reads through an endpoint is decided about by its method and in the name of a key.
func TestPolicyRefusesReads(t *testing.T) {
	ann := contracttest.NewWallet(testChainID, "ann")
	reader := keyOf(2)
	c := &testChain{t: t, seconds: 1_800_000_000}
	c.m = guardedMachine(t, access.Private, rich(ann), access.Member{Key: reader, Roles: []string{"reader"}}, access.Member{Key: AddressKey(ann.Address), Roles: []string{"anything"}})
	require.Equal(t, statemachine.CodeOK, c.send(ann.Send(common.Address{9}, big.NewInt(1), nil))[0].Code)
	ctx := context.Background()
	mine, nobody := c.m.APIOf(reader, ReadLimits{}), c.m.API(ReadLimits{})
	_, err := mine.GetBalance(ctx, ann.Address, nil)
	require.NoError(t, err)
	refused := func(rule access.Rule, method string, err error) {
		t.Helper()
		var why *access.Refusal
		require.ErrorAs(t, err, &why)
		require.Equal(t, rule, why.Rule)
		if rule == access.RuleRoles {
			require.Contains(t, why.Detail, "may not read "+method)
		}
	}
	_, err = nobody.GetBalance(ctx, ann.Address, nil)
	refused(access.RulePrivate, "", err)
	latest := rpc.BlockNumberOrHashWithNumber(rpc.LatestBlockNumber)
	for method, read := range map[string]func() error{
		"eth_call":                  func() error { _, err := mine.Call(ctx, CallArgs{}, &latest, nil, nil); return err },
		"eth_estimateGas":           func() error { _, err := mine.EstimateGas(ctx, CallArgs{}, &latest, nil, nil); return err },
		"eth_createAccessList":      func() error { _, err := mine.CreateAccessList(ctx, CallArgs{}, &latest, nil); return err },
		"eth_getLogs":               func() error { _, err := mine.GetLogs(ctx, Filter{}); return err },
		"eth_getCode":               func() error { _, err := mine.GetCode(ctx, ann.Address, nil); return err },
		"eth_getStorageAt":          func() error { _, err := mine.GetStorageAt(ctx, ann.Address, "0x0", nil); return err },
		"eth_getTransactionCount":   func() error { _, err := mine.GetTransactionCount(ctx, ann.Address, nil); return err },
		"eth_getBlockByNumber":      func() error { _, err := mine.GetBlockByNumber(ctx, 1, true); return err },
		"eth_getBlockByHash":        func() error { _, err := mine.GetBlockByHash(ctx, common.Hash{}, true); return err },
		"eth_getBlockReceipts":      func() error { _, err := mine.GetBlockReceipts(ctx, latest); return err },
		"eth_getTransactionByHash":  func() error { _, err := mine.GetTransactionByHash(ctx, common.Hash{}); return err },
		"eth_getTransactionReceipt": func() error { _, err := mine.GetTransactionReceipt(ctx, common.Hash{}); return err },
		"eth_getRawTransactionByHash": func() error {
			_, err := mine.GetRawTransactionByHash(ctx, common.Hash{})
			return err
		},
		"eth_getBlockTransactionCountByNumber": func() error {
			_, err := mine.GetBlockTransactionCountByNumber(ctx, 1)
			return err
		},
		"eth_getTransactionByBlockNumberAndIndex": func() error {
			_, err := mine.GetTransactionByBlockNumberAndIndex(ctx, 1, 0)
			return err
		},
		"eth_feeHistory": func() error { _, err := mine.FeeHistory(ctx, 1, rpc.LatestBlockNumber, nil); return err },
	} {
		refused(access.RuleRoles, method, read())
	}
	// Queries of replicas are named alike, and so is each of a batch.
	ask := func(q string) error {
		_, err := c.m.Query(statemachine.WithCaller(ctx, reader), []byte(q))
		return err
	}
	balance := `{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x0000000000000000000000000000000000000009","latest"]}`
	code := strings.Replace(balance, "eth_getBalance", "eth_getCode", 1)
	require.NoError(t, ask(balance))
	require.NoError(t, ask("["+balance+","+balance+"]"))
	refused(access.RuleRoles, "eth_getCode", ask(code))
	refused(access.RuleRoles, KindSeveral, ask("["+balance+","+code+"]"))
	refused(access.RuleRoles, "eth_getCode", ask(strings.Replace(code, `"method"`, `"method":"eth_getBalance","METHOD"`, 1)))
	refused(access.RuleRoles, "bytes that are no operation", ask("{"))
}

func TestClassify(t *testing.T) {
	ann := contracttest.NewWallet(testChainID, "ann")
	deploy, at := ann.Deploy(contracttest.Load("Hostile").Deploy())
	for want, data := range map[string][]byte{
		KindDeploy: raw(t, deploy), KindCall: raw(t, ann.Send(at, nil, []byte{1})), KindTransfer: raw(t, ann.Send(at, big.NewInt(1), nil)),
		"eth_call": []byte(` {"method":"eth_call"}`), KindSeveral: []byte(`[{"method":"eth_call"},{"method":"eth_getLogs"}]`),
		"": []byte("nonsense"),
	} {
		kind, read := Classify(data)
		require.Equal(t, want, kind)
		require.Equal(t, strings.HasPrefix(want, "eth_"), read, want)
	}
	for _, data := range []string{"", " ", "{", "[]", "[{}", `{"method":7}`, `{"method":"eth call"}`, `{"method":"` + strings.Repeat("x", 100) + `"}`} {
		kind, read := Classify([]byte(data))
		require.Empty(t, kind, data)
		require.False(t, read, data)
	}
}

// A policy may name everything that can be asked, and what cannot is no kind.
func TestKinds(t *testing.T) {
	submits, reads := Kinds()
	require.Equal(t, []string{KindDeploy, KindCall, KindTransfer}, submits)
	require.Subset(t, reads, []string{"eth_call", "eth_getLogs", "eth_blockNumber", "eth_chainId", "eth_getTransactionByBlockHashAndIndex", KindSeveral})
	m := guardedMachine(t, access.Open, nil)
	for _, kind := range reads {
		if kind == KindSeveral {
			continue
		}
		answer, err := m.Query(context.Background(), []byte(`{"jsonrpc":"2.0","id":1,"method":"`+kind+`","params":[]}`))
		require.NoError(t, err)
		require.NotContains(t, string(answer), "-32601", "%s is no method", kind)
	}
}

// FuzzClassify looks for bytes that make it panic, or name what is no name.
func FuzzClassify(f *testing.F) {
	ann := contracttest.NewWallet(testChainID, "ann")
	f.Add(raw(f, ann.Send(common.Address{9}, nil, []byte{1})))
	f.Add([]byte(`[{"method":"eth_call"},{"method":"eth_getLogs"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, read := Classify(data)
		if kind == "" {
			require.False(t, read)
		}
		require.LessOrEqual(t, len(kind), maxMethod)
	})
}

// A chain under a policy keeps the contract of state machines.
func TestConformanceUnderAPolicy(t *testing.T) {
	alloc, ops := deck(t)
	var members []access.Member
	for addr := range alloc {
		members = append(members, access.Member{Key: AddressKey(addr), Roles: []string{"anything"}})
	}
	members = members[:2] // in whatever order: the third is a stranger
	statetest.Run(t, statetest.Factory{
		New:   func() statemachine.StateMachine { return guardedMachine(t, access.Consortium, alloc, members...) },
		Gen:   func(r *rand.Rand) []byte { return slices.Clone(ops[r.IntN(len(ops))]) },
		Seeds: 2,
	})
}
