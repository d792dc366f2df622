package store

import (
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// losses are what a repair could not keep of what was here.
//
// A value that is not that of its digest is lost, and so is one that is missing: that much
// a scrub knows, key by key. It does not where the tree itself is damaged, since the
// digests are in it: of what was below a node that cannot be read it knows where its keys lie by
// their hashes, and how many are here. The tree is made anew of those, right or wrong, and
// what peers then give shows which were lost:
//
//   - keys that are not here at all, though some of these may have been written since, if
//     the state that comes is a later one;
//   - if it is the very state that was here: every key that is another one.
type losses struct {
	files bool                // it may be anything: files could not be read
	keys  map[string]struct{} // that were damaged and are deleted, or come to be others
	nodes []*child            // of the tree that were damaged; more: there were others, or other keys
	more  bool
	held  []int         // how many values are here below each of nodes
	was   crypto.Digest // of the state that the tree was of, zero if that is not known

	// mended is what a scrub came to that is over, nil if none is, and last the height that
	// the store had then.
	mended *SyncStats
	last   uint64
}

// unchecked tells whether nobody knows if a key's value was right.
func (l *losses) unchecked(key string) bool {
	if l.files || l.more {
		return true
	}
	path := proof.Path([]byte(key))
	return len(l.nodes) > 0 && belowOf(l.nodes, &path) >= 0
}

// count counts what is below the nodes, of leaves with which the tree is made anew.
func (l *losses) count() func(path *crypto.Digest) {
	if l == nil || len(l.nodes) == 0 {
		return nil
	}
	l.held = make([]int, len(l.nodes))
	return func(path *crypto.Digest) {
		if i := belowOf(l.nodes, path); i >= 0 {
			l.held[i]++
		}
	}
}

// report names the nodes: which keys could not be checked, and how many of them there are.
func (l *losses) report(r *ScrubReport, stats *SyncStats) {
	n := 0
	for _, d := range r.Damages {
		if d.Kind != DamagedNode || n == len(l.held) {
			continue
		}
		if len(stats.Unreadable) < statemachine.MaxUnreadable {
			c := l.nodes[n]
			where := "all of them"
			if c.digit > 0 {
				where = fmt.Sprintf("those whose path, a hash, begins with the digits %s", c.place.Hex()[:c.digit])
			}
			stats.Unreadable = append(stats.Unreadable, statemachine.UnreadableStretch{
				Reason: fmt.Sprintf("the tree over the keys, and thus the digests of %s: %v; %d keys are there, which are held against those of other replicas", where, d.Err, l.held[n]),
			})
		}
		n++
	}
}

// noteLost notes a key that is set again because it was damaged, or could not be read.
func (y *syncer) noteLost(key string, value []byte) {
	l := y.s.lost
	if l == nil {
		return
	}
	if _, counted := l.keys[key]; !counted {
		if !l.unchecked(key) {
			return
		}
		if r, err := y.s.stored(key); err == nil && !r.deleted && !y.regained {
			return // it was found after all, and is another one now
		}
		y.stats.Damaged++
	}
	if len(y.stats.Lost) < statemachine.MaxLostKeys {
		y.stats.Lost = append(y.stats.Lost, statemachine.StateDifference{Key: []byte(key), There: append([]byte{}, value...), IsThere: true, Damaged: true})
	}
}
