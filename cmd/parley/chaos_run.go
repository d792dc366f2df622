package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/chaos"
)

func init() { chaosCommands = append(chaosCommands, newChaosRun, newChaosReplay, newChaosReport) }

// chaosRun runs many seeds of the simulator.
type chaosRun struct {
	seeds    int
	from     uint64
	limit    time.Duration
	jobs     int
	size     int
	app      string
	failures int
	shrink   time.Duration
	dir      string
	table    string
	json     bool
}

// allApplications stands for all applications in turn, from seed to seed.
const allApplications = "all"

// defaultSeeds is how many seeds are run if neither a number nor a time is given.
const defaultSeeds = 200

func newChaosRun() *cobra.Command {
	c := &chaosRun{}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run many seeds of the simulator",
		Long: `Runs simulated clusters, one for each seed. A seed decides the size of the cluster,
its network, the faults, who lies and how; the same seed is the same run, on any
machine. Every step is judged, and at the end what the clients saw.

The first seed that breaks a promise ends the run with exit code 1; the command
that runs just this seed again is printed, and what is left of it after making it
smaller. With --dir its folder is there already.

At the end: faults by kind, and how often the rare situations that matter were
there. One that never was is named: the run was too short to say anything of it.`,
		Example: `  parley chaos run
  parley chaos run --for 1h --failures 5 --dir findings --table results.md
  parley chaos run --from 10000 --seeds 500 --size 13
  parley chaos run --app ledger --seeds 100
  parley chaos run --app all --for 10m`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	f := cmd.Flags()
	f.IntVar(&c.seeds, "seeds", defaultSeeds, "number of seeds; with --for and without this, as many as fit")
	f.Uint64Var(&c.from, "from", 1, "first seed")
	f.DurationVar(&c.limit, "for", 0, "begin no more seeds after this time; 0: no limit")
	f.IntVar(&c.jobs, "jobs", runtime.GOMAXPROCS(0), "seeds at a time, each on one core")
	f.IntVar(&c.size, "size", 0, "run only seeds whose cluster has so many replicas; 0: all")
	f.StringVar(&c.app, "app", "", "run this application in place of the key-value store in memory: "+chaos.ApplicationNames()+"; all: each in turn, from seed to seed")
	f.IntVar(&c.failures, "failures", 1, "stop after so many seeds that break a promise")
	f.DurationVar(&c.shrink, "shrink", 10*time.Second, "time for making the first of them smaller; 0: none")
	f.StringVar(&c.dir, "dir", "", "leave the folder of each seed that breaks a promise here, as DIR/seed-N")
	f.StringVar(&c.table, "table", "", "also write the results to this file, as Markdown")
	f.BoolVar(&c.json, "json", false, "print the results as JSON")
	return cmd
}

func (c *chaosRun) check(cmd *cobra.Command) error {
	switch {
	case c.seeds < 1:
		return usagef(cmd, "--seeds is %d: at least 1", c.seeds)
	case c.limit < 0:
		return usagef(cmd, "--for is %v: must not be negative", c.limit)
	case c.jobs < 1 || c.jobs > 1024:
		return usagef(cmd, "--jobs is %d: give 1 to 1024", c.jobs)
	case c.failures < 1:
		return usagef(cmd, "--failures is %d: at least 1", c.failures)
	case c.shrink < 0:
		return usagef(cmd, "--shrink is %v: must not be negative", c.shrink)
	case !isChaosApplication(c.app) && c.app != allApplications:
		return usagef(cmd, "--app is %q: leave it out for the key-value store, or give all or one of %s", c.app, chaos.ApplicationNames())
	case c.size != 0 && !drawn(c.size):
		return usagef(cmd, "--size is %d: no seed draws a cluster of that size", c.size)
	}
	return nil
}

// drawn tells whether seeds with clusters of this size are common enough to look
// for them.
func drawn(size int) bool {
	for seed := range uint64(1000) {
		if len(chaos.Swarm(seed).Weights) == size {
			return true
		}
	}
	return false
}

