package replica

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// closed tells whether a channel is.
func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestInterruption(t *testing.T) {
	var i interruption
	i.strike()
	first := i.next()
	require.Equal(t, first, i.next())
	require.False(t, closed(first))
	i.strike()
	require.True(t, closed(first))
	require.False(t, closed(i.next()))
}

// Whoever reads on while the state is found to be wrong and repaired hears of it, also if
// it looks again only when all is well.
func TestDivergenceInterrupts(t *testing.T) {
	c := newSickCluster(t, false)
	c.startAll()
	c.load(0, 1)
	c.eventually("a snapshot", func() bool { return c.servers[2].Status().Snapshot > 0 })
	sick, well := c.servers[2].Interrupted(), c.servers[0].Interrupted()
	require.NoError(t, c.servers[2].Serving())
	require.False(t, closed(sick))
	c.unstable[2].Store(true)
	for n := 0; len(c.servers[2].Doctor().Cases) == 0; n++ {
		c.submit(n%2, "share")
	}
	<-sick
	c.unstable[2].Store(false)
	c.healed(2, 1)
	c.eventually("an end of it", func() bool {
		later := c.servers[2].Interrupted()
		return c.servers[2].Serving() == nil && !closed(later)
	})
	require.False(t, closed(well))

	// One that fails ends what is read from it.
	well = c.servers[1].Interrupted()
	c.stopLoad()
	c.servers[1].fail(ErrDiskFull)
	require.True(t, closed(well))
	require.ErrorIs(t, c.servers[1].Serving(), ErrStopped)
}
