package replica

import (
	"sync"

	"github.com/parley-bft/parley/pbft"
)

// bundleTurns has the certificates of checkpoints checked one at a time. A replica that is a
// moment late with one gets the same from every peer that hears of it, before its own is
// made: with 31 replicas to check them all at once was more than a quarter of all processor
// time.
//
// So who comes waits until the check under way is over, which makes the certificate of
// most of those that wait superfluous: one for the same statement was found good and is on
// its way to the node. What the node has taken counts no longer: it says itself what is of
// use to it (tallyBounds). A bad certificate makes those behind it wait for one check, and
// nobody gets past the others: the turns come in order.
//
// Safe for concurrent use.
type bundleTurns struct {
	turn sync.Mutex // held during a check

	mu   sync.Mutex
	good pbft.CheckpointStatement // on its way to the node; zero: none is
}

// check runs the check of a certificate for a statement, unless one that was found good
// is on its way.
func (t *bundleTurns) check(s *pbft.CheckpointStatement, check func() pbft.Drop) pbft.Drop {
	t.turn.Lock()
	defer t.turn.Unlock()
	if t.onItsWay(s) {
		return pbft.DropDuplicate
	}
	why := check()
	if why == pbft.NoDrop {
		t.mu.Lock()
		t.good = *s
		t.mu.Unlock()
	}
	return why
}

// make makes this replica's own certificate in its turn, whatever others were found good: the
// tally waits for it.
func (t *bundleTurns) make(s *pbft.CheckpointStatement, make func() bool) bool {
	t.turn.Lock()
	defer t.turn.Unlock()
	made := make()
	if made {
		t.mu.Lock()
		t.good = *s
		t.mu.Unlock()
	}
	return made
}

func (t *bundleTurns) onItsWay(s *pbft.CheckpointStatement) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.good == *s
}

// taken notes that the node has taken what was on its way.
func (t *bundleTurns) taken() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.good = pbft.CheckpointStatement{}
}
