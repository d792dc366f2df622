package contract

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/holiman/uint256"

	"github.com/parley-bft/parley/statemachine/store"
)

// accountData is an account as it is stored.
type accountData struct {
	Nonce    uint64
	Balance  *uint256.Int
	CodeHash []byte // empty for no code
}

// Account is an account as the store has it.
type Account struct {
	Nonce    uint64
	Balance  *big.Int
	CodeHash common.Hash
}

// DecodeAccount reads the value of an [AccountKey].
func DecodeAccount(b []byte) (*Account, error) {
	var d accountData
	if err := rlp.DecodeBytes(b, &d); err != nil {
		return nil, fmt.Errorf("contract: malformed account: %w", err)
	}
	a := &Account{Nonce: d.Nonce, Balance: d.Balance.ToBig(), CodeHash: types.EmptyCodeHash}
	if len(d.CodeHash) > 0 {
		a.CodeHash = common.BytesToHash(d.CodeHash)
	}
	return a, nil
}

// account is an account in the course of a transaction.
type account struct {
	address common.Address

	exists   bool
	nonce    uint64
	balance  uint256.Int
	codeHash common.Hash // types.EmptyCodeHash for no code
	code     []byte
	hasCode  bool // code is loaded

	// committed is what the store has: what the transaction began with.
	committed struct {
		exists   bool
		nonce    uint64
		balance  uint256.Int
		codeHash common.Hash
	}

	// isNew: made a contract by this transaction, the condition of EIP-6780.
	isNew      bool
	destructed bool

	loaded map[common.Hash]common.Hash // words that the store was asked for
	dirty  map[common.Hash]common.Hash // words that differ from them
}

func loadAccount(r store.Reader, addr common.Address) *account {
	a := &account{address: addr}
	var d accountData
	if !getRLP(r, AccountKey(addr), &d) {
		return a
	}
	a.exists, a.nonce, a.balance, a.codeHash = true, d.Nonce, *d.Balance, types.EmptyCodeHash
	if len(d.CodeHash) > 0 {
		a.codeHash = common.BytesToHash(d.CodeHash)
	}
	c := &a.committed
	c.exists, c.nonce, c.balance, c.codeHash = true, a.nonce, a.balance, a.codeHash
	return a
}

// empty is EIP-161's: such an account is removed when it was touched.
func (a *account) empty() bool {
	return a.nonce == 0 && a.balance.IsZero() && a.codeHash == types.EmptyCodeHash
}

// loadCode returns the code, which is not to be changed.
func (a *account) loadCode(r store.Reader) []byte {
	if !a.exists || a.codeHash == types.EmptyCodeHash {
		return nil
	}
	if !a.hasCode {
		a.code, _ = r.Get(codeKey(a.codeHash))
		a.hasCode = true
	}
	return a.code
}

// committedWord is a word of the storage as it was when the transaction began.
func (a *account) committedWord(r store.Reader, slot common.Hash) common.Hash {
	if v, ok := a.loaded[slot]; ok {
		return v
	}
	var v common.Hash
	if a.committed.exists {
		if b, ok := r.Get(StorageKey(a.address, slot)); ok {
			v = common.BytesToHash(b)
		}
	}
	if a.loaded == nil {
		a.loaded = make(map[common.Hash]common.Hash)
	}
	a.loaded[slot] = v
	return v
}

func (a *account) word(r store.Reader, slot common.Hash) common.Hash {
	if v, ok := a.dirty[slot]; ok {
		return v
	}
	return a.committedWord(r, slot)
}

func (a *account) setWord(slot, v, committed common.Hash) {
	if v == committed {
		delete(a.dirty, slot)
		return
	}
	if a.dirty == nil {
		a.dirty = make(map[common.Hash]common.Hash)
	}
	a.dirty[slot] = v
}

// write makes the store have the account as it is now.
func (a *account) write(t store.Txn) {
	c := &a.committed
	if !a.exists || a.destructed || a.empty() {
		// Its storage is not in the store: by EIP-6780 only a contract that this very
		// transaction made is destructed, and an account without code has none.
		if c.exists {
			t.Delete(AccountKey(a.address))
		}
		return
	}
	for slot, v := range a.dirty {
		if v == (common.Hash{}) {
			t.Delete(StorageKey(a.address, slot))
		} else {
			t.Set(StorageKey(a.address, slot), common.TrimLeftZeroes(v[:]))
		}
	}
	if a.codeHash != c.codeHash && len(a.code) > 0 {
		if _, ok := t.Get(codeKey(a.codeHash)); !ok {
			t.Set(codeKey(a.codeHash), a.code)
		}
	}
	if c.exists && a.nonce == c.nonce && a.balance == c.balance && a.codeHash == c.codeHash {
		return
	}
	d := accountData{Nonce: a.nonce, Balance: &a.balance}
	if a.codeHash != types.EmptyCodeHash {
		d.CodeHash = a.codeHash[:]
	}
	setRLP(t, AccountKey(a.address), &d)
}
