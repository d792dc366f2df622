package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	program, err := mutants.Build(cmd.Context(), root, folder, "./cmd/parley", build)
	if err != nil {
		return err
	}
	t := newTable(cmd.OutOrStdout(), "SCENARIO", "WITHOUT", "WHAT IS BROKEN", "VERDICT", "SEEN")
	blind := 0
	for i, d := range list {
		x, err := c.try(cmd.Context(), program, d)
		if err != nil {
			return err
		}
		if x.verdict != noticed {
			blind++
		}
		seen, _, _ := strings.Cut(x.seen, "\n")
		t.row(d.scenario, d.id, d.title, x.verdict, seen)
		fmt.Fprintf(cmd.ErrOrStderr(), "%2d/%d  %s without %s: %s\n", i+1, len(list), d.scenario, d.id, x.verdict)
	}
	if err := t.render(); err != nil {
		return err
	}
	if blind > 0 {
		return fmt.Errorf("%d of %d defences are not missed when they are taken away, or not for the attack: there the scenario shows nothing", blind, len(list))
	}
	return nil
}

// How a scenario without its defence ends. Only noticed is as it should be.
const (
	noticed = "FAILED"
	// coarse: what is broken shows without the attack, too.
	coarse = "COARSE"
	// unmoved: nothing is broken.
	unmoved = "HOLDS ALL THE SAME"
	// absent: the attack did not come about.
	absent = "NOT PLAYED"
	// endless: it was stopped, which the load of the machine may explain as well.
	endless = "DID NOT END"
	// lost: the process ended without a result and without a panic of the program.
	lost = "LOST"
)

// trial is what came of a scenario without a defence.
type trial struct{ verdict, seen string }

// try plays a scenario without a defence and, if that shows, without its attack.
func (c *chaosScenarios) try(ctx context.Context, program string, d defence) (trial, error) {
	x, err := playBroken(ctx, program, d)
	if err != nil || x.verdict != noticed {
		return x, err
	}
	calm, err := playBroken(ctx, program, d, "--calm")
	if err != nil {
		return trial{}, err
	}
	switch calm.verdict {
	case unmoved:
		return x, nil
	case noticed:
		return trial{coarse, "without the attack: " + calm.seen}, nil
	}
	return calm, nil
}

// brokenLimit is how long a scenario may take without its defence: it may hang.
const brokenLimit = time.Minute

// playBroken plays a scenario without a defence, in a process of its own.
func playBroken(ctx context.Context, program string, d defence, flags ...string) (trial, error) {
	bounded, cancel := context.WithTimeout(ctx, brokenLimit)
	defer cancel()
	x := exec.CommandContext(bounded, program, append([]string{"chaos", "scenarios", "--json", d.scenario}, flags...)...)
	x.Env = append(os.Environ(), mutants.Environment+"="+strconv.Itoa(d.number))
	var out, errs bytes.Buffer
	x.Stdout, x.Stderr = &out, &errs
	err := x.Run()
	var failed *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return trial{}, context.Cause(ctx)
	case bounded.Err() != nil:
		return trial{endless, fmt.Sprintf("it did not end within %v", brokenLimit)}, nil
	case err != nil && !errors.As(err, &failed):
		return trial{}, err
	}
	return judgeTrial(out.Bytes(), errs.String()), nil
}

// judgeTrial reads what a process said.
func judgeTrial(out []byte, errs string) trial {
	r := &chaos.ScenarioResult{}
	if err := json.Unmarshal(out, r); err != nil {
		for line := range strings.Lines(errs) {
			if strings.HasPrefix(line, "panic: ") {
				return trial{noticed, "the process died: " + strings.TrimSpace(line)}
			}
		}
		last, _, _ := strings.Cut(strings.TrimSpace(errs), "\n")
		return trial{lost, "the process said nothing: " + last}
	}
	switch {
	case len(r.Broken) > 0:
		return trial{noticed, strings.Join(append(r.Broken, r.Missing...), "; ")}
	case r.Err() != nil:
		return trial{absent, strings.Join(r.Missing, "; ")}
	}
	return trial{unmoved, strings.Join(r.Facts, "; ")}
}
