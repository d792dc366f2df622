package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
)

// culpritsOf returns who is accused, and fails if somebody is twice or a proof is
// not valid on its own.
func culpritsOf(t require.TestingT, k *kit, proofs []*Evidence) crypto.Bitmap {
	set := crypto.NewBitmap(k.Quorums.N())
	last := -1
	for _, e := range proofs {
		require.Greater(t, int(e.Culprit), last, "not ascending")
		last = int(e.Culprit)
		require.NoError(t, CheckEvidence(k.v, e))
		set.Set(e.Culprit)
	}
	return set
}

// frame-by-two-prepareqcs: with more than F traitors two PrepareQCs of one view can
// lie on two chains. An honest member that voted for one and learned the other
// signs nothing that names it: only those that are in both do.
func TestFrameByTwoPrepareQCs(t *testing.T) {
	k := newKitOf(4) // 2 and 3 are traitors, 0 and 1 honest
	x, y := k.chain(&k.startAt.Header, 0, 1, 3), k.chain(&k.startAt.Header, 0, 2, 4)
	store := newKitHistory()
	store.add(x, y)
	cx := k.certificate(k.statement(Commit, 0, nil, kitRef(&x[1])), ids(0, 2, 3)...)
	cy := k.certificate(k.statement(Commit, 0, nil, kitRef(&y[3])), ids(1, 2, 3)...)
	proofs, err := Blame(k.v, cx, cy, store)
	require.NoError(t, err)
	require.Equal(t, setOf(4, 2, 3), culpritsOf(t, k, proofs))
	// A proof against 0 would need a second vote of the view on another chain,
	// which R1 keeps it from signing. Taking the votes of others does not help.
	for _, e := range proofs {
		e.Culprit = 0
		require.Error(t, CheckEvidence(k.v, e))
	}
}

// equivocator-pair-different-heights: two votes of one view on two chains are a
// proof although no height has two of them.
func TestEquivocatorPairAtDifferentHeights(t *testing.T) {
	k := newKitOf(4)
	x, y := k.chain(&k.startAt.Header, 0, 1, 8), k.chain(&k.startAt.Header, 0, 2, 12)
	a, b := k.vote(3, k.statement(Prepare, 0, nil, kitRef(&x[8-1]))), k.vote(3, k.statement(Prepare, 0, nil, kitRef(&y[12-1])))
	ta := NewTally(k.Quorums, 8)
	ta.Add(a)
	ta.Add(b)
	require.Empty(t, ta.Evidence()) // the tally has no headers
	e := ProveConflictingVotes(a, b, y[8:12])
	require.NoError(t, CheckEvidence(k.v, e))
	k.Limits.Window = 3
	k.build()
	require.ErrorContains(t, CheckEvidence(k.v, e), "more than a window of 3 apart")
}

func TestBlameHiddenCommit(t *testing.T) {
	for _, joined := range []bool{false, true} {
		k := newKit(joined, equalWeights(4)...)
		x, y := k.chain(&k.startAt.Header, 0, 1, 2), k.chain(&k.startAt.Header, 0, 2, 1)
		// View 0: all but 1 commit x. View 1 without 0: 2 and 3 hide it.
		cx := k.certificate(k.statement(Commit, 0, nil, kitRef(&x[1])), ids(0, 2, 3)...)
		py := k.certificate(k.statement(Prepare, 0, nil, kitRef(&y[0])), ids(1, 2, 3)...)
		nv1 := k.newView(1, py, k.claimOf(1, 1, py), k.claimOf(2, 1, nil), k.claimOf(3, 1, py))
		cy1 := k.certificate(k.statement(Commit, 1, nv1, kitRef(&y[0])), ids(1, 2, 3)...)
		// View 3 goes on from there: the walk passes through it.
		nv3 := k.newView(3, cy1, k.claimOf(0, 3, nil), k.claimOf(1, 3, cy1), k.claimOf(3, 3, nil))
		z := k.chain(&y[0], 3, 3, 2)
		cz := k.certificate(k.statement(Commit, 3, nv3, kitRef(&z[1])), ids(0, 1, 3)...)
		store := newKitHistory()
		store.add(x, y, z, nv1, nv3)
		for _, pair := range [][2]*Certificate{{cx, cy1}, {cy1, cx}, {cx, cz}, {cz, cx}} {
			proofs, err := Blame(k.v, pair[0], pair[1], store)
			require.NoError(t, err)
			require.Equal(t, setOf(4, 2, 3), culpritsOf(t, k, proofs))
			for _, e := range proofs {
				require.Equal(t, HiddenCommit, e.Offence)
			}
		}

		_, err := Blame(k.v, cy1, cz, store)
		require.ErrorIs(t, err, ErrNoFork)
		_, err = Blame(k.v, cx, py, store)
		require.ErrorContains(t, err, "no CommitQC")
		delete(store.newViews, nv1.Digest())
		_, err = Blame(k.v, cx, cz, store)
		require.ErrorIs(t, err, ErrHistory)
		_, err = Blame(k.v, cx, cz, newKitHistory())
		require.ErrorIs(t, err, ErrHistory)
		forged := *cx
		forged.Proof = cy1.Proof
		_, err = Blame(k.v, &forged, cz, store)
		require.Error(t, err)
	}
}

