package kv

import (
	"bytes"
	"cmp"
	"sync"
	"sync/atomic"

	"github.com/parley-bft/parley/crypto/canon"
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
	results := statemachine.PerOp(b, m.apply, nil)
	if len(m.dirty) >= maxDirty {
		m.settle()
	}
	m.publish()
	return results
}

func (m *Machine) apply(in statemachine.Op) statemachine.Result {
	var op operation
	if code := m.limits.decode(in.Data, &op); code != statemachine.CodeOK {
		return statemachine.Reject(code, nil)
	}
	next := m.revision + 1
	// The revision goes in front when it is known; the body follows.
	out := append(m.results.next(), 0, 0, 0, 0, 0, 0, 0, 0)
	code := statemachine.CodeOK
	switch op.kind {
	case KindSwap:
		out, code = m.swap(out, &op, next)
	case KindTxn:
		out, code = m.txn(out, &op, next)
	case KindRevision, KindDigest:
		return statemachine.Reject(statemachine.CodeUnsupported, nil)
	default:
		if op.kind == KindPut && !m.room(op.key, op.value) {
			return statemachine.Reject(CodeNoSpace, nil)
		}
		out = m.simple(out, &op, next)
	}
	if code == CodeNoSpace {
		return statemachine.Reject(code, nil)
	}
	canon.AppendUint64(out[:0], m.revision)
	return statemachine.Result{Code: code, Data: m.results.take(out)}
}

// simple runs Get, Put, Delete or Range, which cannot fail once decoded (and
// space was found), at revision next, and appends the body of its result.
func (m *Machine) simple(out []byte, op *operation, next uint64) []byte {
	switch op.kind {
	case KindGet:
		e := m.get(op.key)
		return m.limits.appendGet(out, op.key, e)
	case KindPut:
		e, existed := m.put(op.key, op.value, next)
		out = canon.AppendBool(append(out, byte(KindPut)), existed)
		return appendKV(out, op.key, e, true)
	case KindDelete:
		return canon.AppendBool(append(out, byte(KindDelete)), m.delete(op.key, next))
	default:
		return m.limits.appendRange(out, m.tree, op)
	}
}

// room tells whether value may be put under key.
func (m *Machine) room(key, value []byte) bool {
	// A new key needs the most, so the old value matters only when space runs out.
	if m.fits(entrySize(len(key), len(value))) {
		return true
	}
	e := m.get(key)
	return e != nil && m.fits(int64(len(value)-len(e.value)))
}

func (m *Machine) fits(growth int64) bool {
	return growth <= 0 || m.size+growth <= m.limits.MaxStateBytes
}

func (m *Machine) swap(out []byte, op *operation, next uint64) ([]byte, statemachine.ResultCode) {
	e := m.get(op.key)
	found := e != nil
	holds := false
	switch op.condition {
	case swapIfAbsent:
		holds = !found
	case swapIfValue:
		holds = found && bytes.Equal(e.value, op.old)
	case swapIfRevision:
		holds = found && e.mod == op.revision
	}
	out = append(out, byte(KindSwap))
	if !holds {
		out = canon.AppendBool(out, found)
		if found {
			out = appendKV(out, op.key, e, false)
		}
		return out, CodeCompareFailed
	}
	if !m.room(op.key, op.value) {
		return nil, CodeNoSpace
	}
	e, _ = m.put(op.key, op.value, next)
	out = canon.AppendBool(out, true)
	return appendKV(out, op.key, e, true), statemachine.CodeOK
}

func (m *Machine) txn(out []byte, op *operation, next uint64) ([]byte, statemachine.ResultCode) {
	succeeded := true
	for i := range op.compares {
		if !m.holds(&op.compares[i]) {
			succeeded = false
			break
		}
	}
	branch := op.then
	if !succeeded {
		branch = op.otherwise
	}
	// Space is found for the branch as a whole before anything is written: what its
	// puts can add at most, whatever they replace.
	var inner operation
	most := int64(0)
	for _, b := range branch {
		m.limits.decode(b, &inner)
		if inner.kind == KindPut {
			most += entrySize(len(inner.key), len(inner.value))
		}
	}
	if !m.fits(most) {
		return nil, CodeNoSpace
	}
	out = canon.AppendBool(append(out, byte(KindTxn)), succeeded)
	out = canon.AppendUint32(out, uint32(len(branch)))
	room := m.limits
	for i, b := range branch {
		m.limits.decode(b, &inner)
		// What the operations after this one need at the least stays reserved.
		room.MaxResultBytes = m.limits.MaxResultBytes - (len(branch)-1-i)*(bodyFixed+entryFixed+m.limits.MaxKeyBytes)
		out = m.inBranch(out, &inner, next, &room)
	}
	return out, statemachine.CodeOK
}

// inBranch is simple with the room that is left for the result.
func (m *Machine) inBranch(out []byte, op *operation, next uint64, room *Limits) []byte {
	switch op.kind {
	case KindGet:
		e := m.get(op.key)
		return room.appendGet(out, op.key, e)
	case KindRange:
		return room.appendRange(out, m.tree, op)
	default:
		return m.simple(out, op, next)
	}
}

func (m *Machine) holds(c *Compare) bool {
	e := m.get(c.Key)
	if e == nil {
		e = &entry{}
	}
	var order int
	switch c.Target {
	case TargetValue:
		order = bytes.Compare(e.value, c.Value)
	case TargetVersion:
		order = cmp.Compare(e.version, c.Number)
	case TargetCreate:
		order = cmp.Compare(e.create, c.Number)
	case TargetMod:
		order = cmp.Compare(e.mod, c.Number)
	}
	switch c.Relation {
	case Equal:
		return order == 0
	case NotEqual:
		return order != 0
	case Less:
		return order < 0
	default:
		return order > 0
	}
}
