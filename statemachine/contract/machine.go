package contract

import (
	"context"
	"fmt"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/access"
	"github.com/parley-bft/parley/statemachine/store"
)

// Machine is the state machine. Beside what replicas call it has reads for whoever is
// in the same process, which may be made at any time and from any goroutine.
type Machine struct {
	*store.Machine
	handler *handler
	reads   *API            // of whoever is in the same process
	guard   *access.Machine // nil: there is no policy
	part    string          // of the store

	mu      sync.Mutex
	changed chan struct{} // closed by the next block
}

var (
	_ statemachine.StateMachine   = (*Machine)(nil)
	_ statemachine.HistoryQuerier = (*Machine)(nil)
	_ statemachine.HeightAware    = (*Machine)(nil)
)

// New returns the machine of a chain whose state is s, which nobody else writes to.
// nil stands for [DefaultGenesis].
func New(s *store.Store, g *Genesis) (*Machine, error) {
	h, err := newHandler(g)
	if err != nil {
		return nil, err
	}
	inner, err := store.NewMachine(s, h)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	return assemble(inner, h, nil), nil
}

// NewGuarded is [New] with an access policy, the first of which is p; id is that of the
// cluster. See [Classify] for what it decides about, and [AddressKey] for whose
// transactions are.
func NewGuarded(s *store.Store, g *Genesis, id crypto.Digest, p access.Policy) (*Machine, error) {
	h, err := newHandler(g)
	if err != nil {
		return nil, err
	}
	wrapped, err := access.Wrap(h, Classify, id, p)
	if err != nil {
		return nil, err
	}
	inner, err := access.NewMachine(s, wrapped)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	return assemble(inner.Machine, h, inner), nil
}

func newHandler(g *Genesis) (*handler, error) {
	if g == nil {
		g = DefaultGenesis()
	}
	if err := g.Validate(); err != nil {
		return nil, err
	}
	h := &handler{chain: newChain(g), jumps: core.NewJumpDestCache()}
	h.queries = newAPI(h.chain, nil, ReadLimits{LogBytes: maxAnswerBytes})
	return h, nil
}

func assemble(inner *store.Machine, h *handler, guard *access.Machine) *Machine {
	m := &Machine{Machine: inner, handler: h, guard: guard, changed: make(chan struct{})}
	if guard != nil {
		m.part = access.AppPrefix
	}
	m.reads = newAPI(h.chain, kept{inner.Store(), m.part}, ReadLimits{})
	return m
}

// Query answers a query, if the policy lets the caller read, where there is one.
func (m *Machine) Query(ctx context.Context, q []byte) ([]byte, error) {
	if m.guard != nil {
		return m.guard.Query(ctx, q)
	}
	return m.Machine.Query(ctx, q)
}

// QueryAt is Query from an earlier state.
func (m *Machine) QueryAt(ctx context.Context, height uint64, q []byte) ([]byte, error) {
	if m.guard != nil {
		return m.guard.QueryAt(ctx, height, q)
	}
	return m.Machine.QueryAt(ctx, height, q)
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
	return read(m.reads, "", func(v view) (*types.Header, error) {
		b, ok := v.block(height)
		if !ok {
			return nil, nil
		}
		return v.header(height, b), nil
	})
}

// Nonce is that of an account's next transaction.
func (m *Machine) Nonce(addr common.Address) (uint64, error) {
	return read(m.reads, "", func(v view) (uint64, error) { return loadAccount(v.r, addr).nonce, nil })
}

// Find returns the height of the block that a transaction is in, if it is in one that is
// kept ([Genesis.History]).
func (m *Machine) Find(hash common.Hash) (height uint64, ok bool, err error) {
	_, err = read(m.reads, "", func(v view) (struct{}, error) {
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
