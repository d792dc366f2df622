package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/parley-bft/parley/crypto"
)

// goal is a row of the goals' table.
type goal struct {
	what, goal string
	measured   string
	ratios     string
	verdict    string
}

const (
	reached  = "reached"
	missed   = "MISSED"
	unknown  = "not measured"
	replicas = 4
)

func verdict(ok bool) string {
	if ok {
		return reached
	}
	return missed
}

// rivals are whose ratios the table has.
var rivals = []string{"smartbft", "cometbft", "etcd", "dragonboat"}

// ratios says what a figure of one system is to the rivals'.
func (r *results) ratios(f figure, clients int, one string, others ...string) string {
	var parts []string
	for _, other := range others {
		if x, ok := r.ratio(f, clients, one, other); ok {
			parts = append(parts, fmt.Sprintf("%.2fx %s", x, other))
		}
	}
	return strings.Join(parts, ", ")
}

// spread is a figure with the lowest and highest of the rounds.
func spread(points []point, f figure, format, unit string) (string, float64, bool) {
	middle, low, high, ok := summary(points, f)
	if !ok {
		return "", 0, false
	}
	return fmt.Sprintf(format+"%s ("+format+" to "+format+")", middle, unit, low, high), middle, true
}

// goals fills in the table.
func (r *results) goals() []goal {
	all := []goal{
		r.rateGoal("C=1024 operations from 16 connections", "parley", 100_000, "100,000 op/s; 5x SmartBFT, 3x dragonboat, 13x etcd",
			map[string]float64{"smartbft": 5, "dragonboat": 3, "etcd": 13}, rivals...),
		r.rateGoal("C=1024 distinct clients", "parley-distinct", 15_000, "15,000 op/s; 6x SmartBFT with client signatures",
			map[string]float64{"smartbft-signed": 6}, append([]string{"smartbft-signed"}, rivals...)...),
		r.rateGoal("C=1024 distinct clients of one process", "parley-carried", 15_000, "15,000 op/s; 6x SmartBFT with client signatures",
			map[string]float64{"smartbft-signed": 6}, append([]string{"smartbft-signed"}, rivals...)...),
		r.latencyGoal("C=1: p50", 1, 2.5, "2.5 ms; at most 0.3x SmartBFT, no worse than dragonboat"),
		r.latencyGoal("C=16: p50", 16, 3.5, "3.5 ms; at most 0.3x SmartBFT, no worse than dragonboat"),
		r.tailGoal(),
		r.cpuGoal(),
		r.memoryGoal(),
		r.killGoal(),
	}
	for _, p := range []struct {
		scenario, what string
		least          float64
	}{
		{"down", "one backup down", 0.9}, {"slow", "one backup ten times slower", 0.9}, {"traitor", "one backup votes garbage", 0.9},
		{"flood", "a client floods at 10x its share: the others'", 0.8},
		{"smallflood", "a client floods at 10x its share, with requests of one operation: the others'", 0.8},
		{"slowprimary", "the primary delays to just under the timeout", 0.8},
		{"open 2", "open loop at twice the peak", 0.9},
	} {
		all = append(all, r.pairGoal(p.scenario, p.what, p.least))
	}
	return append(all, r.sizeGoal(), r.frameworkGoal())
}

// rateGoal is reached if the throughput and the ratios to others are at least so much,
// as far as the others were measured.
func (r *results) rateGoal(what, name string, least float64, text string, times map[string]float64, others ...string) goal {
	g := goal{what: what + ": throughput", goal: text, verdict: unknown}
	if measured, middle, ok := spread(r.of(name, fullLoad), perSecond, "%.0f", " op/s"); ok {
		ok := middle >= least
		for other, want := range times {
			if x, measured := r.ratio(perSecond, fullLoad, name, other); measured {
				ok = ok && x >= want
			}
		}
		g.measured, g.verdict = measured, verdict(ok)
		g.ratios = r.ratios(perSecond, fullLoad, name, others...)
	}
	return g
}

func (r *results) latencyGoal(what string, clients int, most float64, text string) goal {
	g := goal{what: what, goal: text, verdict: unknown}
	if measured, middle, ok := spread(r.of("parley", clients), p50, "%.2f", " ms"); ok {
		ok := middle <= most
		for other, want := range map[string]float64{"smartbft": 0.3, "dragonboat": 1} {
			if x, measured := r.ratio(p50, clients, "parley", other); measured {
				ok = ok && x <= want
			}
		}
		g.measured, g.verdict = measured, verdict(ok)
		g.ratios = r.ratios(p50, clients, "parley", rivals...)
	}
	return g
}

func (r *results) tailGoal() goal {
	g := goal{what: "p99 at half of the peak (open loop)", goal: "under 5x p50", verdict: unknown}
	tail := func(p point) float64 { return p.P99 / max(p.P50, 0.001) }
	if measured, middle, ok := spread(r.Half, tail, "%.1f", " x p50"); ok {
		high, _, _, _ := summary(r.Half, p99)
		g.measured, g.verdict = fmt.Sprintf("%s; p99 %.1f ms", measured, high), verdict(middle < 5)
	}
	return g
}

