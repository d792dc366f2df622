package ledger

import (
	"github.com/parley-bft/parley/crypto"
)

// minStatement is the fewest lines of a statement that a ledger can be told to keep.
const minStatement = 16

const domainStatement = crypto.Domain("parley/ledger-statement")

// DroppedDigest is what [Holding.Dropped] is after line number of a statement was dropped,
// and was before: the zero digest before line 0. Whoever archives statements folds the
// lines from 0 on and finds what a holding has, which a replica proves: so the archive is
// what the ledger had, to the last line, and where it ends the kept lines go on.
func DroppedDigest(before crypto.Digest, account, asset string, number uint64, e *Entry) crypto.Digest {
	return crypto.Hash(domainStatement, before[:], EntryKey(account, asset, number), encode(e))
}

// shorten drops the oldest line of a statement that is longer than the ledger keeps them.
func (x *exec) shorten(account, asset string, h *Holding) {
	if x.keep == nil {
		n := x.count(statementsKey)
		x.keep = &n
	}
	if *x.keep == 0 {
		return
	}
	for h.Entries-h.First > *x.keep {
		var e Entry
		k := EntryKey(account, asset, h.First)
		x.load(k, &e)
		h.Dropped = DroppedDigest(h.Dropped, account, asset, h.First, &e)
		h.First++
		x.t.Delete(k)
	}
}
