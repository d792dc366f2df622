package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A primary that gathers cuts full blocks only, until it is to cut or two ticks passed.
func TestGather(t *testing.T) {
	const most = 4
	start := func() (*world, *testNode) {
		w := newWorld(equalWeights(4), 1, func(c *Config) { c.MaxBlockRequests = most })
		w.tick()
		n := w.nodes[0]
		require.Equal(t, n.core.cfg.Self, n.core.Primary())
		n.core.Gather()
		n.submit(w.request(1, 1, "op"))
		n.submit(w.request(2, 1, "op"))
		require.Zero(t, n.core.Tip().Height)
		require.Equal(t, 2, n.core.Waiting())
		return w, n
	}
	t.Run("cut", func(t *testing.T) {
		w, n := start()
		var out Output
		n.core.Cut(&out)
		n.perform(&out)
		n.advance()
		require.Equal(t, Height(1), n.core.Tip().Height)
		require.Zero(t, n.core.Waiting())
		w.settle(nil)
		require.Equal(t, Height(1), n.core.Committed())
		n.submit(w.request(1, 2, "op"))
		require.Equal(t, Height(2), n.core.Tip().Height, "it is over")
	})
	t.Run("full", func(t *testing.T) {
		w, n := start()
		for client := range uint64(most) {
			n.submit(w.request(3+client, 1, "op"))
		}
		require.Equal(t, Height(1), n.core.Tip().Height)
		require.Equal(t, 2, n.core.Waiting())
	})
	t.Run("left alone", func(t *testing.T) {
		w, n := start()
		w.tick()
		require.Zero(t, n.core.Tip().Height)
		w.tick()
		require.Equal(t, Height(1), n.core.Tip().Height)
	})
}
