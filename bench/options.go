package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parley-bft/parley/bench/system"
)

// options are what is measured, and how.
type options struct {
	systems     []system.System
	clients     []int
	connections int
	warmup      time.Duration
	window      time.Duration
	rounds      int
	repeats     int // of each scenario
	scenarios   []string
	sizes       []int
	soak        time.Duration

	quick  bool
	again  bool
	render bool
	source string // the folder bench
	out    string
	dir    string // for the replicas' data
}

// parseOptions reads the command line. Errors name flag, value and remedy.
func parseOptions(args []string, help io.Writer) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(help)
	only := fs.String("only", "", "systems, such as parley,dragonboat (default all: "+strings.Join(systemNames(), ",")+")")
	clients := fs.String("clients", "", "clients of the closed loop (default 1,16,128,1024)")
	scenarios := fs.String("scenarios", "", "scenarios, or none (default all: "+strings.Join(scenarioNames(), ",")+")")
	sizes := fs.String("sizes", "", "numbers of replicas for the scenario sizes (default 4,7,10,16,31)")
	fs.IntVar(&o.connections, "connections", 16, "connections that the clients share")
	fs.DurationVar(&o.warmup, "warmup", 0, "before each window (default 2s)")
	fs.DurationVar(&o.window, "window", 0, "length of each measurement (default 8s)")
	fs.IntVar(&o.rounds, "rounds", 0, "how often each system has its turn (default 3)")
	fs.DurationVar(&o.soak, "soak", 10*time.Minute, "length of the scenario soak")
	fs.BoolVar(&o.quick, "quick", false, "less than five minutes: clients 16,1024, short windows, few scenarios, without hraft")
	fs.BoolVar(&o.again, "again", false, "measure only --scenarios, and keep the rest of the results of the last time")
	fs.BoolVar(&o.render, "render", false, "measure nothing, write the results of the last time anew")
	fs.StringVar(&o.source, "source", ".", "the folder bench of the source")
	fs.StringVar(&o.out, "out", "", "folder of the results (default --source)")
	fs.StringVar(&o.dir, "dir", "", "folder for the replicas' data, on the disk to measure (default a temporary one)")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if o.quick {
		if *only == "" {
			*only = strings.TrimSuffix(strings.Join(systemNames(), ","), ",hraft") // the last, and much like the one before it
		}
		o.defaults("16,1024", "killed,down,half", "4,7", time.Second, 2*time.Second, 2, clients, scenarios, sizes)
	} else {
		o.defaults("1,16,128,1024", strings.Join(scenarioNames(), ","), "4,7,10,16,31", 2*time.Second, 8*time.Second, 3, clients, scenarios, sizes)
	}
	if o.repeats = o.rounds; o.quick {
		o.repeats = 1
	}
	var err error
	if o.systems, err = systemsNamed(*only); err != nil {
		return nil, err
	}
	if o.clients, err = numbers("--clients", *clients, 1, 4096); err != nil {
		return nil, err
	}
	if o.sizes, err = numbers("--sizes", *sizes, 4, 64); err != nil {
		return nil, err
	}
	if *scenarios != "none" {
		o.scenarios = strings.Split(*scenarios, ",")
	}
	for _, s := range o.scenarios {
		if !slices.Contains(scenarioNames(), s) {
			return nil, fmt.Errorf("--scenarios names %q: give some of %s, or none", s, strings.Join(scenarioNames(), ","))
		}
	}
	if o.out == "" {
		o.out = o.source
	}
	return o, o.validate()
}

// defaults sets what was not given.
func (o *options) defaults(defaultClients, defaultScenarios, defaultSizes string, warmup, window time.Duration, rounds int, clients, scenarios, sizes *string) {
	for _, f := range []struct {
		value *string
		text  string
	}{{clients, defaultClients}, {scenarios, defaultScenarios}, {sizes, defaultSizes}} {
		if *f.value == "" {
			*f.value = f.text
		}
	}
	if o.warmup == 0 {
		o.warmup = warmup
	}
	if o.window == 0 {
		o.window = window
	}
	if o.rounds == 0 {
		o.rounds = rounds
	}
}

func (o *options) validate() error {
	switch {
	case o.connections < 1 || o.connections > 1024:
		return fmt.Errorf("--connections is %d: give 1 to 1024", o.connections)
	case o.warmup < 0:
		return fmt.Errorf("--warmup is %v: give a positive duration, such as 2s", o.warmup)
	case o.window < 100*time.Millisecond:
		return fmt.Errorf("--window is %v: give 100ms or more", o.window)
	case o.rounds < 1 || o.rounds > 100:
		return fmt.Errorf("--rounds is %d: give 1 to 100", o.rounds)
	case o.again && len(o.scenarios) == 0:
		return errors.New("--again measures nothing: name --scenarios")
	case o.again && !o.measuresParley():
		return errors.New("--again without parley in --only: scenarios are Parley's")
	case o.soak < time.Second:
		return fmt.Errorf("--soak is %v: give 1s or more", o.soak)
	}
	if _, err := os.Stat(filepath.Join(o.source, "peers")); err != nil && !o.render {
		return errors.New("--source is " + o.source + ": name the folder bench of Parley's source")
	}
	return nil
}

func (o *options) path(name string) string { return filepath.Join(o.out, name) }

func systemNames() (names []string) {
	for _, s := range system.All {
		names = append(names, s.Name)
	}
	return names
}

func systemsNamed(list string) ([]system.System, error) {
	if list == "" {
		return system.All, nil
	}
	var found []system.System
	for name := range strings.SplitSeq(list, ",") {
		s, ok := system.Named(name)
		if !ok {
			return nil, fmt.Errorf("--only names %q: give some of %s", name, strings.Join(systemNames(), ","))
		}
		found = append(found, s)
	}
	return found, nil
}

func numbers(flag, list string, low, high int) (all []int, err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < low || n > high {
			return nil, fmt.Errorf("%s has %q: give numbers from %d to %d, with commas between", flag, text, low, high)
		}
		all = append(all, n)
	}
	return all, nil
}
