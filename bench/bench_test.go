package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/parley-bft/parley/bench/load"
)

func TestOptions(t *testing.T) {
	for args, want := range map[string]string{
		"--only parley,zookeeper":  `--only names "zookeeper"`,
		"--clients 1,x":            `--clients has "x"`,
		"--clients 0":              `--clients has "0"`,
		"--scenarios rain":         `--scenarios names "rain"`,
		"--sizes 3":                `--sizes has "3"`,
		"--window 1ms":             "--window is 1ms",
		"--rounds -1":              "--rounds is -1",
		"--connections 0":          "--connections is 0",
		"--source /nowhere":        "--source is /nowhere",
		"--again --scenarios none": "--again measures nothing",
		"--again --only etcd":      "--again without parley",
		"more":                     `unexpected argument "more"`,
	} {
		if _, err := parseOptions(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	o, err := parseOptions(strings.Fields("--quick --only parley --clients 7"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.systems) != 1 || len(o.clients) != 1 || o.clients[0] != 7 || o.rounds != 2 || !o.measuresParley() || o.wantsTraitor() {
		t.Fatalf("%+v", o)
	}
}

func sampleResults() *results {
	r := &results{Machine: "test", Versions: map[string]string{"x": "v1"}}
	add := func(system string, clients, round int, rate, p50 float64) {
		r.Points = append(r.Points, point{System: system, Clients: clients, Round: round, CPUPer1000: 0.01, Stats: load.Stats{Operations: 1, PerSecond: rate, P50: p50, P99: 3 * p50}})
	}
	for round, speed := range []float64{1, 2, 0.5} { // the machine's, which the ratios must not show
		add("parley", 1024, round, 120_000*speed, 8)
		add("dragonboat", 1024, round, 30_000*speed, 30)
		add("parley", 1, round, 400, 3)
	}
	r.Kills = []kill{{"parley", 400, 1000, 990}, {"parley", 600, 1000, 950}, {"parley", 450, 1000, 1000}, {"etcd", 900, 10, 10}}
	r.Pairs = []pair{{"down", point{Stats: load.Stats{PerSecond: 100}}, point{Stats: load.Stats{PerSecond: 80}}}}
	r.Soak = &memory{Seconds: []float64{1, 2, 3, 4}, RSS: []float64{100, 110, 112, 111}}
	return r
}

func TestGoals(t *testing.T) {
	found := make(map[string]goal)
	for _, g := range sampleResults().goals() {
		found[g.what] = g
	}
	for what, want := range map[string][3]string{
		"C=1024 operations from 16 connections: throughput": {"120000 op/s (60000 to 240000)", reached, "4.00x dragonboat"},
		"C=1: p50":                                                  {"3.00 ms", missed, ""},
		"one backup down: throughput":                               {"80 % (80 to 80)", missed, ""},
		"primary killed: pause, default timeouts":                   {"450 ms (400 to 600); afterwards 99 %", reached, "0.50x etcd"},
		"memory per replica at full load":                           {"112 in the second", reached, ""},
		"a client floods at 10x its share: the others': throughput": {"", unknown, ""},
	} {
		g, ok := found[what]
		if !ok || !strings.Contains(g.measured, want[0]) || g.verdict != want[1] || !strings.Contains(g.ratios, want[2]) {
			t.Errorf("%s: %+v, want %q", what, g, want)
		}
	}
}

// A cluster of which no block was seen is no reason to compare others.
func TestSizeGoalWithoutBlocks(t *testing.T) {
	r := &results{Sizes: []size{{Replicas: 4, Scheme: "ed25519", Blocks: 100, MillisPerBlock: 3}, {Replicas: 16, Scheme: "ed25519", Blocks: 50, MillisPerBlock: 6}}}
	if g := r.sizeGoal(); g.verdict != reached {
		t.Fatalf("%+v", g)
	}
	r.Sizes = append(r.Sizes, size{Replicas: 31, Scheme: "ed25519"})
	if g := r.sizeGoal(); g.verdict != unknown || !strings.Contains(g.measured, "0 at n = 31") {
		t.Fatalf("%+v", g)
	}
}

func TestAgain(t *testing.T) {
	r := sampleResults()
	r.Sizes = []size{{Replicas: 4}}
	other := &results{Commit: "later", Sizes: []size{{Replicas: 31}}, Pairs: []pair{{Scenario: "down", With: point{Round: 7}}}, Failures: []string{"rain"}}
	r.adopt("sizes", other)
	if r.Sizes[0].Replicas != 31 || len(r.Pairs) != 1 || r.Pairs[0].With.Round == 7 || len(r.Failures) != 1 {
		t.Fatalf("%+v", r)
	}
	r.adopt("down", other)
	if len(r.Pairs) != 1 || r.Pairs[0].With.Round != 7 {
		t.Fatalf("%+v", r.Pairs)
	}
	if text := r.markdown(new(reasons)); !strings.Contains(text, "| sizes, again |") || !strings.Contains(text, "commit later") {
		t.Fatal(text)
	}
}

func TestWriteAndRender(t *testing.T) {
	dir := t.TempDir()
	o := &options{out: dir, source: dir}
	if err := sampleResults().write(o); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(o.path(resultsMarkdown))
	if err != nil {
		t.Fatal(err)
	}
	o.render = true
	if err := run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(o.path(resultsMarkdown))
	if err != nil || string(before) != string(after) {
		t.Fatalf("rendered anew it differs: %v", err)
	}
	for _, want := range []string{"| Parley | 120000", "4.00x", "## Leader killed", "dragonboat (pebble)"} {
		if !strings.Contains(string(after), want) {
			t.Errorf("no %q in\n%s", want, after)
		}
	}
	if _, err := os.Stat(o.path(resultsPlot)); err != nil {
		t.Fatal(err)
	}
}
