package pbft

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A closed loop leaves the pool empty with every block, so each could be flagged as a
// checkpoint. Under load the primary flags one in four gaps; the last blocks get
// theirs within a gap when the load ends, and with few blocks each gap has one.
func TestCheckpointsUnderLoad(t *testing.T) {
	const gap = 50 * time.Millisecond
	start := func() *world {
		return newWorld(equalWeights(4), 1, func(c *Config) {
			c.MinCheckpointGap, c.CheckpointEvery, c.LogMax = gap, 1024, 4096
			c.Timeouts = Timeouts{Progress: 5000, RequestAge: 5000, Heartbeat: 100, Idle: 5000, Status: 5000, Retry: 200, ReceiptDelay: 2}
		})
	}
	advance := func(w *world, d time.Duration) {
		w.now = w.now.Add(d)
		for _, n := range w.nodes {
			n.tick()
		}
		w.settle(nil)
	}
	// blocks commits so many, one in each pause, and returns when the flagged ones were cut.
	blocks := func(w *world, many int, pause time.Duration) (flagged []Time) {
		for range many {
			advance(w, pause)
			before := w.nodes[0].core.Committed()
			w.nodes[0].submit(w.request(1, uint64(before)+1, "op"))
			w.settle(nil)
			tip := w.nodes[0].core.chain.tip()
			require.Equal(t, before+1, tip.Height)
			if tip.Checkpoint {
				flagged = append(flagged, tip.Time)
			}
		}
		return flagged
	}
	apart := func(flagged []Time, least time.Duration) {
		for i := 1; i < len(flagged); i++ {
			require.GreaterOrEqual(t, flagged[i], flagged[i-1].Add(least))
		}
	}

	w := start()
	flagged := blocks(w, 1000, time.Millisecond)
	apart(flagged, busyGaps*gap)
	require.Len(t, flagged, 5, "one at the start, then one in 200 ms")
	core := w.nodes[0].core
	require.Less(t, core.chain.tip().lastCheckpoint, core.Committed())
	for range 4 {
		advance(w, gap)
	}
	require.Equal(t, core.Committed(), core.chain.tip().lastCheckpoint, "receipts do not wait for more load")

	// The block that makes up for it is one, and a checkpoint, however soon it is due.
	w = start()
	blocks(w, busyBlocks+4, time.Millisecond)
	core = w.nodes[0].core
	before := core.Committed()
	for range 2 {
		advance(w, gap)
	}
	require.Equal(t, before+1, core.Committed())
	require.Equal(t, core.Committed(), core.chain.tip().lastCheckpoint)

	w = start()
	flagged = blocks(w, 100, gap/5)
	apart(flagged, gap)
	require.Len(t, flagged, 20, "at this pace one in each gap")
}
