package pbft

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Three honest members of weight 25 and 25 traitors of weight 1: a round robin by
// index gives the traitors 25 of 28 views, and 25 in a row.
func TestScheduleWeights25SmallTraitors(t *testing.T) {
	weights := []uint64{25, 25, 25}
	for range 25 {
		weights = append(weights, 1)
	}
	s := NewSchedule(weights)
	require.Equal(t, 100, s.Len())
	turns := make([]int, len(weights))
	longest, run := 0, 0
	for v := View(0); v < 200; v++ { // two rotations: runs across the seam count
		p := s.Primary(1, v)
		turns[p]++
		if p < 3 {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	for i, w := range weights {
		require.Equal(t, 2*int(w), turns[i], "turns of member %d", i)
	}
	require.LessOrEqual(t, longest, 2)
}

func TestScheduleEqualWeightsIsRoundRobin(t *testing.T) {
	s := NewSchedule([]uint64{7, 7, 7, 7})
	require.Equal(t, 4, s.Len())
	for v := range View(9) {
		require.Equal(t, ReplicaID((v+3)%4), s.Primary(3, v))
	}
	require.Equal(t, s.Primary(0, math.MaxUint64%4), s.Primary(0, math.MaxUint64))
	require.Equal(t, ReplicaID(2), s.Primary(math.MaxUint64, math.MaxUint64)) // 3+3 mod 4: the sum must not wrap
}

// Shares of views are as close to shares of weight as a table of this length
// allows: no turn would be in better hands with somebody else.
func TestScheduleShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.OneOf(rapid.Uint64Range(1, 10), rapid.Uint64Range(1, 1<<44))
		weights := rapid.SliceOfN(weight, 1, 256).Draw(t, "weights")
		s := NewSchedule(weights)
		require.LessOrEqual(t, s.Len(), maxScheduleLength)
		require.GreaterOrEqual(t, s.Len(), len(weights))
		turns := make([]uint64, len(weights))
		for v := range s.Len() {
			turns[s.Primary(0, View(v))]++
		}
		for i := range weights {
			require.NotZero(t, turns[i])
			for j := range weights {
				if turns[i] > 1 && weights[i]*(2*turns[j]+1) < weights[j]*(2*turns[i]-1) {
					t.Fatalf("member %d of weight %d has %d turns, member %d of weight %d has %d", i, weights[i], turns[i], j, weights[j], turns[j])
				}
			}
		}
	})
}

func TestScheduleOfLargeWeights(t *testing.T) {
	s := NewSchedule([]uint64{1 << 50, 1 << 51, 3, 1<<50 + 1})
	turns := make([]int, 4)
	for v := range s.Len() {
		turns[s.Primary(0, View(v))]++
	}
	require.Equal(t, []int{256, 511, 1, 256}, turns)
	require.Equal(t, s, NewSchedule([]uint64{1 << 50, 1 << 51, 3, 1<<50 + 1}))
}
