package kv

import (
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv/kvop"
)

// operation is a decoded operation. Its slices alias the encoding.
type operation struct {
	kind       Kind
	key, value []byte
	// For KindSwap.
	condition uint8
	old       []byte
	revision  uint64
	// For KindRange: key is the start.
	end      []byte
	limit    uint32
	keysOnly bool
	// For KindTxn. At most one branch is run, so only that one is decoded further.
	compares        []Compare
	then, otherwise [][]byte
}

// huge is the limit for byte strings where a decoder wants to see an oversized
// one, to refuse it for its size and not as malformed.
const huge = 1<<31 - 1

// decode reads an operation and checks it against the limits. Whatever it
// returns besides CodeOK, nothing has been done.
func (l *Limits) decode(b []byte, op *operation) statemachine.ResultCode {
	r := canon.NewReader(b)
	*op = operation{kind: Kind(r.Uint8())}
	code := statemachine.CodeOK
	switch op.kind {
	case KindGet, KindDelete:
		op.key = r.Bytes(huge)
	case KindPut:
		op.key = r.Bytes(huge)
		op.value = r.Bytes(huge)
	case KindSwap:
		op.key = r.Bytes(huge)
		switch op.condition = r.Uint8(); op.condition {
		case kvop.IfAbsent:
		case kvop.IfValue:
			op.old = r.Bytes(huge)
		case kvop.IfRevision:
			if op.revision = r.Uint64(); op.revision == 0 {
				r.Fail("revision 0")
			}
		default:
			r.Fail("condition %d", op.condition)
		}
		op.value = r.Bytes(huge)
	case KindRange:
		op.key = r.Bytes(huge)
		op.end = r.Bytes(huge)
		op.limit = r.Uint32()
		op.keysOnly = r.Bool()
	case KindTxn:
		code = l.decodeTxn(r, op)
	case KindRevision, KindDigest:
	default:
		if len(b) == 0 {
			return statemachine.CodeMalformed
		}
		return statemachine.CodeUnsupported
	}
	maxKey := l.MaxKeyBytes
	if op.kind == KindRange {
		maxKey++ // Next of the longest key begins a range
	}
	switch {
	case r.Close() != nil:
		return statemachine.CodeMalformed
	case code != statemachine.CodeOK:
		return code
	case len(op.key) > maxKey || len(op.end) > l.MaxKeyBytes+1 || len(op.value) > l.MaxValueBytes || len(op.old) > l.MaxValueBytes:
		return statemachine.CodeTooLarge
	case len(op.key) == 0 && op.kind >= KindGet && op.kind <= KindSwap:
		return statemachine.CodeMalformed
	}
	return statemachine.CodeOK
}

func (l *Limits) decodeTxn(r *canon.Reader, op *operation) statemachine.ResultCode {
	code := statemachine.CodeOK
	n := r.Count(huge, 4+2+4)
	if n > l.MaxTxnOps {
		r.Fixed(r.Len())
		return statemachine.CodeTooLarge
	}
	op.compares = make([]Compare, n)
	for i := range op.compares {
		c := &op.compares[i]
		c.Key = r.Bytes(huge)
		c.Target = Target(r.Uint8())
		c.Relation = Relation(r.Uint8())
		switch c.Target {
		case TargetValue:
			c.Value = r.Bytes(huge)
		case TargetVersion, TargetCreate, TargetMod:
			c.Number = r.Uint64()
		default:
			r.Fail("target %d", c.Target)
		}
		switch {
		case c.Relation < Equal || c.Relation > Greater:
			r.Fail("relation %d", c.Relation)
		case len(c.Key) == 0:
			r.Fail("empty key")
		case len(c.Key) > l.MaxKeyBytes || len(c.Value) > l.MaxValueBytes:
			code = statemachine.CodeTooLarge
		}
	}
	for _, branch := range []*[][]byte{&op.then, &op.otherwise} {
		n := r.Count(huge, 4+1)
		if n > l.MaxTxnOps {
			r.Fixed(r.Len())
			return statemachine.CodeTooLarge
		}
		*branch = make([][]byte, n)
		for i := range *branch {
			(*branch)[i] = r.Bytes(huge)
		}
	}
	if r.Err() != nil {
		return statemachine.CodeMalformed
	}
	// Both branches are checked before either is run: whether an operation is well
	// formed must not depend on the state.
	var inner operation
	for _, branch := range [][][]byte{op.then, op.otherwise} {
		for _, b := range branch {
			if len(b) > 0 && (Kind(b[0]) == KindTxn || Kind(b[0]) == KindSwap) {
				return statemachine.CodeUnsupported
			}
			if c := l.decode(b, &inner); c != statemachine.CodeOK {
				return c
			}
			if inner.kind >= KindRevision {
				return statemachine.CodeUnsupported
			}
		}
	}
	return code
}
