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

// hashes returns the function for [chain.context] that reads from r. What it has read is
// in known, and is not read again: BLOCKHASH costs 20 gas, a hundredth of what other
// reads of the store do, so a contract could ask for little else. The EVM asks for the
// last 256 blocks only, which bounds known.
func hashes(r store.Reader, known map[uint64]common.Hash) func(uint64) common.Hash {
	return func(height uint64) common.Hash {
		if hash, ok := known[height]; ok {
			return hash
		}
		var b block
		getRLP(r, blockKey(height), &b) // no block: no hash
		known[height] = b.Hash
		return b.Hash
	}
}
