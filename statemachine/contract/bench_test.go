package contract

import (
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/contract/contracttest"
)

// BenchmarkTransfers is what one transfer of an ERC-20 token costs a replica, in blocks
// of a hundred.
func BenchmarkTransfers(b *testing.B) {
	const size = 100
	w, coin := contracttest.NewWallet(testChainID, "ann"), contracttest.Load("Coin")
	c := newTestChain(b, &Genesis{ChainID: testChainID, BlockGasLimit: 1_000_000_000})
	deploy, at := w.Deploy(coin.Deploy(big.NewInt(1 << 60)))
	require.Equal(b, statemachine.CodeOK, c.send(deploy)[0].Code)
	var ops [][]byte
	for i := range b.N {
		ops = append(ops, raw(b, w.Send(at, nil, coin.Call("transfer", common.BigToAddress(big.NewInt(int64(1000+i%10_000))), big.NewInt(1)))))
	}
	b.ResetTimer()
	for len(ops) > 0 {
		n := min(size, len(ops))
		for _, r := range c.block(ops[:n]...) {
			if r.Code != statemachine.CodeOK {
				b.Fatal(CodeText(r.Code))
			}
		}
		ops = ops[n:]
	}
}

// BenchmarkBlockHash is what 120,000 times BLOCKHASH cost a replica: a quarter of a block's gas.
func BenchmarkBlockHash(b *testing.B) {
	at := common.Address{0xbb}
	w := contracttest.NewWallet(testChainID, "ann")
	c := newTestChain(b, &Genesis{ChainID: testChainID, Alloc: types.GenesisAlloc{at: {Balance: new(big.Int), Code: blockHashLoop}}})
	c.pass(300, 0)
	for b.Loop() {
		b.StopTimer()
		tx := raw(b, w.Send(at, nil, common.BigToHash(big.NewInt(120_000)).Bytes()))
		b.StartTimer()
		if r := c.block(tx)[0]; r.Code != statemachine.CodeOK {
			b.Fatal(CodeText(r.Code))
		}
	}
}
