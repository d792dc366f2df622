package mutants

import (
	"fmt"
	"slices"

	"github.com/parley-bft/parley/chaos"
)

// Mutant is one broken rule.
type Mutant struct {
	// Number is what PARLEY_MUTANT chooses it by, ID how people name it.
	Number int
	ID     string
	// Title says what is wrong.
	Title string
	// Sites are the places to change: one, or a few where a rule is enforced twice.
	Sites []Site
	// Steer makes options of a seed fit: the rule must come into play at all. It
	// never says what will be found.
	Steer func(o *chaos.Options)
	// Scenario, if not nil, is run in place of seeds of the swarm.
	Scenario func(seed uint64) *chaos.Report
	// Impossible, if not empty, says why the protocol has no place for the mistake;
	// then there are no sites.
	Impossible string
	// Elsewhere, if not empty, names the test that kills a mutant in code that the
	// simulator does not run: a blind spot of the simulator.
	Elsewhere string
}

// Site is a place in the sources.
type Site struct {
	// File is relative to the module's root.
	File string
	// Old must occur exactly once. New takes its place; in it, ON stands for the
	// condition that the mutant is chosen, and must be there.
	Old, New string
}

// All returns the catalogue, by number.
func All() []Mutant {
	all := slices.Concat(quorumMutants, votingMutants, viewMutants, durabilityMutants, cryptoMutants, executionMutants, timingMutants, partsMutants, stateMutants)
	slices.SortFunc(all, func(a, b Mutant) int { return a.Number - b.Number })
	for i := range all {
		all[i].ID = fmt.Sprintf("M%02d", all[i].Number)
		all[i].Steer, all[i].Scenario = steering[all[i].Number], scenarios[all[i].Number]
	}
	return all
}

// Find returns a mutant by its ID.
func Find(id string) (Mutant, bool) {
	for _, m := range All() {
		if m.ID == id {
			return m, true
		}
	}
	return Mutant{}, false
}