func (c *chaosRun) run(cmd *cobra.Command) error {
	// Runs are short and small: collecting garbage less often saves a third of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	if err := c.check(cmd); err != nil {
		return err
	}
	left := c.seeds
	if c.limit > 0 && !cmd.Flags().Changed("seeds") {
		left = -1
	}
	s := newSwarm(c.jobs)
	finished := make(chan struct{})
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		s.show(cmd.ErrOrStderr(), finished)
	}()
	c.all(cmd.Context(), s, left)
	close(finished)
	<-shown
	sum := s.summary()
	if err := c.print(cmd, sum); err != nil {
		return err
	}
	if len(s.failed) > 0 {
		return c.failure(cmd, s)
	}
	if interrupted(cmd.Context()) {
		return fmt.Errorf("interrupted after %d seeds, none of which broke a promise", sum.Seeds)
	}
	return nil
}

// all runs seeds until there is a reason to stop; left is how many, negative for
// any number.
func (c *chaosRun) all(ctx context.Context, s *swarm, left int) {
	var mu sync.Mutex
	next := c.from
	take := func() (chaos.Options, bool) {
		mu.Lock()
		defer mu.Unlock()
		for {
			if left == 0 || ctx.Err() != nil || c.limit > 0 && time.Since(s.began) >= c.limit || s.failures() >= c.failures {
				return chaos.Options{}, false
			}
			o := chaos.Swarm(next)
			o.Application = c.application(next)
			next++
			if c.size == 0 || len(o.Weights) == c.size {
				left--
				return o, true
			}
		}
	}
	var workers sync.WaitGroup
	for range c.jobs {
		workers.Go(func() {
			for {
				o, ok := take()
				if !ok {
					return
				}
				s.add(o, chaos.Run(o))
			}
		})
	}
	workers.Wait()
}

// failure tells of the seeds that broke a promise: each with the command that runs
// it again, and the first made smaller.
func (c *chaosRun) failure(cmd *cobra.Command, s *swarm) error {
	out := cmd.OutOrStdout()
	if c.json {
		out = cmd.ErrOrStderr()
	}
	for i, f := range s.failed {
		fmt.Fprintf(out, "\nSEED %d BROKE A PROMISE\n%s\n", f.options.Seed, strings.Join(f.report.Violations, "\n"))
		again := again(&f.options)
		if c.dir != "" {
			folder := filepath.Join(c.dir, fmt.Sprintf("seed-%d", f.options.Seed))
			if _, err := keepRun(f.options, folder, again+" --dir "+quoted(folder), nil); err != nil {
				return err
			}
			fmt.Fprintf(out, "The report:  %s\n", filepath.Join(folder, pageName))
			again += " --dir " + quoted(folder)
		}
		if i == 0 && c.shrink > 0 {
			fmt.Fprintf(cmd.ErrOrStderr(), "Making seed %d smaller, for at most %v...\n", f.options.Seed, c.shrink)
			small := chaos.Shrink(f.options, f.report, c.shrink)
			fmt.Fprintf(out, "After %d smaller runs it still takes: %s\n", small.Runs, strings.Join(small.Left, "; "))
			for _, line := range small.Story {
				fmt.Fprintf(out, "  %s\n", line)
			}
		}
		fmt.Fprintf(out, "Again:       %s\n", again)
	}
	first := s.failed[0]
	return fmt.Errorf("%d of %d seeds broke a promise (%s in seed %d). Run it again: %w", len(s.failed), s.seeds(), first.report.Invariant(), first.options.Seed,
		errors.New(again(&first.options)))
}

// application is what a seed is run with.
func (c *chaosRun) application(seed uint64) string {
	if c.app != allApplications {
		return c.app
	}
	all := chaos.Applications()
	return all[seed%uint64(len(all))].Name
}

// again is the command that runs a seed again.
func again(o *chaos.Options) string { return invocation() + " chaos replay " + seedArguments(o) }

// seedArguments choose a seed and what it was run with.
func seedArguments(o *chaos.Options) string {
	if o.Application != "" {
		return fmt.Sprintf("--app %s %d", o.Application, o.Seed)
	}
	return fmt.Sprint(o.Seed)
}

// isChaosApplication tells whether simulations can run it; empty is the key-value store.
func isChaosApplication(name string) bool {
	_, ok := chaos.ApplicationNamed(name)
	return ok || name == ""
}
