package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/parley-bft/parley/bench/system"
	"github.com/parley-bft/parley/cmd/parley/benchplot"
)

// markdown is RESULTS.md.
func (r *results) markdown(why *reasons) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Parley beside others\n")
	line("Written by `scripts/bench.sh`; what is measured and how is in [README.md](README.md).\n")
	line("| | |\n|---|---|")
	line("| machine | %s |", r.Machine)
	line("| load average | %.1f before, %.1f after; much above 0 before means that others were at work |", r.Load[0], r.Load[1])
	line("| when | %s, for %.0f minutes |", r.Began.UTC().Format("2006-01-02 15:04 UTC"), r.Took/60)
	line("| Parley | %s |", r.Commit)
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		line("| %s | %s |", name, r.Versions[name])
	}
	line("| measured | %s |", r.Options)
	for _, name := range slices.Sorted(maps.Keys(r.Parts)) {
		p := r.Parts[name]
		line("| %s, again | %s, commit %s, load average %.1f before; %s |", name, p.Began.UTC().Format("2006-01-02 15:04 UTC"), p.Commit, p.Load, p.Options)
	}
	line("")
	for _, f := range r.Failures {
		line("**Failed:** %s\n", f)
	}
	r.goalsTable(line)
	r.missedGoals(line, why)
	line("## Throughput and latency\n\n![throughput and latency](%s)\n", resultsPlot)
	line("256-byte operations, closed loop. Medians of the rounds, lowest and highest in parentheses; ratios are medians over the rounds, each of two figures of the same round.\n")
	for _, n := range r.clientCounts() {
		r.clientsTable(line, n)
	}
	r.scenarioTables(line)
	line("## What the figures contain\n")
	for _, s := range system.All {
		line("- **%s**: %s.", s.Title, s.Contains)
	}
	return b.String()
}

// printer adds a line.
type printer func(format string, args ...any)

func (r *results) goalsTable(line printer) {
	line("## Goals\n\n| | goal | measured | | ratios in the same run |\n|---|---|---|---|---|")
	for _, g := range r.goals() {
		line("| %s | %s | %s | %s | %s |", g.what, g.goal, g.measured, g.verdict, g.ratios)
	}
	line("")
}

func (r *results) clientsTable(line printer, n int) {
	line("### C = %d\n\n| system | op/s | p50 ms | p99 ms | CPU s/1000 op | client's | peak MiB | written B/op | loopback B/op | errors | Parley is |\n|---|---|---|---|---|---|---|---|---|---|---|", n)
	for _, s := range system.All {
		points := r.of(s.Name, n)
		rate, _, ok := spread(points, perSecond, "%.0f", "")
		if !ok {
			continue
		}
		mid := func(f figure) float64 { v, _, _, _ := summary(points, f); return v }
		errors := 0
		for _, p := range points {
			errors += p.Errors
		}
		than := ""
		if x, ok := r.ratio(perSecond, n, "parley", s.Name); ok && s.Name != "parley" {
			than = fmt.Sprintf("%.2fx", x)
		}
		line("| %s | %s | %.2f | %.2f | %.4f | %.4f | %.0f | %.0f | %.0f | %d | %s |", s.Title, rate, mid(p50), mid(p99), mid(cpu),
			mid(func(p point) float64 { return p.ClientCPUPer1000 }), mid(peak),
			mid(func(p point) float64 { return p.WrittenPerOp }), mid(func(p point) float64 { return p.LoopbackPerOp }), errors, than)
	}
	line("")
}

func (r *results) scenarioTables(line printer) {
	if len(r.Kills) > 0 {
		line("## Leader killed\n\n%d clients; pause is the longest time without a result at any client after the kill.\n", killLoad)
		line("| system | pause ms | of each round | throughput afterwards |\n|---|---|---|---|")
		for _, s := range system.All {
			if pauses, kept := r.kills(s.Name); len(pauses) > 0 {
				line("| %s | %.0f | %.0f | %.0f %% |", s.Title, median(pauses), pauses, 100*median(kept))
			}
		}
		line("")
	}
	if len(r.Pairs) > 0 {
		line("## Parley under faults and overload\n\n%d clients; open loops are compared with the closed loop before them.\n", fullLoad)
		line("| scenario | op/s without | with | kept | p50 ms without | with | p99 ms without | with | errors with |\n|---|---|---|---|---|---|---|---|---|")
		for _, p := range r.Pairs {
			line("| %s | %.0f | %.0f | %.0f %% | %.1f | %.1f | %.1f | %.1f | %d |", p.Scenario, p.Without.PerSecond, p.With.PerSecond,
				100*p.With.PerSecond/max(p.Without.PerSecond, 1), p.Without.P50, p.With.P50, p.Without.P99, p.With.P99, p.With.Errors)
		}
		line("")
	}
	if len(r.Sizes) > 0 {
		line("## Sizes\n\nAll replicas on this machine; %d clients. Bytes are those of the loopback interface, clients included.\n", sizeLoad)
		line("| n | votes | op/s | p50 ms | blocks | CPU ms per block and replica | CPU us per op and replica | loopback B/op |\n|---|---|---|---|---|---|---|---|")
		for _, s := range r.Sizes {
			line("| %d | %s | %.0f | %.1f | %d | %.2f | %.1f | %.0f |", s.Replicas, s.Scheme, s.Point.PerSecond, s.Point.P50, s.Blocks, s.MillisPerBlock,
				s.Point.CPUPer1000*1000/float64(s.Replicas), s.Point.LoopbackPerOp)
		}
		line("")
	}
	if len(r.Links) > 0 {
		line("## Links\n\nSimulated clusters, %d clients: the clock is virtual, processors cost nothing, a sync takes 0.4 ms. Five delays are the least.\n", linkClients)
		line("| one-way delay | n | ms an operation | delays | messages per block and replica |\n|---|---|---|---|---|")
		for _, l := range r.Links {
			line("| %.0f ms | %d | %.1f | %.1f | %.1f |", l.Delay, l.Replicas, l.Latency, l.Delays, l.Messages)
		}
		line("")
	}
	if r.Soak != nil {
		line("## Memory at full load\n\n| seconds | resident MiB of the largest replica |\n|---|---|")
		for i := range r.Soak.Seconds {
			line("| %.0f | %.0f |", r.Soak.Seconds[i], r.Soak.RSS[i])
		}
		line("")
	}
}

// chart draws latency over throughput of every system.
func (r *results) chart() *benchplot.Chart {
	c := &benchplot.Chart{
		Title:   "256-byte operations, closed loop: median latency over throughput",
		Caption: fmt.Sprintf("%s; each point is a number of clients, medians of the rounds", r.Machine),
		X:       "operations a second", Y: "median latency, ms", LogX: true,
	}
	for i, s := range system.All {
		line := benchplot.Series{Name: s.Title, Group: i}
		for _, n := range r.clientCounts() {
			rate, _, _, ok := summary(r.of(s.Name, n), perSecond)
			if !ok {
				continue
			}
			latency, _, _, _ := summary(r.of(s.Name, n), p50)
			line.Points = append(line.Points, benchplot.Point{X: rate, Y: latency, Label: fmt.Sprint(n)})
		}
		if len(line.Points) > 0 {
			c.Series = append(c.Series, line)
		}
	}
	return c
}
