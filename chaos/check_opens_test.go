package chaos

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

func TestJudgeFindsVotesBeforeTheViewIsOpen(t *testing.T) {
	s, err := NewSimulation(calm())
	require.NoError(t, err)
	k := s.judge.opens
	prepare := func() *pbft.Vote {
		return &pbft.Vote{Statement: pbft.Statement{Phase: pbft.Prepare, View: 2, Height: 5}}
	}
	for id := range pbft.ReplicaID(3) {
		s.report.Violations = nil
		k.prepares(&process{member: s.replicas[0]}, prepare())
		require.Len(t, s.report.Violations, 1, "%d of three have voted to commit the base", id)
		k.signs(&process{member: s.replicas[id]}, &pbft.Vote{Statement: pbft.Statement{Phase: pbft.Commit, View: 2, Height: 4}, Signer: id})
	}
	s.report.Violations = nil
	k.prepares(&process{member: s.replicas[0]}, prepare())
	require.Empty(t, s.report.Violations)
}
