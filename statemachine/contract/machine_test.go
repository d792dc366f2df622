package contract

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
	"github.com/parley-bft/parley/statemachine/statetest"
	"github.com/parley-bft/parley/statemachine/store"
)

// deck are transactions of a few wallets, some of which mean ill, and bytes that are
// none. Drawn at random their nonces fit often enough.
func deck(t testing.TB) (alloc types.GenesisAlloc, ops [][]byte) {
	var wallets []*contracttest.Wallet
	for _, name := range []string{"ann", "ben", "cid"} {
		w := contracttest.NewWallet(testChainID, name)
		wallets = append(wallets, w)
		hostile, coin := contracttest.Load("Hostile"), contracttest.Load("Coin")
		add := func(tx *types.Transaction) { ops = append(ops, raw(t, tx)) }
		deploy, at := w.Deploy(hostile.Deploy())
		add(deploy)
		for _, data := range [][]byte{
			hostile.Call("fill", big.NewInt(3)),
			hostile.Call("refuse", "no"),
			hostile.Call("destroy", wallets[0].Address),
			hostile.Call("spark", wallets[0].Address),
			hostile.Call("shout", big.NewInt(200)),
			hostile.Call("invalid"),
		} {
			add(w.Send(at, nil, data))
		}
		deploy, at = w.Deploy(coin.Deploy(big.NewInt(1000)))
		add(deploy)
		add(w.Send(at, nil, coin.Call("transfer", wallets[0].Address, big.NewInt(7))))
		add(w.Send(common.Address{9}, big.NewInt(int64(len(name))), nil))
	}
	good := len(ops)
	for i := range good {
		bad := slices.Clone(ops[i])
		bad[len(bad)*(i+1)/(good+2)] ^= 1
		ops = append(ops, bad, bad[:len(bad)/2])
	}
	return rich(wallets...), ops
}

func TestConformance(t *testing.T) {
	alloc, ops := deck(t)
	statetest.Run(t, statetest.Factory{
		New: func() statemachine.StateMachine {
			return newMachine(t, &Genesis{ChainID: testChainID, History: minHistory, Alloc: alloc})
		},
		Gen: func(r *rand.Rand) []byte {
			if r.IntN(4) > 0 {
				return slices.Clone(ops[r.IntN(len(ops)/3)])
			}
			return slices.Clone(ops[r.IntN(len(ops))])
		},
		Seeds: 2,
	})
}

// A block's transactions have no more gas than the genesis says, and one that finds no
// room runs in the next.
func TestBlockGasLimit(t *testing.T) {
	w := contracttest.NewWallet(testChainID, "ann")
	other := contracttest.NewWallet(testChainID, "ben")
	c := newTestChain(t, &Genesis{ChainID: testChainID, BlockGasLimit: 8_050_000, TxGasLimit: 8_000_000})
	to := common.Address{1}
	first, second, third, fourth := w.Send(to, nil, nil), w.Send(to, nil, nil), w.Send(to, nil, nil), w.Send(to, nil, nil)
	late := other.Send(to, nil, nil)
	codes := func(rs []statemachine.Result) (out []statemachine.ResultCode) {
		for _, r := range rs {
			out = append(out, r.Code)
		}
		return out
	}
	// Three fit that use 21000 gas each of their eight millions: what is left over is
	// given back. The next one's limit finds no room.
	require.Equal(t, []statemachine.ResultCode{0, 0, 0, CodeBlockFull, CodeBlockFull}, codes(c.send(first, second, third, fourth, late)))
	require.Equal(t, uint64(3*21000), c.header(1).GasUsed)
	require.Equal(t, []statemachine.ResultCode{0, 0}, codes(c.send(late, fourth)))
}

// Blocks that are too old are gone with all that belongs to them.
func TestHistoryIsBounded(t *testing.T) {
	w := contracttest.NewWallet(testChainID, "ann")
	c := newTestChain(t, &Genesis{ChainID: testChainID, History: minHistory})
	first := w.Send(common.Address{1}, nil, nil)
	c.send(first)
	c.pass(minHistory-1, 0) // block 0 is gone, block 1 is the oldest
	require.NotNil(t, c.record(first.Hash()))
	keys := func() (n int) {
		v, err := c.m.Store().Last()
		require.NoError(t, err)
		for range v.Range(nil, nil) {
			n++
		}
		return n
	}
	before := keys()
	c.pass(1, 0)
	v, err := c.m.Store().Last()
	require.NoError(t, err)
	_, ok := v.Get(transactionKey(first.Hash()))
	require.False(t, ok)
	require.Equal(t, before-2, keys(), "a header came and one went, and a transaction with its receipt went")
	require.Equal(t, CodeNonceUsed, c.send(first)[0].Code, "what is forgotten does not run again")
	require.NoError(t, c.m.Check())
}

