package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/merkle"
)

// Flush makes everything that was committed durable.
func (s *Store) Flush() error {
	if err := s.err(); err != nil {
		return err
	}
	return s.flush()
}

// flush makes what is pending durable.
func (s *Store) flush() error { return s.write(true) }

// write writes what is pending, in one batch with what it makes superfluous. Without sync
// the database has it, and the disk may not have it yet.
func (s *Store) write(sync bool) (err error) {
	if !s.begun {
		return nil
	}
	if failed := Catch(s.seal); failed != nil { // the tree in the database is that of its last height
		return failed
	}
	b := s.db.newBatch()
	s.pend.last.Scan(func(key string, r record) bool {
		if r.deleted {
			b.delete(lastKey(key))
		} else {
			b.set(lastKey(key), r.encode())
		}
		return true
	})
	s.pend.history.Scan(func(name string, r record) bool {
		b.set(inSpace(spaceHistory, name), r.encode())
		return true
	})
	for _, j := range s.pend.journals {
		j.write(b)
	}
	// In the order of their keys, which is easier for the database.
	ids := make([]nodeID, 0, len(s.pend.nodes))
	for id := range s.pend.nodes {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareIDs)
	for i := range ids {
		b.set(ids[i].key(), []byte(s.pend.nodes[ids[i]]))
	}
	for i := range s.dead {
		b.delete(s.dead[i].key())
	}
	oldest := s.oldest.Load()
	if err := s.pruneStored(b, oldest); err != nil {
		return s.fail("prune", err)
	}
	s.feedWrite(b)
	h := head{begun: true, incomplete: s.incomplete, last: s.last, oldest: oldest, version: s.tree.version, seals: s.tree.seals, snapshots: s.snapshots}
	b.set([]byte{spaceHead}, h.encode())
	// Before the write: a view that looks into the database from now on must not take it
	// for the one that it was (see View.settled). One that is made from now on is of the
	// last height, and nothing younger than that is written.
	s.flushes.Add(1)
	if err := b.write(sync); err != nil {
		return s.fail("write", err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range ids {
		s.cache.add(&ids[i], s.pend.nodes[ids[i]])
	}
	s.pend.last.Scan(func(key string, r record) bool { s.records.put(key, r); return true })
	s.feedWritten()
	s.pend, s.dead = newPending(), nil
	if sync {
		s.durable = s.last
	}
	return nil
}

func compareIDs(a, b nodeID) int {
	switch {
	case a.version != b.version:
		return cmpUint(a.version, b.version)
	case a.digit != b.digit:
		return cmpUint(uint64(a.digit), uint64(b.digit))
	}
	return slices.Compare(a.prefix[:], b.prefix[:])
}

func cmpUint(a, b uint64) int {
	if a < b {
		return -1
	}
	return 1
}

// pruneStored deletes what the journals up to a height name, but not more than a batch can
// bear: when a snapshot is released all that was kept for it is to go at once, of a thousand
// full blocks perhaps. The rest goes with later flushes, each of which takes more away than a
// flush adds: nothing is named by a journal that did not take more than its name in memory.
func (s *Store) pruneStored(b batch, oldest uint64) error {
	most := b.size() + s.cfg.stepBytes + int(s.cfg.FlushBytes)
	err := s.journals(0, oldest, func(key []byte, j *journal) error {
		if b.size() >= most {
			return errEnough
		}
		for _, k := range j.keys {
			b.delete(inSpace(spaceHistory, historyName(k, j.height)))
		}
		for i := range j.nodes {
			b.delete(j.nodes[i].key())
			s.cache.drop(&j.nodes[i])
		}
		b.delete(key)
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// journals calls f for the stored journals of the heights from from to to.
func (s *Store) journals(from, to uint64, f func(key []byte, j *journal) error) (err error) {
	end := []byte{spaceJournal + 1}
	if to != ^uint64(0) {
		end = journalKey(to+1, 0)
	}
	it, err := s.db.iterate(journalKey(from, 0), end, false)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := it.close(); err == nil {
			err = cerr
		}
	}()
	for ; it.valid(); it.next() {
		j, key, err := journalAt(it)
		if err != nil {
			return err
		}
		if err := f(key, j); err != nil {
			return err
		}
	}
	return nil
}

// journalAt reads the part of a journal that a walk stands at.
func journalAt(it dbIterator) (j *journal, key []byte, err error) {
	key = slices.Clone(it.key())
	j, err = decodeJournal(binary.BigEndian.Uint64(key[1:]), it.value())
	return j, key, err
}

// maxPart is about how long one record of a journal becomes.
const maxPart = 1 << 20

// write writes the journal in parts: for each key its length and itself, then a zero,
// then the nodes.
func (j *journal) write(b batch) {
	keys, nodes, part := j.keys, j.nodes, uint32(0)
	for len(keys)+len(nodes) > 0 {
		var rec []byte
		for ; len(keys) > 0 && len(rec) < maxPart; keys = keys[1:] {
			rec = binary.AppendUvarint(rec, uint64(len(keys[0])))
			rec = append(rec, keys[0]...)
		}
		rec = append(rec, 0)
		for ; len(nodes) > 0 && len(rec) < maxPart; nodes = nodes[1:] {
			rec = nodes[0].append(rec)
		}
		b.set(journalKey(j.height, part), rec)
		part++
	}
}

func decodeJournal(height uint64, b []byte) (*journal, error) {
	j := &journal{height: height}
	bad := fmt.Errorf("%w: journal of height %d", ErrCorrupt, height)
	for {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > MaxKeyBytes || uint64(len(b)-k) < n {
			return nil, bad
		}
		if b = b[k:]; n == 0 {
			break
		}
		j.keys = append(j.keys, string(b[:n]))
		b = b[n:]
	}
	for len(b) > 0 {
		var id nodeID
		if len(b) < 9 || b[8] >= merkle.Digits {
			return nil, bad
		}
		id.version, id.digit = binary.BigEndian.Uint64(b), b[8]
		n := 9 + (int(id.digit)+1)/2
		if len(b) < n || n > 9+crypto.DigestSize {
			return nil, bad
		}
		copy(id.prefix[:], b[9:n])
		j.nodes = append(j.nodes, id)
		b = b[n:]
	}
	return j, nil
}
