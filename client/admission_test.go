package client

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// queued plays a client in virtual time against a cluster that serves one operation after
// the other. Each takes as long as the cluster needs for one, and base beside that.
type queued struct {
	admission admission
	now       time.Time
	each      time.Duration
	base      time.Duration
	stopped   time.Time // until then nothing is served
	free      time.Time // when the server is
	sent      int       // so many are sent at most, the others can still be taken back
	random    *rand.Rand

	open    []time.Time // when those came that have no outcome
	refused int
	took    []time.Duration
}

func newQueued(each time.Duration) *queued {
	return &queued{
		admission: admission{most: 500 * time.Millisecond, few: fewAtLeast}, now: time.Unix(1000, 0),
		each: each, base: 5 * time.Millisecond, sent: 1 << 20, random: rand.New(rand.NewPCG(1, 2)),
	}
}

// submit asks for an operation and tells whether it was admitted.
func (q *queued) submit() bool {
	if !q.admission.admits(q.now, len(q.open)) {
		q.refused++
		return false
	}
	q.open = append(q.open, q.now)
	return true
}

// answer passes on what has ended by now, in lots as blocks bring them.
func (q *queued) answer() (n int) {
	var oldest time.Duration
	for len(q.open) > 0 {
		end := q.open[0]
		for _, t := range []time.Time{q.free, q.stopped} {
			if t.After(end) {
				end = t
			}
		}
		if end = end.Add(q.each); end.Add(q.base).After(q.now) {
			break
		}
		took := q.now.Sub(q.open[0])
		oldest = max(oldest, took)
		q.took = append(q.took, took)
		q.free, q.open = end, q.open[1:]
		n++
	}
	if n > 0 {
		q.admission.outcome(q.now, oldest, n, len(q.open))
		back := min(q.admission.excess(len(q.open)), max(0, len(q.open)-q.sent))
		q.open = q.open[:len(q.open)-back]
		q.refused += back
	}
	return n
}

// tick is how often outcomes come.
const tick = time.Millisecond

// openLoop lets operations come at a rate, whatever becomes of them.
func (q *queued) openLoop(d time.Duration, perSecond float64) {
	due := q.now
	for end := q.now.Add(d); q.now.Before(end); {
		q.now = q.now.Add(tick)
		q.answer()
		for ; due.Before(q.now); due = due.Add(time.Duration(q.random.ExpFloat64() / perSecond * float64(time.Second))) {
			q.submit()
		}
	}
}

// closedLoop lets callers ask again when they are answered; who is refused comes back a
// little later.
func (q *queued) closedLoop(d time.Duration, callers int) {
	idle := callers - len(q.open)
	for end := q.now.Add(d); q.now.Before(end); q.now = q.now.Add(tick) {
		before := q.refused
		idle += q.answer() + q.refused - before
		for range idle {
			if q.submit() {
				idle--
			}
		}
	}
}

// forget starts the record anew.
func (q *queued) forget() { q.took, q.refused = nil, 0 }

func (q *queued) longest() time.Duration { return slices.Max(q.took) }

// Asked for twice as much as the cluster does, a client waits for a bounded time, and the
// cluster is busy all the same.
func TestAdmissionBoundsQueueing(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	for _, perSecond := range []int{30, 1000, 20_000} {
		q := newQueued(time.Second / time.Duration(perSecond))
		q.openLoop(5*time.Second, 2*float64(perSecond))
		require.Less(t, q.longest(), 1500*time.Millisecond, "%d/s: until it is noticed", perSecond)
		q.forget()
		q.openLoop(20*time.Second, 2*float64(perSecond))
		require.Less(t, q.longest(), 650*time.Millisecond, "%d/s", perSecond)
		require.Greater(t, len(q.took), 20*perSecond*98/100, "%d/s", perSecond)
		require.InDelta(t, 20*perSecond, q.refused, float64(4*perSecond), "%d/s: the other half", perSecond)
		// And when it is asked for less, nothing is refused.
		q.openLoop(3*time.Second, 0.8*float64(perSecond))
		q.forget()
		q.openLoop(10*time.Second, 0.8*float64(perSecond))
		require.Zero(t, q.refused, "%d/s", perSecond)
		require.Zero(t, q.admission.limit, "%d/s", perSecond)
	}
}

// The limit follows the cluster, up and down. What was not sent before it was noticed is
// taken back, however much that is.
func TestAdmissionFollowsTheCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	q := newQueued(time.Millisecond)
	q.sent = 1000
	q.openLoop(10*time.Second, 40_000)
	require.Less(t, q.longest(), 2200*time.Millisecond)
	for _, perSecond := range []int{10_000, 2000, 5000} {
		q.each = time.Second / time.Duration(perSecond)
		q.openLoop(10*time.Second, 40_000)
		q.forget()
		q.openLoop(10*time.Second, 40_000)
		require.Less(t, q.longest(), 650*time.Millisecond, perSecond)
		require.Greater(t, len(q.took), 10*perSecond*98/100, perSecond)
	}
}

