package pbft

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// An answer that waited on a link since an earlier life of the follower may name a
// view below the last vote that it cast before it lost its disk: M would be too
// small, and it would vote twice. Only what echoes this life's number counts.
func TestOnlyAnswersToThisLifeCountForRejoining(t *testing.T) {
	w := newWorld(equalWeights(4), 1, nil)
	c := w.nodes[3].core
	c.follower, c.cfg.Incarnation = true, 7
	c.rejoin.has, c.rejoin.answers = c.rejoin.has.Clone(), make([]View, 4)
	if len(c.rejoin.has) == 0 {
		c.rejoin.has = []byte{0}
	}
	for _, stale := range []uint64{0, 6, 8} {
		for id := range ReplicaID(3) {
			c.noteRejoinAnswer(id, &Status{View: 0, Reply: true, Echo: stale})
		}
	}
	out := &Output{}
	c.tryRejoin(out)
	require.False(t, c.rejoin.settled, "answers to another life have settled M")
	for id := range ReplicaID(3) {
		require.False(t, c.rejoin.settled)
		c.noteRejoinAnswer(id, &Status{View: 0, Reply: true, Echo: 7})
		c.tryRejoin(out)
	}
	require.True(t, c.rejoin.settled)
	require.Zero(t, c.rejoin.max)
	require.True(t, c.follower, "it waits for a commit of a view above")
}

// A replica whose state was wrong signs a statement, loses its disk, comes to the right
// state and gets its vote back while the checkpoint is not certified yet: it does not sign
// another statement for it, also not after one more restart.
func TestRejoinedReplicaDoesNotContradictItself(t *testing.T) {
	const id = 3
	w := divergedWorld(id)
	seq := uint64(0)
	submit := func(ticks int, keep func(packet) bool) {
		seq++
		r := w.request(1, seq, fmt.Sprint("op ", seq))
		for _, n := range w.nodes {
			if n.up {
				n.submit(r)
			}
		}
		w.run(ticks, keep)
	}
	said := map[Height]map[Digest]bool{}
	keep := func(p packet) bool { // nothing is certified
		if p.kind != KindCheckpointVote {
			return true
		}
		_, m, err := Decode(p.data)
		require.NoError(t, err)
		if m := m.(*CheckpointVote); p.from == id {
			if said[m.Height] == nil {
				said[m.Height] = map[Digest]bool{}
			}
			said[m.Height][m.State] = true
		}
		return false
	}
	for range 6 {
		submit(3, keep)
	}
	require.Len(t, said[5], 1)
	n := w.nodes[id]
	n.wipe()
	n.start(true)
	for i := 0; n.core.IsFollower(); i++ {
		require.Less(t, i, 300, "%s", w.describe())
		w.run(10, keep)
		if i%5 == 0 {
			submit(1, keep)
		}
	}
	require.GreaterOrEqual(t, n.core.ExecutedHeight(), Height(5))
	require.NotNil(t, n.core.statementAt(5))
	w.run(60, keep)
	n.crash()
	n.start(false)
	w.run(60, keep)
	require.Len(t, said[5], 1, "two statements of one signer are proof against it")
}
