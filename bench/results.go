package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/parley-bft/parley/bench/load"
)

// The files that a run writes.
const (
	resultsJSON     = "results.json"
	resultsMarkdown = "RESULTS.md"
	resultsPlot     = "results.svg"
)

// point is one measurement.
type point struct {
	System  string `json:"system"`
	Clients int    `json:"clients"`
	Round   int    `json:"round"`
	load.Stats
	CPUPer1000       float64 `json:"cpuSecondsPer1000"` // of all replicas
	ClientCPUPer1000 float64 `json:"clientCPUSecondsPer1000"`
	PeakMiB          float64 `json:"peakRSSMiB"` // of the largest replica
	WrittenPerOp     float64 `json:"writtenBytesPerOperation"`
	LoopbackPerOp    float64 `json:"loopbackBytesPerOperation"`

	cpu time.Duration
}

// kill is what happened when a leader was killed.
type kill struct {
	System string  `json:"system"`
	Pause  float64 `json:"pauseMillis"`
	Before float64 `json:"perSecondBefore"`
	After  float64 `json:"perSecondAfter"`
}

// pair is Parley without and with a fault, one after the other.
type pair struct {
	Scenario string `json:"scenario"`
	Without  point  `json:"without"`
	With     point  `json:"with"`
}

// size is Parley with so many replicas.
type size struct {
	Replicas       int     `json:"replicas"`
	Scheme         string  `json:"scheme"`
	Point          point   `json:"point"`
	Blocks         uint64  `json:"blocks"`
	MillisPerBlock float64 `json:"cpuMillisPerBlockAndReplica"`
}

// memory is the replicas' size over a long run at full load.
type memory struct {
	Seconds []float64 `json:"seconds"`
	RSS     []float64 `json:"rssMiB"` // of the largest replica
}

// results are what a run came to.
type results struct {
	Began    time.Time         `json:"began"`
	Took     float64           `json:"seconds"`
	Machine  string            `json:"machine"`
	Load     [2]float64        `json:"loadAverage"` // before and after
	Commit   string            `json:"commit"`
	Versions map[string]string `json:"versions"`
	Options  string            `json:"options"`
	Failures []string          `json:"failures,omitempty"`

	Points []point `json:"points"`
	Kills  []kill  `json:"kills,omitempty"`
	Pairs  []pair  `json:"pairs,omitempty"`
	Half   []point `json:"half,omitempty"`   // open loop at half of the peak
	Double []point `json:"double,omitempty"` // and at twice
	Sizes  []size  `json:"sizes,omitempty"`
	Links  []link  `json:"links,omitempty"` // simulated
	Soak   *memory `json:"soak,omitempty"`

	Parts map[string]part `json:"parts,omitempty"` // scenarios that were measured later, see --again
}

func newResults(ctx context.Context, o *options, versions map[string]string) *results {
	return &results{
		Began: time.Now(), Machine: machine(), Load: [2]float64{loadAverage()}, Commit: commit(ctx, o.source), Versions: versions,
		Options: fmt.Sprintf("rounds: %d; windows of %v after %v of warm-up, %d connections", o.rounds, o.window, o.warmup, o.connections),
	}
}

func (r *results) finish(err error) {
	r.Took = time.Since(r.Began).Seconds()
	r.Load[1] = loadAverage()
	if err != nil {
		r.Failures = append(r.Failures, err.Error())
	}
}

// write writes all files.
func (r *results) write(o *options) error {
	why, err := readReasons(o.source)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.path(resultsJSON), append(data, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(o.path(resultsMarkdown), []byte(r.markdown(why)), 0o644); err != nil {
		return err
	}
	f, err := os.Create(o.path(resultsPlot))
	if err != nil {
		return err
	}
	return errors.Join(r.chart().SVG(f), f.Close())
}

func readResults(path string) (*results, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(results)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// of returns a system's measurements with so many clients, by round.
func (r *results) of(system string, clients int) (points []point) {
	for _, p := range r.Points {
		if p.System == system && p.Clients == clients {
			points = append(points, p)
		}
	}
	return points
}

// figure is a number of a point.
type figure func(point) float64

func perSecond(p point) float64 { return p.PerSecond }
func p50(p point) float64       { return p.P50 }
func p99(p point) float64       { return p.P99 }
func cpu(p point) float64       { return p.CPUPer1000 }
func peak(p point) float64      { return p.PeakMiB }

// median of a figure, lowest and highest; ok is false where nothing was measured.
func summary(points []point, f figure) (middle, low, high float64, ok bool) {
	if len(points) == 0 {
		return 0, 0, 0, false
	}
	values := make([]float64, len(points))
	for i, p := range points {
		values[i] = f(p)
	}
	slices.Sort(values)
	return median(values), values[0], values[len(values)-1], true
}

// median is that of sorted values.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratio is the median over the rounds of a figure of one system to that of another
// in the same round.
func (r *results) ratio(f figure, clients int, one, other string) (float64, bool) {
	var ratios []float64
	for _, a := range r.of(one, clients) {
		for _, b := range r.of(other, clients) {
			if a.Round == b.Round && f(b) > 0 {
				ratios = append(ratios, f(a)/f(b))
			}
		}
	}
	if len(ratios) == 0 {
		return 0, false
	}
	slices.Sort(ratios)
	return median(ratios), true
}

// clientCounts are those that were measured, ascending.
func (r *results) clientCounts() (all []int) {
	for _, p := range r.Points {
		all = append(all, p.Clients)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
