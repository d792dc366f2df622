package kv

import (
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv/kvop"
)

// The operations, queries and results of package kvop, under the names that they have
// there, for programs that have replicas too.
type (
	Kind         = kvop.Kind
	RangeOptions = kvop.RangeOptions
	Target       = kvop.Target
	Relation     = kvop.Relation
	Compare      = kvop.Compare
	KeyValue     = kvop.KeyValue
	Result       = kvop.Result
)

// The kinds.
const (
	KindGet      = kvop.KindGet
	KindPut      = kvop.KindPut
	KindDelete   = kvop.KindDelete
	KindSwap     = kvop.KindSwap
	KindRange    = kvop.KindRange
	KindTxn      = kvop.KindTxn
	KindRevision = kvop.KindRevision
	KindDigest   = kvop.KindDigest
)

// The targets.
const (
	TargetValue   = kvop.TargetValue
	TargetVersion = kvop.TargetVersion
	TargetCreate  = kvop.TargetCreate
	TargetMod     = kvop.TargetMod
)

// The relations.
const (
	Equal    = kvop.Equal
	NotEqual = kvop.NotEqual
	Less     = kvop.Less
	Greater  = kvop.Greater
)

// The application's own result codes.
const (
	CodeCompareFailed = kvop.CodeCompareFailed
	CodeNoSpace       = kvop.CodeNoSpace
)

// Errors that [Result.Err] returns; test with errors.Is.
var (
	ErrCompareFailed = kvop.ErrCompareFailed
	ErrNoSpace       = kvop.ErrNoSpace
	ErrRejected      = kvop.ErrRejected
)

// Get is [kvop.Get].
func Get(key []byte) []byte { return kvop.Get(key) }

// Put is [kvop.Put].
func Put(key, value []byte) []byte { return kvop.Put(key, value) }

// Delete is [kvop.Delete].
func Delete(key []byte) []byte { return kvop.Delete(key) }

// CompareAndSwap is [kvop.CompareAndSwap].
func CompareAndSwap(key, old, value []byte) []byte { return kvop.CompareAndSwap(key, old, value) }

// Create is [kvop.Create].
func Create(key, value []byte) []byte { return kvop.Create(key, value) }

// SwapAtRevision is [kvop.SwapAtRevision].
func SwapAtRevision(key []byte, revision uint64, value []byte) []byte {
	return kvop.SwapAtRevision(key, revision, value)
}

// Range is [kvop.Range].
func Range(start, end []byte, o RangeOptions) []byte { return kvop.Range(start, end, o) }

// Prefix is [kvop.Prefix].
func Prefix(prefix []byte, o RangeOptions) []byte { return kvop.Prefix(prefix, o) }

// Next is [kvop.Next].
func Next(key []byte) []byte { return kvop.Next(key) }

// Exists is [kvop.Exists].
func Exists(key []byte) Compare { return kvop.Exists(key) }

// Missing is [kvop.Missing].
func Missing(key []byte) Compare { return kvop.Missing(key) }

// Txn is [kvop.Txn].
func Txn(conditions []Compare, then, otherwise [][]byte) []byte {
	return kvop.Txn(conditions, then, otherwise)
}

// RevisionQuery is [kvop.RevisionQuery].
func RevisionQuery() []byte { return kvop.RevisionQuery() }

// DigestQuery is [kvop.DigestQuery].
func DigestQuery() []byte { return kvop.DigestQuery() }

// DecodeResult is [kvop.DecodeResult].
func DecodeResult(res statemachine.Result) (Result, error) { return kvop.DecodeResult(res) }

// DecodeAnswer is [kvop.DecodeAnswer].
func DecodeAnswer(b []byte) (Result, error) { return kvop.DecodeAnswer(b) }

// StoreKey is [kvop.StoreKey].
func StoreKey(key []byte) []byte { return kvop.StoreKey(key) }

// KeyOf is [kvop.KeyOf].
func KeyOf(stored []byte) (key []byte, ok bool) { return kvop.KeyOf(stored) }

// DecodeStored is [kvop.DecodeStored].
func DecodeStored(key, b []byte) (KeyValue, error) { return kvop.DecodeStored(key, b) }

// Classify is [kvop.Classify], an access.Classifier.
func Classify(data []byte) (kind string, read bool) { return kvop.Classify(data) }

// Kinds is [kvop.Kinds].
func Kinds() (submit, read []string) { return kvop.Kinds() }
