package replica

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// A snapshot is deleted only when the records of the later ones are durable: after a
// crash that loses them the replica goes on from what is there, without a transfer.
func TestSimSnapshotsStayUntilTheLogIsDurable(t *testing.T) {
	c := newSimCluster(t, 4, 5)
	for i, retain := range []pbft.Height{1000, 1000, 1000, 2} { // the others have what it lacks
		c.core.Retain = retain
		c.start(i)
	}
	at := func(i int) *pbft.Core { return c.sims[i].Node().Core() }
	for i := 0; at(3).SnapshotHeight() < 24; i++ {
		c.put(fmt.Sprint("a", i))
	}
	c.until("old snapshots are deleted", 100, func() bool { return len(c.disks[3].snaps.Heights()) == keepSnapshots })
	c.stuck = func(i int, w Work) bool { return i == 3 && w == WorkDisk }
	before := at(3).SnapshotHeight()
	for i := 0; at(3).SnapshotHeight() < before+2*c.core.CheckpointEvery; i++ {
		c.offer(fmt.Sprint("b", i))
		require.Less(t, i, 1000)
		c.round()
	}
	c.round()
	require.NotZero(t, c.sims[3].Pending(WorkDisk))
	c.crash(3, false)
	c.start(3)
	require.False(t, c.sims[3].runner.pending, "the state must be transferred: only the snapshots at %v are left", c.disks[3].snaps.Heights())
	c.stuck = nil
	c.put("after")
	require.Zero(t, c.sims[3].Node().Counters().Transfers)
	c.until("old snapshots are deleted", 1000, func() bool {
		c.put(fmt.Sprint("c", c.seq))
		h := c.disks[3].snaps.Heights()
		return len(h) <= keepSnapshots+1 && slices.Max(h) > before+2*c.core.CheckpointEvery
	})
}
