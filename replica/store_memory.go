package replica

import (
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/parley-bft/parley/pbft"
)

// MemoryStore is a [Store] for tests and simulations. What is not synced is lost
// by Crash. It costs no time, so Write with sync can be injected with faults
// through Fault. It keeps the values that it is given, and gives them back: nobody
// may change them.
type MemoryStore struct {
	mu sync.Mutex
	// tables hold the entries by space and kind, in the order of their keys.
	tables [2 << 8]map[string]*entry
	dirty  []*entry // written since the last sync, each once
	stale  []*entry // whose reads return what an earlier sync left
	failed error
	fault  func(op string) error
	syncs  uint64
	// keep is how many synced writes to remember in history, log what was found at
	// the end of the log; see Lose.
	keep        int
	history     []syncedWrite
	log         walSeen
	misdirected bool
	key         [64]byte // to look up with
}

// entry is what the store has under a key: as it is read, and as a crash leaves it.
type entry struct {
	key           string
	view, durable stored
	dirty         bool
}

// stored is a value, or that there is none. A disk keeps values sealed, which is
// done here only for those that a fault hits.
type stored struct {
	there  bool
	value  []byte
	sealed []byte // as it is on the disk, if that is damaged
}

// bytes are what is on the disk.
func (v *stored) bytes(key string) []byte {
	if v.sealed != nil {
		return v.sealed
	}
	return seal([]byte(key), v.value)
}

var _ Store = (*MemoryStore)(nil)

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return new(MemoryStore) }

// entries are those that have a value or had one at the last sync, in no order; of
// the kinds that may lie between two keys.
func (s *MemoryStore) entries(from, to []byte) iter.Seq[*entry] {
	lo, hi := table(from), table(to)
	return func(yield func(*entry) bool) {
		for i := lo; i <= min(hi, len(s.tables)-1); i++ {
			for _, e := range s.tables[i] {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// all are the entries of both spaces.
func (s *MemoryStore) all() iter.Seq[*entry] {
	return s.entries([]byte{spaceRecords}, []byte{spaceHost + 1})
}

// table is where the entries of a key's space and kind are; the key may be the
// beginning of one.
func table[K string | []byte](key K) int {
	i := int(key[0]-spaceRecords) << 8
	if len(key) > 1 {
		i |= int(key[1])
	}
	return i
}

func (s *MemoryStore) find(key []byte) *entry { return s.tables[table(key)][string(key)] }

// at finds or makes an entry.
func (s *MemoryStore) at(key []byte) *entry {
	if e := s.find(key); e != nil {
		return e
	}
	e := &entry{key: string(key)}
	t := &s.tables[table(key)]
	if *t == nil {
		*t = make(map[string]*entry)
	}
	(*t)[e.key] = e
	return e
}

// settle makes what is read what is on the disk.
func (s *MemoryStore) settle(e *entry) {
	e.dirty = false
	t := s.tables[table(e.key)]
	if e.view = e.durable; !e.durable.there && t[e.key] == e {
		delete(t, e.key)
	}
}

// Fault makes every later call ask f, with "write", "sync" or "read", whether it
// fails; a failure is final until Crash. A nil f asks nobody.
func (s *MemoryStore) Fault(f func(op string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Crash forgets everything that was not synced, and that the store failed.
func (s *MemoryStore) Crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crash()
}

func (s *MemoryStore) crash() {
	s.failed, s.misdirected = nil, false
	for _, e := range s.dirty {
		s.settle(e)
	}
	for _, e := range s.stale {
		s.settle(e)
	}
	s.dirty, s.stale = nil, nil
}

// Syncs returns how many syncs there were.
func (s *MemoryStore) Syncs() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.syncs
}

func (s *MemoryStore) ask(op string) error {
	if s.failed == nil && s.fault != nil {
		if err := s.fault(op); err != nil {
			s.failed = storeFailure(op, "memory", err)
		}
	}
	return s.failed
}

// write takes a change; sync makes durable what was written since the last.
func (s *MemoryStore) write(key, value []byte, gone bool) {
	e := s.find(key)
	if e == nil {
		if gone {
			return
		}
		e = s.at(key)
	}
	if e.view = (stored{there: true, value: value}); gone {
		e.view = stored{}
	}
	if !e.dirty {
		e.dirty = true
		s.dirty = append(s.dirty, e)
	}
}

func (s *MemoryStore) sync() error {
	if err := s.ask("sync"); err != nil {
		return err
	}
	var undo syncedWrite
	if s.keep > 0 {
		if undo = s.forget(); cap(undo.before) < len(s.dirty) {
			undo.before = make([]overwritten, 0, len(s.dirty))
		}
	}
	for _, e := range s.dirty {
		if s.keep > 0 {
			undo.before = append(undo.before, overwritten{e.key, e.durable})
		}
		e.durable = e.view
		s.settle(e)
	}
	if s.keep > 0 {
		s.history = append(s.history, undo)
	}
	clear(s.dirty)
	s.dirty = s.dirty[:0]
	s.syncs++
	return nil
}

// forget makes room in the history and returns what was in it.
func (s *MemoryStore) forget() (old syncedWrite) {
	if len(s.history) < s.keep {
		return old
	}
	old = s.history[0]
	clear(old.before)
	old.before = old.before[:0]
	s.history = append(s.history[:0], s.history[1:]...)
	return old
}

// Write implements [Store].
func (s *MemoryStore) Write(records []pbft.Record, sync bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ask("write"); err != nil {
		return err
	}
	for i := range records {
		r := &records[i]
		s.write(r.Key.Append(append(s.key[:0], spaceRecords)), r.Value, r.Delete)
	}
	if !sync {
		return nil
	}
	return s.sync()
}

// WriteHost implements [Store].
func (s *MemoryStore) WriteHost(records []HostRecord, sync bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ask("write"); err != nil {
		return err
	}
	for i := range records {
		r := &records[i]
		s.write(appendHostKey(s.key[:0], r.Key), r.Value, r.Delete)
	}
	if !sync {
		return nil
	}
	return s.sync()
}

// read returns a value. It is not nil, since one that is there is not.
func (s *MemoryStore) read(key string, v *stored) ([]byte, error) {
	switch {
	case v.sealed != nil:
	case v.value == nil:
		return []byte{}, nil
	default:
		return v.value[:len(v.value):len(v.value)], nil
	}
	value, fault := unseal([]byte(key), v.sealed)
	if fault != "" {
		s.failed = storeFailure("read", "memory", &CorruptError{Folder: "memory", Key: keyName([]byte(key)), Detail: fault})
		return nil, s.failed
	}
	return value, nil
}

func (s *MemoryStore) get(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ask("read"); err != nil {
		return nil, err
	}
	e := s.find(key)
	if e == nil || !e.view.there {
		return nil, nil
	}
	v := e.view
	s.misread(e.key, &v)
	return s.read(e.key, &v)
}

// Get implements [Store].
func (s *MemoryStore) Get(key pbft.RecordKey) ([]byte, error) { return s.get(recordKey(key)) }

// GetHost implements [Store].
func (s *MemoryStore) GetHost(key HostKey) ([]byte, error) { return s.get(hostKey(key)) }

// scan goes through the entries from one key up to another, as they are now, in
// order.
func (s *MemoryStore) scan(from, to []byte, yield func(key []byte, value func() ([]byte, error)) error) error {
	type found struct {
		key   string
		value stored
	}
	var all []found
	err := func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.ask("read"); err != nil {
			return err
		}
		for e := range s.entries(from, to) {
			if e.view.there && e.key >= string(from) && e.key < string(to) {
				all = append(all, found{e.key, e.view})
			}
		}
		return nil
	}()
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.key, b.key) })
	for i := range all {
		f := &all[i]
		value := func() ([]byte, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.read(f.key, &f.value)
		}
		if err := yield([]byte(f.key), value); err != nil {
			return err
		}
	}
	return nil
}

