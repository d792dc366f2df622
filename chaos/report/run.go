package report

import (
	"encoding/json"
	"time"
)

// Run is all that is known of one run. Times are on the run's own axis: since its
// begin, virtual in a simulation; in JSON they are nanoseconds. Slices of events
// are in the order of time. What was not recorded stays empty and is not drawn.
type Run struct {
	Kind Kind `json:"kind"`
	// Title says in a few words what was run, such as "swarm" or a scenario's name.
	Title string `json:"title,omitempty"`
	Seed  uint64 `json:"seed"`
	// Program is the version of what was tested.
	Program string `json:"program,omitempty"`
	// Started is when the run began on the wall clock.
	Started time.Time `json:"started,omitzero"`
	// Duration is how long the run was on its own axis, Elapsed how long it took
	// outside. They differ for simulations.
	Duration time.Duration `json:"duration"`
	Elapsed  time.Duration `json:"elapsed"`
	// Options are what the run was made of: a JSON object, kept as options.json.
	Options json.RawMessage `json:"-"`
	// MaxFaulty is the weight of replicas whose failure must not matter.
	MaxFaulty uint64 `json:"maxFaulty"`

	Phases   []Phase   `json:"phases,omitempty"`
	Replicas []Replica `json:"replicas,omitempty"`
	Faults   []Fault   `json:"faults,omitempty"`
	// Injected counts faults by kind; if it is empty, Faults is counted. It may have
	// more than Faults, which may leave out what happens to single messages.
	Injected map[string]int `json:"injected,omitempty"`

	// Operations are what clients did, kept as history.json and in EDN.
	Operations []Operation `json:"-"`
	// Buckets are throughput and latency over time; if there are none, they are
	// computed from Operations.
	Buckets []Bucket `json:"buckets,omitempty"`

	// Coverage counts rare situations; one that was never there says so.
	Coverage []Counter `json:"coverage,omitempty"`
	// Numbers are further figures to show, such as messages or the worst memory.
	Numbers []Number `json:"numbers,omitempty"`

	Evidence   []Evidence  `json:"evidence,omitempty"`
	Violations []Violation `json:"violations,omitempty"`
	Verdict    Verdict     `json:"verdict"`
	// Notes are remarks on the verdict, such as what was not judged.
	Notes []string `json:"notes,omitempty"`
	// Reproduce are the commands that run it again, as they can be pasted.
	Reproduce []string `json:"reproduce,omitempty"`
	// TraceHash is equal for equal runs.
	TraceHash string `json:"traceHash,omitempty"`
	// Recovery is how long after the last fault ended the last client had its answer.
	Recovery time.Duration `json:"recovery,omitempty"`

	// HistoryPage is the name of porcupine's drawing in the run's folder; empty if
	// there is none.
	HistoryPage string `json:"historyPage,omitempty"`
}

// Kind is what was run.
type Kind string

// The kinds.
const (
	Simulated Kind = "sim"
	Real      Kind = "real"
)

// Verdict is how a run is judged.
type Verdict string

// The verdicts.
const (
	// Pass: everything that is promised was kept.
	Pass Verdict = "pass"
	// Broken: a promise was broken. Violations say which.
	Broken Verdict = "violation"
	// Undecided: nothing is known to be broken, but not all of it was judged. Notes
	// say why.
	Undecided Verdict = "undecided"
	// Beyond: there were more traitors than are promised to be tolerated, so
	// Violations are no faults of the product. Evidence says whom they prove guilty.
	Beyond Verdict = "beyond"
)

// Phase is a part of a run, such as the storm and the calm after it.
type Phase struct {
	Name  string        `json:"name"`
	Begin time.Duration `json:"begin"`
	End   time.Duration `json:"end"`
}

// Replica is a member and what became of it.
type Replica struct {
	// ID is the replica's number: what Fault.Replicas and Evidence name.
	ID int `json:"id"`
	// Name is what to call it; empty for "replica ID".
	Name   string `json:"name,omitempty"`
	Weight uint64 `json:"weight"`
	// Traitor tells that it is not honest, Strategy what it does then.
	Traitor  bool   `json:"traitor,omitempty"`
	Strategy string `json:"strategy,omitempty"`
	// Samples are its state over time. One is needed at each change at the most, or
	// regularly; each holds until the next.
	Samples []Sample `json:"samples,omitempty"`
}

