package replica

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine/snapshot"
)

// damagedFiles is a transferred snapshot that turns out to be damaged on the disk.
type damagedFiles struct{}

func (damagedFiles) finish() error { return fmt.Errorf("chunk 1: %w", snapshot.ErrCorrupt) }

// Blocks that wait for a state go on waiting when the state that was transferred is
// damaged: there is still none that they could run on.
func TestBlocksWaitWhenATransferIsDamaged(t *testing.T) {
	c := newSimCluster(t, 4, 8)
	c.startAll()
	for i := 0; c.sims[3].Node().Core().Oldest() < 12; i++ {
		c.put(fmt.Sprint(i))
	}
	at := c.sims[3].Node().Core().Committed()
	c.crash(3, false)
	for i := 0; c.sims[0].Node().Core().Committed() <= at; i++ {
		c.put(fmt.Sprint("while away ", i))
	}
	ref, ok, err := getChain(c.disks[0].store, at+1)
	require.NoError(t, err)
	require.True(t, ok)
	next, err := getBlock(c.disks[0].store, ref)
	require.NoError(t, err)

	for _, h := range c.disks[3].snaps.Heights() {
		require.True(t, c.disks[3].snaps.Damage(h))
	}
	c.start(3)
	s := c.sims[3]
	bundle := s.Node().transfer.bundle
	require.NotNil(t, bundle)
	require.True(t, s.runner.pending)
	require.NoError(t, s.runner.do(&runnerJob{blocks: []*pbft.Block{next.Block}}))
	require.NoError(t, s.runner.do(&runnerJob{install: bundle, files: damagedFiles{}}))
	require.True(t, s.runner.pending)
	require.Equal(t, []*pbft.Block{next.Block}, s.runner.waiting)
	require.Empty(t, c.apps[3].list(), "nothing runs on no state")

	// With a good one they run, each once.
	c.put("after")
	require.False(t, s.runner.pending)
	require.Empty(t, s.runner.waiting)
	require.Equal(t, c.apps[0].list(), c.apps[3].list())
}
