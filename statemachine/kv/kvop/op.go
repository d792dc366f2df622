package kvop

import (
	"github.com/parley-bft/parley/crypto/canon"
)

// Get returns the operation, or query, that reads key.
func Get(key []byte) []byte { return canon.AppendBytes([]byte{byte(KindGet)}, key) }

// Put returns the operation that maps key to value, whatever was there.
func Put(key, value []byte) []byte {
	b := make([]byte, 0, 1+4+len(key)+4+len(value))
	b = canon.AppendBytes(append(b, byte(KindPut)), key)
	return canon.AppendBytes(b, value)
}

// Delete returns the operation that removes key. Removing what is not there is
// no error and no change.
func Delete(key []byte) []byte { return canon.AppendBytes([]byte{byte(KindDelete)}, key) }

// What a conditional write compares with, in the encoding of a KindSwap.
const (
	IfAbsent   = 0
	IfValue    = 1
	IfRevision = 2
)

// CompareAndSwap returns the operation that maps key to value if its present
// value is old; otherwise the result is CodeCompareFailed with the present state
// of the key.
func CompareAndSwap(key, old, value []byte) []byte {
	b := canon.AppendBytes([]byte{byte(KindSwap)}, key)
	b = canon.AppendBytes(append(b, IfValue), old)
	return canon.AppendBytes(b, value)
}

// Create is CompareAndSwap on the condition that key does not exist.
func Create(key, value []byte) []byte {
	b := canon.AppendBytes([]byte{byte(KindSwap)}, key)
	return canon.AppendBytes(append(b, IfAbsent), value)
}

// SwapAtRevision is CompareAndSwap on the condition that key was last changed at
// the given revision (which must not be 0).
func SwapAtRevision(key []byte, revision uint64, value []byte) []byte {
	b := canon.AppendBytes([]byte{byte(KindSwap)}, key)
	b = canon.AppendUint64(append(b, IfRevision), revision)
	return canon.AppendBytes(b, value)
}

// RangeOptions narrow a range.
type RangeOptions struct {
	// Limit is the largest number of keys wanted; 0 is as many as the store gives.
	Limit uint32
	// KeysOnly leaves out the values.
	KeysOnly bool
}

// Range returns the operation, or query, that reads the keys from start, up to
// but not including end, in ascending order. An empty end means no end.
func Range(start, end []byte, o RangeOptions) []byte {
	b := canon.AppendBytes([]byte{byte(KindRange)}, start)
	b = canon.AppendBytes(b, end)
	b = canon.AppendUint32(b, o.Limit)
	return canon.AppendBool(b, o.KeysOnly)
}

// Prefix is Range over the keys that begin with prefix.
func Prefix(prefix []byte, o RangeOptions) []byte { return Range(prefix, prefixEnd(prefix), o) }

// prefixEnd is the first key after all that begin with prefix, or nil if there is
// no such key.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}

// Next is the smallest key after key: the start of the range that continues after
// a range whose last key was key.
func Next(key []byte) []byte { return append(append(make([]byte, 0, len(key)+1), key...), 0) }

// Target says what of a key is compared.
type Target uint8

// The targets. A key that does not exist has the empty value, and 0 for the rest.
const (
	TargetValue   Target = 1
	TargetVersion Target = 2
	TargetCreate  Target = 3 // revision of creation
	TargetMod     Target = 4 // revision of the last change
)

// Relation is a comparison. Values compare as byte strings.
type Relation uint8

// The relations.
const (
	Equal    Relation = 1
	NotEqual Relation = 2
	Less     Relation = 3
	Greater  Relation = 4
)

// Compare is one condition of a transaction: the target of Key stands in Relation
// to Value (for TargetValue) or Number (for the others).
type Compare struct {
	Key      []byte
	Target   Target
	Relation Relation
	Value    []byte
	Number   uint64
}

// Exists is the condition that key exists.
func Exists(key []byte) Compare { return Compare{Key: key, Target: TargetVersion, Relation: NotEqual} }

// Missing is the condition that key does not exist.
func Missing(key []byte) Compare { return Compare{Key: key, Target: TargetVersion, Relation: Equal} }

// MaxTxnOps is how many conditions a transaction can have, and operations in each branch:
// stores have a lower limit, kv.Limits.MaxTxnOps.
const MaxTxnOps = 4096

// Txn returns the operation that checks the conditions and, without anything in
// between, runs the operations of then if all hold (or there are none) and those
// of otherwise if not. The operations may be Get, Put, Delete and Range; they see
// what earlier ones of the same transaction wrote.
func Txn(conditions []Compare, then, otherwise [][]byte) []byte {
	b := canon.AppendUint32([]byte{byte(KindTxn)}, uint32(len(conditions)))
	for _, c := range conditions {
		b = canon.AppendBytes(b, c.Key)
		b = append(b, byte(c.Target), byte(c.Relation))
		if c.Target == TargetValue {
			b = canon.AppendBytes(b, c.Value)
		} else {
			b = canon.AppendUint64(b, c.Number)
		}
	}
	for _, branch := range [][][]byte{then, otherwise} {
		b = canon.AppendUint32(b, uint32(len(branch)))
		for _, op := range branch {
			b = canon.AppendBytes(b, op)
		}
	}
	return b
}

// RevisionQuery returns the query for the store's revision.
func RevisionQuery() []byte { return []byte{byte(KindRevision)} }

// DigestQuery returns the query for the store's digest and revision.
func DigestQuery() []byte { return []byte{byte(KindDigest)} }
