package kv

import (
	"github.com/parley-bft/parley/crypto/canon"
)

// Sizes that the limits are computed from.
const (
	resultFixed = 8 + bodyFixed   // revision and the body's fixed part
	bodyFixed   = 1 + 1 + 1 + 4   // kind, found, more, count
	entryFixed  = 4 + 4 + 3*8 + 1 // of a KeyValue, beside key and value
)

func appendKV(b []byte, key []byte, e *entry, omit bool) []byte {
	return appendEntry(canon.AppendBytes(b, key), e, omit)
}

// appendEntry appends what follows the key.
func appendEntry(b []byte, e *entry, omit bool) []byte {
	b = canon.AppendBool(b, omit)
	if omit {
		b = canon.AppendUint32(b, 0)
	} else {
		b = canon.AppendBytes(b, e.value)
	}
	b = canon.AppendUint64(b, e.create)
	b = canon.AppendUint64(b, e.mod)
	return canon.AppendUint64(b, e.version)
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }
