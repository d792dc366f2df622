package pbft

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func tallyStatement(p Phase, v View, h Height, block byte) Statement {
	st := Statement{Phase: p, View: v, Height: h, Block: Digest{block}}
	if v > 0 {
		st.NewView = Digest{byte(v), 0xee}
	}
	return st
}

func tallyVote(id int, st Statement) *Vote {
	return &Vote{Statement: st, Signer: ReplicaID(id), Signature: []byte{byte(id), byte(st.Phase), byte(st.Height), st.Block[0]}}
}

func newTestTally(t *testing.T, n int, window Height) *Tally {
	t.Helper()
	q, err := NewQuorumSystem(equalWeights(n))
	require.NoError(t, err)
	return NewTally(q, window)
}

func TestTallyMakesOnePendingPerStatement(t *testing.T) {
	ta := newTestTally(t, 4, 4)
	st := tallyStatement(Prepare, 0, 3, 7)
	for _, id := range []int{2, 0} {
		p, why := ta.Add(tallyVote(id, st))
		require.Nil(t, p)
		require.Equal(t, NoDrop, why)
	}
	_, why := ta.Add(tallyVote(0, st))
	require.Equal(t, DropDuplicate, why)
	_, why = ta.Add(tallyVote(1, tallyStatement(Commit, 0, 3, 7))) // another phase counts apart
	require.Equal(t, NoDrop, why)
	p, why := ta.Add(tallyVote(3, st))
	require.Equal(t, NoDrop, why)
	require.NotNil(t, p)
	require.Equal(t, st, p.Statement)
	require.Equal(t, setOf(4, 0, 2, 3), p.Signers)
	require.Len(t, p.Shares, 3)
	for i, id := range ids(0, 2, 3) {
		require.Equal(t, id, p.Shares[i].Signer)
		require.Equal(t, tallyVote(int(id), st).Signature, p.Shares[i].Signature)
	}
	p, why = ta.Add(tallyVote(1, st)) // while it is being aggregated
	require.Nil(t, p)
	require.Equal(t, NoDrop, why)
	ta.Certified(st)
	require.Nil(t, ta.Reject(st, ids(0)))
	require.Empty(t, ta.Evidence())
}

func TestTallyCertifiedElsewhere(t *testing.T) {
	ta := newTestTally(t, 4, 4)
	st := tallyStatement(Commit, 0, 3, 7)
	ta.Certified(st)
	for id := range 4 {
		p, why := ta.Add(tallyVote(id, st))
		require.Nil(t, p)
		require.Equal(t, DropDuplicate, why)
	}
	// It is kept nevertheless: it may be half of a proof.
	_, why := ta.Add(tallyVote(1, tallyStatement(Commit, 0, 3, 8)))
	require.Equal(t, DropConflict, why)
	require.Len(t, ta.Evidence(), 1)
}

func TestTallyReject(t *testing.T) {
	ta := newTestTally(t, 7, 4) // quorum 5
	st := tallyStatement(Prepare, 0, 1, 7)
	var p *Pending
	for id := range 5 {
		p, _ = ta.Add(tallyVote(id, st))
	}
	require.NotNil(t, p)
	require.Nil(t, ta.Reject(st, ids(1, 3, 9)))
	for _, id := range []int{1, 3} {
		_, why := ta.Add(tallyVote(id, st))
		require.Equal(t, DropSignature, why, "a culprit comes again")
	}
	p, _ = ta.Add(tallyVote(5, st))
	require.Nil(t, p)
	p, _ = ta.Add(tallyVote(6, st))
	require.NotNil(t, p)
	require.Equal(t, setOf(7, 0, 2, 4, 5, 6), p.Signers)

	_, why := ta.Add(tallyVote(1, tallyStatement(Prepare, 0, 1, 8)))
	require.Equal(t, NoDrop, why, "a culprit may vote for something else")

	// With a vote to spare the next attempt comes at once.
	st = tallyStatement(Commit, 0, 2, 7)
	for id := range 6 {
		ta.Add(tallyVote(id, st))
	}
	p = ta.Reject(st, ids(4))
	require.NotNil(t, p)
	require.Equal(t, setOf(7, 0, 1, 2, 3, 5), p.Signers)
}

