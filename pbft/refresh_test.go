package pbft

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Somebody asks an idle cluster for a checkpoint: the primary makes one, of an empty
// block, however often it is asked not more than one in busyGaps gaps, and no backup is
// moved by it.
func TestRefresh(t *testing.T) {
	const gap = 50 * time.Millisecond
	w := newWorld(equalWeights(4), 1, func(c *Config) {
		c.MinCheckpointGap, c.CheckpointEvery, c.LogMax = gap, 1024, 4096
		c.Timeouts = Timeouts{Progress: 200, RequestAge: 200, Heartbeat: 100, Idle: 200, Status: 50, Retry: 20, ReceiptDelay: 2}
	})
	advance := func(d time.Duration) {
		w.now = w.now.Add(d)
		for _, n := range w.nodes {
			n.tick()
		}
		w.settle(nil)
	}
	refresh := func(n *testNode) {
		var out Output
		n.core.Refresh(&out)
		n.perform(&out)
		w.settle(nil)
	}
	height := func() Height { return w.nodes[0].core.Committed() }
	advance(time.Second)
	require.Zero(t, height())
	for range 10 { // whoever asks only backups
		refresh(w.nodes[1])
		refresh(w.nodes[2])
		refresh(w.nodes[3])
		advance(gap)
	}
	for range 1000 {
		advance(time.Millisecond)
	}
	for _, n := range w.nodes {
		require.Zero(t, n.core.Committed())
		require.Zero(t, n.core.View(), "nobody is suspected for it")
	}
	refresh(w.nodes[0])
	require.Equal(t, Height(1), height())
	tip := w.nodes[0].core.chain.tip()
	require.True(t, tip.Checkpoint)
	require.Equal(t, Height(1), w.nodes[3].core.Stable())
	for range 100 { // as often as anybody likes
		refresh(w.nodes[0])
		advance(gap * busyGaps / 100)
	}
	require.Equal(t, Height(2), height())
	for range 10 {
		advance(gap)
	}
	require.LessOrEqual(t, height(), Height(3), "what was asked for is made, and then no more")
	last := height()
	for range 100 {
		advance(gap)
	}
	require.Equal(t, last, height())
}
