package chaos

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parley-bft/parley/chaos/report"
	"github.com/parley-bft/parley/pbft"
)

// Record runs a simulation as [Run] does and returns, beside its report, what a
// page about it shows: every replica over time, faults, operations. draw, if not
// nil, is called at the end with the history of the clients, if there is one. The
// run is the same as without recording, with the same trace. It panics if the
// options make no sense.
func Record(o Options, draw func(*History) error) (*Report, *report.Run, error) {
	s, err := NewSimulation(o)
	must(err)
	s.chronicle = newChronicle(s)
	r := s.Run()
	s.chronicle.close()
	run, err := s.chronicle.run(o, r)
	if err != nil {
		return r, nil, err
	}
	if draw != nil && o.Machine == nil {
		err = draw(&s.judge.history)
	}
	return r, run, err
}

// run makes the record when the simulation has ended.
func (c *chronicle) run(o Options, r *Report) (*report.Run, error) {
	options, err := EncodeOptions(o)
	if err != nil {
		return nil, err
	}
	run := &report.Run{
		Kind: report.Simulated, Title: "simulated", Seed: o.Seed, Duration: r.Virtual, Elapsed: r.Real, Options: options,
		MaxFaulty: c.s.quorums.MaxFaulty(), Faults: c.faults, Injected: r.Faults, Evidence: c.evidence,
		TraceHash: r.Trace, Recovery: r.Recovery, Verdict: report.Pass, Phases: []report.Phase{{Name: "storm", End: min(o.Storm, r.Virtual)}},
		Operations: c.operations(), Coverage: r.Coverage(),
		Numbers: []report.Number{
			{Name: "blocks", Value: float64(r.Blocks)}, {Name: "messages", Value: float64(r.Messages)}, {Name: "events", Value: float64(r.Events)},
			{Name: "state transfers", Value: float64(r.Transfers)}, {Name: "proofs of misbehaviour", Value: float64(r.Evidence)},
			{Name: "recovery may take", Value: r.Promise.Seconds(), Unit: "seconds"},
		},
	}
	if o.Condition != "" {
		run.Title += ", " + o.Condition
	}
	if r.Virtual > o.Storm {
		run.Phases = append(run.Phases, report.Phase{Name: "calm", Begin: o.Storm, End: r.Virtual})
	}
	for i, weight := range o.Weights {
		x := report.Replica{ID: i, Weight: weight, Traitor: slices.Contains(o.Traitors, pbft.ReplicaID(i)), Samples: c.samples[i]}
		if x.Traitor {
			x.Strategy = o.strategyOf(pbft.ReplicaID(i))
		}
		run.Replicas = append(run.Replicas, x)
	}
	c.verdict(o, r, run)
	return run, nil
}

func (c *chronicle) verdict(o Options, r *Report, run *report.Run) {
	add := func(text string) {
		name, rest, _ := strings.Cut(text, ": ")
		run.Violations = append(run.Violations, report.Violation{At: r.Virtual, Invariant: name, Text: rest})
	}
	if o.AboveBound {
		run.Verdict = report.Beyond
		for _, inv := range slices.Sorted(maps.Keys(r.First)) {
			add(r.First[inv])
		}
	}
	for _, text := range r.Violations {
		add(text)
		run.Verdict = report.Broken
	}
	if r.Undecided {
		run.Notes = append(run.Notes, "The history was not judged in time.")
		if run.Verdict == report.Pass {
			run.Verdict = report.Undecided
		}
	}
	if len(o.BadClients) > 0 {
		run.Notes = append(run.Notes, fmt.Sprintf("Clients that misbehave: %s.", strings.Join(o.BadClients, ", ")))
	}
}

// Coverage are the rare situations that matter, and how often each was there.
func (r *Report) Coverage() []report.Counter {
	var all []report.Counter
	for _, name := range Situations() {
		all = append(all, report.Counter{Name: name, Count: uint64(r.Sometimes[name])})
	}
	return all
}

var opNames = map[OpKind]report.OpName{OpGet: report.Read, OpPut: report.Write, OpSwap: report.Swap, OpOther: "operation"}

// legible is text as it is, and other bytes in hexadecimal.
func legible(data string) string {
	if utf8.ValidString(data) {
		return data
	}
	return "0x" + hex.EncodeToString([]byte(data))
}

// operations are what the clients did. Of another application's than the key-value
// store New has the operation's bytes and Value the result's.
func (c *chronicle) operations() []report.Operation {
	h := &c.s.judge.history
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]report.Operation, 0, len(h.ops))
	for _, op := range h.ops {
		x := report.Operation{Client: op.ClientId, Begin: time.Duration(op.Call), Outcome: report.Unknown}
		in, ran := op.Input.(Op)
		if out, ok := op.Output.(Outcome); !ran {
			x.Op, x.End, x.Outcome = "expired", x.Begin, report.Failed
		} else if x.Op, x.Key, x.Old, x.New = opNames[in.Kind], in.Key, in.Old, in.New; ok && !out.unknown {
			x.End, x.Outcome, x.Found, x.Value, x.Swapped = time.Duration(op.Return), report.OK, out.Found, out.Value, out.Swapped
		}
		if in.Kind == OpOther {
			x.New, x.Value = legible(x.New), legible(x.Value)
		}
		all = append(all, x)
	}
	return all
}
