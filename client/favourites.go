package client

import (
	"sync"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// favourites are the replicas that answer without being asked: the primary and so many
// others that together they weigh more than F, which is what an outcome takes. The
// rest leave out most of what would only be thrown away here.
//
// Nothing is believed for it: an outcome counts when it counted before, whoever the
// replies are from. What it costs is time, when a favourite is silent, slow, hangs up, or lies: then
// all are asked for the reply, and another takes its place. That is so once for
// each that disappoints: it is not chosen again until the others that there are do not
// suffice.
type favourites struct {
	quorums *pbft.QuorumSystem
	first   int // where the choice of those beside the primary begins: not all clients have the same

	mu            sync.Mutex
	disappointing []bool
	chosen        crypto.Bitmap
}

func newFavourites(q *pbft.QuorumSystem, key crypto.PublicKey) favourites {
	return favourites{quorums: q, first: int(key[0]) % q.N(), disappointing: make([]bool, q.N()), chosen: crypto.NewBitmap(q.N())}
}

// choose returns the favourites among those that are up. The mutex is held.
func (f *favourites) choose(primary int, up []bool) crypto.Bitmap {
	set := crypto.NewBitmap(f.quorums.N())
	if primary < len(up) && up[primary] && !f.disappointing[primary] {
		set.Set(pbft.ReplicaID(primary))
	}
	for _, forgiving := range []bool{false, true} {
		for i := range up {
			id := (f.first + i) % len(up)
			if f.quorums.IsBlocking(set) {
				return set
			}
			if up[id] && (forgiving || !f.disappointing[id]) {
				set.Set(pbft.ReplicaID(id))
			}
		}
		clear(f.disappointing) // the others do not suffice
	}
	return set
}

// choose tells every replica whether to answer without being asked, if that has
// changed.
func (t *Transport) choose() {
	f := &t.favour
	f.mu.Lock()
	defer f.mu.Unlock()
	up, named := make([]bool, len(t.lines)), make([]uint64, len(t.lines))
	for id, l := range t.lines {
		l.mu.Lock()
		if up[id] = l.up; l.up && int(l.primary) < len(named) {
			named[l.primary] += f.quorums.Weight(l.id)
		}
		l.mu.Unlock()
	}
	primary := 0
	for id := range named {
		if named[id] > named[primary] {
			primary = id
		}
	}
	f.chosen = f.choose(primary, up)
	for _, l := range t.lines {
		wants := api.Replies_REPLIES_ASKED
		if f.chosen.Has(l.id) {
			wants = api.Replies_REPLIES_ALL
		}
		l.want(wants)
	}
}

// disappointed is told of whom nothing useful was heard: favourites among them are
// replaced.
func (t *Transport) disappointed(by func(pbft.ReplicaID) bool) {
	f := &t.favour
	f.mu.Lock()
	found := false
	for id := range f.disappointing {
		if id := pbft.ReplicaID(id); f.chosen.Has(id) && by(id) {
			f.disappointing[id], found = true, true
		}
	}
	f.mu.Unlock()
	if found {
		t.choose()
	}
}

// want tells the replica which replies to send, if that is new.
func (l *line) want(what api.Replies) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up && l.wants != what {
		l.wants, l.telling = what, true
		l.kick()
	}
}
