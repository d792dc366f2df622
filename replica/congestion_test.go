package replica

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

func TestCongestionIsMeasured(t *testing.T) {
	var g congestion
	now, h := time.Unix(1000, 0), pbft.Height(7)
	g.note(now, false, h, h)
	blocks := func(n int, took time.Duration) {
		for range n {
			h++
			g.note(now, true, h, h-1)
			g.note(now.Add(took/2), true, h, h-1)
			now = now.Add(took)
			g.note(now, true, h, h)
			require.Empty(t, g.pending)
		}
	}
	blocks(20, 10*time.Millisecond)
	require.False(t, g.now)
	blocks(40, 25*time.Millisecond)
	require.False(t, g.now, "not much longer than they have to take")
	blocks(40, 50*time.Millisecond)
	require.True(t, g.now)
	blocks(40, 25*time.Millisecond)
	require.True(t, g.now, "not yet over")
	blocks(40, 11*time.Millisecond)
	require.False(t, g.now)
	blocks(int(3*time.Hour/(50*time.Millisecond)), 50*time.Millisecond)
	require.False(t, g.now, "what they have to take has grown")

	// It ends with the reign.
	blocks(40, 500*time.Millisecond)
	require.True(t, g.now)
	g.note(now, false, h, h)
	require.False(t, g.now)
	blocks(1, g.least)
	require.False(t, g.now, "and the next one begins without it")

	// Another's blocks are not measured, nor those that a new primary found.
	g = congestion{}
	g.note(now, false, h+5, h)
	g.note(now.Add(time.Second), true, h+5, h)
	g.note(now.Add(2*time.Second), true, h+6, h+5)
	g.note(now.Add(2*time.Second+time.Millisecond), true, h+6, h+6)
	require.Equal(t, time.Millisecond, g.least)
}
