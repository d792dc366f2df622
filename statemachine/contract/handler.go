package contract

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	pcrypto "github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// handler runs transactions. What it knows of a block it forgets with its end; all
// else is in the store.
type handler struct {
	*chain
	open  openBlock
	jumps vm.JumpDestCache
	// queries answers queries, once its source is set.
	queries *API
}

// openBlock is the block that is being executed.
type openBlock struct {
	context  vm.BlockContext        // without hashes, which are read in the operation's transaction
	hashes   map[uint64]common.Hash // of earlier blocks, as far as contracts asked for them
	last     uint64                 // the height of the block before it
	header   block                  // what is known of it
	gasLeft  uint64
	decoded  []decoded // the operations that have not run yet
	gasUsed  uint64
	logs     uint64
	txs      types.Transactions
	receipts types.Receipts
}

// next returns what is known of an operation. Those of the block that come before it and
// have not been asked for are not coming any more: an access policy refused them.
func (h *handler) next(data []byte) *decoded {
	o := &h.open
	for i := range o.decoded {
		if !bytes.Equal(o.decoded[i].data, data) {
			continue
		}
		o.decoded = o.decoded[i:]
		d := &o.decoded[0]
		if !d.done {
			d.tx, d.from, d.code = decode(data, h.signer)
			d.done = true
		}
		return d
	}
	d := &decoded{data: data, done: true} // it is none of the block's
	d.tx, d.from, d.code = decode(data, h.signer)
	return d
}

// take is next for the last time.
func (h *handler) take(data []byte) decoded {
	d := *h.next(data)
	if len(h.open.decoded) > 0 && bytes.Equal(h.open.decoded[0].data, data) {
		h.open.decoded = h.open.decoded[1:]
	}
	return d
}

func contractAddress(from common.Address, nonce uint64) common.Address {
	return crypto.CreateAddress(from, nonce)
}

// Found puts the genesis into an empty store: accounts and block 0.
func (h *handler) Found(t store.Txn) {
	s := newTxState(t)
	for _, addr := range slices.SortedFunc(maps.Keys(h.genesis.Alloc), common.Address.Cmp) {
		given := h.genesis.Alloc[addr]
		a := s.make(addr)
		a.nonce = given.Nonce
		if given.Balance != nil {
			a.balance = *uint256.MustFromBig(given.Balance)
		}
		if len(given.Code) > 0 {
			s.SetCode(addr, given.Code, 0)
		}
		for slot, v := range given.Storage {
			a.setWord(slot, v, common.Hash{})
		}
	}
	s.write(t)
	t.Set(genesisKey, h.genesis.digest())
	var b block
	h.seal(0, &b, nil, nil)
	h.put(t, 0, &b)
}

// CheckState tells whether a state is that of a chain with this genesis.
func (h *handler) CheckState(r store.Reader) error {
	if have, _ := r.Get(genesisKey); string(have) != string(h.genesis.digest()) {
		return fmt.Errorf("%w: it is that of a chain with another one: use that", ErrGenesis)
	}
	return nil
}

// BeginBlock starts a block.
func (h *handler) BeginBlock(t store.Txn, b *statemachine.Block) {
	digest, err := store.StateBefore(t)
	if err != nil {
		panic(&store.Failure{Op: "digest", Err: err})
	}
	head, _ := getUint64(t, headKey)
	known := make(map[uint64]common.Hash)
	parent := hashes(t, known)(head)
	h.open = openBlock{
		last:    head,
		hashes:  known,
		gasLeft: h.genesis.BlockGasLimit,
		header: block{
			Parent: parent, State: common.Hash(digest), Random: common.Hash(b.Digest),
			Time: uint64(b.Time) / 1e9,
		},
	}
	h.open.decoded = decodeAll(b.Ops, h.signer)
	h.open.context = h.context(b.Height, h.open.header.Time, h.open.header.Random, nil)
}

