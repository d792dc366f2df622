package replica

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/pbft"
)

const testTick = 10 * time.Millisecond

// resting is a pacer that has just found that nothing happens.
func resting(t require.TestingT, at time.Time) (*pacer, position) {
	p := newPacer(testTick, pbft.DefaultTimeouts())
	here := position{open: true, tip: 7, committed: 7, executed: 7}
	for i := 0; !p.slow; i++ {
		require.LessOrEqual(t, i, restAfter)
		at = at.Add(testTick)
		require.Equal(t, 1, p.due(at, at))
		p.settle(at, here, 1)
	}
	return p, here
}

func TestPaceAtRest(t *testing.T) {
	start := time.Unix(1000, 0)
	p, here := resting(t, start)
	require.Equal(t, 5, p.batch)
	now := p.at
	require.Equal(t, 5, p.due(now.Add(5*testTick), now.Add(5*testTick)))
	require.Equal(t, 0, p.due(now.Add(5*testTick), time.Time{}))
	// An event brings forward what has passed, and the wakeup after it the rest.
	require.Equal(t, 3, p.due(now.Add(8*testTick), time.Time{}))
	require.Equal(t, 2, p.due(now.Add(10*testTick), now.Add(10*testTick)))
	// Too late is left out, as always.
	require.Equal(t, 5, p.due(now.Add(1000*testTick), now.Add(1000*testTick)))
	require.Equal(t, 0, p.due(now.Add(1000*testTick), time.Time{}))

	// Work wakes it up, and every tick has its own wakeup again.
	here.pool = 1
	every, change := p.settle(now, here, 0)
	require.True(t, change)
	require.Equal(t, testTick, every)
	require.Equal(t, 0, p.due(now.Add(3*testTick), time.Time{}))
	require.Equal(t, 1, p.due(now.Add(4*testTick), now.Add(4*testTick)))
}

func TestPaceWithWork(t *testing.T) {
	rest := position{open: true, committed: 7, executed: 7}
	for name, edit := range map[string]func(*position){
		"not open":     func(p *position) { p.open = false },
		"suspecting":   func(p *position) { p.suspects = true },
		"follower":     func(p *position) { p.follower = true },
		"requests":     func(p *position) { p.pool = 1 },
		"transfer":     func(p *position) { p.transfer = 9 },
		"uncommitted":  func(p *position) { p.tip = 8 },
		"not executed": func(p *position) { p.executed = 6 },
	} {
		p, at := newPacer(testTick, pbft.DefaultTimeouts()), rest
		edit(&at)
		for range 3 * restAfter {
			_, change := p.settle(time.Unix(1000, 0), at, 1)
			require.False(t, change, name)
		}
		for range restAfter { // once to see the change
			p.settle(time.Unix(1000, 0), rest, 1)
		}
		require.False(t, p.slow, name)
		_, change := p.settle(time.Unix(1000, 0), rest, 1)
		require.True(t, change, name)
	}
}

// An overloaded replica's timeouts get longer, and a flood does not stop them.
func TestPaceOfAnOverloadedReplica(t *testing.T) {
	p, rang := newPacer(testTick, pbft.DefaultTimeouts()), time.Unix(1000, 0)
	require.Equal(t, 1, p.due(rang.Add(testTick), rang))
	require.Equal(t, 0, p.due(rang.Add(testTick+1), rang))
	require.Equal(t, 1, p.due(rang.Add(9*testTick), rang))
	require.Equal(t, 0, p.due(rang.Add(9*testTick), rang))
	require.Equal(t, 1, p.due(rang, rang))
}

// Where timeouts are a few ticks only, each tick has its wakeup.
func TestPaceOfShortTimeouts(t *testing.T) {
	short := pbft.DefaultTimeouts()
	short.Heartbeat = 3
	p := newPacer(testTick, short)
	for range 3 * restAfter {
		_, change := p.settle(time.Unix(1000, 0), position{open: true}, 1)
		require.False(t, change)
	}
}

// At rest no more ticks are done than time has passed, and, while the ticker rings in
// time, none is lost.
func TestPaceKeepsTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, here := resting(t, time.Unix(1000, 0))
		start, now, done := p.at, p.at, 0
		next := now.Add(5 * testTick)
		for range rapid.IntRange(1, 200).Draw(t, "wakeups") {
			event := now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "ms")) * time.Millisecond)
			var rang time.Time
			if now = event; !event.Before(next) {
				now, rang, next = next, next, next.Add(5*testTick)
			}
			n := p.due(now, rang)
			require.LessOrEqual(t, n, p.batch)
			done += n
			_, change := p.settle(now, here, n)
			require.False(t, change)
			require.InDelta(t, float64(now.Sub(start)), float64(done)*float64(testTick), float64(testTick)/2)
		}
	})
}
