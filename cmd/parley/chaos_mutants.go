package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/chaos/mutants"
)

func init() { chaosCommands = append(chaosCommands, newChaosMutants) }

// chaosMutants breaks one rule at a time and sees whether the simulator notices.
type chaosMutants struct {
	source string
	only   []string
	budget mutants.Budget
	jobs   int
	table  string
	json   bool
}

func newChaosMutants() *cobra.Command {
	m := &chaosMutants{}
	cmd := &cobra.Command{
		Use:   "mutants",
		Short: "Break one rule at a time: does the simulator notice?",
		Long: `Compiles Parley with a catalogue of broken rules, chooses one after the other, and
runs seeds of the simulator until an invariant is violated. It prints which one
noticed, after how many seeds and how much time, and how little of the seed's
faults was needed. A mutant that survives means that the simulator is blind there;
then the exit code is 1.

It needs the go command and Parley's sources: run it in a checkout, or name one
with --source.`,
		Example: `  parley chaos mutants
  parley chaos mutants --only M03,M06 --shrink 10s
  parley chaos mutants --seeds 2000 --time 2m --table kills.md`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return m.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&m.source, "source", "", "root of Parley's sources (default: the checkout around the working folder)")
	f.StringSliceVar(&m.only, "only", nil, "mutants to try, such as M01,M15 (default: all)")
	f.Uint64Var(&m.budget.From, "from", 1, "first seed")
	f.IntVar(&m.budget.Seeds, "seeds", 500, "at most so many seeds for each")
	f.DurationVar(&m.budget.Time, "time", 30*time.Second, "at most so much time for each")
	f.DurationVar(&m.budget.Shrink, "shrink", 2*time.Second, "time for making what was found smaller, for each; 0: none")
	f.IntVar(&m.jobs, "jobs", 2, "mutants at a time")
	f.StringVar(&m.table, "table", "", "also write the table to this file, as Markdown")
	f.BoolVar(&m.json, "json", false, "print JSON")
	return cmd
}

// sourceRoot finds the checkout.
func (m *chaosMutants) sourceRoot() (string, error) {
	dir := m.source
	if dir == "" {
		var err error
		if dir, err = os.Getwd(); err != nil {
			return "", err
		}
	}
	for at := dir; ; at = filepath.Dir(at) {
		data, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && strings.HasPrefix(string(data), "module github.com/parley-bft/parley\n") {
			return at, nil
		}
		if m.source != "" || at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not in a checkout of Parley: name its root with --source", dir)
		}
	}
}

func (m *chaosMutants) chosen(cmd *cobra.Command) ([]mutants.Mutant, error) {
	if len(m.only) == 0 {
		return mutants.All(), nil
	}
	var list []mutants.Mutant
	for _, id := range m.only {
		x, ok := mutants.Find(strings.ToUpper(strings.TrimSpace(id)))
		if !ok {
			return nil, usagef(cmd, "--only %s: there are M01 to M%02d", id, len(mutants.All()))
		}
		list = append(list, x)
	}
	return list, nil
}

func (m *chaosMutants) run(cmd *cobra.Command) error {
	switch {
	case m.budget.Seeds < 1:
		return usagef(cmd, "--seeds is %d: at least 1", m.budget.Seeds)
	case m.budget.Time <= 0:
		return usagef(cmd, "--time is %v: must be positive", m.budget.Time)
	case m.jobs < 1:
		return usagef(cmd, "--jobs is %d: at least 1", m.jobs)
	}
	list, err := m.chosen(cmd)
	if err != nil {
		return err
	}
	root, err := m.sourceRoot()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "parley-mutants-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	out, notes := cmd.OutOrStdout(), cmd.ErrOrStderr()
	fmt.Fprintf(notes, "Compiling Parley with %d mutants in it...\n", len(mutants.All()))
	program, err := mutants.Build(cmd.Context(), root, folder, mutants.Trial, mutants.All())
	if err != nil {
		return err
	}
	n := 0
	rows, err := mutants.Campaign(cmd.Context(), program, list, m.budget, m.jobs, func(r mutants.Row) {
		n++
		fmt.Fprintf(notes, "%2d/%d  %s  %s: %s\n", n, len(list), r.Mutant.ID, r.Mutant.Title, outcomeOf(&r))
	})
	if err != nil {
		return err
	}
	if m.table != "" {
		if err := writeTable(m.table, rows); err != nil {
			return err
		}
	}
	if m.json {
		findings := make([]*mutants.Finding, 0, len(rows))
		for i := range rows {
			if rows[i].Finding != nil {
				findings = append(findings, rows[i].Finding)
			}
		}
		if err := json.NewEncoder(out).Encode(findings); err != nil {
			return err
		}
	} else if err := printMutants(cmd, rows); err != nil {
		return err
	}
	if s := mutants.Sum(rows); s.Survived > 0 {
		return fmt.Errorf("%d of %d mutants survived: the simulator is blind there, or needs more --seeds and --time", s.Survived, len(rows))
	}
	return nil
}

func writeTable(path string, rows []mutants.Row) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(mutants.WriteMarkdown(f, rows), f.Close())
}

func outcomeOf(r *mutants.Row) string {
	switch f := r.Finding; {
	case f == nil:
		return "impossible"
	case f.Killed:
		return fmt.Sprintf("killed by %q in seed %d", f.Invariant, f.Seed)
	case r.Blind():
		return fmt.Sprintf("a blind spot: only %s kills it", r.Mutant.Elsewhere)
	default:
		return fmt.Sprintf("SURVIVED %d seeds", f.Seeds)
	}
}

func printMutants(cmd *cobra.Command, rows []mutants.Row) error {
	out := cmd.OutOrStdout()
	t := newTable(out, "MUTANT", "WHAT IS BROKEN", "KILLED BY", "SEEDS", "SECONDS", "SMALLEST")
	for i := range rows {
		m, f := rows[i].Mutant, rows[i].Finding
		switch {
		case f == nil:
			t.row(m.ID, m.Title, "(impossible)", "", "", m.Impossible)
		case f.Killed:
			t.row(m.ID, m.Title, f.Invariant, f.Seeds, fmt.Sprintf("%.2f", f.Real), strings.Join(f.Left, "; "))
		case rows[i].Blind():
			t.row(m.ID, m.Title, "(blind spot)", f.Seeds, fmt.Sprintf("%.2f", f.Real), "only "+m.Elsewhere)
		default:
			t.row(m.ID, m.Title, "SURVIVED", f.Seeds, fmt.Sprintf("%.2f", f.Real), "")
		}
	}
	if err := t.render(); err != nil {
		return err
	}
	s := mutants.Sum(rows)
	fmt.Fprintf(out, "%d killed, %d blind spots, %d survived, %d impossible; time to kill: median %.2f s, worst %.2f s\n", s.Killed, s.Blind, s.Survived, s.Impossible, s.MedianSeconds, s.WorstSeconds)
	return nil
}
