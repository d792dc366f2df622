package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

func TestJudgeFindsEventsWithoutTime(t *testing.T) {
	s, err := NewSimulation(calm())
	require.NoError(t, err)
	var again func()
	again = func() { s.after(0, again) }
	s.after(time.Second, again)
	require.ErrorContains(t, s.Run().Err(), "keep each other busy")
}

// A view change to a view far away is no work for the judge, whatever number it has.
func TestWatcherOfFarViews(t *testing.T) {
	s, err := NewSimulation(calm())
	require.NoError(t, err)
	w := s.judge.watch
	commit := pbft.Statement{Phase: pbft.Commit, View: 3, Height: 9, Block: crypto.Hash("chaos/test", nil)}
	w.sent(1, &pbft.Vote{Statement: commit, Signer: 1})
	far := pbft.Claim{View: 1 << 62, High: commit.Rank(), Block: commit.Block}
	w.sent(1, &pbft.ViewChange{SignedClaim: pbft.SignedClaim{Claim: far, Signer: 1}})
	require.Empty(t, s.report.Violations)
	far.View, far.High.Height = far.View+1, 8
	w.sent(1, &pbft.ViewChange{SignedClaim: pbft.SignedClaim{Claim: far, Signer: 1}})
	require.Len(t, s.report.Violations, 1, "it hides the Commit")
}
