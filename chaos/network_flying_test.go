package chaos

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What is on its way between two replicas has a bound, and room comes back as it lands.
func TestWhatIsOnItsWayIsBounded(t *testing.T) {
	s, err := NewSimulation(calm())
	require.NoError(t, err)
	l := &s.network.links[0][1]
	big := make([]byte, 1<<20)
	for range 10 {
		s.network.send(0, 1, big)
	}
	require.Equal(t, maxFlying, l.flying)
	s.network.send(0, 2, big)
	require.Equal(t, len(big), s.network.links[0][2].flying, "each link has its own")
	s.until(s.opts.delayBound(), func() bool { return l.flying == 0 })
	require.Zero(t, l.flying)
	s.network.send(0, 1, big)
	require.Equal(t, len(big), l.flying)

	// A clogged link holds a bounded number beside that.
	l.clogged = 1
	for range maxHeld + 10 {
		s.network.arrive(0, 1, newPacket([]byte{1}))
	}
	require.Len(t, l.held, maxHeld)
}
