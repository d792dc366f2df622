package contract

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/store"
)

// accounts is everything that the store knows of accounts.
func accounts(t testing.TB, r store.Reader) map[string]string {
	all := make(map[string]string)
	for k, v := range r.Range(nil, nil) {
		switch k[0] {
		case tagAccount, tagStorage, tagCode, tagTransaction, tagRecord:
			all[string(k)] = string(v)
		}
	}
	return all
}

// What cannot be in the chain has a code, and changes nothing.
func TestRefusals(t *testing.T) {
	w, poor := contracttest.NewWallet(testChainID, "ann"), contracttest.NewWallet(testChainID, "poor")
	foreign := contracttest.NewWallet(testChainID+1, "ann")
	c := newTestChain(t, &Genesis{ChainID: testChainID, BaseFee: 10, Alloc: rich(w)})
	w.FeeCap, foreign.FeeCap = big.NewInt(10), big.NewInt(10)
	used := w.Send(common.Address{1}, nil, nil)
	require.Equal(t, statemachine.CodeOK, c.send(used)[0].Code)
	to := common.Address{1}
	legacy := &types.LegacyTx{Nonce: 1, To: &to, Gas: 21000, GasPrice: big.NewInt(10)}
	dynamic := func(edit func(tx *types.DynamicFeeTx)) *types.Transaction {
		tx := &types.DynamicFeeTx{ChainID: big.NewInt(testChainID), Nonce: 1, To: &to, Gas: 1_000_000, GasFeeCap: big.NewInt(10)}
		edit(tx)
		return w.Sign(tx)
	}
	unprotected := types.MustSignNewTx(w.Key, types.HomesteadSigner{}, legacy)
	blob := types.MustSignNewTx(w.Key, types.LatestSignerForChainID(big.NewInt(testChainID)), &types.BlobTx{
		ChainID: uint256.NewInt(testChainID), Nonce: 1, Gas: 21000, GasFeeCap: uint256.NewInt(10), BlobFeeCap: uint256.NewInt(10),
		BlobHashes: []common.Hash{{1}},
	})
	poorTx := poor.Sign(&types.LegacyTx{To: &to, Gas: 21000, GasPrice: big.NewInt(10)})
	contractCode := append([]byte{0x60, 0}, make([]byte, 49152)...)

	for name, refused := range map[string]struct {
		op   []byte
		code statemachine.ResultCode
	}{
		"nothing":                 {nil, statemachine.CodeMalformed},
		"noise":                   {[]byte("\xffhello"), statemachine.CodeMalformed},
		"bytes behind":            {append(raw(t, used), 0), statemachine.CodeMalformed},
		"a type nobody knows":     {append([]byte{0x7e}, raw(t, used)[1:]...), statemachine.CodeUnsupported},
		"a blob":                  {raw(t, blob), statemachine.CodeUnsupported},
		"too long":                {make([]byte, MaxTransactionBytes+1), statemachine.CodeTooLarge},
		"a replay":                {raw(t, used), CodeNonceUsed},
		"of the future":           {raw(t, dynamic(func(tx *types.DynamicFeeTx) { tx.Nonce = 2 })), CodeNonceAhead},
		"for another chain":       {raw(t, foreign.Send(to, nil, nil)), CodeForeign},
		"for every chain":         {raw(t, unprotected), CodeForeign},
		"of a pauper":             {raw(t, poorTx), CodeFunds},
		"more than there is":      {raw(t, dynamic(func(tx *types.DynamicFeeTx) { tx.Value = new(big.Int).Lsh(big.NewInt(1), 200) })), CodeFunds},
		"too little gas to begin": {raw(t, dynamic(func(tx *types.DynamicFeeTx) { tx.Gas = 20999 })), CodeGasTooLow},
		"too little for its data": {raw(t, dynamic(func(tx *types.DynamicFeeTx) { tx.Gas, tx.Data = 40_000, make([]byte, 3000) })), CodeGasTooLow},
		"too much gas":            {raw(t, dynamic(func(tx *types.DynamicFeeTx) { tx.Gas = 1<<24 + 1 })), CodeGasTooHigh},
		"below the base fee":      {raw(t, dynamic(func(tx *types.DynamicFeeTx) { tx.GasFeeCap = big.NewInt(9) })), CodeFeeTooLow},
		"a tip above the cap":     {raw(t, dynamic(func(tx *types.DynamicFeeTx) { tx.GasTipCap = big.NewInt(11) })), statemachine.CodeMalformed},
		"code that is too large":  {raw(t, dynamic(func(tx *types.DynamicFeeTx) { tx.To, tx.Data, tx.Gas = nil, contractCode, 8_000_000 })), statemachine.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := c.m.Store().Last()
			require.NoError(t, err)
			before := accounts(t, v)
			r := c.block(refused.op)[0]
			require.Equal(t, CodeText(refused.code), CodeText(r.Code))
			require.Empty(t, r.Data)
			require.False(t, Included(r.Code))
			_, err = DecodeOutcome(r)
			var rejected *RejectedError
			require.ErrorAs(t, err, &rejected)
			v, err = c.m.Store().Last()
			require.NoError(t, err)
			require.Equal(t, before, accounts(t, v))
		})
	}
	require.Equal(t, statemachine.CodeOK, c.send(w.Send(to, nil, nil))[0].Code, "the account goes on")
}

// What fails in the course of its execution is undone, but for the nonce and the gas.
func TestFailures(t *testing.T) {
	w := contracttest.NewWallet(testChainID, "ann")
	hostile := contracttest.Load("Hostile")
	c := newTestChain(t, &Genesis{ChainID: testChainID, Alloc: rich(w)})
	deploy, at := w.Deploy(hostile.Deploy())
	require.Equal(t, statemachine.CodeOK, c.send(deploy)[0].Code)
	for name, failing := range map[string]struct {
		data []byte
		code statemachine.ResultCode
	}{
		"a loop without end":         {hostile.Call("loop"), CodeOutOfGas},
		"memory for ever":            {hostile.Call("allocate", big.NewInt(1<<40)), CodeOutOfGas},
		"memory that gas ends":       {hostile.Call("allocate", big.NewInt(1<<20)), CodeOutOfGas},
		"storage that gas ends":      {hostile.Call("fill", big.NewInt(1<<20)), CodeOutOfGas},
		"a refusal":                  {hostile.Call("refuse", "never"), CodeReverted},
		"an invalid instruction":     {hostile.Call("invalid"), CodeBadInstruction},
		"recursion":                  {hostile.Call("recurse", new(big.Int)), CodeReverted},
		"events that gas ends":       {hostile.Call("shout", big.NewInt(1<<20)), CodeOutOfGas},
		"oversized code":             {hostile.Call("big", big.NewInt(24577)), CodeReverted},
		"a method that is not there": {[]byte{1, 2, 3, 4}, CodeReverted},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := c.m.Store().Last()
			require.NoError(t, err)
			before := accounts(t, v)
			tx := w.Send(at, nil, failing.data)
			r := c.send(tx)[0]
			require.Equal(t, CodeText(failing.code), CodeText(r.Code))
			o, err := DecodeOutcome(r)
			require.NoError(t, err)
			require.Equal(t, tx.Hash(), o.Hash)
			require.Empty(t, o.Logs)
			require.Equal(t, types.ReceiptStatusFailed, c.record(tx.Hash()).receipt().Status)
			v, err = c.m.Store().Last()
			require.NoError(t, err)
			after := accounts(t, v)
			own := string(AccountKey(w.Address))
			require.NotEqual(t, before[own], after[own], "the nonce")
			after[own] = before[own]
			delete(after, string(transactionKey(tx.Hash())))
			delete(after, string(recordKey(place{c.height, 0})))
			require.Equal(t, before, after)
		})
	}
	reason, err := DecodeOutcome(c.send(w.Send(at, nil, hostile.Call("refuse", "because")))[0])
	require.NoError(t, err)
	require.Contains(t, string(reason.Output), "because")
}

