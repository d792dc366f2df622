package contract

import (
	"context"
	"fmt"
	"sync"

	"github.com/ethereum/go-ethereum/core"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// Machine is the state machine. Beside what replicas call it has reads for whoever is
// in the same process, which may be made at any time and from any goroutine.
type Machine struct {
	*store.Machine
	handler *handler

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
	h := &handler{chain: newChain(g), store: s, jumps: core.NewJumpDestCache()}
	inner, err := store.NewMachine(s, h)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	return &Machine{Machine: inner, handler: h, changed: make(chan struct{})}, nil
}

// Genesis is the chain's, with all defaults filled in. It is not to be changed.
func (m *Machine) Genesis() *Genesis { return m.handler.genesis }

// Apply runs a block of transactions.
func (m *Machine) Apply(b statemachine.Block) []statemachine.Result {
	results := m.Machine.Apply(b)
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.changed)
	m.changed = make(chan struct{})
	return results
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
