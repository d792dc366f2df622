package chaos

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// What is on its way between two replicas has a bound, and room comes back as it lands.
func TestWhatIsOnItsWayIsBounded(t *testing.T) {
	s, err := NewSimulation(calm())
	require.NoError(t, err)
	s.storming = true
	l := &s.network.links[0][1]
	big := make([]byte, 1<<20)
	for range 10 {
		s.network.send(0, 1, big)
	}
	require.Equal(t, maxFlying, l.flying)
	require.Equal(t, 6, s.report.Faults[lostToBound])
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

// One that is larger than the bound passes when it is alone: nothing is so large that it
// could never arrive.
func TestWhatIsLargerThanTheBoundPassesAlone(t *testing.T) {
	s, err := NewSimulation(calm())
	require.NoError(t, err)
	s.storming = true
	l := &s.network.links[0][1]
	huge := make([]byte, maxFlying+1)
	s.network.send(0, 1, huge)
	s.network.send(0, 1, huge)
	require.Equal(t, len(huge), l.flying)
	require.Equal(t, 1, s.report.Faults[lostToBound])
}

// After the storm nothing that honest replicas send each other is lost; what goes to or
// comes from a traitor still may be.
func TestNothingIsLostToTheBoundAfterTheStorm(t *testing.T) {
	o := calm()
	o.Traitors = []pbft.ReplicaID{3}
	s, err := NewSimulation(o)
	require.NoError(t, err)
	big := make([]byte, 3<<20)
	for _, way := range [][2]pbft.ReplicaID{{0, 1}, {3, 1}, {0, 3}} {
		for range 3 {
			s.network.send(way[0], way[1], big)
		}
	}
	require.Equal(t, 3*len(big), s.network.links[0][1].flying)
	require.Equal(t, len(big), s.network.links[3][1].flying)
	require.Equal(t, len(big), s.network.links[0][3].flying)
	require.Equal(t, 4, s.report.Faults[lostToBound])
}
