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

func TestScheduleShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weight := rapid.OneOf(rapid.Uint64Range(1, 10), rapid.Uint64Range(1, 1<<44))
		weights := rapid.SliceOfN(weight, 1, 256).Draw(t, "weights")
		s := NewSchedule(weights)
		require.LessOrEqual(t, s.Len(), maxScheduleLength)
		require.GreaterOrEqual(t, s.Len(), len(weights))
		turns := make([]float64, len(weights))
		for v := range s.Len() {
			turns[s.Primary(0, View(v))]++
		}
		total, small := 0.0, 0.0
		for _, w := range weights {
			total += float64(w)
		}
		for _, w := range weights {
			if float64(w)/total*float64(s.Len()) < 1 {
				small++ // takes more than its share
			}
		}
		for i, w := range weights {
			require.GreaterOrEqual(t, turns[i], 1.0)
			fair := float64(w) / total * float64(s.Len())
			if turns[i] > 1 {
				require.LessOrEqual(t, turns[i], fair+1, "member %d", i)
			}
			// What the members below one turn take, the others pay by their share.
			require.GreaterOrEqual(t, turns[i], fair*(1-small/float64(s.Len()))-2, "member %d", i)
		}
	})
}
