package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// benchResult is what one point came to. Of several runs each figure is the median
// of its own, and counts are sums.
type benchResult struct {
	Mode           string  `json:"mode"` // closed or open
	Clients        int     `json:"clients,omitempty"`
	Rate           float64 `json:"rate,omitempty"`
	Connections    int     `json:"connections"`
	Transports     int     `json:"transports,omitempty"` // that carry the connections; 0: each is its own
	ValueBytes     int     `json:"valueBytes"`
	OperationBytes int     `json:"operationBytes"`
	Seconds        float64 `json:"seconds"`

	Operations int64   `json:"operations"` // answered within the window
	PerSecond  float64 `json:"perSecond"`
	// Offered is how many operations of an open loop were due within the window.
	Offered int64 `json:"offered,omitempty"`
	// Millis are quantiles: of a closed loop of what was answered within the window,
	// of an open one of what was due within it, from when it was due.
	Millis map[string]float64 `json:"latencyMillis"`

	Errors     int64            `json:"errors"`
	Unknown    int64            `json:"unknown,omitempty"`
	Overloaded map[string]int64 `json:"overloaded,omitempty"`
	FirstError string           `json:"firstError,omitempty"`
	Retries    uint64           `json:"retries"`
	Refusals   uint64           `json:"refusals"` // heard from replicas, most of them repeated with success
	// Sharing is how many operations had a request together.
	Sharing float64 `json:"operationsPerRequest,omitempty"`
	// LateMillis is how far the measuring process was behind its own plan at most.
	LateMillis float64     `json:"lateMillis,omitempty"`
	Usage      *benchUsage `json:"usage,omitempty"`

	// Spread has the lowest and highest of several runs, and Runs each of them.
	Spread *benchSpread   `json:"spread,omitempty"`
	Runs   []*benchResult `json:"runs,omitempty"`
}

// benchSpread is the lowest and highest of several runs.
type benchSpread struct {
	PerSecond [2]float64 `json:"perSecond"`
	P50       [2]float64 `json:"p50Millis"`
	P99       [2]float64 `json:"p99Millis"`
}

// quantiles are those that are told, in order.
var quantiles = []struct {
	name string
	q    float64
}{{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}}

func millis(h *hdrhistogram.Histogram) map[string]float64 {
	m := map[string]float64{"mean": h.Mean() / 1000, "min": float64(h.Min()) / 1000, "max": float64(h.Max()) / 1000}
	for _, q := range quantiles {
		m[q.name] = float64(h.ValueAtQuantile(q.q)) / 1000
	}
	return m
}

// medianOf puts the runs of a point together.
func medianOf(runs []*benchResult) *benchResult {
	if len(runs) == 1 {
		return runs[0]
	}
	m := *runs[0]
	m.Runs, m.Operations, m.Offered, m.Millis, m.Overloaded, m.Usage = runs, 0, 0, make(map[string]float64), nil, nil
	m.Errors, m.Unknown, m.Retries, m.Refusals = 0, 0, 0, 0
	over := func(f func(*benchResult) float64) []float64 {
		values := make([]float64, len(runs))
		for i, r := range runs {
			values[i] = f(r)
		}
		slices.Sort(values)
		return values
	}
	ends := func(v []float64) [2]float64 { return [2]float64{v[0], v[len(v)-1]} }
	rates := over(func(r *benchResult) float64 { return r.PerSecond })
	m.PerSecond = median(rates)
	m.Sharing = median(over(func(r *benchResult) float64 { return r.Sharing }))
	for name := range runs[0].Millis {
		m.Millis[name] = median(over(func(r *benchResult) float64 { return r.Millis[name] }))
	}
	m.Spread = &benchSpread{
		PerSecond: ends(rates),
		P50:       ends(over(func(r *benchResult) float64 { return r.Millis["p50"] })),
		P99:       ends(over(func(r *benchResult) float64 { return r.Millis["p99"] })),
	}
	measured := true
	for _, r := range runs {
		m.Operations += r.Operations
		m.Offered += r.Offered
		m.Errors += r.Errors
		m.Unknown += r.Unknown
		m.Retries += r.Retries
		m.Refusals += r.Refusals
		m.LateMillis = max(m.LateMillis, r.LateMillis)
		m.FirstError = cmp.Or(m.FirstError, r.FirstError)
		for who, n := range r.Overloaded {
			if m.Overloaded == nil {
				m.Overloaded = make(map[string]int64)
			}
			m.Overloaded[who] += n
		}
		measured = measured && r.Usage != nil
	}
	if measured {
		m.Usage = &benchUsage{
			Processes:            runs[0].Usage.Processes,
			CPUPerThousand:       median(over(func(r *benchResult) float64 { return r.Usage.CPUPerThousand })),
			ClientCPUPerThousand: median(over(func(r *benchResult) float64 { return r.Usage.ClientCPUPerThousand })),
			PeakMiB:              slices.Max(over(func(r *benchResult) float64 { return r.Usage.PeakMiB })),
			WrittenPerOperation:  median(over(func(r *benchResult) float64 { return r.Usage.WrittenPerOperation })),
		}
	}
	return &m
}

