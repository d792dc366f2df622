package store

import (
	"fmt"
	"strings"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// ReservedKeyError is what a transaction panics with whose handler wants to write to a key
// that is the store's own. [Machine] makes a rejection of it, with the code
// [statemachine.CodeReservedKey].
type ReservedKeyError struct{ Key []byte }

func (e *ReservedKeyError) Error() string {
	// The text becomes a result, which must be the same on all replicas, and short: %q would
	// depend on the tables of Unicode that each was built with.
	return fmt.Sprintf("store: key %x is reserved: keys that begin with \"\\xffparley/\" are the store's own", e.Key[:min(len(e.Key), maxErrorKey)])
}

// maxErrorKey is how much of a key an error shows.
const maxErrorKey = 32

// isReserved tells whether a key is the store's own: handlers cannot write to it, and do
// not see it.
func isReserved[K string | []byte](key K) bool {
	return len(key) >= len(feed.Reserved) && key[0] == feed.Reserved[0] && strings.HasPrefix(string(key[:len(feed.Reserved)]), feed.Reserved)
}

// fedBlock is a block that changed something, as the feed has it.
type fedBlock struct {
	entry  feedEntry
	from   feed.Position
	link   feed.Link
	pieces [][]byte
}

// positionOf is the position that a record of [feed.Key] holds.
func positionOf(r record) (feed.Position, error) {
	if r.deleted {
		return feed.Beginning(), nil
	}
	p, err := feed.DecodePosition(r.value)
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return p, nil
}

// chain makes a link of what a block changed, in ascending order of the keys, and appends
// the change that the link is to the state. It panics with a *[Failure].
func (s *Store) chain(height uint64, at statemachine.Time, changes []change) ([]change, *fedBlock) {
	if len(changes) == 0 {
		return nil, nil
	}
	was := (*present)(s).find(feed.Key)
	from, err := positionOf(was)
	if err != nil {
		s.stop("read the chain of changes", err)
	}
	var p feed.Pieces
	for i := range changes {
		p.Left += len(changes[i].key) + len(changes[i].now.value)
	}
	for i := range changes {
		c := &changes[i]
		p.Add(&feed.Change{Key: []byte(c.key), Value: c.now.value, Deleted: c.now.deleted})
	}
	b := &fedBlock{from: from}
	b.link = feed.Link{Height: height, Time: uint64(at)}
	b.pieces, b.link.Changes = p.Finish()
	next := from.Next(&b.link)
	b.entry = feedEntry{height: height, chain: next.Chain, pieces: uint32(len(b.pieces)), bytes: feedEntryBytes}
	for _, piece := range b.pieces {
		b.entry.bytes += int64(len(piece))
	}
	return append(changes, change{feed.Key, was, record{value: next.Append(nil), height: height}}), b
}
