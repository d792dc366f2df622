package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/parley-bft/parley/chaos/report"
	"github.com/parley-bft/parley/pbft"
)

// Record runs a simulation as [Run] does and returns, beside its report, what a
// page about it shows: every replica over time, faults, operations. draw, if not
// nil, is called at the end with the history of the clients, if there is one. The
// run is the same as without recording, with the same trace. It takes longer, for
// the text of the trace is made. It panics if the options make no sense.
func Record(o Options, draw func(*History) error) (*Report, *report.Run, error) {
	plain := o
	w := &recorder{}
	o.Trace = func(line string) {
		w.look()
		if plain.Trace != nil {
			plain.Trace(line)
		}
	}
	s, err := NewSimulation(o)
	must(err)
	w.begin(s)
	r := s.Run()
	run, err := w.run(plain, r)
	if err != nil {
		return r, nil, err
	}
	if draw != nil && o.Machine == nil {
		err = draw(&s.judge.history)
	}
	return r, run, err
}

// recorder watches a simulation from outside: whenever something is traced it
// looks at what has changed. It draws no random numbers and plans no events.
type recorder struct {
	s        *Simulation
	replicas []recorded
	counts   map[string]int // faults by kind
	faults   []report.Fault
	open     []int // faults that go on, by number
	accused  map[pbft.ReplicaID]bool
	evidence []report.Evidence
}

type recorded struct {
	samples []report.Sample
	changed time.Duration // when it went down or was paused last
}

// recordEvery is how often a replica's height is noted if nothing else changes.
const recordEvery = 50 * time.Millisecond

func (w *recorder) begin(s *Simulation) {
	w.s, w.counts, w.accused = s, map[string]int{}, map[pbft.ReplicaID]bool{}
	w.replicas = make([]recorded, len(s.replicas))
}

// look takes up what has changed.
func (w *recorder) look() {
	if w.s == nil {
		return
	}
	for i, m := range w.s.replicas {
		w.sample(&w.replicas[i], m, false)
	}
	w.open = slices.DeleteFunc(w.open, func(k int) bool {
		f := &w.faults[k]
		if slices.ContainsFunc(f.Replicas, func(id int) bool { return !w.s.replicas[id].working() }) {
			return false
		}
		f.End = w.s.now
		return true
	})
	for _, kind := range slices.Sorted(maps.Keys(w.s.report.Faults)) {
		if n := w.s.report.Faults[kind]; n > w.counts[kind] {
			w.counts[kind] = n
			w.fault(kind)
		}
	}
	for _, m := range w.s.replicas {
		if w.s.judge.offenders[m.id] && !w.accused[m.id] {
			w.accused[m.id] = true
			w.evidence = append(w.evidence, report.Evidence{At: w.s.now, Finder: -1, Culprit: int(m.id), Offence: "first proof against it"})
		}
	}
}

func (m *member) working() bool { return m.up != nil && !m.paused }

// sample notes the replica's state if it matters, or if it must be noted.
func (w *recorder) sample(r *recorded, m *member, always bool) {
	x := report.Sample{At: w.s.now, State: report.Up}
	if n := len(r.samples); n > 0 {
		x.View, x.Height = r.samples[n-1].View, r.samples[n-1].Height
	}
	switch {
	case m.up == nil:
		x.State = report.Down
	default:
		c := m.up.node.Core()
		x.View, x.Height = uint64(c.View()), uint64(c.Committed())
		switch {
		case m.paused:
			x.State = report.Paused
		case slices.Contains(w.s.opts.Traitors, m.id):
			x.State = report.Traitor
		case c.IsFollower():
			x.State = report.Follower
		}
	}
	if n := len(r.samples); n > 0 {
		last := r.samples[n-1]
		if !always && x.State == last.State && x.View == last.View && (x.Height == last.Height || x.At-last.At < recordEvery) {
			return
		}
		if last.At == x.At { // what it was in between took no time
			r.samples = r.samples[:n-1]
		}
		if x.State != last.State && !m.working() {
			r.changed = x.At
		}
	}
	r.samples = append(r.samples, x)
}

// fault notes one that was injected now. It was done to whoever went down or was
// paused at this moment, if anybody did, and lasts until all of them work again.
// What is done to links, disks and clocks is noted without its end.
func (w *recorder) fault(kind string) {
	f := report.Fault{Kind: kind, Begin: w.s.now, End: w.s.now}
	for i := range w.replicas {
		if r := &w.replicas[i]; len(r.samples) > 0 && r.changed == w.s.now && !w.s.replicas[i].working() {
			f.Replicas = append(f.Replicas, i)
		}
	}
	if len(f.Replicas) > 0 {
		w.open = append(w.open, len(w.faults))
	}
	w.faults = append(w.faults, f)
}