// Load implements [Store].
func (s *MemoryStore) Load(want func(pbft.RecordKey) bool, yield func(pbft.Record) error) error {
	return s.scan([]byte{spaceRecords}, []byte{spaceRecords + 1}, func(key []byte, value func() ([]byte, error)) error {
		k, err := pbft.DecodeRecordKey(key[1:])
		if err != nil {
			return err
		}
		if want != nil && !want(k) {
			return nil
		}
		v, err := value()
		if err != nil {
			return err
		}
		return yield(pbft.Record{Key: k, Value: v})
	})
}

// Seek implements [Store].
func (s *MemoryStore) Seek(kind pbft.RecordKind, from uint64, yield func(pbft.Record) bool) error {
	lo, hi := seekRange(kind, from)
	err := s.scan(lo, hi, func(key []byte, value func() ([]byte, error)) error {
		k, err := pbft.DecodeRecordKey(key[1:])
		if err != nil {
			return err
		}
		v, err := value()
		if err == nil && !yield(pbft.Record{Key: k, Value: v}) {
			err = errEnough
		}
		return err
	})
	if err == errEnough {
		return nil
	}
	return err
}

// ScanHost implements [Store].
func (s *MemoryStore) ScanHost(kind HostKind, from, to pbft.Height, yield func(HostKey, []byte) error) error {
	return s.scan(hostKey(HostKey{kind, from}), hostKey(HostKey{kind, to}), func(key []byte, value func() ([]byte, error)) error {
		k, _ := parseHostKey(key)
		v, err := value()
		if err != nil {
			return err
		}
		return yield(k, v)
	})
}

// Close implements [Store]; the memory stays, for the next start.
func (s *MemoryStore) Close() error { return nil }
