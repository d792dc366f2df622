package pbft

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// slowWorld is a cluster whose primaries, of views below honestFrom, have nothing in
// flight for delay ticks before each proposal, while something always waits at everybody.
type slowWorld struct {
	*world
	delay      int
	honestFrom View
	waited     int
	seq        uint64
}

func newSlowWorld(delay int) *slowWorld { return newSlowWorldOf(delay, 20) }

// newSlowWorldOf has a timeout of so many ticks.
func newSlowWorldOf(delay, timeout int) *slowWorld {
	w := &slowWorld{delay: delay, honestFrom: ^View(0)}
	w.world = newWorld(equalWeights(4), 1, func(c *Config) {
		c.Timeouts.Progress, c.Timeouts.Idle, c.Timeouts.RequestAge = timeout, timeout, 3*timeout
	})
	w.afterTick = w.lead
	return w
}

func (w *slowWorld) lead() {
	if w.nodes[1].core.PoolLen() == 0 {
		w.seq++
		r := w.request(1, w.seq, fmt.Sprint("op", w.seq))
		for _, n := range w.nodes {
			n.submit(r)
		}
		w.waited = 0
	}
	for _, n := range w.nodes {
		c := n.core
		if !c.isPrimary() || c.View() >= w.honestFrom {
			continue
		}
		if w.waited++; w.waited < w.delay {
			c.Gather()
			continue
		}
		w.waited = 0
		var out Output
		c.Cut(&out)
		n.perform(&out)
	}
}

// A primary that idles for three quarters of the timeout before each block is deposed,
// soon, and by nobody's ordinary timer.
func TestSlowPrimaryIsDeposed(t *testing.T) {
	w := newSlowWorld(15)
	w.honestFrom = 1
	T := w.base.Timeouts.Progress
	w.run(T, nil)
	require.Zero(t, w.nodes[1].core.View(), "not before one timeout of idling")
	w.run(3*T, nil)
	for _, n := range w.nodes {
		require.EqualValues(t, 1, n.core.View())
		require.True(t, n.core.Open())
		require.Zero(t, n.core.FailedViews())
		require.False(t, n.core.Suspecting())
	}
	require.Positive(t, w.suspected(CauseSlow))
	require.Zero(t, w.suspected(CauseProgress)+w.suspected(CauseRequestAge)+w.suspected(CauseIdle))
	before := w.nodes[1].core.Committed()
	w.run(10*T, nil)
	require.EqualValues(t, 1, w.nodes[1].core.View())
	require.Greater(t, w.nodes[1].core.Committed(), before+Height(5*T))
}

// A primary that is slow after another slow one does not rule for good, although no views
// pass; it has a bounded time.
func TestSecondSlowPrimaryIsDeposed(t *testing.T) {
	w := newSlowWorld(15)
	w.honestFrom = 2
	T := w.base.Timeouts.Progress
	w.run(5*T, nil)
	require.EqualValues(t, 1, w.nodes[0].core.View())
	w.run(sparedTimeouts*len(w.nodes)*T, nil)
	for _, n := range w.nodes {
		require.EqualValues(t, 2, n.core.View())
		require.True(t, n.core.Open())
		require.Zero(t, n.core.FailedViews())
	}
	w.run(2*sparedTimeouts*len(w.nodes)*T, nil)
	require.EqualValues(t, 2, w.nodes[0].core.View())
}

// If all primaries are as slow, one view of a rotation is left for it, or one in the time
// that stands for that, and no timeout grows.
func TestSlowPrimariesOnceInARotation(t *testing.T) {
	w := newSlowWorld(15)
	T := w.base.Timeouts.Progress
	w.run(sparedTimeouts*len(w.nodes)*T, nil)
	for _, n := range w.nodes {
		require.EqualValues(t, 1, n.core.View(), n.core.Describe())
		require.Zero(t, n.core.FailedViews())
	}
	// The rotation passes for another reason; then the next primary may be suspected,
	// if it is much slower than one of the last rotation was.
	for next := View(2); next <= 4; next++ {
		for _, n := range w.nodes[:3] {
			var out Output
			n.core.suspect(CauseRotation, &out)
			n.perform(&out)
		}
		w.run(4*T, nil)
		require.Equal(t, next, w.nodes[0].core.View())
	}
	w.run(20*T, nil)
	require.EqualValues(t, 4, w.nodes[0].core.View(), "as fast as the best one")
	w.delay = 19
	for _, n := range w.nodes {
		n.core.timers.pace.best = [2]turn{}
	}
	w.run(20*T, nil)
	require.EqualValues(t, 5, w.nodes[0].core.View())
}

