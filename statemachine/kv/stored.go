package kv

import (
	"encoding/binary"
	"fmt"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/kv/kvop"
	"github.com/parley-bft/parley/statemachine/store"
)

// In a store, the first byte of a key says what its value is: that of kvop.StoreKey has
// revisions of creation and last change, version, value; this one name -> value.
const spaceMeta = 'm'

var (
	limitsKey = []byte{spaceMeta, 'l'} // digest of the limits
	totalsKey = []byte{spaceMeta, 't'} // revision, size
)

// Room is left for the prefix of an access policy.
const (
	entryHead      = 3 * 8
	maxStoredKey   = store.MaxKeyBytes - 64
	maxStoredValue = store.MaxValueBytes - entryHead
)

func (e *entry) load(b []byte) error {
	if len(b) < entryHead {
		return fmt.Errorf("kv entry: %w: it has %d bytes", canon.ErrMalformed, len(b))
	}
	e.create, e.mod, e.version = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])
	e.value = b[entryHead:]
	return nil
}

func (e *entry) encode() []byte {
	b := make([]byte, 0, entryHead+len(e.value))
	b = canon.AppendUint64(b, e.create)
	b = canon.AppendUint64(b, e.mod)
	b = canon.AppendUint64(b, e.version)
	return append(b, e.value...)
}

// mustLoad reads an entry that this package wrote.
func mustLoad(b []byte) *entry {
	e := new(entry)
	if err := e.load(b); err != nil {
		panic(err)
	}
	return e
}

// totals are what is known of the content as a whole.
type totals struct {
	revision uint64
	size     int64 // what it counts in MaxStateBytes
}

func (t *totals) load(r store.Reader) {
	b, ok := r.Get(totalsKey)
	if !ok || len(b) != 16 {
		panic("kv: the state is none of a key-value store: it has no totals")
	}
	t.revision, t.size = binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:]))
}

func (t *totals) save(w store.Txn) {
	w.Set(totalsKey, canon.AppendUint64(canon.AppendUint64(make([]byte, 0, 16), t.revision), uint64(t.size)))
}

// stored is the content in a transaction of a store, or, without t, in a state that is
// only read.
type stored struct {
	totals
	limits  *Limits
	r       store.Reader
	t       store.Txn
	changed bool // the totals
}

func (s *stored) at() uint64 { return s.revision }

func (s *stored) fits(growth int64) bool {
	return growth <= 0 || s.size+growth <= s.limits.MaxStateBytes
}

func (s *stored) get(key []byte) *entry {
	b, ok := s.r.Get(StoreKey(key))
	if !ok {
		return nil
	}
	return mustLoad(b)
}

func (s *stored) ascend(from string, do func(key string, e *entry) bool) {
	for k, v := range s.r.Range(StoreKey([]byte(from)), []byte{kvop.StoreSpace + 1}) {
		if !do(string(k[1:]), mustLoad(v)) {
			return
		}
	}
}

func (s *stored) put(key, value []byte, next uint64) (e *entry, existed bool) {
	now := &entry{value: value, create: next, mod: next, version: 1}
	was := s.get(key)
	if was == nil {
		s.size += entrySize(len(key), len(value))
	} else {
		s.size += int64(len(value) - len(was.value))
		now.create, now.version = was.create, was.version+1
	}
	s.revision, s.changed = next, true
	s.t.Set(StoreKey(key), now.encode())
	return now, was != nil
}

func (s *stored) delete(key []byte, next uint64) bool {
	was := s.get(key)
	if was == nil {
		return false
	}
	s.size -= entrySize(len(key), len(was.value))
	s.revision, s.changed = next, true
	s.t.Delete(StoreKey(key))
	return true
}
