package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func checkpointVote(id int, h Height, state byte) *CheckpointVote {
	return &CheckpointVote{
		CheckpointStatement: CheckpointStatement{Height: h, Block: Digest{byte(h)}, State: Digest{state}},
		Signer:              ReplicaID(id), Signature: []byte{byte(id), byte(h), state},
	}
}

func newTestCheckpointTally(t *testing.T, n int) *CheckpointTally {
	t.Helper()
	q, err := NewQuorumSystem(equalWeights(n))
	require.NoError(t, err)
	return NewCheckpointTally(q)
}

func TestCheckpointTally(t *testing.T) {
	ta := newTestCheckpointTally(t, 4)
	ta.Advance(10, 30)
	for _, c := range []struct {
		name string
		vote *CheckpointVote
		want Drop
	}{
		{"stranger", checkpointVote(4, 20, 1), DropNotMember},
		{"stable already", checkpointVote(0, 10, 1), DropHeight},
		{"first", checkpointVote(3, 20, 1), NoDrop},
		{"again", checkpointVote(3, 20, 1), DropDuplicate},
		{"a liar", checkpointVote(1, 20, 9), NoDrop},
		{"a liar contradicts itself", checkpointVote(1, 20, 1), DropConflict},
		{"second", checkpointVote(0, 20, 1), NoDrop},
	} {
		p, why := ta.Add(c.vote)
		require.Equal(t, c.want, why, c.name)
		require.Nil(t, p, c.name)
	}
	p, why := ta.Add(checkpointVote(2, 20, 1))
	require.Equal(t, NoDrop, why)
	require.NotNil(t, p)
	require.Equal(t, checkpointVote(2, 20, 1).CheckpointStatement, p.Statement)
	require.Equal(t, setOf(4, 0, 2, 3), p.Signers)
	require.Equal(t, ids(0, 2, 3), []ReplicaID{p.Shares[0].Signer, p.Shares[1].Signer, p.Shares[2].Signer})

	require.Nil(t, ta.Reject(p.Statement, ids(3)))
	_, why = ta.Add(checkpointVote(3, 20, 1))
	require.Equal(t, DropSignature, why)

	found := ta.Evidence()
	require.Len(t, found, 1)
	require.Equal(t, TwoCheckpoints, found[0].Offence)
	require.Equal(t, ReplicaID(1), found[0].Culprit)
	require.Empty(t, ta.Evidence())

	ta.Certified(p.Statement)
	require.Nil(t, ta.Reject(p.Statement, ids(0)))
	ta.Advance(20, 40)
	require.Zero(t, ta.Held())
	_, why = ta.Add(checkpointVote(0, 20, 1))
	require.Equal(t, DropHeight, why)
}

// Far behind, a replica still learns of a checkpoint: of each member's heights
// beyond what it expects, the two highest count.
func TestCheckpointTallyBeyond(t *testing.T) {
	ta := newTestCheckpointTally(t, 4)
	ta.Advance(0, 8)
	for id := range 2 {
		for _, h := range []Height{100, 300, 200} {
			_, why := ta.Add(checkpointVote(id, h, 1))
			require.Equal(t, NoDrop, why)
		}
	}
	require.Equal(t, 4, ta.Held())
	_, why := ta.Add(checkpointVote(0, 150, 1))
	require.Equal(t, DropBound, why)
	_, why = ta.Add(checkpointVote(0, 200, 1))
	require.Equal(t, DropDuplicate, why)
	_, why = ta.Add(checkpointVote(0, 200, 2))
	require.Equal(t, DropConflict, why)
	p, _ := ta.Add(checkpointVote(3, 200, 1))
	require.NotNil(t, p)
	require.Equal(t, Height(200), p.Statement.Height)

	require.Nil(t, ta.Reject(p.Statement, ids(3)))
	_, why = ta.Add(checkpointVote(3, 200, 5)) // something else, at a height already among its two
	require.Equal(t, NoDrop, why)
	_, why = ta.Add(checkpointVote(3, 300, 1))
	require.Equal(t, NoDrop, why)

	// Once expected, heights no longer push each other out.
	ta.Advance(0, 250)
	for _, h := range []Height{100, 120, 140, 260, 270} {
		_, why = ta.Add(checkpointVote(0, h, 1))
		require.Equal(t, NoDrop, why, "height %d", h)
	}
	require.Equal(t, 10, ta.Held()) // of member 0: all but 260, which gave way to 270
}

func TestCheckpointTallyMemoryBound(t *testing.T) {
	const n, high = 4, 10
	ta := newTestCheckpointTally(t, n)
	ta.Advance(0, high)
	for h := Height(1); h < 200; h++ {
		for id := range n {
			for state := range byte(3) {
				ta.Add(checkpointVote(id, h, state))
			}
		}
	}
	require.Equal(t, n*(high+2), ta.Held())
	require.Len(t, ta.slots, high+2)
	require.LessOrEqual(t, len(ta.spare), maxSpareSlots)
	for id := range n { // alone at its heights
		for h := range Height(100) {
			ta.Add(checkpointVote(id, 1000+h*n+Height(id), 0))
		}
	}
	require.LessOrEqual(t, ta.Held(), n*(high+2))
	require.LessOrEqual(t, len(ta.slots), high+2*n)
	require.Len(t, ta.Evidence(), n)
}

// A vote allocates nothing once the tally has held as much before.
func TestCheckpointTallyAddDoesNotAllocate(t *testing.T) {
	const n, heights = 16, 8
	ta := newTestCheckpointTally(t, n)
	round := func(floor Height) (votes []*CheckpointVote) {
		ta.Advance(floor, floor+heights)
		for h := range Height(heights) {
			for id := range 10 { // below a quorum of 11
				votes = append(votes, checkpointVote(id, floor+h+1, 1))
			}
		}
		return votes
	}
	for _, v := range round(0) {
		ta.Add(v)
	}
	votes, i := round(heights), 0
	allocs := testing.AllocsPerRun(len(votes)-1, func() {
		if _, why := ta.Add(votes[i]); why != NoDrop {
			t.Fatal(why)
		}
		i++
	})
	require.Zero(t, allocs)
}
