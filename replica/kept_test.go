package replica

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The snapshots of an application that keeps their states are short, however large the
// state is; what they need is let go of with them. A replica that has lost its state, and
// has blocks and snapshots still, gets it part by part.
func TestSnapshotsThatNameStates(t *testing.T) {
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
		return <-vain > 1
	})
	require.NotZero(t, c.servers[2].Status().Transfer, "it says what it waits for")
	c.deaf.Store(false)
	c.inService(2)
	require.NotNil(t, c.servers[2].runner.repair.stats, "part by part")
	require.Greater(t, c.servers[2].runner.repair.stats.Received, int64(30*len(large)))
	v, _, err := c.servers[2].Query(c.context(), []byte("large-29"))
	require.NoError(t, err)
	require.Equal(t, large+"29", string(v))
}
