package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// Peer is another replica that may have a state. Its store answers by [Store.Serve].
type Peer = statemachine.StatePeer

// Sync says which state is wanted and who may have it.
type Sync struct {
	// Height and Digest are those of a certified checkpoint: a quorum vouches for them.
	Height uint64
	Digest crypto.Digest
	// Peers are asked side by side, each for one request at a time. One that gives a wrong
	// answer is not asked again, one that gives none only if nobody else answers, after
	// pauses that grow.
	Peers []Peer
	// Timeout is how long a peer may take for one answer; 10 s if zero. After an eighth
	// of it somebody else is asked as well. Both double, up to eightfold, for a peer that
	// was silent.
	Timeout time.Duration
	// Exchange, if not nil, takes the place of goroutines and of Timeout: see
	// [statemachine.StateExchange].
	Exchange statemachine.StateExchange
	// Lied, if not nil, hears of a wrong answer, and from which of Peers it was.
	Lied func(peer int, err error)
	// MayAllLie, if not nil, tells whether all of some of Peers may be liars: see
	// [statemachine.StateTarget].
	MayAllLie func(peers []int) bool
	// Superseded, if not nil, ends a [Store.Sync] while it asks peers: see
	// [statemachine.StateTarget].
	Superseded <-chan struct{}
	// Scrub has [Store.Sync] read all that is here, and get anew what is damaged.
	Scrub bool

	// ticks replaces a clock in tests.
	ticks <-chan time.Time
}

// SyncStats says what a [Store.Sync] or a [Store.Compare] came to.
type SyncStats struct {
	Requests       int
	Sent, Received int64 // bytes
	Nodes, Values  int   // that were received
	Changed        int   // keys that were set or deleted
	Damaged        int   // keys whose values here were damaged, or could not be read; see Sync.Scrub
	// Lost are the first of the damaged keys that were set again, Unreadable the parts of the
	// files that could not be read.
	Lost       []statemachine.StateDifference
	Unreadable []statemachine.UnreadableStretch
}

// Sync makes the state that of a certified checkpoint, by asking peers for the parts of
// the tree that differ from those that are here. Each part is checked as it comes,
// against the digest or the part that named it, so a liar is found out at once.
//
// What came is put into the database now and then, and when peers give no more, ctx ends or
// [Sync.Superseded] is closed; so after a crash or an error Sync is called again, with the same state or a later one, and gets only what is still missing.
// In between the store is incomplete: it is not to be read, nor to be written to.
//
// It goes on as long as anybody may have what is missing, with pauses that grow; one true
// answer counts for more than any number of refusals before. The error wraps [ErrPeers]
// when, of the peers that did not lie, each has given nothing three times in a row and one
// says that it has nothing. If they all are silent it waits for them until ctx ends. When
// [Sync.Superseded] is closed it is enough that those that gave anything the last time
// may all be liars; then the error wraps [statemachine.ErrSuperseded].
//
// With [Sync.Scrub] it goes back to the state that is wanted if that is kept here, as that of
// a machine's snapshot on a disk is. Then it reads every value and every node that is here, as
// [Store.Scrub] does, drops what is not what its digest says, and so gets that from the
// peers too; afterwards every value is the one that the digest covers. It works on a store
// that failed because of damage ([ErrCorrupt]), too: nodes that are damaged are made anew
// from the values, and a database whose files are damaged is replaced by one with what can
// still be read of the values (salvage.go). A Sync that follows one which ended between does
// not scrub again.
func (s *Store) Sync(ctx context.Context, want Sync) (stats SyncStats, err error) {
	switch {
	case !want.Scrub:
	case s.isMended():
		stats = *s.lost.mended
	default:
		if s.lost != nil {
			s.lost.mended = nil
		}
		back, err := s.goBack(&want)
		if err == nil {
			err = s.mend(ctx, &stats)
		}
		if err != nil {
			return stats, err
		}
		if back && !s.incomplete { // it is what it was, and nobody need be asked
			s.lost = nil
			return stats, s.err()
		}
		if s.lost == nil {
			s.lost = new(losses)
		}
		found := stats
		s.lost.mended, s.lost.last = &found, s.last
	}
	if err = s.transfer(ctx, want, &stats); err == nil {
		err = s.err()
	}
	if want.Scrub && errors.Is(err, errFiles) {
		// A part that only the database itself reads, when it compacts.
		if err = s.salvage(ctx, err, &stats); err == nil {
			err = s.transfer(ctx, want, &stats)
		}
	}
	return stats, err
}

