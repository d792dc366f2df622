package contract

import (
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/stateless"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/types/bal"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/params"
	"github.com/holiman/uint256"

	"github.com/parley-bft/parley/statemachine/store"
)

// txState is the state in the course of one transaction: what the store has, and on
// top of it what the transaction did. It follows go-ethereum's state.StateDB, of which
// it keeps the rules and leaves out tries, prefetching and everything that outlives a
// transaction: nothing reaches the store before write.
type txState struct {
	r        store.Reader
	accounts map[common.Address]*account
	order    []*account // those above, in the order of their loading

	// undo takes back what was done, from the end. A snapshot is its length.
	undo []func()

	refund    uint64
	logs      []*types.Log
	logStart  uint // the index in the block of the first log
	txHash    common.Hash
	txIndex   int
	transient map[slotKey]common.Hash
	warm      map[common.Address]struct{}
	warmSlots map[slotKey]struct{}
}

type slotKey struct {
	address common.Address
	slot    common.Hash
}

var _ vm.StateDB = (*txState)(nil)

func newTxState(r store.Reader) *txState {
	return &txState{r: r, accounts: make(map[common.Address]*account)}
}

// write puts the outcome into the store.
func (s *txState) write(t store.Txn) {
	for _, a := range s.order {
		a.write(t)
	}
}

func (s *txState) did(undo func()) { s.undo = append(s.undo, undo) }

// get returns an account, which may not exist.
func (s *txState) get(addr common.Address) *account {
	if a := s.accounts[addr]; a != nil {
		return a
	}
	a := loadAccount(s.r, addr)
	s.accounts[addr] = a
	s.order = append(s.order, a)
	return a
}

// make returns an account, and makes it if it does not exist.
func (s *txState) make(addr common.Address) *account {
	a := s.get(addr)
	if !a.exists {
		a.exists, a.codeHash = true, types.EmptyCodeHash
		s.did(func() { a.exists, a.codeHash = false, common.Hash{} })
	}
	return a
}

func (s *txState) CreateAccount(addr common.Address) { s.make(addr) }

func (s *txState) CreateContract(addr common.Address) {
	if a := s.get(addr); !a.isNew {
		a.isNew = true
		s.did(func() { a.isNew = false })
	}
}

func (s *txState) IsNewContract(addr common.Address) bool { return s.get(addr).isNew }

func (s *txState) setBalance(a *account, v *uint256.Int) uint256.Int {
	was := a.balance
	s.did(func() { a.balance = was })
	a.balance = *v
	return was
}

func (s *txState) SubBalance(addr common.Address, v *uint256.Int, _ tracing.BalanceChangeReason) uint256.Int {
	a := s.make(addr)
	if v.IsZero() {
		return a.balance
	}
	return s.setBalance(a, new(uint256.Int).Sub(&a.balance, v))
}

func (s *txState) AddBalance(addr common.Address, v *uint256.Int, _ tracing.BalanceChangeReason) uint256.Int {
	a := s.make(addr)
	if v.IsZero() {
		return a.balance
	}
	return s.setBalance(a, new(uint256.Int).Add(&a.balance, v))
}

func (s *txState) GetBalance(addr common.Address) *uint256.Int {
	return new(uint256.Int).Set(&s.get(addr).balance)
}

func (s *txState) GetNonce(addr common.Address) uint64 { return s.get(addr).nonce }

func (s *txState) SetNonce(addr common.Address, v uint64, _ tracing.NonceChangeReason) {
	a := s.make(addr)
	was := a.nonce
	s.did(func() { a.nonce = was })
	a.nonce = v
}

// GetCodeHash is zero for an account that does not exist.
func (s *txState) GetCodeHash(addr common.Address) common.Hash { return s.get(addr).codeHash }

func (s *txState) GetCode(addr common.Address) []byte { return s.get(addr).loadCode(s.r) }

func (s *txState) GetCodeSize(addr common.Address) int { return len(s.GetCode(addr)) }

func (s *txState) SetCode(addr common.Address, code []byte, _ tracing.CodeChangeReason) []byte {
	a := s.make(addr)
	was, wasHash, had := a.loadCode(s.r), a.codeHash, a.hasCode
	s.did(func() { a.code, a.codeHash, a.hasCode = was, wasHash, had })
	a.code, a.codeHash, a.hasCode = code, crypto.Keccak256Hash(code), true
	return was
}

func (s *txState) setRefund(v uint64) {
	was := s.refund
	s.did(func() { s.refund = was })
	s.refund = v
}

func (s *txState) AddRefund(v uint64) { s.setRefund(s.refund + v) }

func (s *txState) SubRefund(v uint64) {
	if v > s.refund {
		panic(fmt.Sprintf("contract: the refund counter goes below zero: %d less %d", s.refund, v))
	}
	s.setRefund(s.refund - v)
}

func (s *txState) GetRefund() uint64 { return s.refund }

