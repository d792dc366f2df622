package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
)

// Rerun runs a block again in a transaction of its own over the state before it, which
// must be kept, and says what writes the given keys: for each operation and each key what
// the operation leaves there, if it writes it at all and is not undone. What the handler does at
// the beginning and the end of the block has the place -1.
//
// Nothing is changed: not the store, nor its tree, nor the transaction of the next
// block. The handler does not notice a difference, if it asks nothing but its transactions,
// and [StateBefore]. It is not called beside Apply. The error for a height that is not
// kept wraps [statemachine.ErrPruned] and the *[HeightError]; one for a panic of the handler's
// at the beginning or end of the block is a *[statemachine.PanicError].
func (m *Machine) Rerun(ctx context.Context, b statemachine.Block, keys [][]byte) (writes []statemachine.StateWrite, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if b.Height == 0 {
		return nil, fmt.Errorf("%w: nothing is before height 0", statemachine.ErrPruned)
	}
	v, release, err := m.store.inspectAt(b.Height - 1)
	if err != nil {
		return nil, heightError(err)
	}
	defer release()
	r := &rerun{m: m, ctx: ctx, block: b, keys: keys}
	failed := Catch(func() {
		v.enter()
		defer m.store.users.leave()
		err = r.run(v)
	})
	if failed != nil {
		return nil, heightError(failed)
	}
	return r.writes, err
}

// heightError gives the error for a height that is pruned the sentinel that all
// applications have for it.
func heightError(err error) error {
	if errors.Is(err, ErrPruned) {
		return fmt.Errorf("%w: %w", statemachine.ErrPruned, err)
	}
	return err
}

// rerun is a block that is run again.
type rerun struct {
	m      *Machine
	ctx    context.Context
	block  statemachine.Block
	keys   [][]byte
	o      *overlay
	writes []statemachine.StateWrite
}

// cancelled unwinds a rerun through the operation that it is in.
type cancelled struct{ error }

func (cancelled) HaltsReplica() {}

func (r *rerun) run(before *View) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case cancelled:
			err = p.error
		case statemachine.Halt:
			panic(p)
		default:
			err = &statemachine.PanicError{Height: r.block.Height, During: "Apply", Op: -1, Value: p, Stack: debug.Stack()}
		}
	}()
	r.o = newOverlay((*kept)(before))
	t, b := r.o.block(), &r.block
	r.o.stamp, r.o.meter = 1, r.block.Meter()
	if r.m.blocks != nil {
		r.m.blocks.BeginBlock(t, b)
	}
	r.look(-1)
	n := 0
	next := func() { r.look(n); n++ }
	statemachine.PerOp(*b, func(op statemachine.Op) statemachine.Result {
		if err := r.ctx.Err(); err != nil {
			panic(cancelled{err})
		}
		_ = r.m.apply(t, b, &op) // nobody wants the result, and all of a block may be many
		next()
		return statemachine.Result{}
	}, func(statemachine.Op, any) { next() })
	if r.m.blocks != nil {
		r.m.blocks.EndBlock(t, b)
	}
	r.look(-1)
	return nil
}

// look notes what was written since it was last called.
func (r *rerun) look(op int) {
	for _, key := range r.keys {
		if w, ok := r.o.writes.Get(string(key)); ok && w.height == r.o.stamp {
			r.writes = append(r.writes, statemachine.StateWrite{Key: bytes.Clone(key), Op: op, Value: bytes.Clone(w.value), Deleted: w.deleted})
		}
	}
	r.o.stamp++
}

// kept is the state after an earlier block, as a block begins with it.
type kept View

func (k *kept) find(key string) record { return (*View)(k).find(key) }

func (k *kept) cursor(from, to []byte, reverse bool) cursor {
	return (*View)(k).cursor(from, to, reverse)
}

func (k *kept) digest() (crypto.Digest, error) { return (*View)(k).Digest() }

// StateBefore returns the digest of the state that the block of t, a transaction of a
// store or a [Prefix] of one, begins with, at the cost of [Store.Digest]. A handler that
// puts that into the state asks for it here, and then also finds it when a block is run
// again later ([Machine.Rerun]), as long as the height is kept.
func StateBefore(t Txn) (crypto.Digest, error) {
	switch t := t.(type) {
	case *txn:
		return t.o.base.digest()
	case *prefixTxn:
		return StateBefore(t.t)
	}
	panic(fmt.Sprintf("store: %T is no transaction of a store", t))
}
