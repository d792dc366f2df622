package explore

import (
	"context"
	"fmt"
	"strings"
)

// Result is what a search found.
type Result struct {
	// Name is the configuration's.
	Name string
	// States and Transitions are of the whole cluster, up to symmetry.
	States, Transitions int
	// Locals is the number of different local states, and Tried how many inputs were
	// given to a real core to find where they lead.
	Locals, Tried int
	// Ends is the number of states in which the honest could do nothing more and had
	// to have committed everything.
	Ends int
	// MaxDepth is the number of steps to the furthest state.
	MaxDepth int
	// Exhausted is set when there is nothing more to visit.
	Exhausted bool
	// Violation is nil if nothing is wrong with any state that was visited.
	Violation *Violation
}

// Violation is what must not happen, and how it comes about.
type Violation struct {
	// Text says what is wrong.
	Text string
	// Schedule is one of the shortest ways there: what arrives where, and what it
	// brings about.
	Schedule []string
}

// String is the violation as a numbered story.
func (v *Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", v.Text)
	for i, step := range v.Schedule {
		fmt.Fprintf(&b, "%4d. %s\n", i+1, step)
	}
	return b.String()
}

// String is the result in a line, and the story of the violation if there is one.
func (r *Result) String() string {
	end := "exhausted"
	switch {
	case r.Violation != nil:
		end = "stopped at a violation"
	case !r.Exhausted:
		end = "not exhausted"
	}
	line := fmt.Sprintf("%s: %d states, %d transitions, depth %d, %d local states, %d inputs to a core, %d ends: %s",
		r.Name, r.States, r.Transitions, r.MaxDepth, r.Locals, r.Tried, r.Ends, end)
	if r.Violation != nil {
		line += "\n" + r.Violation.String()
	}
	return line
}

// Run explores a configuration: until everything was visited, to the first violation,
// or to the budget. The same configuration gives the same counts. The error is of a
// configuration that makes no sense, or ctx's.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s, err := newSearch(&cfg)
	if err != nil {
		return nil, err
	}
	return s.run(ctx)
}
