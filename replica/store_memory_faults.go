package replica

import (
	"fmt"
	"maps"
	"slices"

	"github.com/parley-bft/parley/pbft"
)

// What a disk can do to a MemoryStore.

// syncedWrite is what a synced write changed, to take it back.
type syncedWrite struct {
	before []change // delete: there was no such key
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
	s.Crash()
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.history))
	s.log.highest = s.syncs
	for range n {
		last := s.history[len(s.history)-1]
		s.history = s.history[:len(s.history)-1]
		for _, c := range slices.Backward(last.before) {
			if c.delete {
				delete(s.durable, string(c.key))
				delete(s.view, string(c.key))
			} else {
				s.durable[string(c.key)], s.view[string(c.key)] = c.value, c.value
			}
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
	old := map[string][]byte{}
	for _, w := range slices.Backward(s.history) {
		for _, c := range w.before {
			if _, there := s.view[string(c.key)]; there && !c.delete {
				old[string(c.key)] = c.value
			}
		}
	}
	if len(old) == 0 {
		return ""
	}
	keys := slices.Sorted(maps.Keys(old))
	k := keys[pick(len(keys))]
	s.view[k] = old[k]
	return keyName([]byte(k))
}

// Rot damages a bit of some value on the disk and returns its key's name, "" if
// there is none.
func (s *MemoryStore) Rot(pick func(n int) int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.durable) == 0 {
		return ""
	}
	keys := slices.Sorted(maps.Keys(s.durable))
	k := keys[pick(len(keys))]
	b := append([]byte(nil), s.durable[k]...)
	b[pick(len(b))] ^= 1 << pick(8)
	s.view[k], s.durable[k] = b, b
	return keyName([]byte(k))
}

// Misdirect makes the next read of one key return another key's value.
func (s *MemoryStore) Misdirect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.misdirected = true
}

// misread is what the disk returns for a key in place of b.
func (s *MemoryStore) misread(key, b []byte) []byte {
	born := hostKey(HostKey{Kind: HostBorn})
	if s.misdirected && string(key) != string(born) {
		s.misdirected = false
		return s.view[string(born)]
	}
	return b
}

// Clone returns a copy of what a crash would leave, as of a disk image.
func (s *MemoryStore) Clone() *MemoryStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &MemoryStore{durable: maps.Clone(s.durable), view: maps.Clone(s.durable), keep: s.keep, syncs: s.syncs}
}

// Durable calls yield for every record of the protocol that a crash would leave,
// damaged ones left out, in no particular order.
func (s *MemoryStore) Durable(yield func(key pbft.RecordKey, value []byte)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, b := range s.durable {
		if k[0] != spaceRecords {
			continue
		}
		key, err := pbft.DecodeRecordKey([]byte(k[1:]))
		if err != nil {
			return fmt.Errorf("durable records: %w", err)
		}
		if v, fault := unseal([]byte(k), b); fault == "" {
			yield(key, v)
		}
	}
	return nil
}
