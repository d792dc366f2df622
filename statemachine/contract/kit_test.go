package contract

import (
	"context"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/store"
)

const testChainID = DevChainID

// rich gives everybody 1000 ether.
func rich(wallets ...*contracttest.Wallet) types.GenesisAlloc {
	alloc := make(types.GenesisAlloc)
	for _, w := range wallets {
		alloc[w.Address] = types.Account{Balance: new(big.Int).Mul(big.NewInt(1000), big.NewInt(1e18))}
	}
	return alloc
}

func newMachine(t require.TestingT, g *Genesis) *Machine {
	s, err := store.Open(context.Background(), store.DefaultConfig())
	require.NoError(t, err)
	m, err := New(s, g)
	require.NoError(t, err)
	return m
}

// testChain runs transactions on a machine.
type testChain struct {
	t       testing.TB
	m       *Machine
	height  uint64
	seconds uint64
}

func newTestChain(t testing.TB, g *Genesis) *testChain {
	return &testChain{t: t, m: newMachine(t, g), seconds: 1_800_000_000}
}

// block runs operations in a block.
func (c *testChain) block(ops ...[]byte) []statemachine.Result {
	c.height++
	c.seconds++
	b := c.last()
	for i, op := range ops {
		b.Ops = append(b.Ops, statemachine.Op{Seq: c.height, Index: i, Data: op})
	}
	return c.m.Apply(b)
}

// last is the last block, without its operations.
func (c *testChain) last() statemachine.Block {
	return statemachine.Block{
		Height: c.height, Time: statemachine.Time(c.seconds * 1e9),
		Digest: crypto.Hash("test/block", new(big.Int).SetUint64(c.height).Bytes()),
	}
}

// send runs transactions in a block.
func (c *testChain) send(txs ...*types.Transaction) []statemachine.Result {
	var ops [][]byte
	for _, tx := range txs {
		ops = append(ops, raw(c.t, tx))
	}
	return c.block(ops...)
}

// pass lets blocks and seconds pass.
func (c *testChain) pass(blocks, seconds uint64) {
	c.seconds += seconds
	for range blocks {
		c.block()
	}
}

func raw(t testing.TB, tx *types.Transaction) []byte {
	b, err := tx.MarshalBinary()
	require.NoError(t, err)
	return b
}

// record is a transaction's, as it is stored.
func (c *testChain) record(h common.Hash) *record {
	v, err := c.m.Store().Last()
	require.NoError(c.t, err)
	b, ok := v.Get(transactionKey(h))
	require.True(c.t, ok, "no transaction %v", h)
	r := new(record)
	require.True(c.t, getRLP(v, recordKey(placeOf(b)), r))
	return r
}

// header is a block's.
func (c *testChain) header(height uint64) *types.Header {
	v, err := c.m.Store().Last()
	require.NoError(c.t, err)
	var b block
	require.True(c.t, getRLP(v, blockKey(height), &b))
	return c.m.handler.header(height, &b)
}

func u256(v uint64) *uint256.Int { return uint256.NewInt(v) }
