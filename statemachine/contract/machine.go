package contract

import (
	"context"
	"fmt"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// Machine is the state machine. Beside what replicas call it has reads for whoever is
// in the same process, which may be made at any time and from any goroutine.
type Machine struct {
	*store.Machine
	handler *handler
	reads   *API

	mu      sync.Mutex
	changed chan struct{} // closed by the next block
}

var (
	_ statemachine.StateMachine = (*Machine)(nil)
	_ statemachine.Querier      = (*Machine)(nil)
	_ statemachine.HeightAware  = (*Machine)(nil)
)

// New returns the machine of a chain whose state is s, which nobody else writes to.
// nil stands for [DefaultGenesis].
func New(s *store.Store, g *Genesis) (*Machine, error) {
	if g == nil {
		g = DefaultGenesis()
	}
	if err := g.Validate(); err != nil {
		return nil, err
	}
	h := &handler{chain: newChain(g), jumps: core.NewJumpDestCache()}
	h.queries = newAPI(h.chain, nil, ReadLimits{LogBytes: maxAnswerBytes})
	inner, err := store.NewMachine(s, h)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	return &Machine{Machine: inner, handler: h, reads: newAPI(h.chain, kept{s}, ReadLimits{}), changed: make(chan struct{})}, nil
}

// Genesis is the chain's, with all defaults filled in. It is not to be changed.
func (m *Machine) Genesis() *Genesis { return m.handler.genesis }

// Apply runs a block of transactions.
func (m *Machine) Apply(b statemachine.Block) []statemachine.Result {
	results := m.Machine.Apply(b)
	m.notify()
	return results
}

// Restored notes the height of a restored state.
func (m *Machine) Restored(height uint64) {
	m.Machine.Restored(height)
	m.notify()
}

// SyncState makes the state another replica's.
func (m *Machine) SyncState(ctx context.Context, want statemachine.StateTarget) (statemachine.StateSyncStats, error) {
	stats, err := m.Machine.SyncState(ctx, want)
	if err == nil {
		m.notify()
	}
	return stats, err
}

// notify wakes those who wait for a height.
func (m *Machine) notify() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.changed)
	m.changed = make(chan struct{})
}

// Await returns when the block of a height has been executed here, or ctx ends.
func (m *Machine) Await(ctx context.Context, height uint64) error {
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		if _, last := m.Store().Heights(); last >= height {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Head is the height of the last block.
func (m *Machine) Head() (height uint64, err error) {
	n, err := m.reads.BlockNumber()
	return uint64(n), err
}

// Header returns the header of a block, nil if there is none.
func (m *Machine) Header(height uint64) (*types.Header, error) {
	return read(m.reads, func(v view) (*types.Header, error) {
		b, ok := v.block(height)
		if !ok {
			return nil, nil
		}
		return v.header(height, b), nil
	})
}

// Nonce is that of an account's next transaction.
func (m *Machine) Nonce(addr common.Address) (uint64, error) {
	return read(m.reads, func(v view) (uint64, error) { return loadAccount(v.r, addr).nonce, nil })
}

// Find returns the height of the block that a transaction is in, if it is in one that is
// kept ([Genesis.History]).
func (m *Machine) Find(hash common.Hash) (height uint64, ok bool, err error) {
	_, err = read(m.reads, func(v view) (struct{}, error) {
		var at place
		_, at, ok = v.find(hash)
		height = at.height
		return struct{}{}, nil
	})
	return height, ok && err == nil, err
}

// Decode reads a signed transaction, which is an operation of the machine, and returns
// it with its sender. The error is a *[RejectedError]: replicas would refuse it too.
func (m *Machine) Decode(raw []byte) (*types.Transaction, common.Address, error) {
	tx, from, code := decode(raw, m.handler.signer)
	if code == statemachine.CodeOK && tx.Gas() > m.Genesis().TxGasLimit {
		code = CodeGasTooHigh
	}
	if code != statemachine.CodeOK {
		return nil, common.Address{}, &RejectedError{code}
	}
	return tx, from, nil
}
