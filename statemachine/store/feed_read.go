package store

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"

	"github.com/parley-bft/parley/statemachine/store/feed"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// Errors of [Store.Links] and [Store.Pieces]; test with errors.Is.
var (
	// ErrCompacted: the feed does not go back that far here; a [*CompactedError].
	ErrCompacted = errors.New("changes are compacted")
	// ErrPosition: that position is not on the chain of this store.
	ErrPosition = errors.New("position is not on the chain of changes")
)

// CompactedError names the oldest position from which the feed can be read.
type CompactedError struct{ Oldest feed.Position }

func (e *CompactedError) Error() string {
	return fmt.Sprintf("%v: the oldest that are here come after height %d", ErrCompacted, e.Oldest.Height)
}

// Unwrap returns [ErrCompacted].
func (e *CompactedError) Unwrap() error { return ErrCompacted }

// Links are blocks that changed something, one after another.
type Links struct {
	Links []feed.Link
	// More: there are more of them, up to the height that was asked for.
	More bool
	// Proof is that of [feed.Key] at the height that was asked for, if it was.
	Proof *proof.Proof
}

// MaxLinks is how many links [Store.Links] returns at most.
const MaxLinks = feed.MaxLinks

// Links returns the blocks that changed something after a position, up to a height, and
// with prove a proof of where the chain is at that height, which the digest must have been
// taken at. After a position whose chain is zero there are none: only the proof is wanted.
// The error is a *[CompactedError], a *[HeightError], a *[Failure], or wraps [ErrPosition].
func (s *Store) Links(after feed.Position, until uint64, prove bool) (l Links, err error) {
	hold := s.held
	if prove {
		hold = func() (*View, func(), error) { return s.heldAt(until) }
	}
	v, release, err := hold()
	if err != nil {
		return l, err
	}
	defer release()
	if prove {
		if l.Proof, err = v.Prove([]byte(feed.Key)); err != nil {
			return l, err
		}
	}
	failed := Catch(func() {
		v.enter()
		defer s.users.leave()
		err = v.links(after, until, &l)
		v.check()
	})
	return l, errors.Join(failed, err)
}

// links fills in the links. The database is open, and the epoch is the view's.
func (v *View) links(after feed.Position, until uint64, l *Links) error {
	end, err := positionOf(v.find(feed.Key))
	if err != nil {
		return err
	}
	if after.Chain == end.Chain || after.Chain.IsZero() {
		return nil
	}
	entries, pending, err := v.s.fed(after, end, min(until, v.height))
	if err != nil {
		return err
	}
	if len(entries) > MaxLinks {
		entries, l.More = entries[:MaxLinks], true
	}
	at := after
	for b, err := range v.s.fedBlocks(entries, pending) {
		if err != nil {
			return err
		}
		e := &entries[len(l.Links)]
		switch at = at.Next(&b.link); {
		case b.entry.height != e.height:
			return v.s.compactedSince() // while we looked
		case at.Chain != e.chain:
			return fmt.Errorf("%w: the link of height %d is not on the chain", ErrCorrupt, e.height)
		}
		l.Links = append(l.Links, b.link)
	}
	switch {
	case len(l.Links) < len(entries):
		return v.s.compactedSince()
	case l.Proof != nil && !l.More && at.Chain != end.Chain: // the position is above the height that was asked for
		return fmt.Errorf("%w: height %d", ErrPosition, after.Height)
	}
	return nil
}

// fed returns the blocks that are kept after a position, up to a height, one more than fit
// into an answer at most, and what is pending. What is pending now may be in the database
// a moment later, but not the other way round. end is a position that is served if nothing
// is kept.
func (s *Store) fed(after, end feed.Position, until uint64) (entries []feedEntry, pending []*fedBlock, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f := &s.feed
	oldest := f.oldest
	if len(f.kept) == 0 {
		oldest = end
	}
	n := f.from(after.Height)
	if after.IsBeginning() && oldest.IsBeginning() {
		n = 0 // also before what was there before the first block
	}
	before := oldest
	if n > 0 {
		before = feed.Position{Height: f.kept[n-1].height, Chain: f.kept[n-1].chain}
	}
	switch {
	case before.Chain == after.Chain:
	case n == 0 && (after.Height < oldest.Height || after.IsBeginning()):
		return nil, nil, &CompactedError{oldest}
	default:
		return nil, nil, fmt.Errorf("%w: height %d", ErrPosition, after.Height)
	}
	return slices.Clone(f.kept[n:min(max(n, f.from(until)), n+MaxLinks+1)]), f.pending, nil
}