func (s *txState) GetStateAndCommittedState(addr common.Address, slot common.Hash) (now, committed common.Hash) {
	a := s.get(addr)
	committed = a.committedWord(s.r, slot)
	if v, ok := a.dirty[slot]; ok {
		return v, committed
	}
	return committed, committed
}

func (s *txState) GetState(addr common.Address, slot common.Hash) common.Hash {
	return s.get(addr).word(s.r, slot)
}

func (s *txState) SetState(addr common.Address, slot, v common.Hash) common.Hash {
	s.make(addr)
	was, committed := s.GetStateAndCommittedState(addr, slot)
	if was != v {
		a := s.get(addr)
		s.did(func() { a.setWord(slot, was, committed) })
		a.setWord(slot, v, committed)
	}
	return was
}

func (s *txState) GetTransientState(addr common.Address, slot common.Hash) common.Hash {
	return s.transient[slotKey{addr, slot}]
}

func (s *txState) SetTransientState(addr common.Address, slot, v common.Hash) {
	k := slotKey{addr, slot}
	was := s.transient[k]
	if was == v {
		return
	}
	s.did(func() { s.setTransient(k, was) })
	s.setTransient(k, v)
}

func (s *txState) setTransient(k slotKey, v common.Hash) {
	if v == (common.Hash{}) {
		delete(s.transient, k)
		return
	}
	if s.transient == nil {
		s.transient = make(map[slotKey]common.Hash)
	}
	s.transient[k] = v
}

func (s *txState) SelfDestruct(addr common.Address) {
	if a := s.get(addr); a.exists && !a.destructed {
		a.destructed = true
		s.did(func() { a.destructed = false })
	}
}

func (s *txState) HasSelfDestructed(addr common.Address) bool { return s.get(addr).destructed }

func (s *txState) Exist(addr common.Address) bool { return s.get(addr).exists }

func (s *txState) Empty(addr common.Address) bool {
	a := s.get(addr)
	return !a.exists || a.empty()
}

// Touch is for the block access lists of later forks.
func (s *txState) Touch(common.Address) {}

func (s *txState) AddressInAccessList(addr common.Address) bool {
	_, ok := s.warm[addr]
	return ok
}

func (s *txState) SlotInAccessList(addr common.Address, slot common.Hash) (addressOk, slotOk bool) {
	_, slotOk = s.warmSlots[slotKey{addr, slot}]
	return s.AddressInAccessList(addr), slotOk
}

func (s *txState) AddAddressToAccessList(addr common.Address) {
	if !s.AddressInAccessList(addr) {
		s.warm[addr] = struct{}{}
		s.did(func() { delete(s.warm, addr) })
	}
}

func (s *txState) AddSlotToAccessList(addr common.Address, slot common.Hash) {
	s.AddAddressToAccessList(addr)
	k := slotKey{addr, slot}
	if _, ok := s.warmSlots[k]; !ok {
		s.warmSlots[k] = struct{}{}
		s.did(func() { delete(s.warmSlots, k) })
	}
}

// Prepare begins a transaction's list of what is warm (EIP-2929, 2930, 3651), and its
// transient storage.
func (s *txState) Prepare(_ params.Rules, sender, coinbase common.Address, dest *common.Address, precompiles []common.Address, list types.AccessList) {
	s.transient = nil
	s.warm, s.warmSlots = make(map[common.Address]struct{}), make(map[slotKey]struct{})
	s.warm[sender], s.warm[coinbase] = struct{}{}, struct{}{}
	if dest != nil {
		s.warm[*dest] = struct{}{}
	}
	for _, a := range precompiles {
		s.warm[a] = struct{}{}
	}
	for _, e := range list {
		s.warm[e.Address] = struct{}{}
		for _, slot := range e.StorageKeys {
			s.warmSlots[slotKey{e.Address, slot}] = struct{}{}
		}
	}
}

func (s *txState) Snapshot() int { return len(s.undo) }

func (s *txState) RevertToSnapshot(id int) {
	for i := len(s.undo) - 1; i >= id; i-- {
		s.undo[i]()
	}
	clear(s.undo[id:])
	s.undo = s.undo[:id]
}

func (s *txState) AddLog(l *types.Log) {
	n := len(s.logs)
	l.TxHash, l.TxIndex, l.Index = s.txHash, uint(s.txIndex), s.logStart+uint(n)
	s.did(func() { s.logs = s.logs[:n] })
	s.logs = append(s.logs, l)
}

func (s *txState) AddPreimage(common.Hash, []byte)             {}
func (s *txState) Witness() *stateless.Witness                 { return nil }
func (s *txState) AccessEvents() *state.AccessEvents           { return nil }
func (s *txState) SetTxContext(h common.Hash, i int, _ uint32) { s.txHash, s.txIndex = h, i }

// Finalise is write's business here.
func (s *txState) Finalise(params.Rules) *bal.ConstructionBlockAccessList { return nil }
