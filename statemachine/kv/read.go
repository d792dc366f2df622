package kv

import (
	"encoding/binary"
	"slices"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
)

// appendGet appends the body of a Get's result; e is nil if the key is not there.
func (l *Limits) appendGet(out, key []byte, e *entry) []byte {
	out = canon.AppendBool(append(out, byte(KindGet)), e != nil)
	if e == nil {
		return out
	}
	out = slices.Grow(out, entryFixed+len(key)+len(e.value))
	omit := len(out)+entryFixed+len(key)+len(e.value) > l.MaxResultBytes
	return appendKV(out, key, e, omit)
}

// appendRange appends the body of a Range's result, stopping at the first key
// that the limits have no room for.
//
// What it reads m counts, which may be nil. If that is too much it says so.
func (l *Limits) appendRange(out []byte, c ordered, op *operation, m *statemachine.Meter) ([]byte, statemachine.ResultCode) {
	out = append(out, byte(KindRange))
	more := len(out)
	out = canon.AppendBool(out, false)
	out = canon.AppendUint32(out, 0)
	limit := l.MaxRangeKeys
	if op.limit > 0 && int64(op.limit) < int64(limit) {
		limit = int(op.limit)
	}
	end, keysOnly := string(op.end), op.keysOnly // op itself must not get into the closure, and so to the heap
	n, code := 0, statemachine.CodeOK
	c.ascend(string(op.key), func(key string, e *entry) bool {
		if end != "" && key >= end {
			return false
		}
		size := entryFixed + len(key)
		if !keysOnly {
			size += len(e.value)
		}
		if n == limit || len(out)+size > l.MaxResultBytes {
			out[more] = 1
			return false
		}
		if code = m.Take(statemachine.WorkOf(size)); code != statemachine.CodeOK {
			return false
		}
		n++
		out = canon.AppendString(out, key)
		out = appendEntry(out, e, keysOnly)
		return true
	})
	binary.BigEndian.PutUint32(out[more+1:], uint32(n))
	return out, code
}
