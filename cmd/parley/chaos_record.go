package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/chaos/report"
	"github.com/parley-bft/parley/pbft"
)

// recordOf makes the record of a simulated run.
func recordOf(o chaos.Options, r *chaos.Report) (*report.Run, error) {
	options, err := encodeOptions(o)
	if err != nil {
		return nil, err
	}
	q, err := pbft.NewQuorumSystem(o.Weights)
	if err != nil {
		return nil, err
	}
	run := &report.Run{
		Kind: report.Simulated, Title: "swarm", Seed: o.Seed, Duration: r.Virtual, Elapsed: r.Real, Options: options, MaxFaulty: q.MaxFaulty(),
		Injected: r.Faults, TraceHash: r.Trace, Recovery: r.Recovery, Verdict: report.Pass,
		Phases: []report.Phase{{Name: "storm", End: min(o.Storm, r.Virtual)}},
		Numbers: []report.Number{
			{Name: "blocks", Value: float64(r.Blocks)}, {Name: "operations", Value: float64(r.Operations)}, {Name: "with an unknown outcome", Value: float64(r.Unknown)},
			{Name: "messages", Value: float64(r.Messages)}, {Name: "events", Value: float64(r.Events)}, {Name: "highest view", Value: float64(r.ViewChanges)},
			{Name: "state transfers", Value: float64(r.Transfers)}, {Name: "proofs of misbehaviour", Value: float64(r.Evidence)},
		},
		Coverage: coverageOf(r),
	}
	if r.Virtual > o.Storm {
		run.Phases = append(run.Phases, report.Phase{Name: "calm", Begin: o.Storm, End: r.Virtual})
	}
	for i, w := range o.Weights {
		run.Replicas = append(run.Replicas, report.Replica{ID: i, Weight: w, Traitor: slices.Contains(o.Traitors, pbft.ReplicaID(i))})
	}
	for _, text := range r.Violations {
		name, rest, ok := strings.Cut(text, ": ")
		if !ok {
			name, rest = "", text
		}
		run.Violations = append(run.Violations, report.Violation{At: r.Virtual, Invariant: name, Text: rest})
		run.Verdict = report.Broken
	}
	if r.Undecided {
		run.Notes = append(run.Notes, "The history was not judged in time.")
		if run.Verdict == report.Pass {
			run.Verdict = report.Undecided
		}
	}
	return run, nil
}

// coverageOf are the rare situations of a run.
func coverageOf(*chaos.Report) []report.Counter { return nil }

// expectedCoverage names the situations that should be there over many seeds.
func expectedCoverage() []string { return nil }

// encodeOptions writes options without the functions in them, of which no file can
// have any.
func encodeOptions(o chaos.Options) (json.RawMessage, error) {
	var b bytes.Buffer
	v := reflect.ValueOf(o)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || f.Type.Kind() == reflect.Func {
			continue
		}
		data, err := json.Marshal(v.Field(i).Interface())
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", f.Name, err)
		}
		fmt.Fprintf(&b, "%c%q:%s", "{,"[min(b.Len(), 1)], f.Name, data)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
