package chaos

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// At F nothing breaks; at the next weight above it something does, and whom the
// stores of two replicas name for it are traitors of more than F.
func TestBound(t *testing.T) {
	// All sizes: parley chaos bound.
	sizes := [][]uint64{{1, 1, 1, 1}, {1, 1, 1, 1, 1}}
	for _, weights := range sizes {
		at, err := RunBound(t.Context(), weights, AtBound, 1, 2)
		require.NoError(t, err)
		require.Empty(t, at.Broken)
		require.Zero(t, at.SafetyFell+at.LivenessFell)
		require.LessOrEqual(t, at.Guilty, at.F)

		over, err := RunBound(t.Context(), weights, OverBound, 1, 4)
		require.NoError(t, err)
		t.Logf("%+v", *over)
		require.Empty(t, over.Broken)
		require.Greater(t, over.Guilty, over.F)
		require.Positive(t, over.LivenessFell)

		forks := 0
		for seed := uint64(2); forks == 0 && seed < 32; seed += 2 { // in these all play the fork
			row, err := RunBound(t.Context(), weights, Forking, seed, 1)
			require.NoError(t, err)
			require.Empty(t, row.Broken)
			if forks = row.Forks; row.Named > 0 {
				t.Logf("%+v", *row)
				require.Greater(t, row.LeastNamed, row.F)
			}
		}
		require.Positive(t, forks, "weights %v", weights)
	}
}
