package kv

import (
	"sync"
	"sync/atomic"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/merkle"
	"github.com/tidwall/btree"
)

// Machine is the store. It implements statemachine.StateMachine and
// statemachine.Querier.
type Machine struct {
	limits Limits

	// mu is held by whatever changes the fields below, for a whole block: who holds
	// it sees the state between two blocks.
	mu       sync.Mutex
	cells    map[string]*cell
	tree     *btree.Map[string, *entry]
	revision uint64
	size     int64 // what the content counts in MaxStateBytes
	// generation counts the frozen copies of the tree.
	generation uint64
	trie       merkle.Trie
	dirty      []*cell        // about which the trie is out of date
	changed    []merkle.Entry // scratch memory of Digest

	results slab

	// published is the view that queries read without waiting, or nil (see query.go).
	published atomic.Pointer[view]
}

// New returns an empty store. It panics if limits are not valid: call Validate
// first.
func New(limits Limits) *Machine {
	if err := limits.Validate(); err != nil {
		panic(err)
	}
	return &Machine{limits: limits, cells: make(map[string]*cell), tree: new(btree.Map[string, *entry])}
}

// Apply runs the operations of a block.
func (m *Machine) Apply(b statemachine.Block) []statemachine.Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	results := statemachine.PerOp(b, func(op statemachine.Op) statemachine.Result { return m.apply(op, b.Meter()) }, nil)
	if len(m.dirty) >= maxDirty {
		m.settle()
	}
	m.publish()
	return results
}

func (m *Machine) apply(in statemachine.Op, meter *statemachine.Meter) statemachine.Result {
	r := run{m, &m.limits, meter}
	out, code := r.operation(m.results.next(), in.Data)
	if out == nil {
		return statemachine.Reject(code, nil)
	}
	return statemachine.Result{Code: code, Data: m.results.take(out)}
}
