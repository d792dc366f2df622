package real

import (
	"sync"
	"time"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/chaos/report"
)

// recorder keeps what clients did and saw: for the judge, for the report, and the
// fate of every write of once.
type recorder struct {
	began   time.Time
	history chaos.History

	mu   sync.Mutex
	ops  []report.Operation
	once map[string]fate
	ok   int
	none int // never ran
}

// fate is what is known of a write that nobody else touches.
type fate struct {
	value   string
	outcome report.Outcome
}

func newRecorder() *recorder { return &recorder{began: time.Now(), once: map[string]fate{}} }

// now is the time on the run's axis.
func (r *recorder) now() time.Duration { return time.Since(r.began) }

var opNames = map[chaos.OpKind]report.OpName{chaos.OpGet: report.Read, chaos.OpPut: report.Write, chaos.OpSwap: report.Swap}

func (r *recorder) begin(client int, op operation) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	// Both have the same numbers: nobody else begins anything in the history.
	i := r.history.Begin(client, op.Op, int64(now))
	r.ops = append(r.ops, report.Operation{
		Client: client, Op: opNames[op.Kind], Key: op.Key, Old: op.Old, New: op.New, Begin: now, Outcome: report.Unknown,
	})
	if op.once {
		r.once[op.Key] = fate{op.New, report.Unknown}
	}
	return i
}

func (r *recorder) end(i int, out chaos.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.history.End(i, out, int64(now))
	o := &r.ops[i]
	o.End, o.Outcome, o.Found, o.Value, o.Swapped = now, report.OK, out.Found, out.Value, out.Swapped
	r.ok++
	r.decide(o)
}

func (r *recorder) never(i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Never(i)
	o := &r.ops[i]
	o.End, o.Outcome = r.now(), report.Failed
	r.none++
	r.decide(o)
}

func (r *recorder) decide(o *report.Operation) {
	if f, ok := r.once[o.Key]; ok && o.Op == report.Write {
		f.outcome = o.Outcome
		r.once[o.Key] = f
	}
}

// tally is how many operations there are, and of them how many ran, never ran, and
// are without an outcome, those under way included.
func (r *recorder) tally() (all, ok, never, unknown int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops), r.ok, r.none, len(r.ops) - r.ok - r.none
}
