package client

import (
	"cmp"
	"slices"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// readTally decides what a linearizable read has found. It is what the notes on
// linearizable reads in the package's documentation are about, without the network.
type readTally struct {
	quorums *pbft.QuorumSystem
	// claims are the lowest of each replica's claims since the read began.
	claims  []pbft.Height
	claimed crypto.Bitmap // who made one
	// answers has what was answered from which height at most, by whom.
	answers map[crypto.Digest][]answered
}

// answered is an answer of one replica and the highest height that it gave it with.
type answered struct {
	by     pbft.ReplicaID
	height pbft.Height
}

func newReadTally(q *pbft.QuorumSystem) *readTally {
	return &readTally{
		quorums: q, claims: make([]pbft.Height, q.N()), claimed: crypto.NewBitmap(q.N()),
		answers: make(map[crypto.Digest][]answered),
	}
}

// claim notes what a replica says it has prepared. Any of its claims since the read began
// will do, so the lowest counts.
func (t *readTally) claim(by pbft.ReplicaID, h pbft.Height) {
	if !t.claimed.Has(by) || h < t.claims[by] {
		t.claims[by] = h
	}
	t.claimed.Set(by)
}

// index is the lowest height that the claims of a quorum do not exceed; ok is false as
// long as there is no quorum. Any quorum will do: so claims that are too high count only
// where too few others are there, and need no proof.
func (t *readTally) index() (index pbft.Height, ok bool) {
	var by []pbft.ReplicaID
	for id := range pbft.ReplicaID(t.quorums.N()) {
		if t.claimed.Has(id) {
			by = append(by, id)
		}
	}
	slices.SortFunc(by, func(a, b pbft.ReplicaID) int { return cmp.Compare(t.claims[a], t.claims[b]) })
	set := crypto.NewBitmap(t.quorums.N())
	for _, id := range by {
		set.Set(id)
		if t.quorums.IsQuorum(set) {
			return t.claims[id], true
		}
	}
	return 0, false
}

// answer notes an answer of a replica, by its digest. Earlier ones stay: where what is
// read changes all the time, two replicas may have answered from one state at two times.
func (t *readTally) answer(by pbft.ReplicaID, h pbft.Height, digest crypto.Digest) {
	of := t.answers[digest]
	if i := slices.IndexFunc(of, func(a answered) bool { return a.by == by }); i >= 0 {
		of[i].height = max(of[i].height, h)
		return
	}
	t.answers[digest] = append(of, answered{by, h})
}

// agreed returns the digest of an answer that replicas of more than F weight gave from
// states that are not below the index.
func (t *readTally) agreed() (digest crypto.Digest, height pbft.Height, ok bool) {
	index, ok := t.index()
	if !ok {
		return digest, 0, false
	}
	for d, of := range t.answers {
		set := crypto.NewBitmap(t.quorums.N())
		for _, a := range of {
			if a.height >= index {
				set.Set(a.by)
			}
		}
		// At most one answer can be so at first, and if there are several later, each is
		// right: the order of the map decides nothing.
		if t.quorums.IsBlocking(set) {
			return d, index, true
		}
	}
	return digest, 0, false
}
