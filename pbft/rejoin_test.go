package pbft

import (
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
