package chaos

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

func TestWhatAVoteRestsOn(t *testing.T) {
	s, err := NewSimulation(calm())
	require.NoError(t, err)
	j := s.judge
	name := func(text string) pbft.Digest { return crypto.Hash("chaos/test", []byte(text)) }
	for _, link := range [][2]string{{"a9", "a8"}, {"a10", "a9"}, {"b10", "a9"}} {
		j.watch.parents[name(link[0])] = name(link[1])
	}
	vote := pbft.Statement{Phase: pbft.Prepare, View: 3, NewView: name("n"), Height: 9, Block: name("a9")}
	good := durableState{view: 3, entered: true, newView: name("n"), votedView: 3, voted: pbft.BlockRef{Height: 10, Digest: name("b10")}}
	for what, edit := range map[string]func(v *pbft.Statement, st *durableState){
		"":                                  func(*pbft.Statement, *durableState) {},
		"the vote in its state":             func(_ *pbft.Statement, st *durableState) { st.voted.Height = 8 },
		"that it entered the view by this ": func(v *pbft.Statement, _ *durableState) { v.NewView = name("other") },
		"a vote on this chain":              func(v *pbft.Statement, _ *durableState) { v.Height, v.Block = 10, name("a10") },
		"a floor that is low enough":        func(_ *pbft.Statement, st *durableState) { st.floor = 10 },
	} {
		v, st := vote, good
		edit(&v, &st)
		if why := j.stands(&v, false, st); what == "" {
			require.Empty(t, why)
		} else {
			require.Contains(t, why, what)
		}
	}
	old := good
	old.floor = 10
	require.Empty(t, j.stands(&vote, true, old), "it has sent it before")
}

// That some other replica has committed in a later view discharges nobody (R8).
func TestABlockIsKeptUntilThisReplicaKnows(t *testing.T) {
	s, err := NewSimulation(calm())
	require.NoError(t, err)
	require.NoError(t, s.Run().Err())
	image := s.replicas[1].disk.image
	committed, _, err := pbft.DecodeRecordCommitted(image[pbft.RecordKey{Kind: pbft.RecordCommitted}])
	require.NoError(t, err)
	above := pbft.Statement{View: 0, Height: committed.Height + 1, Block: crypto.Hash("chaos/test", nil)}
	require.False(t, discharged(image, 100, &above))
	above.Height = committed.Height
	require.True(t, discharged(image, 100, &above), "another block was committed there")
}

// A NewView that a replica made may be gone from its disk when it leaves only if that
// disk forbids it to make another one for the view.
func TestANewViewMayBeGoneOnceItsViewIsOver(t *testing.T) {
	for at, allowed := range map[pbft.View]bool{0: false, 1: false, 2: true} {
		s, err := NewSimulation(calm())
		require.NoError(t, err)
		require.NoError(t, s.Run().Err())
		p := s.replicas[1].up
		key := pbft.RecordKey{Kind: pbft.RecordState}
		state := binary.BigEndian.AppendUint64(nil, uint64(at))
		p.disk.image[key] = append(state, p.disk.image[key][8:]...)
		require.Equal(t, at, readState(p.disk.image[key]).view)
		n := &pbft.NewView{View: 1}
		require.Equal(t, p.id, s.schedule.Primary(0, n.View))
		s.judge.durable(p, n)
		require.Equal(t, allowed, len(s.report.Violations) == 0, "the view on the disk is %d", at)
	}
}
