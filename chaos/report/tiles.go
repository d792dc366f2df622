package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// tiles are the figures at the top.
func (p *page) tiles(r *Run) {
	add := func(name, value, note, class string) { p.Tiles = append(p.Tiles, tile{name, value, note, class}) }
	total := length(r)
	note := ""
	if r.Kind == Simulated && r.Elapsed > 0 {
		note = fmt.Sprintf("virtual, in %s: %s times as fast", span(r.Elapsed), figure(Number{Value: float64(int64(total / max(r.Elapsed, 1)))}))
	}
	add("time", span(total), note, "")
	if len(r.Operations) > 0 || len(p.Buckets) > 0 {
		ok, failed, unknown := 0, 0, 0
		for i := range p.Buckets {
			b := &p.Buckets[i]
			ok, failed, unknown = ok+b.OK, failed+b.Failed, unknown+b.Unknown
		}
		add("operations answered", count(ok), fmt.Sprintf("%s not run, %s unknown", count(failed), count(unknown)), "")
		pause, at := silence(r, p.Buckets)
		add("longest pause", lasted(pause), "without an answer, from "+span(at), "")
	}
	if len(r.Operations) > 0 {
		var took []time.Duration
		for i := range r.Operations {
			if o := &r.Operations[i]; o.Outcome == OK {
				took = append(took, o.Latency())
			}
		}
		slices.Sort(took)
		add("latency, median", lasted(Quantile(took, 0.5)), "99 of 100 within "+span(Quantile(took, 0.99)), "")
	}
	if n := injected(r); n > 0 || len(p.Kinds) > 0 {
		add("faults", count(n), fmt.Sprintf("of %d kinds", len(p.Kinds)), "")
	}
	var view, height uint64
	for i := range r.Replicas {
		for _, s := range r.Replicas[i].Samples {
			view, height = max(view, s.View), max(height, s.Height)
		}
	}
	if height > 0 || view > 0 {
		add("blocks", count(height), "highest view "+count(view), "")
	}
	if r.Recovery > 0 {
		add("recovery", span(r.Recovery), "after the last fault, until all had answers", "")
	}
	if n := len(r.Coverage); n > 0 {
		fired := 0
		for _, c := range r.Coverage {
			if c.Count > 0 {
				fired++
			}
		}
		class, note := "", "rare situations seen"
		if p.Never > 0 {
			class, note = "warn", fmt.Sprintf("rare situations seen, %d expected and never there", p.Never)
		}
		add("coverage", fmt.Sprintf("%d of %d", fired, n), note, class)
	}
}

// injected is the number of all faults.
func injected(r *Run) int {
	n := 0
	for _, k := range r.Injected {
		n += k
	}
	return max(n, len(r.Faults))
}

// silence is the longest time in which no operation was answered, to the precision
// that is known, and when it began.
func silence(r *Run, buckets []Bucket) (longest, at time.Duration) {
	var ends []time.Duration
	for i := range r.Operations {
		if o := &r.Operations[i]; o.Outcome == OK {
			ends = append(ends, o.End)
		}
	}
	if len(ends) == 0 {
		for i := range buckets {
			if b := &buckets[i]; b.OK > 0 {
				ends = append(ends, b.Begin, b.End)
			}
		}
	}
	slices.Sort(ends)
	var last time.Duration
	for _, e := range ends {
		if e-last > longest {
			longest, at = e-last, last
		}
		last = e
	}
	return longest, at
}

// cursorData is what the page's script shows at the time under the pointer.
type cursorData struct {
	Total    time.Duration `json:"total"`
	Left     int           `json:"left"`
	Right    int           `json:"right"`
	Replicas []cursorLine  `json:"replicas"`
	Buckets  []cursorPoint `json:"buckets"`
	Faults   []cursorFault `json:"faults"`
}

type cursorLine struct {
	Name   string   `json:"name"`
	Class  string   `json:"class"`
	Times  []int64  `json:"t"`
	States []State  `json:"s"`
	Views  []uint64 `json:"v"`
	Blocks []uint64 `json:"h"`
}

type cursorPoint struct {
	Begin  int64  `json:"b"`
	End    int64  `json:"e"`
	PerSec string `json:"ops"`
	P50    string `json:"p50"`
	P99    string `json:"p99"`
}

type cursorFault struct {
	Begin int64  `json:"b"`
	End   int64  `json:"e"`
	Text  string `json:"text"`
}

// maxCursorSamples bounds what the page carries of one replica.
const maxCursorSamples = 4000

func newCursorData(r *Run, buckets []Bucket) *cursorData {
	c := &cursorData{Total: length(r), Left: left, Right: right, Replicas: []cursorLine{}, Buckets: []cursorPoint{}, Faults: []cursorFault{}}
	for i := range r.Replicas[:min(len(r.Replicas), maxLanes)] {
		x := &r.Replicas[i]
		l := cursorLine{Name: replicaName(x), Class: replicaClass(i), Times: []int64{}, States: []State{}, Views: []uint64{}, Blocks: []uint64{}}
		samples := samplesOf(x)
		every := 1 + len(samples)/maxCursorSamples
		for k := range samples {
			s := &samples[k]
			if k%every != 0 && (k == 0 || samples[k-1].State == s.State) {
				continue
			}
			l.Times, l.States = append(l.Times, int64(s.At)), append(l.States, s.State)
			l.Views, l.Blocks = append(l.Views, s.View), append(l.Blocks, s.Height)
		}
		c.Replicas = append(c.Replicas, l)
	}
	for i := range buckets {
		b := &buckets[i]
		p := cursorPoint{Begin: int64(b.Begin), End: int64(b.End), P50: lasted(b.P50), P99: lasted(b.P99)}
		if s := b.seconds(); s > 0 {
			p.PerSec = figure(Number{Value: float64(int64(float64(b.OK) / s))})
		}
		c.Buckets = append(c.Buckets, p)
	}
	for i := range r.Faults[:min(len(r.Faults), maxDrawnFaults)] {
		f := &r.Faults[i]
		text := f.Kind
		if len(f.Replicas) > 0 {
			text += " of " + list(f.Replicas)
		}
		c.Faults = append(c.Faults, cursorFault{Begin: int64(f.Begin), End: int64(f.End), Text: text})
	}
	return c
}

// flatten makes rows of a JSON object, in its order; fields of objects within
// objects have both names. What is no JSON is one row.
func flatten(data json.RawMessage) []row {
	if len(data) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var rows []row
	if open, err := d.Token(); err != nil || open != json.Delim('{') || !fields(d, "", &rows, 0) {
		return []row{{"options", string(data)}}
	}
	return rows
}

const maxDepth = 8

// fields reads an object whose brace is open.
func fields(d *json.Decoder, prefix string, rows *[]row, depth int) bool {
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return false
		}
		name := prefix + fmt.Sprint(key)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return false
		}
		if len(value) > 0 && value[0] == '{' && depth < maxDepth {
			in := json.NewDecoder(bytes.NewReader(value))
			in.UseNumber()
			if _, err := in.Token(); err != nil || !fields(in, name+".", rows, depth+1) {
				return false
			}
			continue
		}
		var text string
		if json.Unmarshal(value, &text) != nil {
			var b bytes.Buffer
			if json.Compact(&b, value) != nil {
				return false
			}
			text = b.String()
		}
		*rows = append(*rows, row{name, text})
	}
	return true
}