func (r *results) cpuGoal() goal {
	g := goal{what: "CPU per 1000 operations, all replicas, C=1024", goal: "0.015 s", verdict: unknown}
	if measured, middle, ok := spread(r.of("parley", fullLoad), cpu, "%.4f", " s"); ok {
		g.measured, g.verdict = measured, verdict(middle <= 0.015)
		g.ratios = r.ratios(cpu, fullLoad, "parley", rivals...)
	}
	return g
}

func (r *results) memoryGoal() goal {
	g := goal{what: "memory per replica at full load", goal: "under 200 MiB after 10 minutes, and flat", verdict: unknown}
	if m := r.Soak; m != nil && len(m.RSS) > 1 {
		n := len(m.RSS)
		early, late := slices.Max(m.RSS[:(n+1)/2]), slices.Max(m.RSS[n/2:])
		g.measured = fmt.Sprintf("%.0f MiB at most in the first half of %.0f s, %.0f in the second", early, m.Seconds[n-1], late)
		g.verdict = verdict(late < 200 && late < 1.1*early)
	}
	return g
}

// kills returns the pauses of one system, sorted, and its throughput after the kill
// in parts of that before it.
func (r *results) kills(name string) (pauses, kept []float64) {
	for _, k := range r.Kills {
		if k.System == name {
			pauses = append(pauses, k.Pause)
			kept = append(kept, k.After/max(k.Before, 1))
		}
	}
	slices.Sort(pauses)
	slices.Sort(kept)
	return pauses, kept
}

func (r *results) killGoal() goal {
	g := goal{what: "primary killed: pause, default timeouts", goal: "500 ms; throughput after it as before", verdict: unknown}
	pauses, kept := r.kills("parley")
	if len(pauses) == 0 {
		return g
	}
	g.measured = fmt.Sprintf("%.0f ms (%.0f to %.0f); afterwards %.0f %% of the throughput", median(pauses), pauses[0], pauses[len(pauses)-1], 100*median(kept))
	g.verdict = verdict(median(pauses) <= 500 && median(kept) >= 0.9)
	var parts []string
	for _, other := range append(slices.Clone(rivals), "hraft") {
		if theirs, _ := r.kills(other); len(theirs) > 0 {
			parts = append(parts, fmt.Sprintf("%.2fx %s (%.0f ms)", median(pauses)/max(median(theirs), 1), other, median(theirs)))
		}
	}
	g.ratios = strings.Join(parts, ", ")
	return g
}

func (r *results) pairGoal(scenario, what string, least float64) goal {
	g := goal{what: what + ": throughput", goal: fmt.Sprintf("at least %.0f %%", 100*least), verdict: unknown}
	var kept []float64
	for _, p := range r.Pairs {
		if p.Scenario == scenario {
			kept = append(kept, p.With.PerSecond/max(p.Without.PerSecond, 1))
		}
	}
	if len(kept) > 0 {
		slices.Sort(kept)
		g.measured = fmt.Sprintf("%.0f %% (%.0f to %.0f)", 100*median(kept), 100*kept[0], 100*kept[len(kept)-1])
		g.verdict = verdict(median(kept) >= least)
	}
	return g
}

// sizeGoal compares the smallest cluster with the largest, both with Ed25519 votes.
func (r *results) sizeGoal() goal {
	g := goal{what: "cost per block and replica from the smallest to the largest cluster", goal: "grows no faster than n", verdict: unknown}
	var sizes []size
	for _, s := range r.Sizes {
		if s.Scheme == crypto.VoteEd25519 {
			sizes = append(sizes, s)
		}
	}
	if n := len(sizes); n > 1 {
		first, last := sizes[0], sizes[n-1]
		if first.Blocks == 0 || last.Blocks == 0 {
			g.measured = fmt.Sprintf("%d blocks seen at n = %d, %d at n = %d", first.Blocks, first.Replicas, last.Blocks, last.Replicas)
			return g
		}
		growth := last.MillisPerBlock / max(first.MillisPerBlock, 0.001)
		larger := float64(last.Replicas) / float64(first.Replicas)
		g.measured = fmt.Sprintf("%.2f ms of CPU at n = %d, %.2f at n = %d: %.1fx for %.1fx the replicas", first.MillisPerBlock, first.Replicas, last.MillisPerBlock, last.Replicas, growth, larger)
		g.verdict = verdict(growth <= larger)
	}
	return g
}

// frameworkGoal is the processor time of one operation at one replica, of which the
// store's own is a small part.
func (r *results) frameworkGoal() goal {
	g := goal{what: "CPU per operation and replica, C=1024, store included", goal: "under 4 us beside the application", verdict: unknown}
	micros := func(p point) float64 { return p.CPUPer1000 / replicas * 1000 }
	if measured, middle, ok := spread(r.of("parley", fullLoad), micros, "%.1f", " us"); ok {
		g.measured, g.verdict = measured, verdict(middle < 4)
	}
	return g
}
