package mutants

import (
	"errors"
	"fmt"
	"time"

	"github.com/parley-bft/parley/chaos"
)

// ErrUnknown is wrapped by the error about an ID that is not in the catalogue.
var ErrUnknown = errors.New("unknown mutant")

// Finding is what a trial came to.
type Finding struct {
	Mutant string `json:"mutant"`
	// Killed: an invariant was violated in Seed, which was the Seeds-th.
	Killed bool   `json:"killed"`
	Seed   uint64 `json:"seed"`
	Seeds  int    `json:"seeds"`
	// Real and Virtual time until then, in seconds.
	Real    float64 `json:"real"`
	Virtual float64 `json:"virtual"`
	// Invariant names what was violated, Violation tells it.
	Invariant string `json:"invariant"`
	Violation string `json:"violation"`
	// Left is what remains of the options after shrinking, Story what happens then;
	// Shrunk is in how many runs.
	Left   []string `json:"left,omitempty"`
	Story  []string `json:"story,omitempty"`
	Shrunk int      `json:"shrunk,omitempty"`
}

// Hunt runs seeds with the options of a mutant (none: the plain swarm) until one
// violates an invariant, or there were so many, or so much time has passed. In a
// build without mutants nothing is to be found. Errors: ErrUnknown.
//
// What it finds is shrunk for at most shrink of real time; 0 leaves it as it is.
func Hunt(id string, from uint64, seeds int, limit, shrink time.Duration) (*Finding, error) {
	steer := func(*chaos.Options) {}
	var scenario func(uint64) *chaos.Report
	if id != "" {
		m, ok := Find(id)
		if !ok {
			return nil, fmt.Errorf("%w: %q: there are M01 to M%02d", ErrUnknown, id, len(All()))
		}
		scenario = m.Scenario
		if m.Steer != nil {
			steer = m.Steer
		}
	}
	f := &Finding{Mutant: id}
	began := time.Now()
	for seed := from; f.Seeds < seeds && time.Since(began) < limit; seed++ {
		o := chaos.Swarm(seed)
		steer(&o)
		var r *chaos.Report
		if scenario != nil {
			r = scenario(seed)
		} else {
			r = chaos.Run(o)
		}
		f.Seeds++
		f.Virtual += r.Virtual.Seconds()
		if len(r.Violations) == 0 {
			continue
		}
		f.Killed, f.Seed, f.Violation, f.Invariant = true, seed, r.Violations[0], string(r.Invariant())
		f.Real = time.Since(began).Seconds()
		if shrink > 0 && scenario == nil {
			small := chaos.Shrink(o, r, shrink)
			f.Left, f.Story, f.Shrunk = small.Left, small.Story, small.Runs
		}
		return f, nil
	}
	f.Real = time.Since(began).Seconds()
	return f, nil
}
