package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
)

// submitter is what the loader needs of a client.
type submitter interface {
	Do(ctx context.Context, op []byte) (client.Answer, error)
	Receipt(ctx context.Context, ref client.Ref, op []byte) (*receipt.Receipt, error)
}

// loader puts records, many at once. Records with the same key are put one after
// another in the order of the file.
type loader struct {
	client      submitter
	concurrency int
	// wanted says of which records (by position) the receipt is kept.
	wanted map[int]bool
	// keep stores a receipt.
	keep func(r *record, proof *receipt.Receipt) error
	now  func() time.Time

	mu       sync.Mutex
	free     sync.Cond
	busy     map[string]bool // keys under way
	done     int
	receipts int
	again    int // submitted anew after it was certain that nothing ran
	last     time.Time
	pause    time.Duration // the longest between two completions
	pauseAt  int           // records done before it
	failures []recordError
	noProof  []recordError // loaded, but without the receipt that was wanted
	unknown  int
}

// recordError is a record that could not be loaded, or not for certain.
type recordError struct {
	record *record
	err    error
}

func (e *recordError) Error() string {
	return fmt.Sprintf("line %d (key %s): %s", e.record.line, text(e.record.key), plain(e.err.Error()))
}

// maxFailures is after how many failed records loading stops.
const maxFailures = 100

// progress is how far the loader has come.
type progress struct{ done, receipts, failed int }

func (l *loader) progress() progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	return progress{l.done, l.receipts, len(l.failures)}
}

// run loads all records, or stops early when ctx ends or too many have failed.
func (l *loader) run(ctx context.Context, records []record) {
	l.free.L = &l.mu
	l.busy = make(map[string]bool)
	if l.now == nil {
		l.now = time.Now
	}
	l.last = l.now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.free.Broadcast()
	})
	defer stop()
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(l.concurrency, len(records)) {
		workers.Go(func() {
			for i := range next {
				l.load(ctx, i, &records[i])
			}
		})
	}
	for i := range records {
		if !l.reserve(ctx, records[i].key) {
			break
		}
		next <- i
	}
	close(next)
	workers.Wait()
}

// reserve waits until no other record of the key is under way.
func (l *loader) reserve(ctx context.Context, key []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.busy[string(key)] && ctx.Err() == nil && len(l.failures) < maxFailures {
		l.free.Wait()
	}
	if ctx.Err() != nil || len(l.failures) >= maxFailures {
		return false
	}
	l.busy[string(key)] = true
	return true
}

func (l *loader) load(ctx context.Context, i int, r *record) {
	op := kv.Put(r.key, r.value)
	a, err := l.put(ctx, op)
	l.finished(r, err)
	if err != nil || !l.wanted[i] {
		return
	}
	proof, err := l.client.Receipt(ctx, a.Ref, op)
	if err == nil {
		err = l.keep(r, proof)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.noProof = append(l.noProof, recordError{r, fmt.Errorf("it is loaded, only its receipt could not be had: %w", err)})
		return
	}
	l.receipts++
}

// put submits until the outcome is known or ctx ends. The client repeats the very
// same request as long as its outcome is open; a new one is made only after it is
// certain that the old one did not run and never will.
func (l *loader) put(ctx context.Context, op []byte) (client.Answer, error) {
	for {
		a, err := l.client.Do(ctx, op)
		if err == nil {
			r, derr := kv.DecodeResult(a.Result)
			if derr != nil {
				return a, derr
			}
			return a, r.Err()
		}
		never := errors.Is(err, client.ErrExpired) || errors.Is(err, client.ErrOverloaded) && !errors.Is(err, client.ErrOutcomeUnknown)
		var rejected *client.RejectedError
		if errors.As(err, &rejected) && rejected.Status == statemachine.Expired {
			never = true
		}
		if !never || ctx.Err() != nil {
			return a, err
		}
		l.mu.Lock()
		l.again++
		l.mu.Unlock()
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (l *loader) finished(r *record, err error) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.busy, string(r.key))
	l.free.Broadcast()
	if err != nil {
		l.failures = append(l.failures, recordError{r, err})
		if errors.Is(err, client.ErrOutcomeUnknown) {
			l.unknown++
		}
		return
	}
	if d := now.Sub(l.last); d > l.pause {
		l.pause, l.pauseAt = d, l.done
	}
	l.last = now
	l.done++
}
