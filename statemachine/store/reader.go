package store

import (
	"bytes"
	"iter"
)

// Reader reads one state: that of a transaction, or that after a block (see [View]).
//
// Keys are not empty and ordered as byte strings. Those that begin with [feed.Reserved]
// are the store's own and not seen. Slices that a Reader returns may be
// kept and must not be changed. A Reader has no errors to return: where the database
// fails it panics with a *[Failure], which [Catch] turns into an error and [Machine]
// into the end of the replica.
type Reader interface {
	// Get returns the value of key, and whether there is one; it may be empty.
	Get(key []byte) (value []byte, ok bool)
	// Range yields the entries from the key from up to but not including the key to, in
	// ascending order. A nil from is the first key, a nil to the end. What is written
	// while it runs is not seen by it.
	Range(from, to []byte) iter.Seq2[[]byte, []byte]
	// Backward yields the same entries in descending order.
	Backward(from, to []byte) iter.Seq2[[]byte, []byte]
}

// Txn is a state that is being changed. Begin opens a transaction within it, which
// costs a constant whatever the depth, and reads no slower. While that one is open the
// outer one can be neither read nor written: it would be a bug that every replica has,
// and it panics.
//
// A Txn belongs to one goroutine.
type Txn interface {
	Reader
	// Set maps key to value. It copies both. It panics on a key that is empty or longer
	// than [MaxKeyBytes] and on a value longer than [MaxValueBytes]: check what clients
	// send before.
	Set(key, value []byte)
	// Delete removes key; it may be absent.
	Delete(key []byte)

	// Begin opens a transaction within this one.
	Begin() Txn
	// Commit ends the transaction and keeps its changes, as changes of the outer one.
	// That of a block is ended by [Store.Commit] alone; its own panics.
	Commit()
	// Discard ends the transaction, and any that is open within it, and leaves no change.
	// After Commit or Discard it does nothing, so it may be deferred. That of a block
	// stays open, empty.
	Discard()
}

const (
	// MaxKeyBytes is the length of the longest key, with all its prefixes.
	MaxKeyBytes = 8 << 10
	// MaxValueBytes is that of the longest value. One longer than proof.PieceBytes is hashed,
	// and sent to a replica that lacks it, in pieces.
	MaxValueBytes = 32 << 20
)

// Prefix returns the part of t whose keys begin with prefix, without it: several
// applications that get a part each, none a prefix of another's, share a state and
// cannot touch each other's. End prefixes with a character that names do not contain.
//
// Of the returned transaction Begin opens one within t, and Commit and Discard end t.
func Prefix(t Txn, prefix string) Txn {
	return &prefixTxn{prefixReader{t, prefix}, t}
}

// PrefixReader is [Prefix] for reading.
func PrefixReader(r Reader, prefix string) Reader { return &prefixReader{r, prefix} }

type prefixReader struct {
	r      Reader
	prefix string
}

func (p *prefixReader) key(k []byte) []byte {
	if len(k) == 0 {
		panic("store: an empty key")
	}
	return append(append(make([]byte, 0, len(p.prefix)+len(k)), p.prefix...), k...)
}

func (p *prefixReader) Get(key []byte) ([]byte, bool) { return p.r.Get(p.key(key)) }

// bounds are those of a range in the whole state.
func (p *prefixReader) bounds(from, to []byte) (f, t []byte) {
	if f = []byte(p.prefix); len(from) > 0 {
		f = p.key(from)
	}
	if to == nil {
		return f, PrefixEnd([]byte(p.prefix))
	}
	return f, append([]byte(p.prefix), to...)
}

func (p *prefixReader) cut(in iter.Seq2[[]byte, []byte]) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for k, v := range in {
			if len(k) > len(p.prefix) && !yield(k[len(p.prefix):], v) {
				return
			}
		}
	}
}

func (p *prefixReader) Range(from, to []byte) iter.Seq2[[]byte, []byte] {
	return p.cut(p.r.Range(p.bounds(from, to)))
}

func (p *prefixReader) Backward(from, to []byte) iter.Seq2[[]byte, []byte] {
	return p.cut(p.r.Backward(p.bounds(from, to)))
}

type prefixTxn struct {
	prefixReader
	t Txn
}

func (p *prefixTxn) Set(key, value []byte) { p.t.Set(p.key(key), value) }
func (p *prefixTxn) Delete(key []byte)     { p.t.Delete(p.key(key)) }
func (p *prefixTxn) Begin() Txn            { return Prefix(p.t.Begin(), p.prefix) }
func (p *prefixTxn) Commit()               { p.t.Commit() }
func (p *prefixTxn) Discard()              { p.t.Discard() }

// PrefixEnd returns the first key after all that begin with prefix, or nil if there is
// none: Range(prefix, PrefixEnd(prefix)) yields the keys that begin with prefix.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}
