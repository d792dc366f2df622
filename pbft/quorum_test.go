package pbft

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
)

func TestQuorumOfEqualWeights(t *testing.T) {
	for _, c := range []struct{ n, faulty, quorum uint64 }{
		{1, 0, 1}, {2, 0, 2}, {3, 0, 2}, {4, 1, 3},
		{5, 1, 4}, {6, 1, 4}, {7, 2, 5}, // 2F+1 would be 3 at 5 and 6
		{8, 2, 6}, {9, 2, 6}, {10, 3, 7}, // 2F+1 would be 5 at 8 and 9
		{256, 85, 171},
	} {
		q, err := NewQuorumSystem(equalWeights(int(c.n)))
		require.NoError(t, err)
		require.Equal(t, c.faulty, q.MaxFaulty(), "F of %d", c.n)
		require.Equal(t, c.faulty+1, q.BlockingWeight())
		require.Equal(t, c.quorum, q.QuorumWeight(), "quorum of %d", c.n)
		require.Equal(t, c.n, q.Total())
		require.Equal(t, int(c.n), q.N())
	}
}

func TestQuorumSystemRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		weights []uint64
		says    string
	}{
		{"nobody", nil, "0 members"},
		{"too many", equalWeights(crypto.MaxReplicas + 1), "257 members"},
		{"weight 0", []uint64{1, 0, 1}, "member 1 has weight 0"},
		{"one too heavy", []uint64{1 << 53}, "2^53"},
		{"sum too heavy", []uint64{1 << 52, 1 << 52}, "2^53"},
		{"sum wraps", []uint64{math.MaxUint64, 2}, "2^53"},
	} {
		_, err := NewQuorumSystem(c.weights)
		require.ErrorContains(t, err, c.says, c.name)
		_, err = NewCustomQuorumSystem(c.weights, 1, 0)
		require.ErrorContains(t, err, c.says, c.name)
	}
}

func TestCustomQuorumSystem(t *testing.T) {
	for _, c := range []struct {
		n, quorum, faulty uint64
		says              string
	}{
		{15, 12, 3, ""},
		{15, 10, 4, ""},
		{15, 10, 5, "may share only weight 5"},
		{15, 12, 4, "without the faulty weight 4 the members weigh 11"},
		{4, 4, 0, ""},
		{4, 2, 0, "share only weight 0"},
		{4, 0, 0, "a quorum of weight 0"},
		{4, 5, 0, "a quorum of weight 5"},
		{4, 3, 4, "a faulty weight of 4"},
	} {
		q, err := NewCustomQuorumSystem(equalWeights(int(c.n)), c.quorum, c.faulty)
		if c.says != "" {
			require.ErrorContains(t, err, c.says, "%d of %d, faulty %d", c.quorum, c.n, c.faulty)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.quorum, q.QuorumWeight())
		require.Equal(t, c.faulty, q.MaxFaulty())
	}
}

// Whatever set of weight up to F is faulty: quorums share an honest member, a
// quorum of honest ones is left, a blocking set has an honest member and every
// quorum without the faulty is blocking.
func TestQuorumProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.SampledFrom([]int{4, 5, 6, 8, 9}), rapid.IntRange(1, 12)).Draw(t, "n")
		weights := rapid.SliceOfN(rapid.Uint64Range(1, 40), n, n).Draw(t, "weights")
		q, err := NewQuorumSystem(weights)
		if rapid.Bool().Draw(t, "custom") {
			total := q.Total()
			q, err = NewCustomQuorumSystem(weights, rapid.Uint64Range(1, total).Draw(t, "quorum"), rapid.Uint64Range(0, total/3).Draw(t, "faulty"))
			if err != nil {
				t.Skip("unsafe rule refused")
			}
		}
		require.NoError(t, err)
		set := func(name string) crypto.Bitmap {
			b := crypto.NewBitmap(n)
			for i, in := range rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, name) {
				if in {
					b.Set(ReplicaID(i))
				}
			}
			return b
		}
		without := func(a, b crypto.Bitmap) crypto.Bitmap {
			c := a.Clone()
			for i := range c {
				c[i] &^= b[i]
			}
			return c
		}
		faulty, a, b := set("faulty"), set("a"), set("b")
		// Lighten the faulty set until it may exist.
		for id := ReplicaID(0); q.WeightOf(faulty) > q.MaxFaulty(); id++ {
			faulty[id/8] &^= 1 << (id % 8)
		}
		all := without(crypto.Bitmap{0xff, 0xff}[:(n+7)/8], crypto.NewBitmap(n))
		require.True(t, q.IsQuorum(without(all, faulty)), "the honest are no quorum")
		if q.IsBlocking(a) {
			require.NotZero(t, without(a, faulty).Count(), "a blocking set of traitors")
		}
		if q.IsQuorum(a) {
			require.True(t, q.IsBlocking(without(a, faulty)))
			if q.IsQuorum(b) {
				shared := without(a, without(all, b))
				require.True(t, q.IsBlocking(shared))
			}
		}
		sum := uint64(0)
		for i, w := range weights {
			require.Equal(t, w, q.Weight(ReplicaID(i)))
			if a.Has(ReplicaID(i)) {
				sum += w
			}
		}
		require.Equal(t, sum, q.WeightOf(a))
	})
}

func TestWeightOfStrangers(t *testing.T) {
	q, err := NewQuorumSystem([]uint64{5, 1, 1})
	require.NoError(t, err)
	require.Zero(t, q.WeightOf(nil))
	require.Equal(t, uint64(7), q.WeightOf(crypto.Bitmap{0xff, 0xff}))
	require.Zero(t, q.Weight(3))
	require.False(t, q.Contains(3))
	require.True(t, q.Contains(2))
}

func TestDominant(t *testing.T) {
	for _, c := range []struct {
		weights  []uint64
		who      ReplicaID
		dominant bool
	}{
		{[]uint64{1, 1, 1, 1}, 0, false},
		{[]uint64{1, 3, 1, 1, 1}, 1, true}, // F = 2
		{[]uint64{2, 3, 2, 2, 2}, 1, false},
		{[]uint64{1, 1, 1}, 0, true},
	} {
		q, err := NewQuorumSystem(c.weights)
		require.NoError(t, err)
		who, dominant := q.Dominant()
		require.Equal(t, c.dominant, dominant, "%v", c.weights)
		require.Equal(t, c.who, who)
	}
}
