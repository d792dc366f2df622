package real

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-bft/parley/chaos/report"
)

// Outcome is what came of a run.
type Outcome struct {
	*report.Run
	// Folder has the report, the trace, and in cluster/ what each replica logged.
	Folder string
	// Acknowledged, Unknown and Never are how many operations ran for certain, ended
	// without an outcome, and certainly did not run.
	Acknowledged, Unknown, Never int
	// Restarts is how often a replica was started again, Pause the longest time
	// without an acknowledgement.
	Restarts int
	Pause    time.Duration
}

// Err is nil if nothing was broken.
func (o *Outcome) Err() error {
	if o.Verdict == report.Pass {
		return nil
	}
	if len(o.Violations) == 0 {
		return fmt.Errorf("%w: %v", ErrUndecided, o.Notes)
	}
	v := o.Violations[0]
	return fmt.Errorf("%w: %s: %s (and %d more)", ErrBroken, v.Invariant, v.Text, len(o.Violations)-1)
}

// Errors of [Outcome.Err]; test with errors.Is.
var (
	// ErrBroken: a promise was broken.
	ErrBroken = errors.New("a promise was broken")
	// ErrUndecided: nothing is known to be broken, but not all was judged.
	ErrUndecided = errors.New("not all was judged")
	// ErrImpossible, of [Run]: none of the faults that were asked for can be done here.
	ErrImpossible = errors.New("cannot be done here")
)

// finish makes the report.
func (r *run) finish(started time.Time) (*Outcome, error) {
	begin := time.Now()
	undecided := r.judge()
	r.say("judged in %.1f s", time.Since(begin).Seconds())
	all, ok, never, unknown := r.recorder.tally()
	options, err := json.Marshal(r.opts)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	lives := 0
	for _, n := range r.nodes {
		lives += n.started
	}
	rep := &report.Run{
		Kind: report.Real, Title: r.title(), Seed: r.opts.Seed, Started: started, Duration: r.recorder.now(), Elapsed: time.Since(started),
		Options: options, MaxFaulty: uint64(r.opts.faulty()), Phases: r.phases, Faults: r.faults, Operations: r.recorder.ops,
		Evidence: r.evidence(), Violations: r.violations, Verdict: report.Pass, Notes: r.notes,
	}
	for i := range r.faults {
		if r.faults[i].End == 0 {
			r.faults[i].End = rep.Duration
		}
	}
	for i, n := range r.nodes {
		rep.Program = cmp.Or(rep.Program, n.last.Build)
		x := report.Replica{ID: i, Name: name(i), Weight: 1, Samples: r.samples[i], Traitor: n.blamed}
		if x.Traitor {
			x.Strategy = "at times"
		}
		rep.Replicas = append(rep.Replicas, x)
	}
	names := make([]string, 0, len(r.coverage))
	for what := range r.coverage {
		names = append(names, what)
	}
	slices.Sort(names)
	for _, what := range names {
		rep.Coverage = append(rep.Coverage, report.Counter{Name: what, Count: r.coverage[what]})
	}
	out := &Outcome{
		Run: rep, Folder: r.opts.Dir, Acknowledged: ok, Unknown: unknown, Never: never,
		Restarts: lives - len(r.nodes), Pause: time.Duration(r.load.pause.Load()),
	}
	rep.Numbers = []report.Number{
		{Name: "operations", Value: float64(all)},
		{Name: "acknowledged", Value: float64(ok)},
		{Name: "outcome unknown", Value: float64(unknown)},
		{Name: "certainly not run", Value: float64(never)},
		{Name: "restarts of replicas", Value: float64(out.Restarts)},
		{Name: "longest pause", Value: out.Pause.Seconds(), Unit: "seconds"},
	}
	switch {
	case len(r.violations) > 0:
		rep.Verdict = report.Broken
	case undecided:
		rep.Verdict = report.Undecided
	}
	if r.opts.Again != "" {
		rep.Reproduce = []string{r.opts.Again}
	}
	return out, r.folder.Finish(rep)
}

func (r *run) title() string {
	switch {
	case r.opts.Kills > 0:
		return fmt.Sprintf("%d restarts after kill -9", r.opts.Kills)
	case r.opts.PowerCuts > 0:
		return fmt.Sprintf("%d power cuts of all replicas", r.opts.PowerCuts)
	}
	return "real processes"
}

// Again is the command that runs this again, empty if unknown.
func (o *Outcome) Again() string {
	if len(o.Reproduce) == 0 {
		return ""
	}
	return o.Reproduce[0]
}
