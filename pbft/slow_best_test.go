package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What primaries are compared with: the best of this rotation and of the one before, and
// nothing older.
func TestBestOfTheLastRotations(t *testing.T) {
	w := newSlowWorldOf(1, 80)
	c := w.nodes[1].core
	p := &c.timers.pace
	// reign ends a view in which so many turns took so long each.
	reign := func(turns, ticks uint64, next View) uint64 {
		p.turns, p.waited = turns, turns*ticks
		c.leavePace(next)
		return c.allowance()
	}
	const unknown = 80 / 4
	require.EqualValues(t, unknown, c.allowance())
	require.EqualValues(t, unknown, reign(fewTurns-1, 2, 1), "too few turns")
	require.EqualValues(t, 2*6, reign(fewTurns, 6, 2))
	require.EqualValues(t, 2*6, reign(fewTurns, 20, 3), "not the best")
	require.EqualValues(t, 2*4, reign(fewTurns, 4, 3))
	require.EqualValues(t, 2*4, reign(0, 0, 4), "a new rotation: the best of the last one counts")
	require.Equal(t, [2]turn{{}, {ticks: 4}}, p.best)
	require.EqualValues(t, 2*4, reign(fewTurns, 7, 5), "the better of two rotations")
	require.EqualValues(t, 2*3, reign(fewTurns, 3, 6))
	require.EqualValues(t, 2*3, reign(fewTurns, 5, 8), "and in the next rotation")
	require.EqualValues(t, 2*30, reign(fewTurns, 30, 12), "what is older is forgotten; the best may be slow")
	require.EqualValues(t, unknown, reign(0, 0, 16))
	reign(fewTurns, 5, 17)
	require.EqualValues(t, unknown, reign(0, 0, 24), "a rotation was left out")

	// Nine ticks with blocks of four are better than six with blocks of none.
	reign(fewTurns, 6, 24)
	p.commits, p.taken = 10, 10*4
	require.EqualValues(t, 2*9, reign(fewTurns, 9, 24))
	p.best = [2]turn{}

	// A primary is compared with itself too.
	reign(fewTurns, 9, 25)
	p.turns, p.waited = fewTurns, 2*fewTurns
	require.EqualValues(t, 2*2, c.allowance())
	p.turns--
	require.EqualValues(t, 2*9, c.allowance())
}

// Under load turns may take longer, as blocks do, up to what they may without anything to
// compare with.
func TestTurnsUnderLoad(t *testing.T) {
	const most = 100
	block := func(ticks uint64) uint64 { return ticks * blockWeight }
	quiet := turn{6, 0}
	require.EqualValues(t, 6, quiet.under(0, most))
	require.EqualValues(t, 12, quiet.under(block(1), most))
	require.EqualValues(t, 54, quiet.under(block(8), most))
	require.EqualValues(t, most, quiet.under(block(50), most))
	require.EqualValues(t, 6, quiet.under(block(8), 5), "never less than it took")
	busy := turn{30, block(9)}
	require.EqualValues(t, 30, busy.under(block(0), most), "nor where there is less to do")
	require.EqualValues(t, 33, busy.under(block(10), most))
	require.EqualValues(t, 31, turn{30, block(9)}.under(block(9)+1, most), "begun ticks")

	require.True(t, quiet.faster(turn{}))
	require.True(t, busy.faster(quiet), "for what there was to do")
	require.False(t, quiet.faster(busy))
	require.True(t, turn{5, 0}.faster(quiet))
}

// A primary that is slower than the best one of the rotation is deposed, though not slow
// for itself.
func TestSlowerThanTheBest(t *testing.T) {
	w := newSlowWorldOf(2, 80)
	w.run(200, nil)
	w.next(t)
	w.delay, w.honestFrom = 14, 2
	w.run(1000, nil)
	for _, n := range w.nodes {
		require.EqualValues(t, 2, n.core.View())
	}
	require.Positive(t, w.suspected(CauseSlow))

	// As slow as that, and nobody was faster.
	w = newSlowWorldOf(14, 80)
	w.run(600, nil)
	w.next(t)
	w.run(1000, nil)
	require.EqualValues(t, 1, w.nodes[0].core.View())
	require.Zero(t, w.suspected(CauseSlow))
}

// One that is as much slower as the cluster is, with more to do, is not.
func TestLoadedPrimaryIsNotSlow(t *testing.T) {
	for _, loaded := range []bool{false, true} {
		w := newSlowWorldOf(6, 80)
		w.run(400, nil)
		w.next(t)
		w.delay = 19
		var late lateVotes
		keep := late.keep(w.world)
		if !loaded {
			keep = nil
		}
		w.run(4000, keep)
		if loaded {
			require.Zero(t, w.suspected(CauseSlow))
			require.EqualValues(t, 1, w.nodes[1].core.View())
			require.NotZero(t, w.nodes[1].core.timers.pace.took)
		} else {
			require.Positive(t, w.suspected(CauseSlow))
		}
	}
}

// next makes everybody leave the view, as when a reign ends.
func (w *slowWorld) next(t *testing.T) {
	view := w.nodes[0].core.View() + 1
	for _, n := range w.nodes {
		if !n.core.isPrimary() {
			require.GreaterOrEqual(t, n.core.timers.pace.turns, uint64(fewTurns))
		}
		var out Output
		n.core.suspect(CauseRotation, &out)
		n.perform(&out)
	}
	w.run(4, nil)
	for _, n := range w.nodes {
		require.Equal(t, view, n.core.View())
		require.True(t, n.core.Open())
	}
}

// lateVotes hold every vote up for a tick.
type lateVotes struct {
	held, due []packet
	passed    map[lateVote]bool
}

type lateVote struct {
	data *byte
	to   ReplicaID
}

// keep is for world.run; what it takes out comes back after the next tick.
func (l *lateVotes) keep(w *world) func(packet) bool {
	l.passed = make(map[lateVote]bool)
	after := w.afterTick
	w.afterTick = func() {
		for _, p := range l.due {
			l.passed[lateVote{&p.data[0], p.to}] = true
		}
		w.queue = append(w.queue, l.due...)
		l.held, l.due = nil, l.held
		after()
	}
	return func(p packet) bool {
		if p.kind != KindVote || l.passed[lateVote{&p.data[0], p.to}] {
			return true
		}
		l.held = append(l.held, p)
		return false
	}
}
