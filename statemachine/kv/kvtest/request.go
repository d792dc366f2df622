package kvtest

import (
	"encoding/binary"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
)

// request is an operation as the model reads it.
type request struct {
	kind              kv.Kind
	key, value        string
	condition         byte // of a swap: 0 absent, 1 the value old, 2 the revision number
	old               string
	number            uint64
	end               string
	limit             uint32
	keysOnly          bool
	compares          []kv.Compare
	then, otherwise   []request
	malformed, excess bool // seen on the way
}

// reader takes an encoding apart: numbers are big-endian, byte strings and lists have
// their length in front in four bytes.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return make([]byte, min(n, 8))
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *reader) bytes() []byte {
	n := r.uint32()
	if r.bad || uint64(n) > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	return r.take(int(n))
}

// count reads how many elements follow, each of at least so many bytes.
func (r *reader) count(least int) int {
	n := r.uint32()
	if r.bad || uint64(n)*uint64(least) > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

// read reads an operation. The code says how it ends if it is refused whatever is in the
// store.
func (w *Workload) read(b []byte) (request, statemachine.ResultCode) {
	if len(b) == 0 {
		return request{}, statemachine.CodeMalformed
	}
	q := request{kind: kv.Kind(b[0])}
	r := &reader{b: b[1:]}
	code := statemachine.CodeOK
	tooLong := func(s string, most int) {
		if len(s) > most {
			q.excess = true
		}
	}
	switch q.kind {
	case kv.KindGet, kv.KindDelete:
		q.key = string(r.bytes())
	case kv.KindPut:
		q.key, q.value = string(r.bytes()), string(r.bytes())
	case kv.KindSwap:
		q.key, q.condition = string(r.bytes()), r.byte()
		switch q.condition {
		case 0:
		case 1:
			q.old = string(r.bytes())
		case 2:
			q.number = r.uint64()
			q.malformed = q.number == 0
		default:
			q.malformed = true
		}
		q.value = string(r.bytes())
	case kv.KindRange:
		q.key, q.end, q.limit = string(r.bytes()), string(r.bytes()), r.uint32()
		flag := r.byte()
		q.keysOnly, q.malformed = flag == 1, flag > 1
	case kv.KindTxn:
		code = w.readTxn(r, &q)
	case kv.KindRevision, kv.KindDigest:
	default:
		return q, statemachine.CodeUnsupported
	}
	most := w.limits.MaxKeyBytes
	tooLong(q.value, w.limits.MaxValueBytes)
	tooLong(q.old, w.limits.MaxValueBytes)
	tooLong(q.end, most+1)
	if q.kind == kv.KindRange {
		most++
	}
	tooLong(q.key, most)
	switch {
	case r.bad || len(r.b) > 0 || q.malformed:
		return q, statemachine.CodeMalformed
	case code != statemachine.CodeOK:
		return q, code
	case q.excess:
		return q, statemachine.CodeTooLarge
	case q.key == "" && q.kind <= kv.KindSwap:
		return q, statemachine.CodeMalformed
	}
	return q, statemachine.CodeOK
}

func (w *Workload) readTxn(r *reader, q *request) statemachine.ResultCode {
	n := r.count(4 + 2 + 4)
	if n > w.limits.MaxTxnOps {
		r.b = nil
		return statemachine.CodeTooLarge
	}
	for range n {
		c := kv.Compare{Key: r.bytes(), Target: kv.Target(r.byte()), Relation: kv.Relation(r.byte())}
		switch c.Target {
		case kv.TargetValue:
			c.Value = r.bytes()
		case kv.TargetVersion, kv.TargetCreate, kv.TargetMod:
			c.Number = r.uint64()
		default:
			q.malformed = true
		}
		if len(c.Key) == 0 || c.Relation < kv.Equal || c.Relation > kv.Greater {
			q.malformed = true
		}
		if len(c.Key) > w.limits.MaxKeyBytes || len(c.Value) > w.limits.MaxValueBytes {
			q.excess = true
		}
		q.compares = append(q.compares, c)
	}
	var branches [2][][]byte
	for i := range branches {
		n := r.count(4 + 1)
		if n > w.limits.MaxTxnOps {
			r.b = nil
			return statemachine.CodeTooLarge
		}
		for range n {
			branches[i] = append(branches[i], r.bytes())
		}
	}
	if r.bad || q.malformed {
		return statemachine.CodeMalformed
	}
	for i, into := range []*[]request{&q.then, &q.otherwise} {
		for _, b := range branches[i] {
			if len(b) > 0 && (kv.Kind(b[0]) == kv.KindTxn || kv.Kind(b[0]) == kv.KindSwap) {
				return statemachine.CodeUnsupported
			}
			inner, code := w.read(b)
			switch {
			case code != statemachine.CodeOK:
				return code
			case inner.kind >= kv.KindRevision:
				return statemachine.CodeUnsupported
			}
			*into = append(*into, inner)
		}
	}
	return statemachine.CodeOK
}
