package endpoint_test

import (
	"crypto/rand"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
)

// Everything that a hostile client can send, past the endpoints and straight into the
// log of a cluster with a liar in it: the same outcome of more than F weight, the same
// state everywhere.
func TestHostileTransactionsOnCluster(t *testing.T) {
	w := contracttest.NewWallet(contract.DevChainID, "mallory")
	foreign := contracttest.NewWallet(contract.DevChainID+1, "mallory")
	c := startCluster(t, &contract.Genesis{ChainID: contract.DevChainID, Alloc: rich(w)}, true)
	key, err := keyfile.GenerateClient(rand.Reader)
	require.NoError(t, err)
	cl, err := client.Dial(c.ctx, client.Config{Roster: c.local.Roster, Key: key.Signing})
	require.NoError(t, err)
	defer cl.Close()

	hostile, bank, thief := contracttest.Load("Hostile"), contracttest.Load("Bank"), contracttest.Load("Thief")
	deploy, at := w.Deploy(hostile.Deploy())
	open, bankAt := w.Deploy(bank.Deploy())
	rob, thiefAt := w.Deploy(thief.Deploy())
	safe, safeAt := w.Deploy(contracttest.Load("SafeBank").Deploy())
	call := func(method string, args ...any) *types.Transaction {
		return w.Send(at, nil, hostile.Call(method, args...))
	}
	ok := statemachine.CodeOK
	var head uint64
	for i, step := range []struct {
		tx   *types.Transaction
		raw  []byte
		code statemachine.ResultCode
	}{
		{tx: deploy, code: ok},
		{tx: open, code: ok},
		{tx: rob, code: ok},
		{tx: safe, code: ok},
		{tx: call("loop"), code: contract.CodeOutOfGas},
		{tx: call("allocate", big.NewInt(1<<20)), code: contract.CodeOutOfGas},
		{tx: call("fill", big.NewInt(1<<20)), code: contract.CodeOutOfGas},
		{tx: call("recurse", new(big.Int)), code: contract.CodeReverted},
		{tx: call("invalid"), code: contract.CodeBadInstruction},
		{tx: call("big", big.NewInt(24577)), code: contract.CodeReverted},
		{tx: call("destroy", w.Address), code: ok},
		{tx: call("spark", w.Address), code: ok},
		{tx: w.Send(bankAt, big.NewInt(1000), bank.Call("put")), code: ok},
		{tx: w.Send(safeAt, big.NewInt(1000), bank.Call("put")), code: ok},
		{tx: w.Send(thiefAt, big.NewInt(100), thief.Call("rob", bankAt, big.NewInt(5))), code: ok},
		{tx: w.Send(thiefAt, big.NewInt(100), thief.Call("rob", safeAt, big.NewInt(5))), code: contract.CodeReverted},
		{tx: deploy, code: contract.CodeNonceUsed},
		{tx: foreign.Send(at, nil, nil), code: contract.CodeForeign},
		{tx: w.Sign(&types.LegacyTx{Nonce: 1 << 40, Gas: 21000, To: &at}), code: contract.CodeNonceAhead},
		{tx: w.Sign(&types.LegacyTx{Nonce: w.Nonce, Gas: 1 << 40, To: &at}), code: contract.CodeGasTooHigh},
		{raw: []byte("\xff no transaction"), code: statemachine.CodeMalformed},
		{raw: make([]byte, contract.MaxTransactionBytes+1), code: statemachine.CodeTooLarge},
	} {
		op := step.raw
		if step.tx != nil {
			op, err = step.tx.MarshalBinary()
			require.NoError(t, err)
		}
		a, err := cl.Do(c.ctx, op)
		require.NoError(t, err)
		require.Equal(t, contract.CodeText(step.code), contract.CodeText(a.Result.Code), "step %d", i)
		head = max(head, uint64(a.Ref.Height))
	}
	c.everywhere(head)
	want, err := c.machines[0].Header(head)
	require.NoError(t, err)
	for i := range c.clients {
		got, err := c.machines[i].Header(head)
		require.NoError(t, err)
		require.Equal(t, want.Hash(), got.Hash())
		require.NoError(t, c.machines[i].Check())
		stolen, err := c.clients[i].BalanceAt(c.ctx, bankAt, nil)
		require.NoError(t, err)
		require.Equal(t, int64(500), stolen.Int64(), "the bank with the bug was robbed, six times")
		kept, err := c.clients[i].BalanceAt(c.ctx, safeAt, nil)
		require.NoError(t, err)
		require.Equal(t, int64(1000), kept.Int64())
	}
}
