package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/chaos/report"
)

func TestChaosRun(t *testing.T) {
	table := filepath.Join(t.TempDir(), "results.md")
	o := parley(t, "chaos", "run", "--from", "30", "--seeds", "2", "--jobs", "2", "--size", "4", "--json", "--table", table)
	require.Equal(t, exitOK, o.code, o.err)
	var sum swarmSummary
	require.NoError(t, json.Unmarshal([]byte(o.out), &sum))
	require.Equal(t, 2, sum.Seeds)
	require.Equal(t, map[int]int{4: 2}, sum.Sizes)
	require.Zero(t, sum.Failed)
	require.Positive(t, sum.Operations)
	require.Positive(t, sum.VirtualSeconds)
	markdown, err := os.ReadFile(table)
	require.NoError(t, err)
	require.Contains(t, string(markdown), "- 2 seeds in ")
	require.Contains(t, string(markdown), "- 0 seeds broke a promise")
}

// With all applications each has its turn, and a seed that fails names the one that it had.
func TestChaosRunAllApplications(t *testing.T) {
	c := &chaosRun{app: allApplications}
	turns := map[string]int{}
	for seed := range uint64(20) {
		o := chaos.Swarm(seed)
		o.Application = c.application(seed)
		require.NoError(t, o.Validate())
		turns[o.Application]++
		require.Equal(t, "--app "+o.Application+" "+strconv.FormatUint(seed, 10), seedArguments(&o))
	}
	require.Len(t, turns, len(chaos.Applications()))
	require.Contains(t, turns, contractApplication.name)
	require.Equal(t, "ledger", (&chaosRun{app: "ledger"}).application(7))
	refused(t, exitUsage, []string{"chaos", "run", "--app", "ledgr"}, `--app is "ledgr"`, "all or one of ledger")
}

func TestChaosUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"run", "--seeds", "0"}, "--seeds is 0"},
		{[]string{"run", "--jobs", "0"}, "--jobs is 0"},
		{[]string{"run", "--for", "-1s"}, "--for is -1s"},
		{[]string{"run", "--failures", "0"}, "--failures is 0"},
		{[]string{"run", "--shrink", "-1s"}, "--shrink is -1s"},
		{[]string{"run", "--size", "3"}, "no seed draws a cluster of that size"},
		{[]string{"replay"}, "give a SEED or --options"},
		{[]string{"replay", "1", "--options", "x"}, "and not both"},
		{[]string{"replay", "--", "-1"}, "give a number from 0"},
		{[]string{"report"}, "FOLDER is missing"},
	} {
		refused(t, exitUsage, append([]string{"chaos"}, c.args...), c.says)
	}
	refused(t, exitFailed, []string{"chaos", "report", t.TempDir()}, "name the folder of a run")
}

var traceHash = regexp.MustCompile(`trace [0-9a-f]{16}`)

// A seed leaves a folder, its options are the same run, and its page can be drawn
// again.
func TestChaosReplay(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first run"), filepath.Join(dir, "second")
	out := must(t, "chaos", "replay", "30", "--dir", first, "--trace")
	trace, err := os.ReadFile(filepath.Join(first, report.TraceFile))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(out, string(trace)), "--trace prints another trace than the folder has")
	run, err := report.Load(first)
	require.NoError(t, err)
	require.EqualValues(t, 30, run.Seed)
	require.Equal(t, report.Pass, run.Verdict)
	require.Contains(t, run.Reproduce[0], " chaos replay 30 --dir '"+first+"'")
	page := filepath.Join(first, report.PageFile)
	require.FileExists(t, page)

	again := must(t, "chaos", "replay", "--options", filepath.Join(first, report.OptionsFile), "--dir", second)
	require.Equal(t, traceHash.FindString(out), traceHash.FindString(again))

	require.NoError(t, os.Remove(page))
	require.Equal(t, page+" (pass)\n", must(t, "chaos", "report", first))
	require.FileExists(t, page)
}

// hopeless are options whose promise cannot be kept.
func hopeless() chaos.Options {
	o := chaos.Swarm(30)
	o.Storm, o.Bound = time.Second, time.Nanosecond
	return o
}

