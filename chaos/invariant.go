package chaos

import (
	"fmt"
	"strings"
	"time"
)

// Invariant names what must hold in every run. A violation's text begins with it.
type Invariant string

// The invariants. Those of safety hold in any network and at any time as long as
// the traitors weigh at most F.
const (
	// Agreement: one block at each height, and the executed blocks are one chain.
	Agreement Invariant = "agreement"
	// Validity: what is executed was asked for by a client, and signed.
	Validity Invariant = "validity"
	// ExactlyOnce: a request runs at one height, and one request under a number.
	ExactlyOnce Invariant = "exactly once"
	// Certificates: whoever is named in a certificate signed it, they are a quorum,
	// and no other is certified beside it.
	Certificates Invariant = "certificate"
	// Bases: a new view starts where its claims say that it must.
	Bases Invariant = "base of a view"
	// Equivocation: no honest replica contradicts itself, across all its lives.
	Equivocation Invariant = "equivocation"
	// Persistence: what a message promises is on the disk before it leaves.
	Persistence Invariant = "persist before send"
	// Determinism: equal states, replies and statements at equal heights.
	Determinism Invariant = "determinism"
	// Transfers: what is installed is what was certified.
	Transfers Invariant = "state transfer"
	// Replies: what a client believes is what the agreed blocks came to.
	Replies Invariant = "reply"
	// Results: what the agreed blocks came to is what the application's model says.
	Results Invariant = "result"
	// Linearizability: of what the clients saw.
	Linearizability Invariant = "linearizability"
	// Monotonicity: views, heights and promises never go back.
	Monotonicity Invariant = "monotonicity"
	// Watermarks: nothing is voted for outside of the window, in a view that was left,
	// or above the base of one that is not open (RV).
	Watermarks Invariant = "watermark"
	// Framing: no proof, bad share or poisoned chunk is held against an honest replica.
	Framing Invariant = "framing"
	// Accountability: after a fork the stores name culprits of more than F weight.
	Accountability Invariant = "accountability"
	// Bounds: memory stays within the published formulas.
	Bounds Invariant = "bound"
	// Health: an honest replica starts from its disk, raises no alarm, stops for
	// nothing but what was done to it, and does not panic.
	Health Invariant = "health"
	// Liveness: after the storm everything is answered and everybody level in time.
	Liveness Invariant = "liveness"
)

// Invariants lists them all.
func Invariants() []Invariant {
	return []Invariant{
		Agreement, Validity, ExactlyOnce, Certificates, Bases, Equivocation, Persistence, Determinism, Transfers, Replies, Results,
		Linearizability, Monotonicity, Watermarks, Framing, Accountability, Bounds, Health, Liveness,
	}
}

// Invariant is the first that was violated, "" if none was.
func (r *Report) Invariant() Invariant {
	if len(r.Violations) == 0 {
		return ""
	}
	name, _, _ := strings.Cut(r.Violations[0], ":")
	return Invariant(name)
}

// violate notes that an invariant does not hold. It ends the run.
//
// Above the bound, what may fall is a finding, and the run goes on.
func (s *Simulation) violate(inv Invariant, format string, args ...any) {
	text := string(inv) + ": " + fmt.Sprintf(format, args...)
	if s.opts.AboveBound && inv.falls() && !strings.HasPrefix(text, string(Health)+": panic") {
		if s.report.Findings[inv]++; s.report.Findings[inv] == 1 {
			s.report.First[inv] = text
			if inv == Agreement {
				// Soon, while the stores still have all of it.
				s.after(200*time.Millisecond, s.judge.account)
			}
		}
		return
	}
	s.report.Violations = append(s.report.Violations, text)
	s.note("VIOLATION", text)
}
