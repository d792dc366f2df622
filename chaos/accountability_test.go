package chaos

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// After a fork the stores name culprits; if what names them is gone from the stores,
// the judge knows that nobody was allowed to discard it.
func TestJudgeFindsHistoryThatIsGone(t *testing.T) {
	for _, kind := range []pbft.RecordKind{pbft.RecordBlock, pbft.RecordNewView} {
		found := 0
		for seed := uint64(9); seed < 40 && found == 0; seed++ {
			s, err := NewSimulation(BoundOptions(seed, equalWeights(4), Forking))
			require.NoError(t, err)
			r := s.Run()
			require.NoError(t, r.Err())
			if len(r.Forks) == 0 || r.Forks[0].Gone {
				continue
			}
			f := r.Forks[0]
			for _, id := range []pbft.ReplicaID{f.A, f.B} {
				m := s.replicas[id]
				var gone []pbft.Record
				for k := range m.disk.image {
					if k.Kind == kind {
						gone = append(gone, pbft.Record{Key: k, Delete: true})
					}
				}
				require.NoError(t, m.disk.Write(gone, true))
			}
			s.report.Forks = nil
			s.judge.account()
			if len(r.Violations) > 0 {
				require.ErrorContains(t, r.Err(), "what they have not pruned does not name anybody")
				found++
			}
		}
		require.Positive(t, found, "kind %d", kind)
	}
}
