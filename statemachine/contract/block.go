package contract

import (
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/trie"
)

// block is what is stored of a block: what does not follow from the genesis and its
// height. The transactions have records of their own.
type block struct {
	Hash     common.Hash // of the header
	Parent   common.Hash
	State    common.Hash // see [chain.header]
	TxRoot   common.Hash
	Receipts common.Hash
	Bloom    []byte // empty if no bit is set
	GasUsed  uint64
	Time     uint64 // seconds
	Random   common.Hash
	Count    uint64 // of transactions
	Logs     uint64 // of all of them
}

// header is the block in Ethereum's form. Its hash is that of any Ethereum header, so
// that every tool computes the same.
//
// The state root is the digest of the store before the block: the state after a block
// contains its header, which cannot contain the digest of that. Where a checkpoint was
// taken after the block below, the digest is the certified one.
func (c *chain) header(height uint64, b *block) *types.Header {
	zero := uint64(0)
	blobs, excess := zero, zero
	withdrawals, requests := types.EmptyWithdrawalsHash, types.EmptyRequestsHash
	return &types.Header{
		ParentHash: b.Parent, UncleHash: types.EmptyUncleHash, Coinbase: c.genesis.Coinbase,
		Root: b.State, TxHash: b.TxRoot, ReceiptHash: b.Receipts, Bloom: types.BytesToBloom(b.Bloom),
		Difficulty: new(big.Int), Number: new(big.Int).SetUint64(height),
		GasLimit: c.genesis.BlockGasLimit, GasUsed: b.GasUsed, Time: b.Time, MixDigest: b.Random,
		BaseFee: new(big.Int).Set(c.baseFee), WithdrawalsHash: &withdrawals,
		BlobGasUsed: &blobs, ExcessBlobGas: &excess, ParentBeaconRoot: new(common.Hash), RequestsHash: &requests,
	}
}

// seal fills in what follows from the block's transactions, and the hash.
func (c *chain) seal(height uint64, b *block, txs types.Transactions, receipts types.Receipts) {
	b.TxRoot, b.Receipts = types.EmptyTxsHash, types.EmptyReceiptsHash
	if len(txs) > 0 {
		b.TxRoot = types.DeriveSha(txs, trie.NewStackTrie(nil))
		b.Receipts = types.DeriveSha(receipts, trie.NewStackTrie(nil))
		b.GasUsed = receipts[len(receipts)-1].CumulativeGasUsed
	}
	bloom := types.MergeBloom(receipts)
	if bloom != (types.Bloom{}) {
		b.Bloom = bloom.Bytes()
	}
	b.Count = uint64(len(txs))
	for _, r := range receipts {
		b.Logs += uint64(len(r.Logs))
	}
	b.Hash = c.header(height, b).Hash()
}

// record is a transaction and its receipt as they are stored.
type record struct {
	Tx            *types.Transaction
	From          common.Address
	Code          uint64 // the result's
	GasUsed       uint64
	CumulativeGas uint64 // of the block, up to and with it
	FirstLog      uint64 // index in the block of the first of its logs
	Logs          []*types.Log
}

// receipt is the receipt that the record makes; what its block says is left out.
func (r *record) receipt() *types.Receipt {
	out := &types.Receipt{
		Type: r.Tx.Type(), Status: types.ReceiptStatusFailed, CumulativeGasUsed: r.CumulativeGas,
		TxHash: r.Tx.Hash(), GasUsed: r.GasUsed, Logs: r.Logs,
	}
	if r.Code == 0 {
		out.Status = types.ReceiptStatusSuccessful
	}
	if r.Tx.To() == nil {
		out.ContractAddress = contractAddress(r.From, r.Tx.Nonce())
	}
	out.Bloom = types.CreateBloom(out)
	return out
}

// gasPrice is what the sender paid for each gas.
func (c *chain) gasPrice(tx *types.Transaction) *big.Int {
	return new(big.Int).Add(c.baseFee, tx.EffectiveGasTipValue(c.baseFee))
}
