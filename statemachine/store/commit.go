package store

import (
	"fmt"
	"slices"

	"github.com/parley-bft/parley/statemachine"
)

// Commit makes what the transaction of the block holds the state after the block of
// the given height: the one after the last, or any if nothing is there yet but what may
// be committed as height 0, the state before the first block. Transactions within it that are open
// are discarded. An error is a *[Failure], [ErrClosed], or says that the height is wrong.
//
// What was committed becomes durable when enough of it is there, see [Config.FlushBytes],
// or by [Store.Flush]. A crash leaves the state after one whole block, see [Store.Durable].
//
// What a [Machine] commits continues the chain of changes (package feed); this does not.
func (s *Store) Commit(height uint64) error { return s.commitBlock(height, nil) }

// commitBlock is Commit of a block of the given time, whose changes are chained unless it
// is nil.
func (s *Store) commitBlock(height uint64, at *statemachine.Time) error {
	if err := s.ready(); err != nil {
		return err
	}
	if s.returned && height > 0 {
		s.SetHeight(height - 1)
	}
	if s.begun && (height <= s.last || height != s.last+1 && s.last != 0) {
		return fmt.Errorf("store: height %d is committed after %d", height, s.last)
	}
	for len(s.block.levels) > 1 {
		s.block.levels[1].Discard()
	}
	if err := Catch(func() { s.commit(height, at) }); err != nil {
		return err
	}
	if s.pend.bytes >= int(s.cfg.FlushBytes) {
		return s.flushSoon()
	}
	return nil
}

// change is what a block does to a key.
type change struct {
	key      string
	was, now record
}

func (s *Store) commit(height uint64, at *statemachine.Time) {
	var changes []change
	s.block.writes.Scan(func(key string, w record) bool {
		if was := s.block.read(key); !was.is(w.value, w.deleted) {
			w.height = height
			changes = append(changes, change{key, was, w})
		}
		return true
	})
	s.block.reset()
	var fed *fedBlock
	if at != nil {
		changes, fed = s.chain(height, *at, changes)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	// A state that nobody can read any more needs no history.
	keep := s.begun && s.lowest(height) < height
	if !s.begun {
		s.oldest.Store(height)
	}
	s.begun, s.last = true, height
	for i := range changes {
		c := &changes[i]
		s.tree.dirty[c.key] = struct{}{}
		s.pend.setLast(c.key, c.now)
		if keep {
			s.pend.addHistory(c.key, height, c.was)
			s.pend.noteKey(height, c.key)
		}
	}
	if fed != nil {
		s.feedAppend(fed)
	}
	s.prune()
}

// lowest is the lowest height that must stay readable when last is the last one.
func (s *Store) lowest(last uint64) uint64 {
	low := min(last-min(last, s.cfg.Keep), s.retain.Load())
	for h := range s.pins {
		low = min(low, h)
	}
	for _, h := range s.snapshots {
		low = min(low, h)
	}
	return max(low, s.oldest.Load())
}

// prune lets go of what only heights need that are not kept. What of it is in the
// database goes with the next flush. mu is held.
func (s *Store) prune() {
	s.letGo()
	oldest := s.lowest(s.last)
	s.oldest.Store(oldest)
	n := 0
	for ; n < len(s.pend.journals) && s.pend.journals[n].height <= oldest; n++ {
		j := s.pend.journals[n]
		for _, key := range j.keys {
			s.pend.dropHistory(key, j.height)
		}
		for i := range j.nodes {
			s.discard(&j.nodes[i])
		}
	}
	s.pend.dropJournals(n)
	// The last seal stays: it is what the next tree is made of.
	n = 0
	for ; n+1 < len(s.tree.seals) && s.tree.seals[n].height < oldest; n++ {
	}
	s.tree.seals = slices.Delete(s.tree.seals, 0, n)
}

// discard lets go of a node.
func (s *Store) discard(id *nodeID) {
	if !s.pend.dropNode(id) {
		s.cache.drop(id)
		s.dead = append(s.dead, *id)
	}
}
