package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// openLoop is operations that arrive at a rate, whatever becomes of those before
// them. They take the connections in turn.
type openLoop struct {
	connections []submitClient
	rate        float64 // operations a second
	even        bool    // equal pauses; else those of a Poisson process
	keys        int
	value       []byte
	timeout     time.Duration
	begin       time.Time // of the warm-up
	window      benchWindow
}

// openTally is what came of an open loop.
type openTally struct {
	*benchTally
	offered int64         // due within the window
	late    time.Duration // how far this program was behind its own plan, at most
}

// gap is the time to the next arrival.
func (l *openLoop) gap() time.Duration {
	mean := float64(time.Second) / l.rate
	if l.even {
		return time.Duration(mean)
	}
	return time.Duration(mean * rand.ExpFloat64())
}

// run returns when every operation has an outcome. Latency is from when an operation
// was due, of all that were due within the window.
func (l *openLoop) run(ctx context.Context, done *atomic.Int64) *openTally {
	ends := newDeadlines(ctx, l.timeout)
	defer ends.close()
	all := newTallies(len(l.connections))
	t := &openTally{}
	var outcomes sync.WaitGroup
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	now := time.Now()
	for k, due := 0, l.begin.Add(l.gap()); due.Before(l.window.until) && ctx.Err() == nil; {
		if wait := due.Sub(now); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			now = time.Now()
			continue
		}
		if l.window.contains(due) {
			t.offered++
			t.late = max(t.late, now.Sub(due))
		}
		i := k % len(l.connections)
		one, op, planned := ends.at(now), putOperation(k%l.keys, l.value), due
		outcomes.Go(func() {
			_, err := l.connections[i].Submit(one, op)
			l.outcome(ctx, err, planned, all.of(i), done)
		})
		k++
		due = due.Add(l.gap())
		now = time.Now()
	}
	outcomes.Wait()
	t.benchTally = all.sum()
	return t
}

// outcome counts an operation that has ended.
func (l *openLoop) outcome(ctx context.Context, err error, due time.Time, tally *benchTally, done *atomic.Int64) {
	end := time.Now()
	if err == nil {
		done.Add(1)
	}
	tally.mu.Lock()
	defer tally.mu.Unlock()
	if err == nil && l.window.contains(end) {
		tally.ended++
	}
	if !l.window.contains(due) {
		return
	}
	switch {
	case err == nil:
		observe(tally.latency, end.Sub(due))
	case ctx.Err() == nil:
		tally.failures.add(err)
	}
}
