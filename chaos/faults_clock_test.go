package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A clock that is far off makes its replica one of the faulty ones, until it is set right,
// at the latest with the end of the storm.
func TestClockFarOff(t *testing.T) {
	s, err := NewSimulation(calm())
	require.NoError(t, err)
	var away, late *member
	s.after(100*time.Millisecond, func() {
		away = s.replicas[1]
		require.True(t, s.spare(away))
		s.jumpFar("clock jump", away)
		require.GreaterOrEqual(t, away.offset().Abs(), time.Minute)
		require.True(t, away.weak())
		require.False(t, s.spare(s.replicas[2]), "no other one beside it")
	})
	s.after(s.opts.Storm-time.Millisecond, func() {
		away.setRight()
		require.Zero(t, away.offset())
		require.False(t, away.weak())
		late = s.replicas[2]
		s.jumpFar("clock jump", late)
	})
	r := s.Run()
	require.NoError(t, r.Err())
	require.Zero(t, late.offset())
	require.Equal(t, 2, r.Sometimes[seenClockFarOff])
}
