package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/client"
)

// sweep measures every point, each as often as it should be: in rounds over all
// points, so that what changes with time does not meet one of them alone.
func (b *bench) sweep(cmd *cobra.Command, pool *benchPool) ([]*benchResult, error) {
	runs := make([][]*benchResult, len(b.points))
	for round := range b.runs {
		for i, p := range b.points {
			connections, err := pool.get(cmd.Context(), b.identitiesFor(p))
			if err != nil {
				return nil, err
			}
			if len(b.points)*b.runs > 1 {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s, run %d of %d\n", p, round+1, b.runs)
			}
			r, err := b.measure(cmd, p, connections, b.replicaPIDs(pool.roster.N()))
			if err != nil {
				return nil, err
			}
			runs[i] = append(runs[i], r)
		}
	}
	results := make([]*benchResult, len(runs))
	for i := range runs {
		results[i] = medianOf(runs[i])
	}
	return results, nil
}

func (p benchPoint) String() string {
	if p.open() {
		return fmt.Sprintf("%v operations/s", p.rate)
	}
	return fmt.Sprintf("%d clients", p.clients)
}

// measure is one run of one point.
func (b *bench) measure(cmd *cobra.Command, p benchPoint, connections []*client.Client, pids []int) (*benchResult, error) {
	value := make([]byte, b.size)
	if _, err := rand.Read(value); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	begin := time.Now()
	window := benchWindow{from: begin.Add(seconds(b.warmup))}
	window.until = window.from.Add(seconds(b.seconds))
	r := &benchResult{
		Mode: "closed", Clients: p.clients, Rate: p.rate, Connections: len(connections), Transports: min(b.transports, len(connections)),
		ValueBytes: b.size, OperationBytes: b.size + operationOverhead, Seconds: b.seconds,
	}

	var usage func(int64) *benchUsage
	metered := make(chan struct{})
	go func() {
		defer close(metered)
		meter := newUsageMeter(pids)
		if !sleepUntil(ctx, window.from) {
			return
		}
		meter.begin()
		if sleepUntil(ctx, window.until) {
			usage = meter.end()
		}
	}()
	submitters := make([]submitClient, len(connections))
	for i, c := range connections {
		submitters[i] = c
	}
	before := sumStats(connections)
	var done atomic.Int64
	finished := make(chan struct{})
	var tally *benchTally
	go func() {
		defer close(finished)
		if !p.open() {
			loop := closedLoop{submitters, p.clients, b.keys, value, b.timeout, window}
			tally = loop.run(ctx, &done)
			return
		}
		loop := openLoop{submitters, p.rate, b.arrivals == "even", b.keys, value, b.timeout, begin, window}
		t := loop.run(ctx, &done)
		tally = t.benchTally
		r.Mode, r.Offered, r.LateMillis = "open", t.offered, float64(t.late.Microseconds())/1000
	}()
	showBenchProgress(cmd.ErrOrStderr(), window.from, window.until, finished, done.Load)
	if interrupted(cmd.Context()) {
		return nil, cmd.Context().Err()
	}
	<-metered
	after := sumStats(connections)
	r.Operations, r.PerSecond, r.Millis = tally.ended, float64(tally.ended)/b.seconds, millis(tally.latency)
	f := &tally.failures
	r.Errors, r.Unknown, r.Overloaded, r.FirstError = f.errors, f.unknown, f.overloaded, f.first
	r.Retries, r.Refusals = after.Retries-before.Retries, after.Refusals-before.Refusals
	if n := after.Requests - before.Requests; n > 0 {
		r.Sharing = float64(after.Operations-before.Operations) / float64(n)
	}
	r.Usage = usage(r.Operations)
	return r, nil
}

// sleepUntil returns false if ctx ends first.
func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// sumStats adds up what the connections have counted.
func sumStats(connections []*client.Client) (s client.Stats) {
	for _, c := range connections {
		one := c.Stats()
		s.Requests += one.Requests
		s.Operations += one.Operations
		s.Retries += one.Retries
		s.Refusals += one.Refusals
	}
	return s
}
