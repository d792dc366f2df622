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
// use to it (tallyBounds).
//
// A bad certificate makes those behind it wait for one check, and no other one of its sender
// does: from then on what comes from that peer is checked beside the turns. So traitors
// hold up this replica's own certificates, and the workers that make them, once each.
//
// Safe for concurrent use.
type bundleTurns struct {
	turn sync.Mutex // held during a check

	mu   sync.Mutex
	good pbft.CheckpointStatement // on its way to the node; zero: none is
	// bad are the peers that have sent a bad one. Those are members, so there are few.
	bad map[pbft.ReplicaID]bool
}

// check runs the check of a certificate for a statement that a peer sent, unless one that was
// found good is on its way.
func (t *bundleTurns) check(from pbft.ReplicaID, s *pbft.CheckpointStatement, check func() pbft.Drop) pbft.Drop {
	if t.sentBad(from) {
		return check()
	}
	t.turn.Lock()
	defer t.turn.Unlock()
	if t.onItsWay(s) {
		return pbft.DropDuplicate
	}
	why := check()
	t.mu.Lock()
	defer t.mu.Unlock()
	switch why {
	case pbft.NoDrop:
		t.good = *s
	case pbft.DropDuplicate: // of no use any more
	default:
		if t.bad == nil {
			t.bad = map[pbft.ReplicaID]bool{}
		}
		t.bad[from] = true
	}
	return why
}

// make makes this replica's own certificate in its turn, whatever others were found good: the
// tally waits for it. It tells whether that is good enough in place of a peer's bundle.
func (t *bundleTurns) make(s *pbft.CheckpointStatement, make func() (enough bool)) (enough bool) {
	t.turn.Lock()
	defer t.turn.Unlock()
	if enough = make(); enough {
		t.mu.Lock()
		t.good = *s
		t.mu.Unlock()
	}
	return enough
}

func (t *bundleTurns) sentBad(from pbft.ReplicaID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bad[from]
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