// Callers who wait for their outcomes are never refused as long as these come in time,
// however many they are; nor is a burst.
func TestAdmissionLeavesClosedLoopsAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	q := newQueued(50 * time.Microsecond)
	for _, callers := range []int{1, 64, 1024, 8192} { // the last ones wait for 410 ms
		q.closedLoop(10*time.Second, callers)
		require.Zero(t, q.refused, callers)
		require.Zero(t, q.admission.limit, callers)
	}
	q = newQueued(50 * time.Microsecond)
	q.closedLoop(time.Second, 64)
	for range 8000 {
		require.True(t, q.submit())
	}
	q.openLoop(time.Second, 10)
	require.Zero(t, q.refused)
}

// A pause of several times what outcomes may take is no overload.
func TestAdmissionSurvivesPauses(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	for _, pause := range []time.Duration{300 * time.Millisecond, time.Second, 10 * time.Second} {
		q := newQueued(50 * time.Microsecond)
		for range 5 {
			q.closedLoop(700*time.Millisecond, 1024)
			q.stopped = q.now.Add(pause)
			q.closedLoop(pause, 1024)
		}
		q.closedLoop(time.Second, 1024)
		require.Zero(t, q.refused, pause)
	}
}

// A pause under overload costs half of the limit at most, and what is answered together
// after it no more than doubles it.
func TestAdmissionPauseWhileLimited(t *testing.T) {
	q := newQueued(time.Millisecond)
	q.openLoop(10*time.Second, 2000)
	limit := q.admission.limit
	require.InDelta(t, 505, limit, 30)
	q.stopped = q.now.Add(10 * time.Second)
	q.openLoop(10*time.Second+20*time.Millisecond, 2000)
	require.GreaterOrEqual(t, q.admission.limit, limit/2)
	q.admission.pressed = true
	q.admission.outcome(q.now.Add(time.Second), time.Second, 100_000, 10)
	require.LessOrEqual(t, q.admission.limit, 2*limit)
}

// Far away is not slow: what an outcome takes at least is not held against the cluster.
func TestAdmissionOverLongLinks(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	q := newQueued(50 * time.Microsecond)
	q.base = 3 * time.Second
	q.openLoop(30*time.Second, 10_000)
	require.Zero(t, q.refused)
	q.openLoop(20*time.Second, 40_000)
	q.forget()
	q.openLoop(20*time.Second, 40_000)
	require.Less(t, q.longest(), 4*time.Second)
	require.Greater(t, len(q.took), 20*20_000*98/100)

	// But a cluster that moves away becomes what it is.
	q = newQueued(50 * time.Microsecond)
	q.openLoop(time.Second, 10_000)
	q.base = 700 * time.Millisecond
	for range 12 {
		q.openLoop(time.Second, 100)
		q.now = q.now.Add(time.Second)
		q.answer()
		q.now = q.now.Add(time.Hour)
	}
	q.openLoop(5*time.Second, 10_000)
	q.forget()
	q.openLoop(5*time.Second, 10_000)
	require.Zero(t, q.refused)
}

// A few operations are always admitted, and one that nobody is ahead of at any rate.
func TestAdmissionAtLeast(t *testing.T) {
	q := newQueued(5 * time.Millisecond)
	q.closedLoop(time.Second, 1)
	q.each = time.Second
	q.closedLoop(60*time.Second, fewAtLeast)
	require.Zero(t, q.refused)
	q.closedLoop(60*time.Second, fewAtLeast+1)
	require.NotZero(t, q.refused, "the others take too long")
	require.Equal(t, fewAtLeast, q.admission.limit)

	// What was measured is forgotten with the last outcome.
	q.now = q.now.Add(time.Minute)
	require.Equal(t, fewAtLeast, q.answer())
	q.now = q.now.Add(q.admission.bound() + 1)
	for range 1000 {
		require.True(t, q.submit())
	}
}

// Who is alone may have many at any rate, and a gateway's clients a part of them each.
func TestAdmissionOfFew(t *testing.T) {
	for clients, few := range map[int]int{0: 64, 1: 64, 16: 64, 17: 60, 128: 8, 256: 4, 4096: 4} {
		require.Equal(t, few, fewOf(clients), clients)
	}
	q := newQueued(time.Second)
	q.admission.few = fewAtMost
	q.closedLoop(300*time.Second, fewAtMost)
	require.Zero(t, q.refused)
	require.NotEmpty(t, q.took)
}

// A clock that is set back makes nothing late, and ends no limit.
func TestAdmissionClockSetBack(t *testing.T) {
	q := newQueued(time.Millisecond)
	q.openLoop(10*time.Second, 2000)
	limit := q.admission.limit
	require.NotZero(t, limit)
	back := q.now.Add(-time.Hour)
	q.admission.outcome(back, -time.Hour, 1, 0)
	require.Equal(t, limit, q.admission.limit)
	require.EqualValues(t, 1, q.admission.least)
	for i := range 600 {
		q.admission.pressed = true
		q.admission.outcome(back.Add(time.Duration(i)*time.Millisecond), 600*time.Millisecond, 1, 0)
	}
	require.InDelta(t, limit, q.admission.limit, 10)
}
