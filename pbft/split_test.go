package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// No certificate can exist once no statement can get a quorum, whatever those say that have
// said nothing yet. With at most F of the weight wrong it never comes to that.
func TestSplit(t *testing.T) {
	for name, c := range map[string]struct {
		n      int
		states []byte // of members 0, 1, ...
		at     int    // how many of them it takes, 0 never
	}{
		"one is wrong":           {4, []byte{1, 2, 1, 1}, 0},
		"two and two":            {4, []byte{1, 2, 1, 2}, 4},
		"two wrong in two ways":  {4, []byte{2, 3, 1, 1}, 3},
		"all differ":             {4, []byte{1, 2, 3, 4}, 3},
		"wrong with a quorum":    {4, []byte{2, 2, 1, 2}, 0},
		"two of seven are wrong": {7, []byte{3, 2, 1, 1, 1, 1, 1}, 0},
		"three of seven":         {7, []byte{3, 2, 1, 1, 1, 1, 2}, 7},
		"three of seven, sooner": {7, []byte{2, 1, 2, 1, 2, 1}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			ta := newTestCheckpointTally(t, c.n)
			ta.Advance(10, 30)
			for i, state := range c.states {
				_, why := ta.Add(checkpointVote(i, 20, state))
				require.Equal(t, NoDrop, why)
				s := ta.Split()
				require.Equal(t, i+1 == c.at, s != nil, "after %d votes", i+1)
				if s != nil {
					require.Equal(t, Height(20), s.Height)
					require.Equal(t, state, s.Of(ReplicaID(i)).Statement.State[0])
				}
			}
			require.Nil(t, ta.Split(), "it is told once")
		})
	}
}

func TestSplitIsTold(t *testing.T) {
	ta := newTestCheckpointTally(t, 4)
	ta.Advance(10, 30)
	for i, state := range []byte{7, 8, 9, 9} {
		ta.Add(checkpointVote(i, 20, state))
	}
	s := ta.Split()
	require.Equal(t, setOf(4, 2), s.Groups[2].Signers, "as it was when it was found")
	require.Nil(t, s.Of(3))
	text := s.String()
	require.Contains(t, text, "no certificate can exist for checkpoint 20")
	require.Contains(t, text, "replicas [0] say state 07000000")
	require.Contains(t, text, "replicas [2] say state 09000000")
	require.NotContains(t, text, "another block")
	// Another height of the same tally, in memory that was used before.
	ta.Advance(20, 40)
	for i, state := range []byte{7, 7, 9, 9} {
		ta.Add(checkpointVote(i, 24, state))
	}
	s = ta.Split()
	require.Len(t, s.Groups, 2)
	require.Equal(t, uint64(2), s.Groups[0].Weight)
	require.Equal(t, setOf(4, 0, 1), s.Groups[0].Signers)
	other := checkpointVote(3, 28, 1)
	other.Block = Digest{99}
	for i := range 3 {
		ta.Add(checkpointVote(i, 28, byte(i)))
	}
	ta.Add(other)
	require.Contains(t, (&Split{Groups: []SplitGroup{s.Groups[0], {Statement: other.CheckpointStatement, Signers: setOf(4, 3)}}}).String(), "another block")
}