// Apply runs one transaction.
func (h *handler) Apply(t store.Txn, b *statemachine.Block, op *statemachine.Op) statemachine.Result {
	b.Meter().CountsItself() // its gas is what counts
	d := h.take(op.Data)
	tx, from, code := d.tx, d.from, d.code
	if code != statemachine.CodeOK {
		return statemachine.Reject(code, nil)
	}
	msg, err := core.TransactionToMessage(tx, h.signer, h.baseFee)
	switch {
	case err != nil:
		return statemachine.Reject(statemachine.CodeMalformed, nil)
	case tx.Gas() > h.genesis.TxGasLimit:
		return statemachine.Reject(CodeGasTooHigh, nil)
	}
	index := len(h.open.txs)
	s := newTxState(t)
	s.SetTxContext(tx.Hash(), index, 0)
	s.logStart = uint(h.open.logs)
	block := h.open.context
	block.GetHash = hashes(t, h.open.hashes)
	evm := vm.NewEVM(block, s, h.config, vm.Config{})
	evm.SetJumpDestCache(h.jumps)
	result, err := core.ApplyMessage(evm, msg, core.NewGasPool(h.open.gasLeft))
	evm.Release()
	if err != nil {
		return statemachine.Reject(refusal(err), nil)
	}
	s.write(t)

	code = failure(result.Err)
	r := &record{
		Tx: tx, From: from, Code: uint64(code), GasUsed: result.UsedGas, CumulativeGas: h.open.gasUsed + result.UsedGas,
		FirstLog: h.open.logs, Logs: s.logs,
	}
	at := place{b.Height, uint32(index)}
	setRLP(t, recordKey(at), r)
	t.Set(transactionKey(tx.Hash()), at.append(nil))
	t.Commit() // also of a failure: the nonce and the gas

	o := &h.open
	o.gasUsed, o.gasLeft, o.logs = r.CumulativeGas, o.gasLeft-result.UsedGas, o.logs+uint64(len(s.logs))
	receipt := r.receipt()
	o.txs, o.receipts = append(o.txs, tx), append(o.receipts, receipt)

	out := Outcome{
		Hash: tx.Hash(), Height: b.Height, Index: uint64(index), GasUsed: result.UsedGas,
		Contract: receipt.ContractAddress, Logs: s.logs, Output: result.ReturnData,
	}
	return statemachine.Result{Code: code, Data: out.encode()}
}

// EndBlock writes the block's header, and forgets what has become too old.
func (h *handler) EndBlock(t store.Txn, b *statemachine.Block) {
	head := &h.open.header
	h.seal(b.Height, head, h.open.txs, h.open.receipts)
	h.put(t, b.Height, head)
	for old := h.open.last + 1; old <= b.Height; old++ {
		if old >= h.genesis.History {
			h.forget(t, old-h.genesis.History)
		}
	}
	h.open = openBlock{}
}

// put stores a block as the last one.
func (h *handler) put(t store.Txn, height uint64, b *block) {
	setRLP(t, blockKey(height), b)
	setUint64(t, blockHashKey(b.Hash), height)
	setUint64(t, headKey, height)
}

// forget removes a block with its transactions.
func (h *handler) forget(t store.Txn, height uint64) {
	var b block
	if !getRLP(t, blockKey(height), &b) {
		return
	}
	for i := range b.Count {
		at := place{height, uint32(i)}
		var r record
		if getRLP(t, recordKey(at), &r) {
			t.Delete(transactionKey(r.Tx.Hash()))
			t.Delete(recordKey(at))
		}
	}
	t.Delete(blockHashKey(b.Hash))
	t.Delete(blockKey(height))
}

const domainGenesis = pcrypto.Domain("parley/contract-genesis")

// digest covers what is not in the accounts that the genesis makes.
func (g *Genesis) digest() []byte {
	b := canon.AppendUint64(nil, g.ChainID)
	b = canon.AppendString(b, g.Fork)
	for _, v := range []uint64{g.BlockGasLimit, g.TxGasLimit, g.BaseFee, g.History} {
		b = canon.AppendUint64(b, v)
	}
	b = canon.AppendBytes(b, g.Coinbase[:])
	d := pcrypto.Hash(domainGenesis, b)
	return d[:]
}
