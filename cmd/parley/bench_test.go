package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
)

// slowClient answers one operation at a time, each after the same time.
type slowClient struct {
	turn chan struct{} // not a mutex: time stands still in a bubble while one is waited for
	took time.Duration
	fail error
	seen [][]byte
}

func newSlowClient(took time.Duration) *slowClient {
	return &slowClient{turn: make(chan struct{}, 1), took: took}
}

func (c *slowClient) Submit(ctx context.Context, op []byte) (statemachine.Result, error) {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	c.seen = append(c.seen, slices.Clone(op))
	if c.fail != nil {
		return statemachine.Result{}, c.fail
	}
	select {
	case <-time.After(c.took):
	case <-ctx.Done():
	}
	return statemachine.Result{}, ctx.Err()
}

// advance lets so much of a bubble's time pass, and all that falls into it happen.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func benchWindowFrom(begin time.Time, warmup, length time.Duration) benchWindow {
	return benchWindow{begin.Add(warmup), begin.Add(warmup + length)}
}

// Two clients of one server of 10 ms have 100 operations a second together, and each
// waits for the other. What ends in the warm-up does not count.
func TestClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSlowClient(10 * time.Millisecond)
		var done atomic.Int64
		loop := closedLoop{[]submitClient{c}, 2, 100, make([]byte, 234), time.Minute, benchWindowFrom(time.Now(), time.Second, 2*time.Second)}
		tally := loop.run(t.Context(), &done)
		require.InDelta(t, 200, tally.ended, 1)
		require.InDelta(t, 20, millis(tally.latency)["p50"], 0.1)
		require.InDelta(t, 300, done.Load(), 3)
		require.Zero(t, tally.failures.errors)
		for _, op := range c.seen {
			require.Len(t, op, 256)
		}
	})
}

// A server of 20 ms that is asked 100 times a second serves half, and the time that
// the others wait shows: a closed loop would report 20 ms.
func TestOpenLoopCountsFromTheIntendedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSlowClient(20 * time.Millisecond)
		var done atomic.Int64
		begin := time.Now()
		loop := openLoop{[]submitClient{c}, 100, true, 1000, nil, time.Hour, begin, benchWindowFrom(begin, 0, 2*time.Second)}
		tally := loop.run(t.Context(), &done)
		require.EqualValues(t, 199, tally.offered)
		require.InDelta(t, 100, tally.ended, 1)
		require.EqualValues(t, 199, tally.latency.TotalCount())
		// The n-th ends 20 n ms after the beginning, and was due 10 n ms after it.
		require.InDelta(t, 1000, millis(tally.latency)["p50"], 15)
		require.InDelta(t, 1990, millis(tally.latency)["max"], 25)
		require.Less(t, tally.late, time.Millisecond)
	})
}

func TestOpenLoopPoisson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSlowClient(0)
		var done atomic.Int64
		begin := time.Now()
		loop := openLoop{[]submitClient{c, c}, 1000, false, 1000, nil, time.Hour, begin, benchWindowFrom(begin, time.Second, 10*time.Second)}
		tally := loop.run(t.Context(), &done)
		require.InDelta(t, 10_000, tally.offered, 600) // six standard deviations
		require.Equal(t, tally.offered, tally.ended)
	})
}

func TestLoopsCountFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := newSlowClient(0)
		full.fail = client.ErrOverloaded
		var done atomic.Int64
		begin := time.Now()
		open := openLoop{[]submitClient{full}, 100, true, 10, nil, time.Minute, begin, benchWindowFrom(begin, 0, time.Second)}
		tally := open.run(t.Context(), &done)
		require.EqualValues(t, 99, tally.failures.errors)
		require.Equal(t, map[string]int64{refusedByClient: 99}, tally.failures.overloaded)
		require.Zero(t, tally.latency.TotalCount())

		closed := closedLoop{[]submitClient{full}, 1, 10, nil, time.Minute, benchWindowFrom(time.Now(), 0, 100*time.Millisecond)}
		require.InDelta(t, 100, closed.run(t.Context(), &done).failures.errors, 1)
		require.Zero(t, done.Load())
	})
}

func TestRefuser(t *testing.T) {
	busy := func(r api.Reason) error {
		return &client.UnknownError{Reason: errors.Join(context.DeadlineExceeded, &client.RefusedError{Reason: r})}
	}
	require.Equal(t, refusedByClient, refuser(client.ErrOverloaded))
	require.Equal(t, refusedByClient, refuser(&client.OverloadedError{Waiting: 10}))
	require.Equal(t, refusedByDelay, refuser(&client.OverloadedError{Limit: 10}))
	require.Equal(t, refusedByReplicas, refuser(busy(api.Reason_REASON_BUSY)))
	require.Equal(t, refusedAsClient, refuser(busy(api.Reason_REASON_CLIENT_BUSY)))
	require.Equal(t, refusedAsSession, refuser(&client.RejectedError{Status: statemachine.Busy}))
	require.Empty(t, refuser(context.DeadlineExceeded))
	require.Equal(t, "2 by replicas, 1 by this client", refusals(map[string]int64{refusedByClient: 1, refusedByReplicas: 2}))
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeadlines(t.Context(), time.Second)
		defer d.close()
		for range 100 {
			ctx := d.at(time.Now())
			end, ok := ctx.Deadline()
			require.True(t, ok)
			require.GreaterOrEqual(t, time.Until(end), time.Second)
			require.LessOrEqual(t, time.Until(end), 1250*time.Millisecond)
			require.NoError(t, ctx.Err())
			advance(70 * time.Millisecond)
		}
		require.LessOrEqual(t, len(d.old), 6)
	})
}

