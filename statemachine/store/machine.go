package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// Handler is an application's operations and queries. Everything that it knows is in
// the store: it keeps no state of its own (caches of what the store says aside), for
// what it kept would be in no digest and in no snapshot.
type Handler interface {
	// Apply runs one operation in a transaction of its own. If the result's code is
	// CodeOK the changes are kept, else they are discarded, and so they are if Apply
	// panics (the result is then CodePanicked), and if it reads more of t than it may (see
	// [statemachine.Meter]): then a panic unwinds Apply. An operation that is rejected and changes
	// something nevertheless, a fee say, calls t.Commit itself.
	//
	// b is the operation's block; op.Data is valid until Apply returns. The result may
	// share memory with either and with what t returned.
	Apply(t Txn, b *statemachine.Block, op *statemachine.Op) statemachine.Result
	// Query answers a query from the state after a block. See [statemachine.Querier].
	Query(ctx context.Context, r Reader, q []byte) ([]byte, error)
}

// Blocks is implemented by handlers that do something at the beginning and the end of
// each block, in the block's own transaction. A panic there stops the replica.
type Blocks interface {
	BeginBlock(t Txn, b *statemachine.Block)
	EndBlock(t Txn, b *statemachine.Block)
}

// Founder is implemented by handlers whose state before the first block is not empty.
// All replicas must found the same.
type Founder interface {
	Found(t Txn)
}

// Machine makes a statemachine.StateMachine, and Querier, of a store and a handler.
type Machine struct {
	store   *Store
	handler Handler
	blocks  Blocks // nil if the handler has none

	// stale: the store is as the last process left it. A state machine begins in its
	// initial state; but if the first thing that it is told is to restore a snapshot, the
	// store may only have to go back a little.
	stale atomic.Bool
	begin sync.Mutex
}

var (
	_ statemachine.StateMachine = (*Machine)(nil)
	_ statemachine.Querier      = (*Machine)(nil)
	_ statemachine.HeightAware  = (*Machine)(nil)
)

// NewMachine returns a machine whose state is s, which nobody else writes to. It is in
// its initial state, whatever s holds; what s holds makes it cheap to restore a snapshot
// that the last process took.
func NewMachine(s *Store, h Handler) (*Machine, error) {
	m := &Machine{store: s, handler: h}
	s.keeps = s.cfg.onDisk()
	m.blocks, _ = h.(Blocks)
	if !s.isNew() {
		m.stale.Store(true)
		if err := m.check(); err != nil && !errors.Is(err, ErrCorrupt) { // which is found again when it is restored
			return nil, err
		}
		return m, nil
	}
	return m, m.found()
}

func (m *Machine) found() error {
	f, ok := m.handler.(Founder)
	if !ok {
		return nil
	}
	if err := Catch(func() { f.Found(m.store.Block()) }); err != nil {
		return err
	}
	return m.store.commitBlock(0, new(statemachine.Time))
}

// fresh makes the state the initial one if it is still the last process's.
func (m *Machine) fresh() error {
	if !m.stale.Load() {
		return nil
	}
	m.begin.Lock()
	defer m.begin.Unlock()
	if !m.stale.Load() {
		return nil
	}
	if err := m.store.clear(); err != nil {
		return err
	}
	m.stale.Store(false)
	return m.found()
}

// Store returns the store.
func (m *Machine) Store() *Store { return m.store }

// Apply runs a block and commits it.
func (m *Machine) Apply(b statemachine.Block) []statemachine.Result {
	halt("begin", m.fresh())
	t := m.store.Block()
	t.Discard() // what an earlier attempt left, after which the executor was restored
	t.(*txn).o.meter = b.Meter()
	if m.blocks != nil {
		m.blocks.BeginBlock(t, &b)
	}
	results := statemachine.PerOp(b, func(op statemachine.Op) statemachine.Result { return m.apply(t, &b, &op) }, nil)
	if m.blocks != nil {
		m.blocks.EndBlock(t, &b)
	}
	halt("commit", m.store.commitBlock(b.Height, &b.Time))
	return results
}

func (m *Machine) apply(block Txn, b *statemachine.Block, op *statemachine.Op) (r statemachine.Result) {
	t := block.Begin()
	defer t.Discard() // also after a panic
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		var ok bool
		if r, ok = Unwound(v); !ok {
			panic(v)
		}
	}()
	r = m.handler.Apply(t, b, op)
	if open := block.(*txn).o.levels; r.Code == statemachine.CodeOK && len(open) > 1 && open[1] == t {
		t.Commit()
	}
	r.Data = bytes.Clone(r.Data)
	return r
}

// halt stops the replica if there is an error.
func halt(op string, err error) {
	var f *Failure
	switch {
	case err == nil:
	case errors.As(err, &f):
		panic(f)
	default:
		panic(&Failure{Op: op, Err: err})
	}
}

// Digest is the store's.
func (m *Machine) Digest() crypto.Digest {
	halt("begin", m.fresh())
	d, err := m.store.Digest()
	halt("digest", err)
	return d
}

// Snapshot is the store's in memory. On a disk it names the state, which the store keeps
// (see [Machine.KeepsSnapshots]).
func (m *Machine) Snapshot() (statemachine.Snapshot, error) {
	if err := m.fresh(); err != nil {
		return nil, err
	}
	if m.store.keeps {
		return m.store.keep()
	}
	return m.store.Snapshot()
}

// Restore is the store's. A state that a [Checker] refuses is an error, after which the
// machine has that state, and must be given another. The error wraps
// [statemachine.ErrStateElsewhere] if r names a state that the store does not have.
func (m *Machine) Restore(r io.Reader) error {
	var first *beginningError
	switch err := m.store.Restore(r); {
	case errors.As(err, &first):
		return m.restoreBeginning(first.digest)
	case err != nil:
		return err
	}
	m.stale.Store(false)
	return m.check()
}

// Query answers a [ProofQuery], a [LinksQuery] and a [PiecesQuery] itself and leaves all
// others to the handler.
func (m *Machine) Query(ctx context.Context, q []byte) (answer []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if rest, ok := bytes.CutPrefix(q, proofMagic); ok {
		return m.prove(rest)
	}
	if rest, ok := bytes.CutPrefix(q, feedMagic); ok {
		return m.feed(rest)
	}
	if err := m.fresh(); err != nil {
		return nil, err
	}
	v, release, err := m.store.held()
	if err != nil {
		return nil, err
	}
	defer release()
	failed := Catch(func() { answer, err = m.handler.Query(ctx, v, q) })
	if failed != nil {
		return nil, fmt.Errorf("query: %w", failed)
	}
	return answer, err
}