// Sample is a replica at some time.
type Sample struct {
	At    time.Duration `json:"at"`
	State State         `json:"state"`
	View  uint64        `json:"view"`
	// Height is the highest committed block. View and Height of a replica that is
	// not up are its last known ones, or 0.
	Height uint64 `json:"height"`
}

// State is what a replica does.
type State string

// The states.
const (
	Up       State = "up"
	Down     State = "down"
	Paused   State = "paused"
	Follower State = "follower" // up, and does not vote, since it lost what it promised
	Traitor  State = "traitor"  // up, and lies
)

// Fault is something bad that was done.
type Fault struct {
	// Kind is a short name, the same for all of its kind.
	Kind  string        `json:"kind"`
	Begin time.Duration `json:"begin"`
	// End is when it was over; Begin for what takes no time.
	End time.Duration `json:"end"`
	// Replicas it was done to; empty for all, or for what is not about replicas.
	Replicas []int  `json:"replicas,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// Outcome is what a client knows of its operation.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"      // it ran
	Failed  Outcome = "fail"    // it did not and will not run
	Unknown Outcome = "unknown" // it may have run, or may run at any time
)

// OpName is what an operation does. Others than these are left out of EDN.
type OpName string

// The operations that others' checkers know.
const (
	Read  OpName = "read"
	Write OpName = "write"
	// Swap replaces Old by New and otherwise reads.
	Swap OpName = "cas"
)

// Operation is what a client did to one key and saw.
type Operation struct {
	Client int    `json:"client"`
	Op     OpName `json:"op"`
	Key    string `json:"key"`
	// Old is what a Swap expects, New what it or a Write writes.
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
	// Begin and End are when it was called and when its outcome was known; an
	// operation with an unknown outcome may have 0 as its End.
	Begin   time.Duration `json:"begin"`
	End     time.Duration `json:"end"`
	Outcome Outcome       `json:"outcome"`
	// Found and Value are what a Read, or a Swap that did not swap, saw. They count
	// only if the outcome is OK.
	Found bool   `json:"found,omitempty"`
	Value string `json:"value,omitempty"`
	// Swapped tells that a Swap with outcome OK did.
	Swapped bool `json:"swapped,omitempty"`
}

// Latency is how long the client waited, 0 if it never knew.
func (o *Operation) Latency() time.Duration { return max(0, o.End-o.Begin) }

// Bucket is what clients saw within a stretch of time: operations whose outcome
// came in it, and how long those that are OK took.
type Bucket struct {
	Begin   time.Duration `json:"begin"`
	End     time.Duration `json:"end"`
	OK      int           `json:"ok"`
	Failed  int           `json:"fail"`
	Unknown int           `json:"unknown"`
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
	Max     time.Duration `json:"max"`
}

// Counter counts a rare situation.
type Counter struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
	// Expected tells that it should have been there at least once in this run; if
	// not, 0 is no surprise.
	Expected bool   `json:"expected,omitempty"`
	Doc      string `json:"doc,omitempty"`
}

// Number is a figure.
type Number struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	// Unit is "", "bytes", "seconds" or any word to show after it.
	Unit string `json:"unit,omitempty"`
}

// Evidence is a proof of misbehaviour that a replica found.
type Evidence struct {
	At      time.Duration `json:"at"`
	Finder  int           `json:"finder"` // -1: nobody among the replicas
	Culprit int           `json:"culprit"`
	// Offence is its kind, Text the proof in words.
	Offence string `json:"offence"`
	Text    string `json:"text,omitempty"`
}

// Violation is a promise that was broken.
type Violation struct {
	At time.Duration `json:"at"`
	// Invariant is its short name, such as "agreement".
	Invariant string `json:"invariant"`
	Text      string `json:"text"`
}