// run makes the record when the simulation has ended.
func (w *recorder) run(o Options, r *Report) (*report.Run, error) {
	options, err := EncodeOptions(o)
	if err != nil {
		return nil, err
	}
	for i, m := range w.s.replicas {
		w.sample(&w.replicas[i], m, true)
	}
	for _, k := range w.open {
		w.faults[k].End = r.Virtual
	}
	run := &report.Run{
		Kind: report.Simulated, Title: "simulated", Seed: o.Seed, Duration: r.Virtual, Elapsed: r.Real, Options: options,
		MaxFaulty: w.s.quorums.MaxFaulty(), Faults: w.faults, Injected: r.Faults, Evidence: w.evidence,
		TraceHash: r.Trace, Recovery: r.Recovery, Verdict: report.Pass, Phases: []report.Phase{{Name: "storm", End: min(o.Storm, r.Virtual)}},
		Operations: w.operations(),
		Numbers: []report.Number{
			{Name: "blocks", Value: float64(r.Blocks)}, {Name: "messages", Value: float64(r.Messages)}, {Name: "events", Value: float64(r.Events)},
			{Name: "state transfers", Value: float64(r.Transfers)}, {Name: "proofs of misbehaviour", Value: float64(r.Evidence)},
		},
	}
	if r.Virtual > o.Storm {
		run.Phases = append(run.Phases, report.Phase{Name: "calm", Begin: o.Storm, End: r.Virtual})
	}
	for i, weight := range o.Weights {
		x := report.Replica{ID: i, Weight: weight, Traitor: slices.Contains(o.Traitors, pbft.ReplicaID(i)), Samples: w.replicas[i].samples}
		if x.Traitor && i < len(o.Strategies) {
			x.Strategy = o.Strategies[i]
		}
		run.Replicas = append(run.Replicas, x)
	}
	for _, text := range r.Violations {
		name, rest, _ := strings.Cut(text, ": ")
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

var opNames = map[OpKind]report.OpName{OpGet: report.Read, OpPut: report.Write, OpSwap: report.Swap}

// operations are what the clients did; nothing, if the application is not ours.
func (w *recorder) operations() []report.Operation {
	if w.s.opts.Machine != nil {
		return nil
	}
	h := &w.s.judge.history
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
		all = append(all, x)
	}
	return all
}

// drawn is the model of all keys, with words for what is drawn.
var drawn = func() porcupine.Model {
	m := register
	m.Partition = func(ops []porcupine.Operation) (parts [][]porcupine.Operation) {
		index := map[string]int{}
		for _, op := range ops {
			key := op.Input.(Op).Key
			i, ok := index[key]
			if !ok {
				i = len(parts)
				index[key], parts = i, append(parts, nil)
			}
			parts[i] = append(parts[i], op)
		}
		return parts
	}
	m.DescribeOperation = func(in, out any) string {
		op, o := in.(Op), out.(Outcome)
		switch {
		case o.unknown:
			return op.String() + "?"
		case op.Kind == OpSwap && o.Swapped:
			return op.String() + ": done"
		case op.Kind == OpPut:
			return op.String()
		case !o.Found:
			return op.String() + ": nothing there"
		}
		return op.String() + ": " + o.Value
	}
	m.DescribeState = func(state any) string {
		if v := state.(value); v.found {
			return v.data
		}
		return "nothing"
	}
	return m
}()

// Draw writes porcupine's drawing of the history, a page with one part for each
// key, to a file. timeout bounds the search for the order of the operations; if it
// is over, the page shows what was found.
func (h *History) Draw(file string, timeout time.Duration) error {
	h.mu.Lock()
	ops := slices.DeleteFunc(slices.Clone(h.ops), func(op porcupine.Operation) bool {
		o, ran := op.Input.(Op)
		return !ran || o.Kind == OpGet && op.Output.(Outcome).unknown
	})
	h.mu.Unlock()
	_, info := porcupine.CheckOperationsVerbose(drawn, ops, timeout)
	return porcupine.VisualizePath(drawn, info, file)
}

// EncodeOptions writes options as JSON, without the functions in them.
func EncodeOptions(o Options) (json.RawMessage, error) {
	var b bytes.Buffer
	v := reflect.ValueOf(o)
	sep := '{'
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Type.Kind() == reflect.Func {
			continue
		}
		data, err := json.Marshal(v.Field(i).Interface())
		if err != nil {
			return nil, fmt.Errorf("option %s: %w", f.Name, err)
		}
		fmt.Fprintf(&b, "%c%q:%s", sep, f.Name, data)
		sep = ','
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// DecodeOptions reads what [EncodeOptions] wrote. Fields that there are not are
// mistakes. Errors: ErrOptions.
func DecodeOptions(data []byte) (Options, error) {
	var o Options
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	return o, o.Validate()
}
