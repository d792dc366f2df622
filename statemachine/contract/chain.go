package contract

import (
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/params"

	"github.com/parley-bft/parley/statemachine/store"
)

// chain is what never changes: the genesis and what follows from it.
type chain struct {
	genesis *Genesis
	config  *params.ChainConfig
	signer  types.Signer
	baseFee *big.Int
}

func newChain(g *Genesis) *chain {
	g = g.filled()
	return &chain{genesis: g, config: g.ChainConfig(), signer: g.signer(), baseFee: new(big.Int).SetUint64(g.BaseFee)}
}

// context is the block as contracts see it. hash returns the hashes of earlier blocks.
func (c *chain) context(height, time uint64, random common.Hash, hash func(uint64) common.Hash) vm.BlockContext {
	return vm.BlockContext{
		CanTransfer: core.CanTransfer,
		Transfer:    core.Transfer,
		GetHash:     hash,
		Coinbase:    c.genesis.Coinbase,
		GasLimit:    c.genesis.BlockGasLimit,
		BlockNumber: new(big.Int).SetUint64(height),
		Time:        time,
		Difficulty:  new(big.Int),
		BaseFee:     new(big.Int).Set(c.baseFee),
		BlobBaseFee: big.NewInt(1), // the least there is: no blobs are taken
		Random:      &random,
	}
}

// hashes returns the function for [chain.context] that reads from r.
func hashes(r store.Reader) func(uint64) common.Hash {
	return func(height uint64) common.Hash {
		var b block
		if !getRLP(r, blockKey(height), &b) {
			return common.Hash{}
		}
		return b.Hash
	}
}
