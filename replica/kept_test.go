package replica

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// The snapshots of an application that keeps their states are short, however large the
// state is; what they need is let go of with them. A replica that has lost its state, and
// has blocks and snapshots still, gets it part by part.
func TestSnapshotsThatNameStates(t *testing.T) {
	notShort(t)
	c := newSickCluster(t, true)
	c.startAll()
	large := strings.Repeat("x", 20_000)
	for i := range 30 {
		c.submit(i%4, fmt.Sprintf("put large-%d %s%d", i, large, i))
	}
	heights := func(i int) (oldest, last uint64) {
		return c.servers[i].runner.parts.app.(storeMachine).Store().Heights()
	}
	for n := 0; ; n++ {
		if oldest, _ := heights(2); oldest > 1 && c.servers[2].Status().Oldest > 1 {
			break
		}
		require.Less(t, n, 3000, "the states of old snapshots are never let go of")
		c.submit(n%4, fmt.Sprint("put n ", n))
	}
	files, err := filepath.Glob(filepath.Join(c.folder(0), "snapshots", "*.snapshot"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		info, err := os.Stat(f)
		require.NoError(t, err)
		require.Less(t, info.Size(), int64(len(large)), "30 such values are in the state")
	}
	c.stop(2)
	found, err := DiscardState(c.folder(2))
	require.NoError(t, err)
	require.True(t, found)
	for i := range 10 {
		c.submit(i%2, fmt.Sprintf("put large-%d %s", i, large))
	}
	c.deaf.Store(true)
	c.start(2)
	c.eventually("an attempt in vain, as nobody gives parts", func() bool {
		vain := make(chan int, 1)
		c.servers[2].post(func(n *Node) { vain <- n.transfer.vain })
		return <-vain > 0
	})
	require.NotZero(t, c.servers[2].Status().Transfer, "it says what it waits for")
	c.deaf.Store(false)
	c.inService(2)
	// Part by part, in however many goes.
	require.Greater(t, c.metric(2, "parley_repair_received_bytes_total"), float64(30*len(large)))
	v, _, err := c.servers[2].Query(c.context(), []byte("large-29"))
	require.NoError(t, err)
	require.Equal(t, large+"29", string(v))
}

// A replica that has lost its state executes the log again past snapshots that it still has
// the files of: what those name is durable and kept before it says anything of them.
func TestReplayPastSnapshotsThatNameStates(t *testing.T) {
	notShort(t)
	// However many blocks without operations there are between those with some, none is pruned.
	c := newSickClusterWith(t, true, func(cfg *Config) { cfg.Retain = 1 << 20 })
	c.startAll()
	for n := range 18 {
		c.submit(n%4, fmt.Sprint("put n ", n))
	}
	c.eventually("a snapshot", func() bool { return len(c.snapshotFiles(2)) > 0 })
	require.LessOrEqual(t, c.servers[2].Status().Oldest, pbft.Height(1), "the log is whole")
	c.stop(2)
	_, err := DiscardState(c.folder(2))
	require.NoError(t, err)
	files := c.snapshotFiles(2)
	c.start(2)
	s := c.servers[2].runner.parts.app.(storeMachine).Store()
	require.GreaterOrEqual(t, s.Durable(), uint64(files[len(files)-1]), "files %v", files)
	c.inService(2)
}

// snapshotFiles are the heights above 0 of the snapshots of a replica, ascending.
func (c *sickCluster) snapshotFiles(i int) (heights []pbft.Height) {
	files, err := filepath.Glob(filepath.Join(c.folder(i), "snapshots", "*.snapshot"))
	require.NoError(c.t, err)
	for _, f := range files {
		var h pbft.Height
		_, err := fmt.Sscanf(filepath.Base(f), "%d.snapshot", &h)
		require.NoError(c.t, err)
		if h > 0 {
			heights = append(heights, h)
		}
	}
	return heights
}