// What an honest primary does now and then, or needs as a rule, is no cause.
func TestNotSlow(t *testing.T) {
	T := 20
	t.Run("turns within the allowance", func(t *testing.T) {
		w := newSlowWorld(3)
		w.run(40*T, nil)
		require.Zero(t, w.suspected(CauseSlow))
		require.Zero(t, w.nodes[1].core.View())
	})
	t.Run("one stall in five timeouts", func(t *testing.T) {
		w := newSlowWorld(1)
		for range 10 {
			w.delay = T - 2
			w.run(T-1, nil)
			w.delay = 1
			w.run(4*T, nil)
		}
		require.Zero(t, w.suspected(CauseSlow))
		require.Zero(t, w.nodes[1].core.View())
	})
	t.Run("in flight", func(t *testing.T) {
		w := newSlowWorld(1)
		for range 20 { // votes take most of the timeout
			w.run(T-4, func(p packet) bool { return p.kind != KindVote || p.from == p.to })
			w.run(2, nil)
		}
		require.Zero(t, w.suspected(CauseSlow))
	})
	t.Run("waiting for clients that owe nothing", func(t *testing.T) {
		// With way ticks from one to another a block takes the primary three, a backup two,
		// and the next proposal comes when the primary has waited for three, and a tick.
		w := newWorld(equalWeights(4), 1, nil)
		c := w.nodes[1].core
		const way = 5
		c.timers.pace.proposedNow(100)
		c.timers.pace.committedNow(100 + 2*way)
		require.GreaterOrEqual(t, c.allowance(), uint64(3*way+1+way))
	})
	t.Run("its link is down here", func(t *testing.T) {
		w := newSlowWorld(8) // with it, that is too slow
		for _, n := range w.nodes {
			n.core.SetLink(0, false)
		}
		w.run(10*T, nil)
		require.Zero(t, w.suspected(CauseSlow))
		require.Zero(t, w.nodes[1].core.View())
		for _, n := range w.nodes {
			n.core.SetLink(0, true)
		}
		w.run(10*T, nil)
		require.Positive(t, w.suspected(CauseSlow))
	})
	t.Run("one that knows of nothing", func(t *testing.T) {
		w := newWorld(equalWeights(4), 1, nil)
		w.nodes[3].submit(w.request(1, 1, "op"))
		lost := func(p packet) bool { return p.kind != KindForward }
		w.run(T+8, lost)
		require.EqualValues(t, 1, w.nodes[3].core.Counters().Suspicions[CauseSlow]+w.nodes[3].core.Counters().Suspicions[CauseProgress])
		w.run(4*T, nil)
		require.Zero(t, w.nodes[1].core.View(), "it alone")
		require.Zero(t, w.nodes[3].core.PoolLen())
		require.False(t, w.nodes[3].core.Suspecting())
	})
	t.Run("what cannot run any more", func(t *testing.T) {
		w := newWorld(equalWeights(4), 1, nil)
		T := w.base.Timeouts.Progress
		ran := false
		for _, n := range w.nodes[1:] {
			n.core.cfg.Admissible = func(*Request) bool { return !ran }
			n.core.pool.admissible = n.core.cfg.Admissible
		}
		for _, n := range w.nodes[1:] {
			n.submit(w.request(1, 1, "op"))
		}
		ran = true
		for i := range w.nodes[1:] {
			n := w.nodes[1+i]
			n.core.timers.pace.account = slowWeight * (uint64(T) - 1)
		}
		w.run(2*T, func(p packet) bool { return p.kind != KindForward })
		require.Zero(t, w.suspected(CauseSlow))
	})
}

func (w *world) suspected(why Cause) (n uint64) {
	for _, x := range w.nodes {
		n += x.core.Counters().Suspicions[why]
	}
	return n
}
