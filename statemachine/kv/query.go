package kv

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/tidwall/btree"
)

// ErrQuery is wrapped by the error for a query that is malformed or no query.
var ErrQuery = errors.New("kv query")

// view is the state after one block, for queries. It is immutable but for used.
type view struct {
	tree     *btree.Map[string, *entry]
	revision uint64
	used     atomic.Bool
}

// publish makes the state after the present block visible to queries. mu is held.
//
// A copy of the map costs a constant, but the writes after it copy the nodes that
// they touch. So a view is made in advance only while somebody reads: if the last
// one was used. Else the next query makes it, and waits for the block at hand.
func (m *Machine) publish() {
	switch last := m.published.Load(); {
	case last == nil:
	case last.revision == m.revision: // nothing changed
	case last.used.Load():
		m.published.Store(m.view())
	default:
		m.published.Store(nil)
	}
}

func (m *Machine) view() *view { return &view{tree: m.freeze(), revision: m.revision} }

// current returns the view of the last executed block.
func (m *Machine) current() *view {
	v := m.published.Load()
	if v == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if v = m.published.Load(); v == nil {
			v = m.view()
			m.published.Store(v)
		}
	}
	if !v.used.Load() {
		v.used.Store(true)
	}
	return v
}

// Query answers the operations Get and Range, [RevisionQuery] and [DigestQuery]
// on the state after the last executed block; [DecodeAnswer] reads the answer. It
// is safe for concurrent use. Only DigestQuery may wait for a block that is being
// executed, and then answers from the state after it; it is meant for operators.
// The error wraps ErrQuery.
func (m *Machine) Query(ctx context.Context, q []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var op operation
	if code := m.limits.decode(q, &op); code != statemachine.CodeOK {
		return nil, fmt.Errorf("%w: %v", ErrQuery, code)
	}
	out := make([]byte, 8, 64)
	switch op.kind {
	case KindGet:
		e, _ := m.current().tree.Get(string(op.key))
		return m.limits.appendGet(out, op.key, e), nil
	case KindRange:
		out, _ = m.limits.appendRange(out, m.current(), &op, nil)
		return out, nil
	case KindRevision:
		return append(canon.AppendUint64(out[:0], m.current().revision), byte(KindRevision)), nil
	case KindDigest:
		m.mu.Lock()
		defer m.mu.Unlock()
		d := m.digest()
		out = append(canon.AppendUint64(out[:0], m.revision), byte(KindDigest))
		return append(out, d[:]...), nil
	default:
		return nil, fmt.Errorf("%w: operation of kind %d goes through the log", ErrQuery, op.kind)
	}
}
