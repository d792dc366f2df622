package main

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/parley-bft/parley/statemachine/kv"
)

// benchWindow is the time of a measurement.
type benchWindow struct{ from, until time.Time }

func (w benchWindow) contains(t time.Time) bool { return !t.Before(w.from) && t.Before(w.until) }

// newLatencies returns a histogram of microseconds, up to ten minutes, to three
// digits.
func newLatencies() *hdrhistogram.Histogram { return hdrhistogram.New(1, 600_000_000, 3) }

// observe counts an operation that took this long.
func observe(h *hdrhistogram.Histogram, took time.Duration) {
	_ = h.RecordValue(min(max(1, took.Microseconds()), h.HighestTrackableValue()))
}

// benchTally is what came of a part of the operations.
type benchTally struct {
	mu       sync.Mutex
	ended    int64 // answered within the window
	latency  *hdrhistogram.Histogram
	failures benchFailures
}

// tallies are several, so that the clients do not wait for one another.
type tallies []benchTally

func newTallies(n int) tallies {
	t := make(tallies, min(n, 16))
	for i := range t {
		t[i].latency = newLatencies()
	}
	return t
}

func (t tallies) of(i int) *benchTally { return &t[i%len(t)] }

// sum puts them together.
func (t tallies) sum() *benchTally {
	all := &benchTally{latency: newLatencies()}
	for i := range t {
		t[i].mu.Lock()
		all.ended += t[i].ended
		all.latency.Merge(t[i].latency)
		all.failures.merge(&t[i].failures)
		t[i].mu.Unlock()
	}
	return all
}

// deadlines gives operations a context that ends after timeout, or up to a quarter
// later: those that begin at about the same time share it, since a timer for each
// would cost more than some operations do.
type deadlines struct {
	parent  context.Context
	timeout time.Duration

	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
	old    []context.CancelFunc
	until  time.Time // when the next one is due
}

func newDeadlines(parent context.Context, timeout time.Duration) *deadlines {
	return &deadlines{parent: parent, timeout: timeout}
}

// at returns the context for an operation that begins now.
func (d *deadlines) at(now time.Time) context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx == nil || !now.Before(d.until) {
		if d.cancel != nil {
			d.old = append(d.old, d.cancel)
		}
		d.until = now.Add(d.timeout / 4)
		d.ctx, d.cancel = context.WithDeadline(d.parent, d.until.Add(d.timeout))
		for len(d.old) > 6 { // their time has passed
			d.old[0]()
			d.old = d.old[1:]
		}
	}
	return d.ctx
}

// close ends all of them.
func (d *deadlines) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range append(d.old, d.cancel) {
		if c != nil {
			c()
		}
	}
}

const (
	keyDigits    = 7
	maxBenchKeys = 10_000_000
	benchPrefix  = "bench/"
	// operationOverhead is what a put has beside its value: kind, two lengths, key.
	operationOverhead = 1 + 4 + 4 + len(benchPrefix) + keyDigits
)

// putOperation is the put of value under the i-th key. All of them are equally long.
func putOperation(i int, value []byte) []byte { return newPuts(value).under(i) }

// puts are the puts of a value, made one after the other in the same place: what
// measures shares the processors with what is measured.
type puts struct {
	op  []byte
	key []byte // its digits, in op
}

func newPuts(value []byte) *puts {
	prefix := []byte(benchPrefix)
	op := kv.Put(append(prefix, make([]byte, keyDigits)...), value)
	at := bytes.Index(op, prefix) + len(prefix)
	return &puts{op, op[at : at+keyDigits]}
}

// under returns the put under the i-th key. It is good until the next one.
func (p *puts) under(i int) []byte {
	for d := keyDigits - 1; d >= 0; d-- {
		p.key[d] = byte('0' + i%10)
		i /= 10
	}
	return p.op
}