// compactedSince is for what was kept a moment ago.
func (s *Store) compactedSince() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return &CompactedError{s.feed.oldest}
}

// fedBlocks yields blocks from the database and then those that are pending, without the
// pieces of the former. Some of the former may have been let go meanwhile.
func (s *Store) fedBlocks(entries []feedEntry, pending []*fedBlock) iter.Seq2[*fedBlock, error] {
	return func(yield func(*fedBlock, error) bool) {
		stored := entries
		if len(pending) > 0 {
			stored = entries[:sort.Search(len(entries), func(i int) bool { return entries[i].height >= pending[0].entry.height })]
		}
		if len(stored) > 0 && !s.storedBlocks(stored, yield) {
			return
		}
		for i := len(stored); i < len(entries); i++ {
			if b := pendingAt(entries[i].height, pending); b == nil || !yield(b, nil) {
				return
			}
		}
	}
}

func (s *Store) storedBlocks(entries []feedEntry, yield func(*fedBlock, error) bool) (more bool) {
	it, err := s.db.iterate(linkKey(entries[0].height), linkKey(entries[len(entries)-1].height+1), false)
	if err != nil {
		return yield(nil, s.fail("read the feed", err))
	}
	for more = true; more && it.valid(); it.next() {
		more = yield(decodeFed(it.value()))
	}
	if err := it.close(); err != nil && more {
		more = yield(nil, s.fail("read the feed", err))
	}
	return more
}

func pendingAt(height uint64, pending []*fedBlock) *fedBlock {
	if i, ok := slices.BinarySearchFunc(pending, height, func(b *fedBlock, h uint64) int {
		switch {
		case b.entry.height < h:
			return -1
		case b.entry.height > h:
			return 1
		}
		return 0
	}); ok {
		return pending[i]
	}
	return nil
}

// maxPieceBytes is after how many bytes [Store.Pieces] ends.
const maxPieceBytes = 1 << 20

// Pieces returns the pieces of the changes of a block, from one on, and then those of the
// blocks after it up to a height, until they are about a megabyte: one at least. The error
// is a *[CompactedError], a *[Failure], [ErrClosed], or wraps [ErrPosition].
func (s *Store) Pieces(height uint64, index uint32, until uint64) (pieces [][]byte, err error) {
	v, release, err := s.held()
	if err != nil {
		return nil, err
	}
	defer release()
	failed := Catch(func() {
		v.enter()
		defer s.users.leave()
		pieces, err = s.pieces(height, index, until)
		v.check()
	})
	return pieces, errors.Join(failed, err)
}

func (s *Store) pieces(height uint64, index uint32, until uint64) (pieces [][]byte, err error) {
	s.mu.RLock()
	f := &s.feed
	n := f.at(height)
	known := n < len(f.kept) && f.kept[n].height == height && index < f.kept[n].pieces
	oldest, pending := f.oldest, f.pending
	entries := slices.Clone(f.kept[n:min(max(n, f.from(until)), n+MaxLinks)])
	empty := len(f.kept) == 0
	s.mu.RUnlock()
	switch {
	case !known && (empty || height <= oldest.Height):
		return nil, &CompactedError{oldest}
	case !known:
		return nil, fmt.Errorf("%w: piece %d of height %d", ErrPosition, index, height)
	}
	size := 0
	for i := range entries {
		e := &entries[i]
		p := pendingAt(e.height, pending)
		for ; index < e.pieces; index++ {
			if size >= maxPieceBytes {
				return pieces, nil
			}
			var piece []byte
			if p != nil {
				piece = p.pieces[index]
			} else if piece, err = s.db.get(pieceKey(e.height, index)); err != nil {
				return nil, s.fail("read the feed", err)
			}
			if piece == nil {
				if len(pieces) > 0 {
					return pieces, nil
				}
				return nil, s.compactedSince()
			}
			pieces = append(pieces, piece)
			size += len(piece)
		}
		index = 0
	}
	return pieces, nil
}
