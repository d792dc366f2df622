package chaos

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// ScenarioKind is in which way a bug of another system cannot happen here.
type ScenarioKind int

const (
	// Caught: the attack is played, and a rule stops it.
	Caught ScenarioKind = iota
	// ByDesign: the protocol has no place for the mistake. The scenario plays what
	// comes closest, and shows the reason as far as it can be shown.
	ByDesign
)

func (k ScenarioKind) String() string {
	if k == ByDesign {
		return "impossible by design"
	}
	return "caught"
}

// Scenario is a bug or an attack from the history of other systems, played against
// this one. It is worth something only if it can fail: Mutants and Breaches say
// which defence it misses when that is taken away.
type Scenario struct {
	// Name is in kebab-case.
	Name string
	// Origin names the system; Bugs are the entries of [KnownBugs] that it covers.
	Origin string
	Bugs   []string
	// Wrong is what went wrong there, Differs why it cannot here.
	Wrong, Differs string
	// Rules are those of the protocol that it rests on, such as R1.
	Rules string
	Kind  ScenarioKind
	// Mutants are the IDs of package chaos/mutants under which it must fail.
	Mutants []string
	// Breaches are defences that it must miss as well, in the same form.
	Breaches []Breach
	play     func(a *act)
}

// Breach takes a defence away.
type Breach struct {
	Title string
	Sites []BreachSite
}

// BreachSite is a place of a breach: in File, Old, which is there exactly once,
// becomes New, in which ON stands for the condition that the breach is chosen.
type BreachSite struct{ File, Old, New string }

// without makes a breach of one place.
func without(title, file, from, to string) Breach {
	return Breach{title, []BreachSite{{file, from, to}}}
}

// ErrScenario is wrapped by the error of a scenario that failed.
var ErrScenario = errors.New("scenario failed")

// ScenarioResult is what came of a scenario.
type ScenarioResult struct {
	Name string `json:"name"`
	// Facts are what was seen, the decisive ones first.
	Facts []string `json:"facts"`
	// Missing are moments of the attack that did not come: then nothing was shown.
	// Broken is what should hold and did not.
	Missing []string `json:"missing,omitempty"`
	Broken  []string `json:"broken,omitempty"`
	// Seconds of real time.
	Seconds float64 `json:"seconds"`
	// traces are the hashes of all that happened in its simulations.
	traces []string
}

// Err is nil if the attack took place and nothing was broken, and otherwise wraps
// ErrScenario.
func (r *ScenarioResult) Err() error {
	switch {
	case len(r.Broken) > 0:
		return fmt.Errorf("%w: %s: %s", ErrScenario, r.Name, strings.Join(r.Broken, "; "))
	case len(r.Missing) > 0:
		return fmt.Errorf("%w: %s: it was not played: %s", ErrScenario, r.Name, strings.Join(r.Missing, "; "))
	}
	return nil
}

// Verdict is a word or two.
func (r *ScenarioResult) Verdict() string {
	switch {
	case len(r.Broken) > 0:
		return "FAILED"
	case len(r.Missing) > 0:
		return "NOT PLAYED"
	}
	return "holds"
}

// Run plays the scenario. The same build gives the same facts each time.
func (s *Scenario) Run() *ScenarioResult { return s.perform(false) }

// Calm plays the scenario without its attack: the same cluster, clients and time, and
// nothing that a scenario does to them. Broken is then what is wrong with the build
// even so. A breach that shows in it says nothing about the scenario.
func (s *Scenario) Calm() *ScenarioResult { return s.perform(true) }

func (s *Scenario) perform(calm bool) *ScenarioResult {
	a := &act{result: ScenarioResult{Name: s.Name}, calm: calm}
	began := time.Now()
	func() {
		defer func() {
			// What a scenario does after its attack may fail without it. Of what happens
			// within a simulation the judge tells.
			if v := recover(); v != nil && !calm {
				a.result.Broken = append(a.result.Broken, fmt.Sprintf("panic: %v\n%s", v, debug.Stack()))
			}
		}()
		s.play(a)
	}()
	a.result.Seconds = time.Since(began).Seconds()
	return &a.result
}

// URLs of the bugs that it covers, where there is a public one.
func (s *Scenario) URLs() []string {
	var urls []string
	for _, b := range knownBugs {
		if b.URL != "" && slices.Contains(s.Bugs, b.ID) {
			urls = append(urls, b.URL)
		}
	}
	return urls
}

// Scenarios lists them all, in a fixed order.
func Scenarios() []Scenario {
	return slices.Concat(splitScenarios, viewScenarios, smartScenarios, syncScenarios, partsScenarios, stateScenarios, decodeScenarios, evidenceScenarios, poolScenarios, storageScenarios, serverScenarios, watchScenarios)
}

// ScenarioNamed returns the scenario of a name.
func ScenarioNamed(name string) (Scenario, bool) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}

// act is a scenario that is being played.
type act struct {
	result ScenarioResult
	// calm: without the attack.
	calm bool
}

// fact notes what was seen.
func (a *act) fact(format string, args ...any) {
	a.result.Facts = append(a.result.Facts, fmt.Sprintf(format, args...))
}

// occurred demands that a moment of the attack really came.
func (a *act) occurred(ok bool, format string, args ...any) {
	if !ok && !a.calm {
		a.result.Missing = append(a.result.Missing, fmt.Sprintf(format, args...))
	}
}

// holds demands what the defence promises.
func (a *act) holds(ok bool, format string, args ...any) {
	if !a.calm {
		a.always(ok, format, args...)
	}
}

// always demands what must be so without the attack, too.
func (a *act) always(ok bool, format string, args ...any) {
	if !ok {
		a.result.Broken = append(a.result.Broken, fmt.Sprintf(format, args...))
	}
}

// judged takes over what the judge of a simulation found.
func (a *act) judged(r *Report) {
	a.result.Broken = append(a.result.Broken, r.Violations...)
	a.result.traces = append(a.result.traces, r.Trace)
}

// WriteScenarios writes the texts of scenarios as Markdown.
func WriteScenarios(w io.Writer, all []Scenario) error {
	if _, err := fmt.Fprint(w, "# Bugs of other systems, played against Parley\n\nWritten by `parley chaos scenarios --markdown`. Each is played by `parley chaos scenarios NAME`; with `--mutants`\nalso without the defences that it names, where it must fail. M01 and so on are those of `parley chaos mutants`.\n\n"); err != nil {
		return err
	}
	for i := range all {
		s := &all[i]
		fails := append([]string(nil), s.Mutants...)
		for _, b := range s.Breaches {
			fails = append(fails, "\""+b.Title+"\"")
		}
		if len(fails) == 0 {
			fails = []string{"(no single rule to take away)"}
		}
		if _, err := fmt.Fprintf(w, "### %s\n\n%s: %s (%s)\n\n- **There:** %s\n- **Here:** %s\n- **Rests on:** %s\n- **Fails without:** %s\n",
			s.Name, s.Origin, strings.Join(s.Bugs, ", "), s.Kind, s.Wrong, s.Differs, s.Rules, strings.Join(fails, ", ")); err != nil {
			return err
		}
		for _, u := range s.URLs() {
			if _, err := fmt.Fprintf(w, "- <%s>\n", u); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	return nil
}
