package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/chaos/mutants"
)

// firstBreach is the number of the first breach among the mutants.
const firstBreach = 1000

// defence is one that a scenario is played without.
type defence struct {
	scenario string
	id       string
	title    string
	number   int
}

// defences are those of some scenarios, and the mutants that a build for them needs.
// Each breach has its number by its place among all scenarios.
func defences(chosen []chaos.Scenario) (list []defence, build []mutants.Mutant, err error) {
	wanted := map[string]bool{}
	for i := range chosen {
		wanted[chosen[i].Name] = true
	}
	build = mutants.All()
	number := firstBreach
	for _, s := range chaos.Scenarios() {
		for _, id := range s.Mutants {
			m, ok := mutants.Find(id)
			if !ok {
				return nil, nil, fmt.Errorf("scenario %s names %s, which is no mutant", s.Name, id)
			}
			if wanted[s.Name] {
				list = append(list, defence{s.Name, m.ID, m.Title, m.Number})
			}
		}
		for _, b := range s.Breaches {
			m := breachOf(b)
			if at := slices.IndexFunc(build, func(x mutants.Mutant) bool { return slices.Equal(x.Sites, m.Sites) }); at >= 0 {
				m = build[at] // another scenario has the same
			} else {
				number++
				m.Number, m.ID = number, fmt.Sprintf("B%d", number-firstBreach)
				build = append(build, m)
			}
			if wanted[s.Name] {
				list = append(list, defence{s.Name, m.ID, b.Title, m.Number})
			}
		}
	}
	return list, build, nil
}

func breachOf(b chaos.Breach) mutants.Mutant {
	m := mutants.Mutant{Title: b.Title}
	for _, x := range b.Sites {
		m.Sites = append(m.Sites, mutants.Site{File: x.File, Old: x.Old, New: x.New})
	}
	return m
}

// breach plays scenarios without their defences.
func (c *chaosScenarios) breach(cmd *cobra.Command, chosen []chaos.Scenario) error {
	list, build, err := defences(chosen)
	if err != nil {
		return err
	}
	root, err := (&chaosMutants{source: c.source}).sourceRoot()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "parley-scenarios-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	fmt.Fprintf(cmd.ErrOrStderr(), "Compiling Parley with %d broken rules in it...\n", len(build))
	program, err := buildBroken(cmd.Context(), root, folder, build)
	if err != nil {
		return err
	}
	t := newTable(cmd.OutOrStdout(), "SCENARIO", "WITHOUT", "WHAT IS BROKEN", "VERDICT", "SEEN")
	blind := 0
	for i, d := range list {
		r, err := playBroken(cmd.Context(), program, d)
		if err != nil {
			return err
		}
		verdict, seen := r.Verdict(), strings.Join(append(r.Broken, r.Missing...), "; ")
		if len(r.Broken) == 0 { // also if only the attack did not come about
			blind++
			if r.Err() == nil {
				verdict, seen = "HOLDS ALL THE SAME", strings.Join(r.Facts, "; ")
			}
		}
		seen, _, _ = strings.Cut(seen, "\n")
		t.row(d.scenario, d.id, d.title, verdict, seen)
		fmt.Fprintf(cmd.ErrOrStderr(), "%2d/%d  %s without %s: %s\n", i+1, len(list), d.scenario, d.id, verdict)
	}
	if err := t.render(); err != nil {
		return err
	}
	if blind > 0 {
		return fmt.Errorf("%d of %d scenarios hold without the defence that they name: they show nothing", blind, len(list))
	}
	return nil
}

// buildBroken compiles this program with mutants in it.
func buildBroken(ctx context.Context, root, folder string, build []mutants.Mutant) (string, error) {
	overlay, err := mutants.Overlay(root, folder, build)
	if err != nil {
		return "", err
	}
	program, err := filepath.Abs(filepath.Join(folder, "parley"))
	if err != nil {
		return "", err
	}
	x := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", program, "./cmd/parley")
	x.Dir = root
	if out, err := x.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build with broken rules: %w\n%s", err, out)
	}
	return program, nil
}

// brokenLimit is how long a scenario may take without its defence: it may hang.
const brokenLimit = time.Minute

// playBroken plays a scenario without a defence, in a process of its own.
func playBroken(ctx context.Context, program string, d defence) (*chaos.ScenarioResult, error) {
	bounded, cancel := context.WithTimeout(ctx, brokenLimit)
	defer cancel()
	x := exec.CommandContext(bounded, program, "chaos", "scenarios", "--json", d.scenario)
	x.Env = append(os.Environ(), mutants.Environment+"="+strconv.Itoa(d.number))
	var out, errs bytes.Buffer
	x.Stdout, x.Stderr = &out, &errs
	err := x.Run()
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case bounded.Err() != nil:
		return &chaos.ScenarioResult{Name: d.scenario, Broken: []string{fmt.Sprintf("it did not end within %v", brokenLimit)}}, nil
	case err != nil && !errors.As(err, &failed):
		return nil, err
	}
	r := &chaos.ScenarioResult{}
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		last := strings.Split(strings.TrimSpace(errs.String()), "\n")
		return &chaos.ScenarioResult{Name: d.scenario, Broken: []string{"the process died: " + last[0]}}, nil
	}
	return r, nil
}