// The block as a contract sees it.
func TestBlockContext(t *testing.T) {
	w := contracttest.NewWallet(testChainID, "ann")
	hostile := contracttest.Load("Hostile")
	c := newTestChain(t, &Genesis{ChainID: testChainID, Coinbase: common.Address{0xc0}})
	deploy, at := w.Deploy(hostile.Deploy())
	c.send(deploy)
	r := c.send(w.Send(at, nil, hostile.Call("chain")))[0]
	o, err := DecodeOutcome(r)
	require.NoError(t, err)
	got, err := hostile.Returns("chain", o.Output)
	require.NoError(t, err)
	require.Equal(t, []any{
		big.NewInt(testChainID), big.NewInt(2), new(big.Int).SetUint64(c.seconds),
		[32]byte(c.header(1).Hash()), c.header(2).MixDigest.Big(), common.Address{0xc0},
	}, got)
	require.Equal(t, c.header(1).Hash(), c.header(2).ParentHash)
	require.Equal(t, uint64(2), o.Height)
}

// blockHashLoop asks as often as its argument says for the hashes of the last 255 blocks.
var blockHashLoop = common.FromHex("5f35" + // PUSH0 CALLDATALOAD: how often
	"5b" + // JUMPDEST
	"8060ff16430340" + // DUP1 PUSH1 255 AND NUMBER SUB BLOCKHASH
	"50" + // POP
	"6001900380600257" + // PUSH1 1 SWAP1 SUB DUP1 PUSH1 2 JUMPI
	"00")

// countedReads counts the blocks that are read.
type countedReads struct {
	store.Txn
	blocks *int
}

func (c countedReads) Get(key []byte) ([]byte, bool) {
	if key[0] == tagBlock {
		*c.blocks++
	}
	return c.Txn.Get(key)
}

// BLOCKHASH costs 20 gas, so what it makes a replica do is bounded: each block is read
// once, whatever the transactions of a block ask.
func TestBlockHashesAreReadOnce(t *testing.T) {
	const times = 10_000
	w, at := contracttest.NewWallet(testChainID, "ann"), common.Address{0xbb}
	c := newTestChain(t, &Genesis{ChainID: testChainID, Alloc: types.GenesisAlloc{at: {Balance: new(big.Int), Code: blockHashLoop}}})
	c.pass(300, 0)

	h, reads := c.m.handler, 0
	block := c.m.Store().Block()
	defer block.Discard()
	b := &statemachine.Block{Height: 301, Time: statemachine.Time(c.seconds * 1e9)}
	for range 2 {
		b.Ops = append(b.Ops, statemachine.Op{Data: raw(t, w.Send(at, nil, common.BigToHash(big.NewInt(times)).Bytes()))})
	}
	h.BeginBlock(block, b)
	defer func() { h.open = openBlock{} }()
	for i, want := range []int{254, 254} { // all but the parent, whose hash the header has anyway
		r := h.Apply(countedReads{block.Begin(), &reads}, b, &b.Ops[i])
		require.Equal(t, statemachine.CodeOK, r.Code)
		o, err := DecodeOutcome(r)
		require.NoError(t, err)
		require.Greater(t, o.GasUsed, uint64(times*60))
		require.Equal(t, want, reads)
	}
	require.LessOrEqual(t, len(h.open.hashes), 256)

	// A call by JSON-RPC, too.
	v, err := c.m.Store().Last()
	require.NoError(t, err)
	reads = 0
	hash, want := hashes(countedReader{v, &reads}, make(map[uint64]common.Hash)), c.header(299).Hash()
	for range 10 {
		require.Equal(t, want, hash(299))
		require.Zero(t, hash(1000))
	}
	require.Equal(t, 2, reads)
}

type countedReader struct {
	store.Reader
	blocks *int
}

func (c countedReader) Get(key []byte) ([]byte, bool) {
	*c.blocks++
	return c.Reader.Get(key)
}