func TestOversizedCode(t *testing.T) {
	w := contracttest.NewWallet(testChainID, "ann")
	c := newTestChain(t, DefaultGenesis())
	// PUSH3 size, PUSH1 0, RETURN: code of zeros.
	creates := func(size int) []byte {
		return []byte{0x62, byte(size >> 16), byte(size >> 8), byte(size), 0x60, 0, 0xf3}
	}
	big, _ := w.Deploy(creates(24577))
	fits, at := w.Deploy(creates(24576))
	ef, _ := w.Deploy([]byte{0x60, 0xef, 0x60, 0, 0x53, 0x60, 1, 0x60, 0, 0xf3}) // MSTORE8(0, 0xef); RETURN(0, 1)
	rs := c.send(big, fits, ef)
	require.Equal(t, CodeNotDeployed, rs[0].Code)
	require.Equal(t, statemachine.CodeOK, rs[1].Code)
	require.Equal(t, CodeNotDeployed, rs[2].Code)
	v, err := c.m.Store().Last()
	require.NoError(t, err)
	require.Len(t, loadAccount(v, at).loadCode(v), 24576)
}

// EIP-6780: a contract is destroyed only by the transaction that makes it, and always
// gives away its ether.
func TestSelfDestruct(t *testing.T) {
	w, heir := contracttest.NewWallet(testChainID, "ann"), common.Address{0xbe}
	hostile := contracttest.Load("Hostile")
	c := newTestChain(t, &Genesis{ChainID: testChainID, Alloc: rich(w)})
	deploy, at := w.Deploy(hostile.Deploy())
	rs := c.send(deploy, w.Send(at, big.NewInt(500), nil), w.Send(at, nil, hostile.Call("destroy", heir)), w.Send(at, big.NewInt(70), hostile.Call("spark", heir)))
	for _, r := range rs {
		require.Equal(t, statemachine.CodeOK, r.Code)
	}
	v, err := c.m.Store().Last()
	require.NoError(t, err)
	require.NotEmpty(t, loadAccount(v, at).loadCode(v), "the old one stays")
	require.True(t, loadAccount(v, at).balance.IsZero())
	require.Equal(t, uint64(570), loadAccount(v, heir).balance.Uint64())
	spark := crypto.CreateAddress(at, 1)
	require.False(t, loadAccount(v, spark).exists, "the young one is gone")
}

// The oldest bug robs a bank that has it, and none that OpenZeppelin guards.
func TestReentrancy(t *testing.T) {
	w := contracttest.NewWallet(testChainID, "ann")
	c := newTestChain(t, &Genesis{ChainID: testChainID, Alloc: rich(w)})
	bank, thief := contracttest.Load("Bank"), contracttest.Load("Thief")
	open, openAt := w.Deploy(bank.Deploy())
	safe, safeAt := w.Deploy(contracttest.Load("SafeBank").Deploy())
	rob, robAt := w.Deploy(thief.Deploy())
	put := bank.Call("put")
	for _, r := range c.send(open, safe, rob, w.Send(openAt, big.NewInt(1000), put), w.Send(safeAt, big.NewInt(1000), put)) {
		require.Equal(t, statemachine.CodeOK, r.Code)
	}
	rs := c.send(w.Send(robAt, big.NewInt(100), thief.Call("rob", openAt, big.NewInt(5))), w.Send(robAt, big.NewInt(100), thief.Call("rob", safeAt, big.NewInt(5))))
	require.Equal(t, statemachine.CodeOK, rs[0].Code)
	require.Equal(t, CodeReverted, rs[1].Code)
	v, err := c.m.Store().Last()
	require.NoError(t, err)
	require.Equal(t, uint64(500), loadAccount(v, openAt).balance.Uint64(), "six times 100 of 1100")
	require.Equal(t, uint64(1000), loadAccount(v, safeAt).balance.Uint64())
}
