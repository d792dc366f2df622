package replica

import (
	"sort"
	"sync"

	"github.com/parley-bft/parley/pbft"
)

// MemoryStore is a [Store] for tests and simulations. What is not synced is lost
// by Crash. It costs no time, so Write with sync can be injected with faults
// through Fault.
type MemoryStore struct {
	mu      sync.Mutex
	durable map[string][]byte
	pending []change // written after the last sync, in order
	view    map[string][]byte
	failed  error
	fault   func(op string) error
	syncs   uint64
	// keep is how many synced writes to remember in history, log what was found at
	// the end of the log; see Lose.
	keep        int
	history     []syncedWrite
	log         walSeen
	misdirected bool
}

var _ Store = (*MemoryStore)(nil)

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore {
	return &MemoryStore{durable: make(map[string][]byte), view: make(map[string][]byte)}
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
	s.pending, s.failed, s.misdirected = nil, nil, false
	s.view = make(map[string][]byte, len(s.durable))
	for k, v := range s.durable {
		s.view[k] = v
	}
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

func (s *MemoryStore) apply(n int, at func(int) change, sync bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ask("write"); err != nil {
		return err
	}
	for i := range n {
		c := at(i)
		if c.delete {
			delete(s.view, string(c.key))
		} else {
			c.value = seal(c.key, c.value)
			s.view[string(c.key)] = c.value
		}
		s.pending = append(s.pending, c)
	}
	if !sync {
		return nil
	}
	if err := s.ask("sync"); err != nil {
		return err
	}
	var undo syncedWrite
	for _, c := range s.pending {
		if s.keep > 0 {
			old, there := s.durable[string(c.key)]
			undo.before = append(undo.before, change{c.key, old, !there})
		}
		if c.delete {
			delete(s.durable, string(c.key))
		} else {
			s.durable[string(c.key)] = c.value
		}
	}
	if s.keep > 0 {
		if len(s.history) >= s.keep {
			s.history = append(s.history[:0], s.history[1:]...)
		}
		s.history = append(s.history, undo)
	}
	s.pending = s.pending[:0]
	s.syncs++
	return nil
}

// Write implements [Store].
func (s *MemoryStore) Write(records []pbft.Record, sync bool) error {
	return s.apply(len(records), func(i int) change {
		return change{recordKey(records[i].Key), records[i].Value, records[i].Delete}
	}, sync)
}

// WriteHost implements [Store].
func (s *MemoryStore) WriteHost(records []HostRecord, sync bool) error {
	return s.apply(len(records), func(i int) change {
		return change{hostKey(records[i].Key), records[i].Value, records[i].Delete}
	}, sync)
}

func (s *MemoryStore) get(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.ask("read"); err != nil {
		return nil, err
	}
	b, ok := s.view[string(key)]
	if !ok {
		return nil, nil
	}
	return s.unseal(key, s.misread(key, b))
}

func (s *MemoryStore) unseal(key, b []byte) ([]byte, error) {
	v, fault := unseal(key, b)
	if fault != "" {
		s.failed = storeFailure("read", "memory", &CorruptError{Folder: "memory", Key: keyName(key), Detail: fault})
		return nil, s.failed
	}
	return append(make([]byte, 0, len(v)), v...), nil
}

// Get implements [Store].
func (s *MemoryStore) Get(key pbft.RecordKey) ([]byte, error) { return s.get(recordKey(key)) }

// GetHost implements [Store].
func (s *MemoryStore) GetHost(key HostKey) ([]byte, error) { return s.get(hostKey(key)) }

// Flip damages one bit of a record's value on the "disk".
func (s *MemoryStore) Flip(key pbft.RecordKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := string(recordKey(key))
	b, ok := s.view[k]
	if !ok {
		return false
	}
	b = append([]byte(nil), b...)
	b[len(b)-1] ^= 1
	s.view[k], s.durable[k] = b, b
	return true
}

func (s *MemoryStore) scan(from, to []byte, yield func(key, value []byte) error) error {
	s.mu.Lock()
	if err := s.ask("read"); err != nil {
		s.mu.Unlock()
		return err
	}
	type entry struct {
		key   string
		value []byte
	}
	var found []entry
	for k, v := range s.view {
		if k >= string(from) && k < string(to) {
			found = append(found, entry{k, v})
		}
	}
	s.mu.Unlock()
	sort.Slice(found, func(i, j int) bool { return found[i].key < found[j].key })
	for _, e := range found {
		if err := yield([]byte(e.key), e.value); err != nil {
			return err
		}
	}
	return nil
}

func (s *MemoryStore) open(key, value []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unseal(key, value)
}

// Load implements [Store].
func (s *MemoryStore) Load(want func(pbft.RecordKey) bool, yield func(pbft.Record) error) error {
	return s.scan([]byte{spaceRecords}, []byte{spaceRecords + 1}, func(key, value []byte) error {
		k, err := pbft.DecodeRecordKey(key[1:])
		if err != nil {
			return err
		}
		if want != nil && !want(k) {
			return nil
		}
		v, err := s.open(key, value)
		if err != nil {
			return err
		}
		return yield(pbft.Record{Key: k, Value: v})
	})
}

// Seek implements [Store].
func (s *MemoryStore) Seek(kind pbft.RecordKind, from uint64, yield func(pbft.Record) bool) error {
	lo, hi := seekRange(kind, from)
	err := s.scan(lo, hi, func(key, value []byte) error {
		k, err := pbft.DecodeRecordKey(key[1:])
		if err != nil {
			return err
		}
		v, err := s.open(key, value)
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
	return s.scan(hostKey(HostKey{kind, from}), hostKey(HostKey{kind, to}), func(key, value []byte) error {
		k, _ := parseHostKey(key)
		v, err := s.open(key, value)
		if err != nil {
			return err
		}
		return yield(k, v)
	})
}

// Close implements [Store]; the memory stays, for the next start.
func (s *MemoryStore) Close() error { return nil }
