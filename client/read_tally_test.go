package client

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

func digestOf(v uint64) crypto.Digest { return crypto.Hash("test", []byte(fmt.Sprint(v))) }

// TestReadTallyIsNeverStale draws how far each replica had come when a write was
// acknowledged, who lies, and in which order what answers arrive: no answer that is
// agreed is older than the write.
func TestReadTallyIsNeverStale(t *testing.T) {
	agreed := 0
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Uint64Range(1, 4), 4, 10).Draw(t, "weights")
		q, err := pbft.NewQuorumSystem(weights)
		if err != nil {
			t.Skip(err)
		}
		n := len(weights)
		order := rapid.Permutation(ids(n)).Draw(t, "order")
		// As many liars as there may be, in a drawn order.
		liars := crypto.NewBitmap(n)
		for _, id := range rapid.Permutation(ids(n)).Draw(t, "liars") {
			if q.WeightOf(liars)+q.Weight(id) <= q.MaxFaulty() {
				liars.Set(id)
			}
		}
		// A write at height h was committed: a quorum, with all liars, has prepared it. It
		// was acknowledged, by some honest replica.
		const h = 100
		prepared := liars.Clone()
		for _, id := range rapid.Permutation(ids(n)).Draw(t, "prepared") {
			if !q.IsQuorum(prepared) {
				prepared.Set(id)
			}
		}
		// The state is the height up to h, and changes no more after that.
		state := func(height pbft.Height) crypto.Digest { return digestOf(uint64(min(height, h))) }
		executed := make([]pbft.Height, n)
		claims := make([]pbft.Height, n)
		for i := range n {
			id := pbft.ReplicaID(i)
			executed[i] = pbft.Height(rapid.Uint64Range(95, 103).Draw(t, "executed"))
			claims[i] = max(executed[i], pbft.Height(rapid.Uint64Range(95, 103).Draw(t, "claim")))
			if prepared.Has(id) {
				claims[i] = max(claims[i], h)
			}
		}
		tally := newReadTally(q)
		for range 3 {
			for _, id := range order {
				if liars.Has(id) {
					tally.claim(id, pbft.Height(rapid.Uint64Range(0, 200).Draw(t, "lie")))
					tally.answer(id, pbft.Height(rapid.Uint64Range(0, 200).Draw(t, "height")), digestOf(rapid.Uint64Range(90, 110).Draw(t, "answer")))
				} else {
					tally.claim(id, claims[id])
					tally.answer(id, executed[id], state(executed[id]))
					executed[id] += pbft.Height(rapid.Uint64Range(0, 5).Draw(t, "progress"))
					claims[id] = max(claims[id], executed[id])
				}
				if d, height, ok := tally.agreed(); ok {
					agreed++
					require.Equal(t, digestOf(h), d)
					require.GreaterOrEqual(t, height, pbft.Height(h))
					return
				}
			}
		}
	})
	require.Positive(t, agreed)
}

// TestReadTallyIsLive: with F liars that claim and answer whatever they like and F honest
// replicas in the dark, the rest suffices.
func TestReadTallyIsLive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.IntRange(1, 4).Draw(t, "f")
		n := 3*f + 1
		weights := make([]uint64, n)
		for i := range weights {
			weights[i] = 1
		}
		q, err := pbft.NewQuorumSystem(weights)
		require.NoError(t, err)
		tally := newReadTally(q)
		for at, id := range rapid.Permutation(ids(n)).Draw(t, "roles") {
			switch {
			case at < f:
				if rapid.Bool().Draw(t, "claims") {
					tally.claim(id, pbft.Height(rapid.Uint64Range(0, 1<<40).Draw(t, "lie")))
				}
				tally.answer(id, 1<<40, digestOf(0))
			case at < 2*f:
				tally.claim(id, 3)
				tally.answer(id, 3, digestOf(3))
			default:
				tally.claim(id, 7)
				tally.answer(id, 7, digestOf(7))
			}
		}
		d, height, ok := tally.agreed()
		require.True(t, ok)
		require.Equal(t, digestOf(7), d)
		require.LessOrEqual(t, height, pbft.Height(7))
	})
}

// TestReadIndexIsOfAQuorum: executed heights and the claims of fewer are no index.
func TestReadIndexIsOfAQuorum(t *testing.T) {
	q, err := pbft.NewQuorumSystem([]uint64{1, 1, 1, 1})
	require.NoError(t, err)
	tally := newReadTally(q)
	for id := range pbft.ReplicaID(4) {
		tally.answer(id, 9, digestOf(1))
	}
	_, _, ok := tally.agreed()
	require.False(t, ok, "nobody has claimed anything")
	tally.claim(0, 5)
	tally.claim(1, 1000)
	tally.claim(1, 1000)
	_, ok = tally.index()
	require.False(t, ok, "the claims of two")
	tally.claim(2, 6)
	index, ok := tally.index()
	require.True(t, ok)
	require.EqualValues(t, 1000, index, "one of three may not be left out")
	_, _, ok = tally.agreed()
	require.False(t, ok)
	tally.claim(3, 4)
	index, _ = tally.index()
	require.EqualValues(t, 6, index, "the highest of four may")
	_, _, ok = tally.agreed()
	require.True(t, ok)
	tally.claim(1, 5)
	index, _ = tally.index()
	require.EqualValues(t, 5, index)
}

func ids(n int) []pbft.ReplicaID {
	out := make([]pbft.ReplicaID, n)
	for i := range out {
		out[i] = pbft.ReplicaID(i)
	}
	return out
}
