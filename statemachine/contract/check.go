package contract

import (
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"

	"github.com/parley-bft/parley/statemachine/store"
)

// ErrInvariant is wrapped by what [Machine.Check] finds.
var ErrInvariant = errors.New("contract invariant")

// Check looks through the whole state for what can never be: ether that came from
// nowhere, accounts that are empty, code under another hash, storage of nobody, blocks
// that do not follow one another, transactions and receipts that are not those of their
// block's header, nonces that do not count their sender's transactions. It is for tests
// and takes as long as reading everything does.
func (m *Machine) Check() error {
	var err error
	failed := store.Catch(func() {
		var r store.Reader
		if r, err = (kept{m.Store(), m.part}).last(); err == nil {
			err = (&checker{view: view{m.handler.chain, r}, sent: make(map[common.Address]uint64)}).check()
		}
	})
	return errors.Join(err, failed)
}

type checker struct {
	view
	sent   map[common.Address]uint64 // transactions, by sender
	whole  bool                      // nothing has been pruned
	counts map[byte]uint64           // of keys, by their first byte
}

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvariant, fmt.Errorf(format, args...))
}

func (c *checker) check() error {
	c.counts = make(map[byte]uint64)
	for k := range c.r.Range(nil, nil) {
		c.counts[k[0]]++
	}
	if err := c.blocks(); err != nil {
		return err
	}
	return c.accounts()
}

func (c *checker) blocks() error {
	head := c.head()
	oldest := head - min(head, c.genesis.History)
	if head >= c.genesis.History {
		oldest++
	}
	c.whole = oldest == 0
	var parent common.Hash
	var seen, txs uint64
	for h := oldest; h <= head; h++ {
		b, ok := c.block(h)
		if !ok {
			continue // there is no such block: it was committed together with a later one
		}
		seen++
		if seen > 1 && b.Parent != parent {
			return wrong("block %d follows %v and not the one before it, %v", h, b.Parent, parent)
		}
		parent = b.Hash
		if at, ok := c.heightOf(b.Hash); !ok || at != h {
			return wrong("the hash of block %d leads to %d", h, at)
		}
		if err := c.transactions(h, b); err != nil {
			return err
		}
		txs += b.Count
	}
	if n := c.counts[tagBlock]; n != seen || c.counts[tagBlockHash] != seen {
		return wrong("%d blocks and %d hashes of blocks are stored, where there are %d", n, c.counts[tagBlockHash], seen)
	}
	if n := c.counts[tagRecord]; n != txs || c.counts[tagTransaction] != txs {
		return wrong("%d transactions and %d of their hashes are stored, where blocks have %d", n, c.counts[tagTransaction], txs)
	}
	return nil
}

// transactions checks those of a block, and the header that follows from them.
func (c *checker) transactions(height uint64, b *block) error {
	var (
		txs      types.Transactions
		receipts types.Receipts
		gas      uint64
	)
	for i, r := range c.records(height, b) {
		hash := r.Tx.Hash()
		if _, at, ok := c.find(hash); !ok || at != (place{height, uint32(i)}) {
			return wrong("transaction %v of block %d is not found by its hash", hash, height)
		}
		if from, err := types.Sender(c.signer, r.Tx); err != nil || from != r.From {
			return wrong("transaction %v is signed by %v and not by %v", hash, from, r.From)
		}
		if gas += r.GasUsed; r.CumulativeGas != gas || r.GasUsed > r.Tx.Gas() {
			return wrong("transaction %v used %d of %d, %d in all", hash, r.GasUsed, r.Tx.Gas(), r.CumulativeGas)
		}
		txs, receipts = append(txs, r.Tx), append(receipts, r.receipt())
		c.sent[r.From]++
	}
	if gas > c.genesis.BlockGasLimit {
		return wrong("block %d used %d gas, where %d is the limit", height, gas, c.genesis.BlockGasLimit)
	}
	again := block{Parent: b.Parent, State: b.State, Time: b.Time, Random: b.Random}
	c.seal(height, &again, txs, receipts)
	if again.Hash != b.Hash || again.Logs != b.Logs || again.Count != b.Count {
		return wrong("block %d has the hash %v, and %v follows from what is in it", height, b.Hash, again.Hash)
	}
	return nil
}

func (c *checker) accounts() error {
	total := new(uint256.Int)
	for k := range c.r.Range([]byte{tagAccount}, []byte{tagAccount + 1}) {
		a := loadAccount(c.r, common.BytesToAddress(k[1:]))
		if a.empty() {
			return wrong("account %v is empty", a.address)
		}
		if _, over := total.AddOverflow(total, &a.balance); over {
			return wrong("all accounts together have over 2^256 wei")
		}
		code := a.loadCode(c.r)
		if a.codeHash != types.EmptyCodeHash && crypto.Keccak256Hash(code) != a.codeHash {
			return wrong("account %v has code of %d bytes that is not that of its hash", a.address, len(code))
		}
		if begin := c.genesis.Alloc[a.address].Nonce; c.whole && len(code) == 0 && a.nonce < begin+c.sent[a.address] {
			return wrong("account %v has sent %d transactions and has the nonce %d", a.address, c.sent[a.address], a.nonce)
		}
	}
	if supply, _ := c.genesis.supply(); total.Gt(supply) {
		return wrong("all accounts together have %v wei, where there were %v", total, supply)
	}
	for k, v := range c.r.Range([]byte{tagStorage}, []byte{tagStorage + 1}) {
		if a := loadAccount(c.r, common.BytesToAddress(k[1:21])); !a.exists {
			return wrong("%v has storage and is no account", a.address)
		}
		if len(v) == 0 || len(v) > common.HashLength || v[0] == 0 {
			return wrong("%x has the word %x", k, v)
		}
	}
	return nil
}