// goBack returns to the state that is wanted, if it is kept here as that of a snapshot: nobody
// need be asked then for more than the storage has damaged of it. Else the only state that is
// certified would be given up before anybody has shown that he has it:
//
//  1. the replicas of a cluster all find their states to be wrong at once: they were started
//     with a program that executes the log in another way, say, or with one that is
//     corrected, after no two of them had come to the same
//  2. each begins to make its state that of the last certified snapshot, and asks the others
//  3. nobody answers who repairs its own, and now nobody has that state any more
func (s *Store) goBack(want *Sync) (back bool, err error) {
	if !s.keeps || s.last <= want.Height || s.err() != nil {
		return false, nil
	}
	t, ok := s.lastWith(want.Digest, want.Height)
	if !ok {
		return false, nil
	}
	s.block.reset()
	switch err := s.rollback(t); {
	case err == nil:
		s.SetHeight(want.Height)
		return true, nil
	case errors.Is(err, ErrCorrupt):
		return false, nil // which is found again, and made good
	default:
		return false, err
	}
}

// Mend does what [Store.Sync] with a scrub does first: what is damaged here goes, without
// anybody being asked. If there was anything, the store is incomplete afterwards. A Sync
// that follows need not scrub.
func (s *Store) Mend(ctx context.Context) (stats SyncStats, err error) {
	err = s.mend(ctx, &stats)
	return stats, err
}

// isMended tells whether damage was looked for since the state was one, and the database has
// met none since.
func (s *Store) isMended() bool {
	return s.lost != nil && s.lost.mended != nil && s.lost.last == s.last && s.err() == nil
}

// transfer is Sync without looking for damage.
func (s *Store) transfer(ctx context.Context, want Sync, stats *SyncStats) error {
	if err := s.err(); err != nil {
		return err
	}
	s.block.reset()
	if s.last > want.Height {
		if err := s.age(ctx, want.Height); err != nil {
			return err
		}
		// What of the history is not pruned yet would be that of blocks to come.
		if err := s.forgetHistory(ctx); err != nil {
			return err
		}
	}
	w := newDescent(want, stats)
	w.load = s.mustLoad
	for {
		y := &syncer{s: s, stats: stats, changes: make(map[string]record), regained: s.lost != nil && !want.Digest.IsZero() && s.lost.was == want.Digest}
		w.visit = y
		var done bool
		var err error
		failed := Catch(func() {
			s.seal()
			done, err = w.run(ctx, s.tree.root())
		})
		if failed == nil && (errors.Is(err, ErrPeers) || errors.Is(err, statemachine.ErrSuperseded) || ctx.Err() != nil) {
			// Else one who is ended again and again, before there was much, would never come to an end.
			failed = y.keep()
		}
		if err = errors.Join(err, failed); err != nil {
			return err
		}
		if err := y.keep(); err != nil {
			return err
		}
		if done && (want.Scrub || s.lost != nil) {
			if err := errors.Join(s.patch(nil), s.forgetHistory(ctx)); err != nil {
				return err
			}
		}
		if done {
			return s.complete(want.Height, want.Digest)
		}
	}
}

// keep puts what came into the database.
func (y *syncer) keep() error {
	if len(y.changes) == 0 {
		return nil
	}
	y.stats.Changed += len(y.changes)
	return y.s.patch(y.changes)
}

