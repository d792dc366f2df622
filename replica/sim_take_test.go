package replica

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// A Send that delivers at once comes back into the Sim that is sending: it is told so.
func TestSimTakeIsNotReentered(t *testing.T) {
	c := newSimCluster(t, 4, 1)
	c.startAll()
	c.put("1")
	pause := func() { // or it would not answer again
		for range c.core.Timeouts.Retry {
			c.tick()
		}
	}
	pause()
	s := c.sims[1]
	status := &pbft.Status{Entered: true, Open: true} // of one that has nothing
	sent := 0
	s.cfg.Send = func(pbft.ReplicaID, []byte) { sent++ }
	s.Take(0, 1, status)
	require.Positive(t, sent, "it shows nothing")
	pause()
	s.cfg.Send = func(to pbft.ReplicaID, _ []byte) { s.Take(to, 1, status) }
	require.PanicsWithValue(t, "replica: Sim.Take is called from within Sim.Take: SimConfig.Send must put messages aside", func() { s.Take(0, 1, status) })
}
