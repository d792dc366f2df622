package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/chaos/real"
	"github.com/parley-bft/parley/chaos/report"
)

func init() { chaosCommands = append(chaosCommands, newChaosReal) }

// chaosReal is what 'parley chaos real' was told.
type chaosReal struct {
	opts    real.Options
	seconds float64
	quick   bool
	built   string // folder of the daemon, if it was built for this run
}

func newChaosReal() *cobra.Command {
	c := &chaosReal{}
	cmd := &cobra.Command{
		Use:   "real",
		Short: "Real replica processes under kill -9, partitions, power cuts and traitors",
		Long:  c.long(),
		Example: `  parley chaos real --seconds 120
  parley chaos real --nemesis kill,partition,delay --replicas 7
  parley chaos real --kills 500
  parley chaos real --power 50
  parley chaos real --app kv-store --nemesis power,rot-state,kill`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	f := cmd.Flags()
	f.Float64Var(&c.seconds, "seconds", 60, "how long faults go on")
	f.StringVar(&c.opts.Application, "app", "", "what the replicas run: "+strings.Join(real.Applications(), " or ")+" (default the first); the latter has its state on the disk")
	f.IntVar(&c.opts.Replicas, "replicas", 4, "number of replicas")
	f.IntVar(&c.opts.Clients, "clients", 8, "number of clients")
	f.IntVar(&c.opts.Rate, "rate", 400, "operations that all clients together begin in a second")
	f.StringSliceVar(&c.opts.Nemeses, "nemesis", []string{"all"}, "which faults, separated by commas: all, none, or names from above")
	f.Uint64Var(&c.opts.Seed, "seed", 0, "decides what is done (default a new one)")
	f.StringVar(&c.opts.Dir, "dir", "", "folder of the run (default a new one in the temporary folder)")
	f.IntVar(&c.opts.Kills, "kills", 0, "instead: kill -9 until so many restarts were made")
	f.IntVar(&c.opts.PowerCuts, "power", 0, "instead: cut the power of all replicas so many times")
	f.StringVar(&c.opts.Next, "next", "", "another build of this program, for the upgrade (default a copy of it)")
	f.StringVar(&c.opts.Daemon, "daemon", "", "the test daemon, for traitors and wrong clocks (default built if there is Go and the source)")
	f.BoolVar(&c.opts.Loopback, "loopback", false, "no network namespaces, also where they are permitted")
	f.BoolVar(&c.quick, "uncontained", false, "no namespaces at all: without file systems of their own, nothing that takes root")
	return cmd
}

func (*chaosReal) long() string {
	var b strings.Builder
	b.WriteString(`Run a cluster of this very program, as processes, under faults; write through the
client library; heal; and judge: histories must be linearizable, every acknowledged
write must be at every replica, once, states must be equal, nobody honest may be
accused, and nobody may end by itself.

Where the system permits it (as root, or with user namespaces) everything happens in
namespaces of the kernel, which vanish with this command however it ends. Otherwise
it happens on loopback, through proxies that delay and cut, and says what is left out.

The faults:

`)
	for _, name := range real.Nemeses() {
		fmt.Fprintf(&b, "  %-18s %s\n", name, real.NemesisDoc(name))
	}
	b.WriteString("\nExit code 1 if anything was broken. Ctrl-C ends the faults, heals and judges.")
	return b.String()
}

func (c *chaosReal) run(cmd *cobra.Command) (err error) {
	if err := c.complete(cmd); err != nil {
		return err
	}
	if err := c.daemon(cmd); err != nil {
		return err
	}
	if c.built != "" {
		defer func() { err = errors.Join(err, os.RemoveAll(c.built)) }()
	}
	if !c.quick && !real.Contained() {
		args := append([]string{"chaos", "real", "--seed", fmt.Sprint(c.opts.Seed), "--dir", c.opts.Dir, "--daemon", c.opts.Daemon}, passed(cmd)...)
		code, err := real.Contain(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			fmt.Fprintf(cmd.OutOrStdout(), "Without namespaces, which this system does not permit: %v\n", err)
		case err != nil:
			return err
		case code != 0:
			return errChaosBroken
		default:
			return nil
		}
	}
	out, err := real.Run(cmd.Context(), c.opts)
	if err != nil {
		return err
	}
	c.print(cmd, out)
	return out.Err()
}

// daemon builds the test daemon if it is needed and was not given.
func (c *chaosReal) daemon(cmd *cobra.Command) error {
	wants := slices.ContainsFunc(c.opts.Nemeses, func(n string) bool { return n == "all" || n == "clock" || n == "traitor" })
	if real.Contained() || c.opts.Daemon != "" || !wants || c.opts.Kills > 0 || c.opts.PowerCuts > 0 {
		return nil
	}
	dir, err := os.MkdirTemp("", "parley-chaos-daemon-")
	if err != nil {
		return err
	}
	program, err := real.BuildDaemon(cmd.Context(), dir)
	if errors.Is(err, errors.ErrUnsupported) {
		fmt.Fprintf(cmd.OutOrStdout(), "No traitors and wrong clocks: %v\n", err)
		return os.RemoveAll(dir)
	}
	c.opts.Daemon, c.built = program, dir
	return err
}

// errChaosBroken is for the process outside of the namespaces: the one inside has
// said everything.
var errChaosBroken = errors.New("the run found something, or did not end well: see above")

// passed are the flags that the process inside gets as they were given.
func passed(cmd *cobra.Command) (args []string) {
	for _, name := range []string{"app", "seconds", "replicas", "clients", "rate", "nemesis", "kills", "power", "next", "loopback", "uncontained"} {
		if f := cmd.Flags().Lookup(name); f.Changed {
			args = append(args, "--"+name+"="+strings.Trim(f.Value.String(), "[]"))
		}
	}
	return args
}

// complete fills in what was not given.
func (c *chaosReal) complete(cmd *cobra.Command) (err error) {
	o := &c.opts
	if o.Program, err = os.Executable(); err != nil {
		return err
	}
	set := cmd.Flags().Changed
	if !set("seed") {
		o.Seed = rand.Uint64N(1_000_000)
	}
	if !set("dir") {
		o.Dir = real.NewFolder(o.Seed)
	}
	o.Duration = time.Duration(c.seconds * float64(time.Second))
	o.Again = strings.Join(append([]string{invocation(), "chaos", "real", "--seed", fmt.Sprint(o.Seed)}, passed(cmd)...), " ")
	o.Out = cmd.OutOrStdout()
	if err := o.Validate(); err != nil {
		return usagef(cmd, "%v", err)
	}
	return nil
}

func (*chaosReal) print(cmd *cobra.Command, o *real.Outcome) {
	w := cmd.OutOrStdout()
	kinds := map[string]int{}
	for _, f := range o.Faults {
		kinds[f.Kind]++
	}
	fmt.Fprintf(w, "\n%d operations: %d acknowledged, %d with an unknown outcome, %d that certainly did not run\n",
		len(o.Operations), o.Acknowledged, o.Unknown, o.Never)
	fmt.Fprintf(w, "%d faults, %d restarts; longest time without an acknowledgement %.1f s\n", len(o.Faults), o.Restarts, o.Pause.Seconds())
	t := newTable(w, "FAULT", "TIMES")
	for _, name := range append(real.Nemeses(), "") {
		if kinds[name] > 0 {
			t.row(name, kinds[name])
		}
	}
	_ = t.render()
	for _, n := range o.Notes {
		fmt.Fprintf(w, "Note: %s.\n", n)
	}
	for _, v := range o.Violations {
		fmt.Fprintf(w, "VIOLATION at %.1f s of %s: %s\n", v.At.Seconds(), v.Invariant, v.Text)
	}
	verdict := map[report.Verdict]string{
		report.Pass: "PASS: everything promised was kept", report.Broken: "BROKEN", report.Undecided: "UNDECIDED: not everything could be judged",
	}[o.Verdict]
	fmt.Fprintf(w, "\n%s\n\nThe report:  %s\nAgain:       %s\n", verdict, filepath.Join(o.Folder, report.PageFile), o.Again())
}
