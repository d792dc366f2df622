package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// part is when and of what a scenario was measured again.
type part struct {
	Began   time.Time `json:"began"`
	Load    float64   `json:"loadAverage"` // before
	Commit  string    `json:"commit"`
	Options string    `json:"options"`
}

// again measures some scenarios and puts them in the place of those in the results.
func again(ctx context.Context, o *options) error {
	r, err := readResults(o.path(resultsJSON))
	if err != nil {
		return fmt.Errorf("--again: there are no results to keep: run without it first: %w", err)
	}
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.scenarios(ctx); err != nil {
		return err // half a scenario takes the place of none
	}
	for _, s := range o.scenarios {
		r.adopt(s, b.results)
	}
	return r.write(o)
}

// adopt takes over a scenario.
func (r *results) adopt(scenario string, other *results) {
	switch scenario {
	case "killed":
		r.Kills = other.Kills
	case "half":
		r.Half = other.Half
	case "double":
		r.Double = other.Double
	case "sizes":
		r.Sizes = other.Sizes
	case "links":
		r.Links = other.Links
	case "soak":
		r.Soak = other.Soak
	default:
		is := func(p pair) bool { return p.Scenario == scenario }
		r.Pairs = slices.DeleteFunc(r.Pairs, is)
		for _, p := range other.Pairs {
			if is(p) {
				r.Pairs = append(r.Pairs, p)
			}
		}
	}
	for _, f := range other.Failures {
		if f = scenario + ", again: " + f; !slices.Contains(r.Failures, f) {
			r.Failures = append(r.Failures, f)
		}
	}
	if r.Parts == nil {
		r.Parts = make(map[string]part)
	}
	r.Parts[scenario] = part{other.Began, other.Load[0], other.Commit, other.Options}
}
