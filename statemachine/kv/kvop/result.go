package kvop

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine"
)

// The application's own result codes.
const (
	// CodeCompareFailed: the condition of a conditional write does not hold. The
	// result tells the key's present state. Nothing was changed.
	CodeCompareFailed = statemachine.CodeApplication + 0
	// CodeNoSpace: the write would exceed MaxStateBytes of kv.Limits. Nothing was changed.
	CodeNoSpace = statemachine.CodeApplication + 1
)

// Errors that [Result.Err] returns; test with errors.Is.
var (
	ErrCompareFailed = errors.New("compare failed")
	ErrNoSpace       = errors.New("the store is full")
	ErrRejected      = errors.New("operation rejected")
)

// KeyValue is a key as it stands.
type KeyValue struct {
	Key, Value []byte
	Create     uint64 // revision of its creation
	Mod        uint64 // revision of its last change
	Version    uint64 // changes since its creation, from 1
	// Omitted: the value is left out, because only keys were asked for or the
	// result was full.
	Omitted bool
}

// Result is the decoded result of an operation or query.
type Result struct {
	Code statemachine.ResultCode
	// Revision of the store after the operation. In the answers to Get and Range
	// queries it is 0: those are compared between replicas, which may have executed
	// different unrelated writes.
	Revision uint64
	Kind     Kind
	// Found: the key existed (before a Delete; in a Get or failed swap: exists).
	Found bool
	// KV is the key for Get (if found), Put and Swap (as it is after them, with the
	// value omitted), and a failed Swap (as it is, if found).
	KV KeyValue
	// KVs is the result of a Range, in ascending order of keys; More says that it
	// was cut short: continue at [Next] of the last key.
	KVs  []KeyValue
	More bool
	// Succeeded says which branch of a Txn ran; Responses are its operations' results
	// (their Revision is the transaction's).
	Succeeded bool
	Responses []Result
	// Digest is the answer to DigestQuery.
	Digest crypto.Digest
}

// Err returns nil for CodeOK, and otherwise an error that wraps ErrCompareFailed,
// ErrNoSpace or ErrRejected.
func (r *Result) Err() error {
	switch r.Code {
	case statemachine.CodeOK:
		return nil
	case CodeCompareFailed:
		return fmt.Errorf("%w: key at revision %d", ErrCompareFailed, r.KV.Mod)
	case CodeNoSpace:
		return ErrNoSpace
	default:
		return fmt.Errorf("%w: %v", ErrRejected, r.Code)
	}
}

// Sizes in the encoding.
const (
	bodyFixed  = 1 + 1 + 1 + 4         // kind, found, more, count
	entryFixed = 4 + 4 + 3*8 + 1       // of a KeyValue, beside key and value
	maxResult  = 64<<20 + 1            // for decoding
	maxDepth   = 2                     // a transaction and its operations
	maxCount   = maxResult / bodyFixed // of anything in a result
)

func readKV(r *canon.Reader) (kv KeyValue) {
	kv.Key = clone(r.Bytes(maxResult))
	kv.Omitted = r.Bool()
	kv.Value = clone(r.Bytes(maxResult))
	if kv.Omitted && len(kv.Value) > 0 {
		r.Fail("an omitted value")
	}
	kv.Create = r.Uint64()
	kv.Mod = r.Uint64()
	kv.Version = r.Uint64()
	return kv
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

// DecodeResult reads the result of an operation. The error wraps
// canon.ErrMalformed. Rejections without detail decode to their code alone.
func DecodeResult(res statemachine.Result) (Result, error) {
	out := Result{Code: res.Code}
	if res.Code != statemachine.CodeOK && res.Code != CodeCompareFailed {
		return out, nil
	}
	r := canon.NewReader(res.Data)
	out.Revision = r.Uint64()
	readBody(r, &out, maxDepth)
	if err := r.Close(); err != nil {
		return Result{}, fmt.Errorf("kv result: %w", err)
	}
	return out, nil
}

// DecodeAnswer reads the answer to a query.
func DecodeAnswer(b []byte) (Result, error) {
	return DecodeResult(statemachine.Result{Data: b})
}

func readBody(r *canon.Reader, out *Result, depth int) {
	switch out.Kind = Kind(r.Uint8()); out.Kind {
	case KindGet, KindSwap:
		if out.Found = r.Bool(); out.Found {
			out.KV = readKV(r)
		}
	case KindPut:
		out.Found = r.Bool()
		out.KV = readKV(r)
	case KindDelete:
		out.Found = r.Bool()
	case KindRange:
		out.More = r.Bool()
		if n := r.Count(maxCount, entryFixed); n > 0 {
			out.KVs = make([]KeyValue, n)
		}
		for i := range out.KVs {
			out.KVs[i] = readKV(r)
		}
	case KindTxn:
		if depth <= 1 {
			r.Fail("transaction in a transaction")
			return
		}
		out.Succeeded = r.Bool()
		// A response takes at least its kind and one truth value, and a hundred times that in
		// memory.
		if n := r.Count(MaxTxnOps, 2); n > 0 {
			out.Responses = make([]Result, n)
		}
		for i := range out.Responses {
			out.Responses[i].Revision = out.Revision
			readBody(r, &out.Responses[i], depth-1)
		}
	case KindRevision:
	case KindDigest:
		r.Copy(out.Digest[:])
	default:
		r.Fail("result of kind %d", out.Kind)
	}
}