// Votes bound to a NewView that is invalid, or beside its base. It takes a quorum
// of traitors, and then all of them are named.
func TestBlameUnjustifiedVotes(t *testing.T) {
	k := newKitOf(4)
	x, y := k.chain(&k.startAt.Header, 0, 1, 3), k.chain(&k.startAt.Header, 0, 2, 3)
	px := k.certificate(k.statement(Prepare, 0, nil, kitRef(&x[1])), ids(0, 1, 2)...)
	cx := k.certificate(k.statement(Commit, 0, nil, kitRef(&x[1])), ids(0, 1, 2)...)
	claims := []SignedClaim{k.claimOf(0, 2, px), k.claimOf(1, 2, nil), k.claimOf(2, 2, nil)}
	good, invalid := k.newView(2, px, claims...), k.newView(2, nil, claims...)
	for _, c := range []struct {
		name string
		nv   *NewView
		at   int
	}{{"invalid", invalid, 2}, {"above another block", good, 2}, {"at the base's height", good, 1}, {"below the base", good, 0}} {
		cy := k.certificate(k.statement(Commit, 2, c.nv, kitRef(&y[c.at])), ids(1, 2, 3)...)
		store := newKitHistory()
		store.add(x, y, c.nv)
		proofs, err := Blame(k.v, cx, cy, store)
		require.NoError(t, err, c.name)
		require.Equal(t, setOf(4, 1, 2, 3), culpritsOf(t, k, proofs), c.name)
		require.Equal(t, UnjustifiedVote, proofs[0].Offence, c.name)
	}
}

// Two chains of one view that grew apart for long: the CommitQCs kept on the way
// bring the walk to votes a window apart. Without them nobody is accused.
func TestBlameFarApart(t *testing.T) {
	k := newKitOf(4)
	x, y := k.chain(&k.startAt.Header, 0, 1, 40), k.chain(&k.startAt.Header, 0, 2, 3)
	store := newKitHistory()
	store.add(x, y)
	cy := k.certificate(k.statement(Commit, 0, nil, kitRef(&y[2])), ids(1, 2, 3)...)
	top := k.certificate(k.statement(Commit, 0, nil, kitRef(&x[39])), ids(0, 2, 3)...)
	_, err := Blame(k.v, top, cy, store)
	require.ErrorIs(t, err, ErrHistory)
	for h := 4; h < 40; h += 4 {
		store.add(k.certificate(k.statement(Commit, 0, nil, kitRef(&x[h-1])), ids(0, 2, 3)...))
	}
	store.add(k.certificate(k.statement(Commit, 0, nil, kitRef(&y[0])), ids(1, 2, 3)...)) // of the other chain
	proofs, err := Blame(k.v, top, cy, store)
	require.NoError(t, err)
	require.Equal(t, setOf(4, 2, 3), culpritsOf(t, k, proofs))
}

// blame-walk: over executions in which more than F and less than a quorum are
// traitors and forks happen, no honest member is ever accused and more than F
// weight always is.
func TestBlameWalk(t *testing.T) {
	forks, far := 0, 0
	var offences [TwoCheckpoints + 1]int
	check := func(t *rapid.T) {
		x := drawExecution(t)
		for len(x.certs) < x.steps && x.tries < 20*x.steps {
			x.step(t)
		}
		pairs := x.conflicting()
		if len(pairs) == 0 {
			return
		}
		forks++
		x.forgetCommits(t)
		for range min(len(pairs), 10) {
			pair := rapid.SampledFrom(pairs).Draw(t, "pair")
			proofs, err := Blame(x.k.v, pair[0], pair[1], x.history)
			require.NoError(t, err)
			offences[proofs[0].Offence]++
			if a, b := pair[0], pair[1]; a.NewView == b.NewView && max(a.Height, b.Height)-min(a.Height, b.Height) > x.k.Limits.Window {
				far++
			}
			guilty := culpritsOf(t, x.k, proofs)
			for _, id := range guilty.IDs() {
				require.Less(t, int(id), x.traitors, "an honest member is accused of %v", proofs)
			}
			require.True(t, x.k.Quorums.IsBlocking(guilty), "only %v are accused", guilty)
		}
	}
	for range 5 {
		rapid.Check(t, check)
	}
	t.Logf("%d executions forked; first offences %v, far apart %d", forks, offences, far)
	require.GreaterOrEqual(t, forks, 20, "the generator makes too few forks for this test to mean much")
	require.NotZero(t, offences[ConflictingVotes])
	require.NotZero(t, offences[HiddenCommit])
}