// median is that of sorted values.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// load names the point for people.
func (r *benchResult) load() string {
	if r.Mode == "open" {
		return strconv.FormatFloat(r.Rate, 'f', -1, 64) + "/s"
	}
	return strconv.Itoa(r.Clients)
}

func (b *bench) print(out io.Writer, results []*benchResult) error {
	if b.json {
		enc := json.NewEncoder(out)
		for _, r := range results {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	first := results[0]
	runs := ""
	if n := len(first.Runs); n > 1 {
		runs = fmt.Sprintf(", medians of %d runs", n)
	}
	fmt.Fprintf(out, "%s loop, puts of %d bytes (%d with key and lengths), %v s%s\n", first.Mode, first.ValueBytes, first.OperationBytes, first.Seconds, runs)
	header := []any{"CLIENTS"}
	if first.Mode == "open" {
		header[0] = "RATE"
	}
	header = append(header, "CONNECTIONS", "TRANSPORTS", "OP/S")
	if runs != "" {
		header = append(header, "LOW..HIGH")
	}
	t := newTable(out, append(header, "MEAN MS", "P50", "P90", "P99", "P99.9", "MAX", "OPS/REQUEST", "CPU S/1000", "CLIENT", "PEAK MIB", "B WRITTEN/OP", "ERRORS", "REPEATED")...)
	for _, r := range results {
		cells := []any{r.load(), r.Connections, r.carriers(), fmt.Sprintf("%.0f", r.PerSecond)}
		if s := r.Spread; s != nil {
			cells = append(cells, fmt.Sprintf("%.0f..%.0f", s.PerSecond[0], s.PerSecond[1]))
		}
		for _, name := range []string{"mean", "p50", "p90", "p99", "p99.9", "max"} {
			cells = append(cells, fmt.Sprintf("%.2f", r.Millis[name]))
		}
		cells = append(cells, fmt.Sprintf("%.1f", r.Sharing))
		if u := r.Usage; u != nil {
			cells = append(cells, fmt.Sprintf("%.4f", u.CPUPerThousand), fmt.Sprintf("%.4f", u.ClientCPUPerThousand), fmt.Sprintf("%.0f", u.PeakMiB), fmt.Sprintf("%.0f", u.WrittenPerOperation))
		} else {
			cells = append(cells, "-", "-", "-", "-")
		}
		t.row(append(cells, r.Errors, r.Retries)...)
	}
	if err := t.render(); err != nil {
		return err
	}
	for _, r := range results {
		printTrouble(out, r)
	}
	return nil
}

// carriers says what carries the connections.
func (r *benchResult) carriers() string {
	if r.Transports == 0 {
		return "own"
	}
	return strconv.Itoa(r.Transports)
}

// printTrouble says what went wrong at a point, if anything.
func printTrouble(out io.Writer, r *benchResult) {
	say := func(format string, args ...any) { fmt.Fprintf(out, "%s: %s\n", r.load(), fmt.Sprintf(format, args...)) }
	if len(r.Overloaded) > 0 {
		say("turned down as overloaded: %s", refusals(r.Overloaded))
	}
	if r.Refusals > 0 {
		say("replicas refused %d requests for the moment; the client repeats those", r.Refusals)
	}
	if r.Unknown > 0 {
		say("of %d operations the outcome is unknown", r.Unknown)
	}
	if r.LateMillis > lateLimit {
		say("this program was up to %.0f ms behind its own plan: it, or the machine, was the bottleneck", r.LateMillis)
	}
	if r.FirstError != "" {
		say("first error: %s", r.FirstError)
	}
}

// lateLimit is from how many ms on it is worth mentioning.
const lateLimit = 20

// benchFailure is the error of a benchmark in which nothing worked at some point.
func benchFailure(results []*benchResult) error {
	var errs []error
	for _, r := range results {
		if r.Operations == 0 {
			errs = append(errs, fmt.Errorf("%s: no operation ended: %s", r.load(), cmp.Or(r.FirstError, "measure for longer (--seconds)")))
		}
	}
	return errors.Join(errs...)
}
