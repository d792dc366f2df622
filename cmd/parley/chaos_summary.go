package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// print prints the results, and writes them to a file if one is named.
func (c *chaosRun) print(cmd *cobra.Command, t *swarmSummary) error {
	if c.table != "" {
		f, err := os.Create(c.table)
		if err != nil {
			return err
		}
		if err := errors.Join(writeSwarmMarkdown(f, t, time.Now()), f.Close()); err != nil {
			return err
		}
	}
	if c.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(t)
	}
	return printSwarm(cmd.OutOrStdout(), t)
}

// headline is what matters most, as sentences.
func (t *swarmSummary) headline() []string {
	perSecond := float64(t.Seeds) / max(t.Seconds, 1e-9)
	lines := []string{
		fmt.Sprintf("%d seeds in %s on %d cores: %.1f a second, %.0f an hour", t.Seeds, inSeconds(t.Seconds), t.Jobs, perSecond, perSecond*3600),
		fmt.Sprintf("%.2f hours of virtual time, %.0f times real time on each core", t.VirtualSeconds/3600, t.Ratio),
		fmt.Sprintf("%d operations (%d with an unknown outcome) in %d blocks, %d messages, %d state transfers, %d proofs of misbehaviour", t.Operations, t.Unknown, t.Blocks, t.Messages, t.Transfers, t.Evidence),
		fmt.Sprintf("traitors in %d of the seeds; replicas (seeds): %s", t.Traitors, t.sizes()),
		fmt.Sprintf("slowest recovery after the faults %s (seed %d); peak heap %.1f MiB", inSeconds(t.SlowestRecovery), t.RecoverySeed, float64(t.PeakHeap)/(1<<20)),
		fmt.Sprintf("%d seeds broke a promise", t.Failed),
	}
	if t.Undecided > 0 {
		lines = append(lines, fmt.Sprintf("%d histories were not judged in time", t.Undecided))
	}
	return lines
}

func inSeconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Millisecond).String()
}

func (t *swarmSummary) sizes() string {
	var text []string
	for _, n := range slices.Sorted(maps.Keys(t.Sizes)) {
		text = append(text, fmt.Sprintf("%d (%d)", n, t.Sizes[n]))
	}
	return strings.Join(text, ", ")
}

// byTimes are the names, what was there most often first.
func byTimes(m map[string]*hits) []string {
	names := slices.Sorted(maps.Keys(m))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(m[b].Times, m[a].Times) })
	return names
}

func printSwarm(out io.Writer, t *swarmSummary) error {
	for _, line := range t.headline() {
		fmt.Fprintln(out, line)
	}
	fmt.Fprintln(out)
	for _, part := range []struct {
		title string
		of    map[string]*hits
	}{{"FAULT", t.Faults}, {"SITUATION", t.Coverage}} {
		if len(part.of) == 0 {
			continue
		}
		tab := newTable(out, part.title, "TIMES", "SEEDS")
		for _, name := range byTimes(part.of) {
			tab.row(name, part.of[name].Times, part.of[name].Seeds)
		}
		if err := tab.render(); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	if len(t.Never) > 0 {
		fmt.Fprintf(out, "WARNING: %d faults and situations that matter were never there: %s.\nNothing is known of them from these seeds: run more.\n", len(t.Never), strings.Join(t.Never, "; "))
	}
	return nil
}

// cell makes a text fit into a table of Markdown.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ", "<", "&lt;").Replace(s)
}

func writeSwarmMarkdown(w io.Writer, t *swarmSummary, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Swarm of %s, %s.\n\n", now.UTC().Format("2006-01-02 15:04 MST"), readBuildInfo().short())
	for _, line := range t.headline() {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	part := func(title string, of map[string]*hits) {
		if len(of) == 0 {
			return
		}
		fmt.Fprintf(&b, "\n| %s | Times | Seeds |\n|---|--:|--:|\n", title)
		for _, name := range byTimes(of) {
			times := fmt.Sprint(of[name].Times)
			if slices.Contains(t.Never, name) {
				times = "**never**"
			}
			fmt.Fprintf(&b, "| %s | %s | %d |\n", cell(name), times, of[name].Seeds)
		}
	}
	part("Fault", t.Faults)
	part("Rare situation", t.Coverage)
	_, err := io.WriteString(w, b.String())
	return err
}
