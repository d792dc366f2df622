package client

import "time"

// admission decides how many operations may be without an outcome at once, so that an
// operation waits for others no longer than Config.MaxQueueing: what would is refused at
// once, before anybody has seen it.
//
// While outcomes come in time there is no limit. With the first late one, there may be no
// more without an outcome than there are. When none is in time for as long as one may
// take, this client asks for more than it gets. The limit is then what it gets in that
// time, since what is under way is throughput times delay (Little's law), and follows
// that: at most twice or half as much from one such time to the next, and twice if nothing
// waits. It goes when for so long less than half of it was asked for.
//
// What an outcome takes at least, over long links for instance, is no queueing: it is the
// least that was seen, forgotten by and by. A pause, as when a primary dies, is no reason
// either: what is submitted after it is in time, and ends the suspicion. While no
// outcome comes at all nothing is learned, and MaxWaiting is what bounds. And a few
// operations at once are not what makes a cluster slow: they are always admitted.
type admission struct {
	most  time.Duration // Config.MaxQueueing
	few   int           // operations that are always admitted
	least time.Duration // that an outcome took; 0 if not known
	last  time.Time     // of the last outcome

	limit  int // 0: none
	freeze int // the same from the first late outcome on, until it is known what to do about it
	// since is when counting began: with the first late outcome in a row (zero if the last
	// one was in time), or with the limit as it is.
	since   time.Time
	ended   int           // operations that had their outcome after that
	longest time.Duration // that one took
	pressed bool          // the limit was in the way, or half of it was reached
}

const (
	// fewAtMost operations at once are few, and fewTogether those of all clients that share
	// a Transport, but fewAtLeast of each.
	fewAtMost   = 64
	fewTogether = 1024
	fewAtLeast  = 4
	// leastForgottenIn is when the least that was seen counts twice as much.
	leastForgottenIn = time.Hour
)

// fewOf is how many each of so many clients on one Transport may have at any rate.
func fewOf(clients int) int { return min(max(fewTogether/max(clients, 1), fewAtLeast), fewAtMost) }

// bound is how long an outcome may take.
func (a *admission) bound() time.Duration { return a.least + a.most }

// admits tells whether one more operation may be submitted while so many have no outcome.
func (a *admission) admits(now time.Time, without int) bool {
	switch {
	case a.limit == 0 && a.freeze == 0:
		return true
	case without == 0 && now.Sub(a.last) > a.bound(): // what was measured is long ago
		a.lift()
		return true
	case a.limit == 0:
		return without < a.freeze
	}
	a.pressed = a.pressed || without >= a.limit/2
	return without < a.limit
}

// excess is how many of those without an outcome are too many.
func (a *admission) excess(without int) int {
	if a.limit == 0 {
		return 0
	}
	return max(0, without-a.limit)
}

func (a *admission) lift() { a.limit, a.freeze, a.since = 0, 0, time.Time{} }

// outcome notes that n operations had their outcome together, how long the oldest of
// them took since it was submitted, and how many have none yet.
func (a *admission) outcome(now time.Time, took time.Duration, n, without int) {
	took = max(took, 1) // a clock may be set back
	if quiet := min(now.Sub(a.last), leastForgottenIn); quiet > 0 {
		a.least += time.Duration(float64(a.least) * float64(quiet) / float64(leastForgottenIn))
	}
	if a.last = now; a.least == 0 || took < a.least {
		a.least = took
	}
	late := took > a.bound()
	switch {
	case a.limit == 0 && !late:
		a.lift()
		return
	case a.since.IsZero():
		a.freeze = max(n+without, a.few)
		fallthrough
	case now.Before(a.since):
		a.count(now)
		return
	}
	a.ended += n
	a.longest = max(a.longest, took)
	if now.Sub(a.since) < a.bound() {
		return
	}
	if a.limit > 0 && !a.pressed {
		a.lift()
		return
	}
	got := int(float64(a.ended) * float64(a.bound()) / float64(now.Sub(a.since)))
	if a.limit > 0 {
		got = min(max(got, a.limit/2), 2*a.limit)
		if a.longest <= a.least+a.most/2 {
			got = 2 * a.limit
		}
	}
	a.limit, a.freeze = max(got, a.few), 0
	a.count(now)
}

// count begins to count.
func (a *admission) count(now time.Time) { a.since, a.ended, a.longest, a.pressed = now, 0, 0, false }

// retryAfter is about when half of what is ahead has had its outcome.
func (a *admission) retryAfter() time.Duration { return a.bound() / 2 }
