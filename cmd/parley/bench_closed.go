package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/statemachine"
)

// submitClient is what a benchmark needs of a connection.
type submitClient interface {
	Submit(ctx context.Context, op []byte) (statemachine.Result, error)
}

// closedLoop is clients that wait for each result before their next operation.
// Client i has connection i modulo their number.
type closedLoop struct {
	connections []submitClient
	clients     int
	keys        int
	value       []byte
	timeout     time.Duration
	window      benchWindow
}

// run returns when every client has its last result. done counts operations from the
// beginning on.
func (l *closedLoop) run(ctx context.Context, done *atomic.Int64) *benchTally {
	ends := newDeadlines(ctx, l.timeout)
	defer ends.close()
	all := newTallies(l.clients)
	var wg sync.WaitGroup
	for i := range l.clients {
		wg.Go(func() { l.client(ctx, i, ends, all.of(i), done) })
	}
	wg.Wait()
	return all.sum()
}

func (l *closedLoop) client(ctx context.Context, i int, ends *deadlines, tally *benchTally, done *atomic.Int64) {
	connection, put := l.connections[i%len(l.connections)], newPuts(l.value)
	for k := i * l.keys / l.clients; ; k++ {
		begin := time.Now()
		if ctx.Err() != nil || !begin.Before(l.window.until) {
			return
		}
		_, err := connection.Submit(ends.at(begin), put.under(k%l.keys))
		end := time.Now()
		switch {
		case err == nil:
			done.Add(1)
			if l.window.contains(end) {
				tally.mu.Lock()
				tally.ended++
				observe(tally.latency, end.Sub(begin))
				tally.mu.Unlock()
			}
		case ctx.Err() == nil:
			tally.mu.Lock()
			tally.failures.add(err)
			tally.mu.Unlock()
			if !pauseAfterFailure(ctx, err) {
				return
			}
		}
	}
}

// pauseAfterFailure keeps a loop whose operations are turned down at once from doing
// nothing else than asking: it comes back when it was told to, and else a millisecond
// later. It returns false if ctx has ended.
func pauseAfterFailure(ctx context.Context, err error) bool {
	pause := time.Millisecond
	var overloaded *client.OverloadedError
	if errors.As(err, &overloaded) {
		pause = max(pause, overloaded.RetryAfter)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
