// Package load asks a cluster for operations, in a closed or an open loop, and tells
// what came of it in any stretch of time.
package load

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Op is one operation of one client, from its call to its result.
type Op func(ctx context.Context) error

// Loop is a load under way.
type Loop struct {
	parts   []part
	cancel  context.CancelFunc
	running sync.WaitGroup
	pending atomic.Int64 // of an open loop
	late    atomic.Int64 // how far an open loop was behind its plan at most, ns
}

// part is the results of some of the operations.
type part struct {
	mu      sync.Mutex
	samples []sample
	failed  []time.Time
	first   error
}

type sample struct {
	end  time.Time
	took time.Duration
}

func (p *part) add(begin, end time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if p.first == nil {
			p.first = err
		}
		p.failed = append(p.failed, end)
		return
	}
	p.samples = append(p.samples, sample{end, end.Sub(begin)})
}

// failurePause keeps a client whose operations fail at once from doing nothing else.
const failurePause = 10 * time.Millisecond

// Closed starts a closed loop: each operation is asked for again when it has ended.
func Closed(parent context.Context, ops []Op) *Loop {
	ctx, cancel := context.WithCancel(parent)
	l := &Loop{parts: make([]part, len(ops)), cancel: cancel}
	for i, op := range ops {
		l.running.Go(func() {
			for ctx.Err() == nil {
				begin := time.Now()
				err := op(ctx)
				if ctx.Err() != nil {
					return
				}
				l.parts[i].add(begin, time.Now(), err)
				if err != nil {
					pause(ctx, failurePause)
				}
			}
		})
	}
	return l
}

// maxPending bounds what an open loop has under way; what is due beyond that fails.
const maxPending = 200_000

// Open starts an open loop: so many operations a second, at random times, whatever
// becomes of those before. Their time counts from when they were due.
func Open(parent context.Context, ops []Op, rate float64) *Loop {
	ctx, cancel := context.WithCancel(parent)
	l := &Loop{parts: make([]part, min(len(ops), 64)), cancel: cancel}
	gap := func() time.Duration { return time.Duration(rand.ExpFloat64() / rate * float64(time.Second)) }
	l.running.Go(func() {
		for i, due := 0, time.Now().Add(gap()); ctx.Err() == nil; {
			now := time.Now()
			if wait := due.Sub(now); wait > 0 {
				pause(ctx, wait)
				continue
			}
			l.late.Store(max(l.late.Load(), int64(now.Sub(due))))
			l.start(ctx, ops[i%len(ops)], &l.parts[i%len(l.parts)], due)
			i++
			due = due.Add(gap())
		}
	})
	return l
}

func (l *Loop) start(ctx context.Context, op Op, p *part, due time.Time) {
	if l.pending.Load() >= maxPending {
		p.add(due, due, errTooMany)
		return
	}
	l.pending.Add(1)
	l.running.Go(func() {
		err := op(ctx)
		l.pending.Add(-1)
		if ctx.Err() == nil {
			p.add(due, time.Now(), err)
		}
	})
}

type tooMany struct{}

func (tooMany) Error() string { return "too many operations are under way" }

var errTooMany = tooMany{}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Stop ends the load. It waits for the operations under way, not for ever.
func (l *Loop) Stop() {
	l.cancel()
	ended := make(chan struct{})
	go func() {
		l.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second): // a client library that does not look at its context
	}
}

// Stats are what came of a load in a stretch of time. Times are in milliseconds.
type Stats struct {
	Operations int     `json:"operations"`
	PerSecond  float64 `json:"perSecond"`
	P50        float64 `json:"p50Millis"`
	P99        float64 `json:"p99Millis"`
	Max        float64 `json:"maxMillis"`
	Errors     int     `json:"errors"`
	FirstError string  `json:"firstError,omitempty"`
	Late       float64 `json:"lateMillis,omitempty"`
}

// Window summarises what ended from one time until another.
func (l *Loop) Window(from, until time.Time) Stats {
	var took []time.Duration
	s := Stats{Late: millis(time.Duration(l.late.Load()))}
	for i := range l.parts {
		p := &l.parts[i]
		p.mu.Lock()
		for _, x := range p.samples {
			if !x.end.Before(from) && x.end.Before(until) {
				took = append(took, x.took)
			}
		}
		for _, t := range p.failed {
			if !t.Before(from) && t.Before(until) {
				s.Errors++
			}
		}
		if p.first != nil && s.FirstError == "" {
			s.FirstError = p.first.Error()
		}
		p.mu.Unlock()
	}
	slices.Sort(took)
	s.Operations = len(took)
	s.PerSecond = float64(len(took)) / until.Sub(from).Seconds()
	if n := len(took); n > 0 {
		s.P50, s.P99, s.Max = millis(took[n/2]), millis(took[n*99/100]), millis(took[n-1])
	}
	return s
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// LongestPause is the longest time without any result between two times.
func (l *Loop) LongestPause(from, until time.Time) time.Duration {
	var ends []time.Time
	for i := range l.parts {
		p := &l.parts[i]
		p.mu.Lock()
		for _, x := range p.samples {
			if x.end.After(from) && x.end.Before(until) {
				ends = append(ends, x.end)
			}
		}
		p.mu.Unlock()
	}
	slices.SortFunc(ends, time.Time.Compare)
	longest, last := time.Duration(0), from
	for _, t := range append(ends, until) {
		longest = max(longest, t.Sub(last))
		last = t
	}
	return longest
}