func TestTallyDrops(t *testing.T) {
	ta := newTestTally(t, 4, 4)
	ta.Advance(5, 10, 17)
	for _, c := range []struct {
		name string
		vote *Vote
		want Drop
	}{
		{"stranger", tallyVote(4, tallyStatement(Prepare, 5, 11, 1)), DropNotMember},
		{"no phase", tallyVote(0, tallyStatement(3, 5, 11, 1)), DropMalformed},
		{"committed before", tallyVote(0, tallyStatement(Prepare, 5, 9, 1)), DropHeight},
		{"too far", tallyVote(0, tallyStatement(Prepare, 5, 18, 1)), DropHeight},
		{"old view", tallyVote(0, tallyStatement(Prepare, 4, 11, 1)), DropOldView},
		{"the base may be committed", tallyVote(0, tallyStatement(Prepare, 5, 10, 1)), NoDrop},
		{"highest", tallyVote(0, tallyStatement(Prepare, 5, 17, 1)), NoDrop},
		{"newer view", tallyVote(0, tallyStatement(Prepare, 8, 11, 1)), NoDrop},
		{"older than its newer view", tallyVote(0, tallyStatement(Prepare, 7, 12, 1)), DropOldView},
		{"of another member it is not", tallyVote(1, tallyStatement(Prepare, 7, 12, 1)), NoDrop},
		{"newer still", tallyVote(0, tallyStatement(Prepare, 9, 12, 1)), NoDrop},
	} {
		_, why := ta.Add(c.vote)
		require.Equal(t, c.want, why, c.name)
	}
	require.Equal(t, 4, ta.Held()) // 10 and 17 and newer of 0, newer of 1: that of view 8 is gone
	ta.Advance(4, 3, 5)            // nothing goes back
	require.Equal(t, 4, ta.Held())
	require.Equal(t, View(5), ta.View())
	ta.Advance(9, 12, 20)
	require.Equal(t, 1, ta.Held())
	ta.Advance(9, 1000, 1008)
	require.Zero(t, ta.Held())
}

// Others are in a newer view already: their votes make a certificate, which is how
// we learn of it, and those that came early count when we get there.
func TestTallyNewerView(t *testing.T) {
	ta := newTestTally(t, 4, 4)
	st := tallyStatement(Prepare, 2, 1, 7)
	ta.Add(tallyVote(0, st))
	ta.Add(tallyVote(1, st))
	ta.Add(tallyVote(2, tallyStatement(Prepare, 1, 1, 7)))
	p, _ := ta.Add(tallyVote(3, st))
	require.NotNil(t, p)
	require.Equal(t, setOf(4, 0, 1, 3), p.Signers)
	require.Nil(t, ta.Reject(st, ids(3)))
	ta.Advance(2, 0, 8)
	p, why := ta.Add(tallyVote(2, st))
	require.Equal(t, NoDrop, why)
	require.NotNil(t, p)
	require.Equal(t, setOf(4, 0, 1, 2), p.Signers)
	_, why = ta.Add(tallyVote(3, st))
	require.Equal(t, DropSignature, why)
}

func TestTallyEvidence(t *testing.T) {
	st := func(p Phase, h Height, block, newView byte) Statement {
		return Statement{Phase: p, View: 1, NewView: Digest{newView}, Height: h, Block: Digest{block}}
	}
	for _, c := range []struct {
		name string
		a, b Statement
		want bool
	}{
		{"one height, two blocks", st(Prepare, 3, 1, 1), st(Prepare, 3, 2, 1), true},
		{"Prepare and Commit for two blocks", st(Prepare, 3, 1, 1), st(Commit, 3, 2, 1), true},
		{"Commit and Prepare for two blocks", st(Commit, 3, 1, 1), st(Prepare, 3, 2, 1), true},
		{"two NewViews for one block", st(Prepare, 3, 1, 1), st(Commit, 3, 1, 2), true},
		{"two NewViews at two heights", st(Prepare, 3, 1, 1), st(Prepare, 5, 2, 2), true},
		{"Prepare and Commit", st(Prepare, 3, 1, 1), st(Commit, 3, 1, 1), false},
		{"two heights", st(Prepare, 3, 1, 1), st(Prepare, 4, 2, 1), false},
	} {
		for _, ahead := range []bool{false, true} { // of the current view, of a newer one
			ta := newTestTally(t, 4, 4)
			if !ahead {
				ta.Advance(1, 0, 8)
			}
			ta.Add(tallyVote(2, c.a))
			_, why := ta.Add(tallyVote(2, c.b))
			found := ta.Evidence()
			if !c.want {
				require.Equal(t, NoDrop, why, c.name)
				require.Empty(t, found, c.name)
				continue
			}
			require.Equal(t, DropConflict, why, c.name)
			require.Len(t, found, 1, c.name)
			require.Equal(t, ConflictingVotes, found[0].Offence)
			require.Equal(t, ReplicaID(2), found[0].Culprit)
			require.ElementsMatch(t, []Statement{c.a, c.b}, []Statement{found[0].Votes[0].Statement, found[0].Votes[1].Statement})
			require.Empty(t, ta.Evidence())
		}
	}
	// However much somebody contradicts itself, one pair is held at a time.
	ta := newTestTally(t, 4, 4)
	for i := range byte(100) {
		ta.Add(tallyVote(1, tallyStatement(Prepare, 0, 2, i)))
	}
	require.Len(t, ta.Evidence(), 1)
	require.Equal(t, 1, ta.Held())
	ta.Add(tallyVote(1, tallyStatement(Prepare, 0, 2, 7)))
	require.Len(t, ta.Evidence(), 1, "the first pair may have been no proof")
}

func TestTallyAddDoesNotAllocate(t *testing.T) {
	ta := newTestTally(t, 16, 8)
	h := Height(1)
	votes := make([]*Vote, 0, 20)
	for range 2 { // once round the ring to warm nothing up but the test itself
		votes = votes[:0]
		for i := range 10 {
			for _, p := range []Phase{Prepare, Commit} {
				votes = append(votes, tallyVote(i, tallyStatement(p, 0, h, 1))) // below a quorum of 11
			}
		}
	}
	i := 0
	allocs := testing.AllocsPerRun(len(votes)-1, func() {
		if _, why := ta.Add(votes[i]); why != NoDrop {
			t.Fatal(why)
		}
		i++
	})
	require.Zero(t, allocs)
}

