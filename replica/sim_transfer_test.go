package replica

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// A replica that lost its snapshots repairs itself while blocks go on arriving, so
// slowly that its peers have discarded by then what it asked for. It was never
// behind in blocks, so nothing else tells it to ask for a later one.
func TestSimTransferGoesOverToALaterSnapshot(t *testing.T) {
	c := newSimCluster(t, 4, 21)
	c.startAll()
	for i := range 20 {
		c.put(fmt.Sprint(i))
	}
	// From now on blocks stay: nobody sends a checkpoint because they do not reach back.
	c.core.Retain = 200
	for i := range c.sims {
		c.crash(i, false)
	}
	for i := range 3 {
		c.start(i)
	}
	c.disks[3].snaps = NewMemorySnapshots(1 << 10)
	slow := true
	c.tamper = func(m simMail) []byte {
		if _, d, err := pbft.Decode(m.raw); err == nil && slow && m.to == 3 && d.Kind() == pbft.KindManifest {
			return nil
		}
		return m.raw
	}
	c.start(3)
	c.round()
	lost, _, _ := c.sims[3].Node().Transfer()
	require.NotZero(t, lost, "it asks for the state that it lost")
	others := func() pbft.Height { return c.disks[0].snaps.Heights()[0] }
	for i := 20; others() <= lost; i++ {
		require.Less(t, i, 200)
		r := c.request(fmt.Sprint(i))
		for _, s := range c.sims {
			s.Offer([]*pbft.Request{r})
		}
		c.until("the others have executed it", 400, func() bool { return len(c.apps[0].list()) > i })
	}
	slow = false
	c.until("replica 3 has a state", 400, func() bool {
		return !c.sims[3].runner.pending && c.sims[3].Executor().Position().Height == c.sims[0].Executor().Position().Height
	})
}

// A disk that takes longer for a snapshot than the cluster for an interval leaves
// out those that the others have certified, and never the last or one whose vote is
// still wanted: else the snapshots that wait, and the log behind them, only grow.
func TestSimSnapshotsOfASlowDiskAreLeftOut(t *testing.T) {
	for stable, want := range map[uint64][]pbft.Height{0: {9, 10, 11}, 9: {10, 11}, 10: {11}, 11: {11}} {
		c := newSimCluster(t, 4, 22)
		c.startAll()
		for i := range 20 {
			c.put(fmt.Sprint(i))
		}
		s := c.sims[0]
		s.runner.stable.Store(stable)
		for h := uint64(9); h <= 11; h++ {
			snap, err := s.runner.exec.Snapshot()
			require.NoError(t, err)
			require.True(t, s.writeLater(snapshotJob{info: statemachine.CheckpointInfo{Height: h}, snap: snap}))
		}
		before := s.cfg.Snapshots.Heights()
		for s.Do(WorkSnapshot) {
		}
		require.NoError(t, s.Err())
		var written []pbft.Height
		for _, h := range s.cfg.Snapshots.Heights() {
			if !slices.Contains(before, h) {
				written = append(written, h)
			}
		}
		require.Equal(t, want, written, "certified up to %d", stable)
	}
}
