package contract

import (
	"context"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/store"
)

// gethChain executes transactions by go-ethereum's own state and state processor: what
// this package must not differ from.
type gethChain struct {
	t     testing.TB
	chain *chain
	db    *state.StateDB
}

func newGethChain(t testing.TB, g *Genesis) *gethChain {
	db, err := state.New(types.EmptyRootHash, state.NewDatabaseForTesting())
	require.NoError(t, err)
	for addr, a := range g.Alloc {
		db.SetNonce(addr, a.Nonce, tracing.NonceChangeGenesis)
		db.AddBalance(addr, uint256.MustFromBig(a.Balance), tracing.BalanceIncreaseGenesisBalance)
		if len(a.Code) > 0 {
			db.SetCode(addr, a.Code, tracing.CodeChangeGenesis)
		}
		for k, v := range a.Storage {
			db.SetState(addr, k, v)
		}
	}
	c := &gethChain{t: t, chain: newChain(g), db: db}
	db.Finalise(c.chain.config.Rules(new(big.Int), true, 0))
	return c
}

// run executes a block whose header is known, as all that is compared here is what its
// transactions do.
func (c *gethChain) run(h *types.Header, hash func(uint64) common.Hash, txs ...*types.Transaction) types.Receipts {
	var receipts types.Receipts
	evm := vm.NewEVM(c.chain.context(h.Number.Uint64(), h.Time, h.MixDigest, hash), c.db, c.chain.config, vm.Config{})
	gp := core.NewGasPool(h.GasLimit)
	for i, tx := range txs {
		c.db.SetTxContext(tx.Hash(), i, uint32(i+1))
		r, _, err := core.ApplyTransaction(context.Background(), evm, gp, c.db, h, tx)
		require.NoError(c.t, err)
		receipts = append(receipts, r)
	}
	return receipts
}

// requireSame compares receipts and everything that the store knows about accounts.
func requireSame(t testing.TB, ours *testChain, theirs *gethChain, want types.Receipts) {
	t.Helper()
	for _, w := range want {
		got := ours.record(w.TxHash).receipt()
		require.Equal(t, w.Status, got.Status)
		require.Equal(t, w.GasUsed, got.GasUsed, "gas")
		require.Equal(t, w.CumulativeGasUsed, got.CumulativeGasUsed, "cumulative gas")
		require.Equal(t, w.ContractAddress, got.ContractAddress)
		require.Equal(t, w.Bloom, got.Bloom)
		require.Len(t, got.Logs, len(w.Logs))
		for i, l := range w.Logs {
			require.Equal(t, l.Address, got.Logs[i].Address)
			require.Equal(t, l.Topics, got.Logs[i].Topics)
			require.Equal(t, l.Data, append([]byte(nil), got.Logs[i].Data...))
		}
	}
	v, err := ours.m.Store().Last()
	require.NoError(t, err)
	requireSameState(t, v, theirs.db)
}

func requireSameState(t testing.TB, v store.Reader, db *state.StateDB) {
	t.Helper()
	for k, b := range v.Range(nil, nil) {
		switch k[0] {
		case tagAccount:
			addr := common.BytesToAddress(k[1:])
			a := loadAccount(v, addr)
			require.True(t, db.Exist(addr), addr)
			require.Equal(t, db.GetNonce(addr), a.nonce, addr)
			require.Equal(t, db.GetBalance(addr), &a.balance, addr)
			require.Equal(t, db.GetCodeHash(addr), a.codeHash, addr)
			require.Equal(t, len(db.GetCode(addr)), len(a.loadCode(v)))
		case tagStorage:
			addr, slot := common.BytesToAddress(k[1:21]), common.BytesToHash(k[21:])
			require.Equal(t, db.GetState(addr, slot), common.BytesToHash(b), "%v %v", addr, slot)
		}
	}
}

func TestStoryIsAsInGeth(t *testing.T) {
	for _, fork := range []string{ForkOsaka, ForkPrague} {
		t.Run(fork, func(t *testing.T) {
			story := contracttest.NewStory(testChainID, contracttest.StoryFee)
			g := &Genesis{ChainID: testChainID, Fork: fork, BaseFee: 5, Coinbase: common.Address{0xc0}, Alloc: rich(story.Wallets()...)}
			ours, theirs := newTestChain(t, g), newGethChain(t, g)
			simulated := contracttest.SimulatedGas()
			require.Len(t, simulated, len(story.Steps))
			for _, step := range story.Steps {
				ours.pass(step.Blocks, step.Seconds)
				results := ours.send(step.Tx)
				code := results[0].Code
				require.Equal(t, step.Fails, code != statemachine.CodeOK, "%s: %s", step.Name, CodeText(code))
				v, err := ours.m.Store().Last()
				require.NoError(t, err)
				want := theirs.run(ours.header(ours.height), hashes(v, make(map[uint64]common.Hash)), step.Tx)
				requireSame(t, ours, theirs, want)
				require.Equal(t, want[0].GasUsed, ours.header(ours.height).GasUsed)
				require.Equal(t, simulated[step.Tx.Hash()], want[0].GasUsed)
			}
			require.NoError(t, ours.m.Check())
		})
	}
}
