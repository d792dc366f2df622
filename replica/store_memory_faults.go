package replica

import (
	"fmt"
	"maps"
	"slices"

	"github.com/parley-bft/parley/pbft"
)

// What a disk can do to a MemoryStore.

// syncedWrite is what a synced write changed, to take it back.
type syncedWrite struct{ before []overwritten }

// overwritten is what was under a key.
type overwritten struct {
	key string
	was stored
}

// Keep has the store remember its last n synced writes, for Lose and Stale.
func (s *MemoryStore) Keep(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = n
}

// Lose takes the last n synced writes from the disk, or as many as are remembered,
// and what was not synced: damage in the database's log ends it there. If later is
// true the log behind the damage can still be read, and whoever opens the store
// sees by the numbers of the writes that some are missing; without, the end was
// torn off like by a crash. It returns how many were lost.
func (s *MemoryStore) Lose(n int, later bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crash()
	n = min(n, len(s.history))
	s.log.highest = s.syncs
	for range n {
		last := s.history[len(s.history)-1]
		s.history = s.history[:len(s.history)-1]
		for i := range last.before {
			e := s.at([]byte(last.before[i].key))
			e.durable = last.before[i].was
			s.settle(e)
		}
		s.syncs--
	}
	s.log.replayed = s.syncs
	if !later {
		s.log.highest = s.syncs
	}
	return n
}

// checkLog is what opening a database on a disk does: see walMark.
func (s *MemoryStore) checkLog() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log.suspicious() && s.log.lost(s.log.replayed) {
		return storeFailure("open", "memory", lostWrites("memory", s.log.replayed, s.log.highest))
	}
	return nil
}

// Stale makes reads of one key return what an earlier sync left there, until the
// key is written or the store crashes. It returns the key's name, "" if there is
// none.
func (s *MemoryStore) Stale(pick func(n int) int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := map[string]stored{}
	for _, w := range slices.Backward(s.history) {
		for _, b := range w.before {
			if e := s.find([]byte(b.key)); e != nil && e.view.there && b.was.there {
				old[b.key] = b.was
			}
		}
	}
	if len(old) == 0 {
		return ""
	}
	keys := slices.Sorted(maps.Keys(old))
	e := s.find([]byte(keys[pick(len(keys))]))
	e.view = old[e.key]
	s.stale = append(s.stale, e)
	return keyName([]byte(e.key))
}

// Rot damages a bit of some value on the disk and returns its key's name, "" if
// there is none.
func (s *MemoryStore) Rot(pick func(n int) int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for e := range s.all() {
		if e.durable.there {
			keys = append(keys, e.key)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	slices.Sort(keys)
	e := s.find([]byte(keys[pick(len(keys))]))
	b := slices.Clone(e.durable.bytes(e.key))
	b[pick(len(b))] ^= 1 << pick(8)
	e.damage(b)
	return keyName([]byte(e.key))
}

// Flip damages one bit of a record's value on the "disk".
func (s *MemoryStore) Flip(key pbft.RecordKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(recordKey(key))
	if e == nil || !e.view.there {
		return false
	}
	b := slices.Clone(e.view.bytes(e.key))
	b[len(b)-1] ^= 1
	e.damage(b)
	return true
}

// damage changes what is on the disk, and what is read unless something was written
// since.
func (e *entry) damage(sealed []byte) {
	e.durable = stored{there: true, sealed: sealed}
	if !e.dirty {
		e.view = e.durable
	}
}

// Misdirect makes the next read of one key return another key's value.
func (s *MemoryStore) Misdirect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.misdirected = true
}

// misread puts what the disk returns in the place of what is under a key.
func (s *MemoryStore) misread(key string, v *stored) {
	born := string(hostKey(HostKey{Kind: HostBorn}))
	if !s.misdirected || key == born {
		return
	}
	s.misdirected = false
	v.sealed = []byte{}
	if other := s.find([]byte(born)); other != nil && other.view.there {
		v.sealed = other.view.bytes(born)
	}
}

// Clone returns a copy of what a crash would leave, as of a disk image.
func (s *MemoryStore) Clone() *MemoryStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := NewMemoryStore()
	c.keep, c.syncs = s.keep, s.syncs
	for e := range s.all() {
		if e.durable.there {
			to := c.at([]byte(e.key))
			to.durable, to.view = e.durable, e.durable
		}
	}
	return c
}

// Durable calls yield for every record of the protocol that a crash would leave,
// damaged ones left out, in no particular order.
func (s *MemoryStore) Durable(yield func(key pbft.RecordKey, value []byte)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.entries([]byte{spaceRecords}, []byte{spaceRecords, 255}) {
		if !e.durable.there || e.durable.sealed != nil {
			continue
		}
		key, err := pbft.DecodeRecordKey([]byte(e.key[1:]))
		if err != nil {
			return fmt.Errorf("durable records: %w", err)
		}
		yield(key, e.durable.value)
	}
	return nil
}
