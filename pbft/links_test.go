package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// without keeps packets from and to a replica.
func without(id ReplicaID) func(packet) bool {
	return func(p packet) bool { return p.from != id && p.to != id }
}

// A dead primary, whose links are down at the replicas named, is deposed after half of
// the timeout if they are enough, and after all of it otherwise.
func TestLostLinkToThePrimary(t *testing.T) {
	for _, c := range []struct {
		cutOff []ReplicaID
		work   bool
		early  bool
	}{
		{[]ReplicaID{1, 2, 3}, true, true},
		{[]ReplicaID{1, 2, 3}, false, true},
		{[]ReplicaID{2, 3}, true, true}, // one of them is honest: the last one joins
		{[]ReplicaID{3}, true, false},
		{nil, true, false},
	} {
		w := newWorld(equalWeights(4), 1, nil)
		w.nodes[0].submit(w.request(1, 1, "op"))
		w.run(6, nil)
		require.Zero(t, w.nodes[1].core.Primary()-w.nodes[0].core.Primary())
		require.True(t, w.nodes[0].core.isPrimary())
		for _, id := range c.cutOff {
			w.nodes[id].core.SetLink(0, false)
		}
		if c.work {
			w.nodes[1].submit(w.request(1, 2, "op"))
		}
		half := w.nodes[1].cfg.Timeouts.Progress / 2
		w.run(half-1, without(0))
		require.Zero(t, w.nodes[1].core.View(), "%v: not before that", c.cutOff)
		w.run(3, func(p packet) bool { return without(0)(p) && p.kind != KindPrePrepare })
		for _, n := range w.nodes[1:] {
			require.Equal(t, c.early, n.core.View() == 1 && n.core.Open(), "%v: %v", c.cutOff, n.core.Describe())
		}
		if c.early {
			for _, id := range c.cutOff {
				require.Equal(t, 1, w.nodes[id].core.FailedViews())
				require.EqualValues(t, 4*half, w.nodes[id].core.timeout())
			}
		}
		w.run(2*half, without(0))
		if c.work {
			require.Positive(t, w.nodes[1].core.View())
			require.Zero(t, w.nodes[1].core.PoolLen())
		}
	}
}

// Links that come and go while there is nothing to do cost fewer and fewer views; what
// they cost is forgotten when they stay.
func TestFlappingLinksWithoutWork(t *testing.T) {
	w := newWorld(equalWeights(4), 1, nil)
	half := w.nodes[1].cfg.Timeouts.Progress / 2
	for range 60 * half {
		for _, n := range w.nodes {
			for id := range w.nodes {
				n.core.SetLink(ReplicaID(id), ReplicaID(id) != n.core.Primary())
			}
		}
		w.run(1, nil)
	}
	c := w.nodes[1].core
	require.Greater(t, c.View(), View(2))
	require.Less(t, c.View(), View(10))
	require.Positive(t, c.FailedViews())
	for _, n := range w.nodes {
		n.core.SetLink(c.Primary(), true)
	}
	view, longest := c.View(), int(c.timeout())
	w.run(longest+2, nil)
	require.Equal(t, view, c.View())
	require.Zero(t, c.FailedViews())
}

// Links that break and come back, and lost ones to a primary whose blocks commit all
// the same, are no reason.
func TestLinksThatComeBack(t *testing.T) {
	w := newWorld(equalWeights(4), 1, nil)
	half := w.nodes[1].cfg.Timeouts.Progress / 2
	w.run(2*half, nil)
	for range 5 {
		for _, n := range w.nodes[1:] {
			n.core.SetLink(0, false)
		}
		w.run(half-1, nil)
		for _, n := range w.nodes[1:] {
			n.core.SetLink(0, true)
		}
		w.run(1, nil)
	}
	for _, n := range w.nodes[1:] {
		n.core.SetLink(0, false)
	}
	for seq := range uint64(10) {
		w.nodes[0].submit(w.request(1, seq+1, "op"))
		w.run(half-1, nil)
	}
	for _, n := range w.nodes {
		require.Zero(t, n.core.View())
		require.Zero(t, n.core.Counters().Suspicions[CauseLink])
	}
}