func TestMedianOfRuns(t *testing.T) {
	run := func(rate, p50 float64, errors int64) *benchResult {
		return &benchResult{
			Mode: "closed", Clients: 4, PerSecond: rate, Operations: 10, Millis: map[string]float64{"p50": p50, "p99": 2 * p50},
			Errors: errors, Usage: &benchUsage{Processes: 4, CPUPerThousand: rate / 100, PeakMiB: rate},
		}
	}
	m := medianOf([]*benchResult{run(30, 1, 0), run(10, 3, 2), run(20, 2, 1)})
	require.Equal(t, 20.0, m.PerSecond)
	require.Equal(t, 2.0, m.Millis["p50"])
	require.Equal(t, &benchSpread{PerSecond: [2]float64{10, 30}, P50: [2]float64{1, 3}, P99: [2]float64{2, 6}}, m.Spread)
	require.EqualValues(t, 3, m.Errors)
	require.EqualValues(t, 30, m.Operations)
	require.Equal(t, &benchUsage{Processes: 4, CPUPerThousand: 0.2, PeakMiB: 30}, m.Usage)
	require.Len(t, m.Runs, 3)
	require.Equal(t, 15.0, medianOf([]*benchResult{run(10, 1, 0), run(20, 2, 1)}).PerSecond)

	var out strings.Builder
	require.NoError(t, (&bench{}).print(&out, []*benchResult{m}))
	require.Contains(t, out.String(), "medians of 3 runs")
	require.Contains(t, out.String(), "10..30")
	out.Reset()
	require.NoError(t, (&bench{json: true}).print(&out, []*benchResult{m, m}))
	lines := slices.Collect(strings.Lines(out.String()))
	require.Len(t, lines, 2)
	var back benchResult
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &back))
	require.Equal(t, m, &back)
}

func TestBenchFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--clients", "1,x"}, `--clients is "1,x"`},
		{[]string{"--clients", ""}, `--clients is ""`},
		{[]string{"--clients", "1,70000"}, "--clients is 70000: give 1 to 60000"},
		{[]string{"--rate", "fast"}, `--rate is "fast"`},
		{[]string{"--rate", "10,0"}, "--rate is 0"},
		{[]string{"--rate", "NaN"}, "--rate is NaN"},
		{[]string{"--rate", "10", "--clients", "1"}, "give one of them"},
		{[]string{"--rate", "10", "--identities", "distinct"}, "--connections"},
		{[]string{"--rate", "10", "--arrivals", "odd"}, `--arrivals is "odd"`},
		{[]string{"--arrivals", "even"}, "--rate"},
		{[]string{"--connections", "0"}, "--connections is 0"},
		{[]string{"--connections", "4000"}, "--connections is 4000: give 1 to 2048"},
		{[]string{"--connections", "4", "--identities", "distinct"}, "give one of them"},
		{[]string{"--transports", "-1"}, "--transports is -1: give 0 to 2048"},
		{[]string{"--runs", "0"}, "--runs is 0"},
		{[]string{"--size", "-1"}, "--size is -1"},
		{[]string{"--warmup", "-1"}, "--warmup is -1"},
		{[]string{"--keys", "0"}, "--keys is 0"},
		{[]string{"--pids", "1,a"}, `--pids is "1,a"`},
		{[]string{"--plot", "x.png"}, `--plot is "x.png"`},
	} {
		refused(t, exitUsage, append([]string{"bench", "--dir", t.TempDir()}, c.args...), c.want)
	}
}

func TestReplicaPIDs(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc here")
	}
	b := &bench{}
	b.dir = t.TempDir()
	require.NoError(t, os.Mkdir(replicaDir(b.dir, 0), 0o700))
	// This process runs, and is no replica.
	require.NoError(t, os.WriteFile(pidPath(b.dir, 0), []byte("1\n"), 0o600))
	require.Empty(t, b.replicaPIDs(2))
	b.pids = []int{os.Getpid()}
	require.Equal(t, b.pids, b.replicaPIDs(2))

	m := newUsageMeter(b.pids)
	m.begin()
	for begin := readUsage(b.pids).cpu; readUsage(b.pids).cpu < begin+3*clockTick; {
	}
	u := m.end()(1000)
	require.Equal(t, 1, u.Processes)
	require.GreaterOrEqual(t, u.CPUPerThousand, (2 * clockTick).Seconds())
	require.Positive(t, u.PeakMiB)
	require.Nil(t, newUsageMeter(nil).end()(10))
}

func TestBenchPlot(t *testing.T) {
	results := []*benchResult{
		{Mode: "closed", Clients: 1, PerSecond: 100, Millis: map[string]float64{"p50": 2, "p99": 5}},
		{Mode: "closed", Clients: 16, PerSecond: 1000, Millis: map[string]float64{"p50": 4, "p99": 9}},
		{Mode: "closed", Clients: 99, Millis: map[string]float64{}}, // nothing ended
	}
	for _, name := range []string{"a.svg", "a.html"} {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, writeBenchPlot(path, results))
		drawn, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, 4, strings.Count(string(drawn), "<circle"))
		require.NotContains(t, string(drawn), "NaN")
	}
}

func TestPuts(t *testing.T) {
	p := newPuts([]byte("value"))
	for _, i := range []int{0, 7, 1234567, maxBenchKeys - 1} {
		require.Equal(t, kv.Put(fmt.Appendf(nil, "%s%0*d", benchPrefix, keyDigits, i), []byte("value")), p.under(i))
		require.Len(t, p.under(i), operationOverhead+len("value"))
	}
	require.NotEqual(t, putOperation(1, nil), putOperation(2, nil))
}
