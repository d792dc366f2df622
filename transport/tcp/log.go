package peertcp

import (
	"sync"
	"time"
)

const (
	// repeatAfter is how often the same thing is logged again, distinctGap how soon
	// after a line another thing may be.
	repeatAfter = time.Minute
	distinctGap = 2 * time.Second
)

// quiet keeps a failure that repeats from filling the log. The zero value is
// ready.
type quiet struct {
	mu         sync.Mutex
	last       string
	at         time.Time
	suppressed int
}

// allow tells whether to log what now, and how often something was kept back
// since the last line.
func (q *quiet) allow(what string, now time.Time) (suppressed int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	gap := repeatAfter
	if what != q.last {
		gap = distinctGap
	}
	if suppressed, ok = q.after(gap, now); ok {
		q.last = what
	}
	return suppressed, ok
}

// allowEvery is allow with a gap that does not depend on what is logged.
func (q *quiet) allowEvery(gap time.Duration, now time.Time) (suppressed int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.after(gap, now)
}

func (q *quiet) after(gap time.Duration, now time.Time) (suppressed int, ok bool) {
	if !q.at.IsZero() && now.Sub(q.at) < gap {
		q.suppressed++
		return 0, false
	}
	suppressed, q.suppressed = q.suppressed, 0
	q.at = now
	return suppressed, true
}

// reset makes the next failure be logged whatever came before.
func (q *quiet) reset() {
	q.mu.Lock()
	q.at = time.Time{}
	q.mu.Unlock()
}
