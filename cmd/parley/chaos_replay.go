package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/chaos/report"
)

const pageName = report.PageFile

// chaosReplay runs one seed and keeps all of it.
type chaosReplay struct {
	app     string
	dir     string
	options string
	trace   bool
}

func newChaosReplay() *cobra.Command {
	c := &chaosReplay{}
	cmd := &cobra.Command{
		Use:   "replay [SEED]",
		Short: "Run one seed again, and leave its folder and report",
		Long: `Runs what a seed decides, the same every time, and leaves a folder: the options, the
trace with every message, the history of the clients (also in Jepsen's EDN form) and
report.html, with all of it over time.

Instead of a seed, options of a run can be given: options.json of its folder, as it
is or changed.

Exit code 1 if it breaks a promise.`,
		Example: `  parley chaos replay 4711
  parley chaos replay 4711 --trace | less
  parley chaos replay --options findings/seed-4711/options.json --dir again`,
		Args: cobra.MaximumNArgs(1),
		RunE: c.run,
	}
	f := cmd.Flags()
	f.StringVar(&c.dir, "dir", "", "folder to leave (default one in the temporary folder)")
	f.StringVar(&c.app, "app", "", "the application that the seed was run with (default the key-value store)")
	f.StringVar(&c.options, "options", "", "file with the options, instead of a seed")
	f.BoolVar(&c.trace, "trace", false, "print everything that happens, too")
	return cmd
}

// chosen are the options to run, and the arguments that choose them.
func (c *chaosReplay) chosen(cmd *cobra.Command, args []string) (o chaos.Options, again string, err error) {
	if (len(args) == 1) == (c.options != "") {
		return o, "", usagef(cmd, "give a SEED or --options FILE, and not both")
	}
	if c.app != "" && c.options != "" {
		return o, "", usagef(cmd, "--app is for a SEED: the options name their application")
	}
	if c.options == "" {
		seed, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil {
			return o, "", usagef(cmd, "SEED is %q: give a number from 0", args[0])
		}
		if !isChaosApplication(c.app) {
			return o, "", usagef(cmd, "--app is %q: leave it out for the key-value store, or give one of %s", c.app, chaos.ApplicationNames())
		}
		o = chaos.Swarm(seed)
		if o.Application = c.app; c.app != "" {
			again = "--app " + c.app + " "
		}
		return o, again + args[0], nil
	}
	data, err := os.ReadFile(c.options)
	if err != nil {
		return o, "", err
	}
	if o, err = chaos.DecodeOptions(data); err != nil {
		return o, "", fmt.Errorf("%s: %w", c.options, err)
	}
	return o, "--options " + quoted(c.options), nil
}

func (c *chaosReplay) run(cmd *cobra.Command, args []string) error {
	o, chosen, err := c.chosen(cmd, args)
	if err != nil {
		return err
	}
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", fmt.Sprintf("parley-chaos-%d-", o.Seed)); err != nil {
			return err
		}
	}
	out := cmd.OutOrStdout()
	var line func(string)
	if c.trace {
		line = func(text string) { fmt.Fprintln(out, text) }
	}
	r, err := keepRun(o, c.dir, fmt.Sprintf("%s chaos replay %s --dir %s", invocation(), chosen, quoted(c.dir)), line)
	if err != nil {
		return err
	}
	if len(r.Violations) == 0 {
		fmt.Fprintf(out, "Nothing was violated (%d invariants).\n", len(chaos.Invariants()))
	}
	fmt.Fprintf(out, "%v\nThe report:  %s\n", r, filepath.Join(c.dir, pageName))
	if err := r.Err(); err != nil {
		return err
	}
	if r.Undecided {
		return errors.New("the history was not judged in time: nothing is known to be broken")
	}
	return nil
}

// keepRun runs a simulation and leaves its folder. line, if not nil, gets the trace
// too.
func keepRun(o chaos.Options, dir, again string, line func(string)) (*chaos.Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	folder, err := report.Create(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = folder.Close() }()
	o.Trace = folder.Trace
	if line != nil {
		o.Trace = func(text string) {
			folder.Trace(text)
			line(text)
		}
	}
	drawing := ""
	r, run, err := chaos.Record(o, func(h *chaos.History) error {
		drawing = report.HistoryPageFile
		return h.Draw(folder.Path(drawing), drawTimeout)
	})
	if err != nil {
		return nil, err
	}
	run.HistoryPage = drawing
	run.Program = readBuildInfo().short()
	run.Reproduce = []string{again}
	return r, folder.Finish(run)
}

// drawTimeout bounds how long porcupine looks for the order that it draws.
const drawTimeout = 10 * time.Second

// quoted makes a word for the shell.
func quoted(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+=:,@%", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func newChaosReport() *cobra.Command {
	return &cobra.Command{
		Use:   "report FOLDER",
		Short: "Draw the report of a run's folder anew",
		Long: `Reads the folder that a simulated or real run left and writes its report.html anew,
as this version draws it.`,
		Example: `  parley chaos report findings/seed-4711`,
		Args:    exactArgs("FOLDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := report.Rerender(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s (%s)\n", filepath.Join(args[0], pageName), r.Verdict)
			return nil
		},
	}
}