func TestChaosReplayOfAFailure(t *testing.T) {
	dir := t.TempDir()
	data, err := chaos.EncodeOptions(hopeless())
	require.NoError(t, err)
	options := filepath.Join(dir, "options.json")
	require.NoError(t, os.WriteFile(options, data, 0o600))
	folder := filepath.Join(dir, "run")
	o := parley(t, "chaos", "replay", "--options", options, "--dir", folder)
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.err, "violation in seed 30")
	run, err := report.Load(folder)
	require.NoError(t, err)
	require.Equal(t, report.Broken, run.Verdict)
	require.Equal(t, "liveness", run.Violations[0].Invariant)

	require.NoError(t, os.WriteFile(options, []byte(`{"Seed":1,"Sed":2}`), 0o600))
	refused(t, exitFailed, []string{"chaos", "replay", "--options", options}, `"Sed"`)
	require.NoError(t, os.WriteFile(options, []byte(`{"Seed":1}`), 0o600))
	refused(t, exitFailed, []string{"chaos", "replay", "--options", options}, "Weights")
}

// What a failing seed leaves and prints.
func TestChaosFailure(t *testing.T) {
	o := hopeless()
	s := newSwarm(1)
	require.Empty(t, s.news())
	s.add(o, chaos.Run(o))
	require.Equal(t, []string{"seed 30 broke a promise: liveness (parley chaos replay 30)"}, s.news())
	require.Empty(t, s.news(), "it is told once")
	sum := s.summary()
	require.Equal(t, 1, sum.Failed)
	require.Contains(t, s.line(time.Second), "1 seeds, 1.0/s; ")
	require.Contains(t, s.line(time.Second), "; 1 violations")

	var out bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	c := &chaosRun{dir: t.TempDir(), shrink: time.Millisecond}
	err := c.failure(cmd, s)
	require.ErrorContains(t, err, "1 of 1 seeds broke a promise (liveness in seed 30)")
	folder := filepath.Join(c.dir, "seed-30")
	require.FileExists(t, filepath.Join(folder, report.PageFile))
	require.Contains(t, out.String(), "SEED 30 BROKE A PROMISE")
	require.Contains(t, out.String(), " chaos replay 30 --dir "+folder+"\n")
	require.Contains(t, out.String(), "it still takes: ")
}

func TestChaosSummary(t *testing.T) {
	sum := &swarmSummary{
		Seeds: 7200, Seconds: 3600, Jobs: 2, VirtualSeconds: 36000, Ratio: 5, Faults: map[string]*hits{"crash": {3, 2}, "a|b": {9, 1}},
		Coverage: map[string]*hits{"never there": {}, "there": {4, 1}}, Never: []string{"never there"}, Undecided: 1,
	}
	var text, markdown bytes.Buffer
	require.NoError(t, printSwarm(&text, sum))
	require.Contains(t, text.String(), "7200 seeds in 1h0m0s on 2 cores: 2.0 a second, 7200 an hour\n10.00 hours of virtual time")
	require.Regexp(t, `(?s)FAULT +TIMES +SEEDS\na\|b +9 +1\ncrash +3 +2\n`, text.String())
	require.Contains(t, text.String(), "WARNING: 1 faults and situations that matter were never there: never there.")
	require.Contains(t, text.String(), "1 histories were not judged in time")
	require.NoError(t, writeSwarmMarkdown(&markdown, sum, time.Date(2030, 1, 2, 3, 4, 0, 0, time.UTC)))
	require.Contains(t, markdown.String(), "Swarm of 2030-01-02 03:04 UTC, parley ")
	require.Contains(t, markdown.String(), "| a\\|b | 9 | 1 |\n")
	require.Contains(t, markdown.String(), "| never there | **never** | 0 |\n")
}

// A kind of fault that never struck is named like a situation that never was there.
func TestChaosNamesFaultsThatNeverStruck(t *testing.T) {
	s := newSwarm(1)
	s.add(chaos.Swarm(1), &chaos.Report{Faults: map[string]int{"crash": 2}, Sometimes: map[string]int{}})
	sum := s.summary()
	require.Contains(t, sum.Never, "bit rot")
	require.Contains(t, sum.Never, "proof of misbehaviour")
	require.NotContains(t, sum.Never, "crash")
	var text bytes.Buffer
	require.NoError(t, printSwarm(&text, sum))
	require.Regexp(t, `bit rot +0 +0\n`, text.String())
}

func TestQuoted(t *testing.T) {
	for in, want := range map[string]string{"/tmp/a-b_1.x": "/tmp/a-b_1.x", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "~": "'~'"} {
		require.Equal(t, want, quoted(in))
	}
}