// syncer notes what is to be changed here.
type syncer struct {
	s       *Store
	stats   *SyncStats
	changes map[string]record
	bytes   int
	// regained: the state is to be the very one that was here before it was damaged.
	regained bool
}

func (y *syncer) leaf(_, there *child, value []byte, known bool) bool {
	if known {
		y.value(there, value)
	}
	return true
}

func (y *syncer) value(there *child, value []byte) {
	y.noteLost(there.name, value)
	y.changes[there.name] = record{value: bytes.Clone(value)}
	y.bytes += len(there.name) + len(value) + recordBytes
}

// absent deletes all leaves at and below c, or as many as are to be deleted at once.
func (y *syncer) absent(c *child) {
	if y.bytes >= 2*y.s.cfg.syncBytes {
		return
	}
	if c.leaf {
		y.changes[c.name] = record{deleted: true}
		y.bytes += len(c.name) + recordBytes
		return
	}
	n := y.s.mustLoad(c)
	for i := range n.children {
		y.absent(&n.children[i])
	}
}

func (y *syncer) same(*child) bool         { return true }
func (y *syncer) skip(*crypto.Digest) bool { return false }
func (y *syncer) full() bool               { return y.bytes >= y.s.cfg.syncBytes }

// patch puts changes into the database. From then on the state is incomplete.
func (s *Store) patch(changes map[string]record) error {
	s.mu.Lock()
	s.unfinished()
	for key, r := range changes {
		s.tree.dirty[key] = struct{}{}
		s.pend.setLast(key, r)
	}
	s.prune()
	s.mu.Unlock()
	return s.flush()
}

// unfinished notes that the state is no state any more. Nothing of the past can be read
// from now on, and so nothing of it is kept. mu is held.
func (s *Store) unfinished() {
	if s.incomplete {
		return
	}
	s.incomplete, s.begun, s.snapshots = true, true, nil
	s.epoch.Add(1)
	clear(s.pins)
	s.oldest.Store(s.last)
	s.feedForget()
}

// age makes records that say that they are younger than the state will be, of which
// reads of it would take no notice, ones of an unknown height.
func (s *Store) age(ctx context.Context, height uint64) error {
	if err := s.patch(nil); err != nil {
		return err
	}
	b := s.db.newBatch()
	failed := Catch(func() {
		c, err := s.iterate(spaceLast, nil, nil, false)
		if err != nil {
			s.stop("iterate", err)
		}
		defer c.close()
		for ; c.valid() && ctx.Err() == nil; c.next() {
			if r := c.record(); r.height > height {
				r.height = 0
				b.set(lastKey(c.name()), r.encode())
				if err := spill(&b, s.db); err != nil {
					s.stop("write", err)
				}
			}
		}
	})
	if err := errors.Join(failed, ctx.Err()); err != nil {
		return err
	}
	if err := b.write(true); err != nil {
		return s.fail("write", err)
	}
	s.records = newRecordCache(int(s.cfg.CacheBytes / 4))
	return nil
}

// complete makes the state, whose tree is there, that of a height.
func (s *Store) complete(height uint64, want crypto.Digest) error {
	if !s.incomplete {
		if err := s.patch(nil); err != nil {
			return err
		}
	}
	if got := proof.StateDigest(rootOf(s.tree.root())); got != want {
		return s.fail("sync", fmt.Errorf("%w: the state has digest %v, not %v", ErrCorrupt, got, want))
	}
	s.mu.Lock()
	s.epoch.Add(1)
	clear(s.pins)
	s.incomplete, s.begun, s.snapshots, s.lost = false, true, nil, nil
	s.last = height
	s.oldest.Store(height)
	last := s.tree.seals[len(s.tree.seals)-1]
	last.height = height
	s.tree.seals = []seal{last}
	s.prune()
	s.mu.Unlock()
	return s.flush()
}
