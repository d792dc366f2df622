package mutants

import (
	"errors"
	"fmt"
	"strings"
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
}

// Hunt runs seeds with the options of a mutant (none: the plain swarm) until one
// violates an invariant, or there were so many, or so much time has passed. In a
// build without mutants nothing is to be found. Errors: ErrUnknown.
func Hunt(id string, from uint64, seeds int, limit time.Duration) (*Finding, error) {
	steer := func(*chaos.Options) {}
	if id != "" {
		m, ok := Find(id)
		if !ok {
			return nil, fmt.Errorf("%w: %q: there are M01 to M%02d", ErrUnknown, id, len(All()))
		}
		if m.Steer != nil {
			steer = m.Steer
		}
	}
	f := &Finding{Mutant: id}
	began := time.Now()
	for seed := from; f.Seeds < seeds && time.Since(began) < limit; seed++ {
		o := chaos.Swarm(seed)
		steer(&o)
		r := chaos.Run(o)
		f.Seeds++
		f.Virtual += r.Virtual.Seconds()
		if len(r.Violations) > 0 {
			f.Killed, f.Seed, f.Violation = true, seed, r.Violations[0]
			f.Invariant, _, _ = strings.Cut(f.Violation, ":")
			break
		}
	}
	f.Real = time.Since(began).Seconds()
	return f, nil
}