// tallyModel is the same thing done naively.
type tallyModel struct {
	view      View
	low, high Height
	votes     map[string]Statement // signer/phase/view/height
	newer     map[int]View
}

func (m *tallyModel) count(st Statement, n int) int {
	count := 0
	for id := range n {
		if m.votes[m.key(id, st)] == st {
			count++
		}
	}
	return count
}

func (m *tallyModel) key(id int, st Statement) string {
	return fmt.Sprintf("%d/%d/%d/%d", id, st.Phase, st.View, st.Height)
}

// Against the model, with random votes of honest members (one block per view and
// height), random progress and one member that says anything: certificates come
// exactly when the model has a quorum, and memory stays within the formula.
func TestTallyAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n, window = 4, 2
		q, err := NewQuorumSystem(equalWeights(n))
		require.NoError(t, err)
		ta := NewTally(q, window)
		m := &tallyModel{high: 2 * window, votes: map[string]Statement{}, newer: map[int]View{}}
		handed := map[Statement]bool{}
		steps := rapid.IntRange(1, 150).Draw(t, "steps")
		for range steps {
			if rapid.IntRange(0, 19).Draw(t, "advance") == 0 {
				m.view += View(rapid.IntRange(0, 2).Draw(t, "views"))
				m.low += Height(rapid.IntRange(0, 3).Draw(t, "heights"))
				m.high = max(m.high, m.low+Height(rapid.IntRange(0, 2*window).Draw(t, "ahead")))
				m.high = min(m.high, m.low+2*window)
				ta.Advance(m.view, m.low, m.high)
				continue
			}
			id := rapid.IntRange(0, n-1).Draw(t, "id")
			block := byte(1)
			if id == 3 {
				block = byte(rapid.IntRange(1, 3).Draw(t, "block"))
			}
			back := View(rapid.IntRange(0, 1).Draw(t, "back"))
			st := tallyStatement(
				rapid.SampledFrom([]Phase{Prepare, Commit}).Draw(t, "phase"),
				m.view+View(rapid.IntRange(0, 3).Draw(t, "view"))-min(back, m.view),
				m.low+Height(rapid.IntRange(0, 2*window+2).Draw(t, "height"))-min(Height(back), m.low), block)
			p, why := ta.Add(tallyVote(id, st))

			inside := st.Height >= m.low && st.Height <= m.high && (st.View == m.view || st.View > m.view && st.View >= m.newer[id])
			if !inside {
				require.Contains(t, []Drop{DropHeight, DropOldView}, why)
				continue
			}
			if st.View > m.newer[id] && st.View > m.view {
				m.newer[id] = st.View
				for key, held := range m.votes { // its newer view before this one
					if held.View > m.view && held.View < st.View && key[0] == byte('0'+id) {
						delete(m.votes, key)
					}
				}
			}
			key := m.key(id, st)
			old, twice := m.votes[key]
			other := st
			other.Phase = 3 - st.Phase
			crossed, both := m.votes[m.key(id, other)]
			switch {
			case twice && old == st:
				require.Equal(t, DropDuplicate, why)
				continue
			case twice, both && crossed.Block != st.Block:
				require.Equal(t, DropConflict, why)
				continue
			}
			require.Equal(t, NoDrop, why)
			m.votes[key] = st
			want := m.count(st, n) >= 3 && !handed[st]
			require.Equal(t, want, p != nil, "%v", st)
			if want {
				handed[st] = true
				require.True(t, q.IsQuorum(p.Signers))
				require.Equal(t, p.Signers.Count(), len(p.Shares))
			}
			require.LessOrEqual(t, ta.Held(), n*2*2*(2*window+1))
		}
	})
}

// Whatever is sent, the bound of the documentation holds and is reached.
func TestTallyMemoryBound(t *testing.T) {
	const n, window = 4, 3
	ta := newTestTally(t, n, window)
	for h := range Height(4 * window) {
		for v := range View(6) {
			for _, p := range []Phase{Prepare, Commit} {
				for id := range n {
					for block := range byte(3) {
						ta.Add(tallyVote(id, tallyStatement(p, v, h, block)))
					}
				}
			}
		}
	}
	require.LessOrEqual(t, ta.Held(), n*2*2*(2*window+1))
	for h := range Height(2*window + 1) { // both views full
		for _, p := range []Phase{Prepare, Commit} {
			for id := range n {
				ta.Add(tallyVote(id, tallyStatement(p, 5, h, 0)))
			}
		}
	}
	require.Equal(t, n*2*2*(2*window+1), ta.Held())
	groups := 0
	for i := range ta.slots {
		for p := range ta.slots[i].phases {
			groups += len(ta.slots[i].phases[p].groups)
		}
	}
	require.LessOrEqual(t, groups, ta.Held())
}
