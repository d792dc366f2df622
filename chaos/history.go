package chaos

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
)

// Errors of [History.Check]; test with errors.Is.
var (
	// ErrNotLinearizable: no order of the operations explains what clients saw.
	ErrNotLinearizable = errors.New("history is not linearizable")
	// ErrUndecided: the time was not enough to tell.
	ErrUndecided = errors.New("history was not judged in time")
)

// OpKind is a kind of operation on one key.
type OpKind uint8

// The kinds.
const (
	OpGet OpKind = iota
	OpPut
	OpSwap // compare and swap
	// OpOther is an operation of another application than the key-value store: New
	// holds its bytes, and no model judges it.
	OpOther
)

// Op is an operation on one key of the key-value application, or an OpOther.
type Op struct {
	Kind     OpKind
	Key      string
	Old, New string // Old is what OpSwap expects
}

// Encode returns the operation for the log.
func (o Op) Encode() []byte {
	switch o.Kind {
	case OpPut:
		return kv.Put([]byte(o.Key), []byte(o.New))
	case OpSwap:
		return kv.CompareAndSwap([]byte(o.Key), []byte(o.Old), []byte(o.New))
	case OpOther:
		return []byte(o.New)
	}
	return kv.Get([]byte(o.Key))
}

func (o Op) String() string {
	switch o.Kind {
	case OpPut:
		return fmt.Sprintf("put %s=%s", o.Key, o.New)
	case OpSwap:
		return fmt.Sprintf("swap %s %s->%s", o.Key, o.Old, o.New)
	case OpOther:
		return fmt.Sprintf("operation %q", o.New)
	}
	return "get " + o.Key
}

// Outcome is what a client learnt from an operation.
type Outcome struct {
	// Found and Value are the key before the operation, for OpGet and an OpSwap that
	// did not swap. Of an OpOther Value is the result's bytes.
	Found   bool
	Value   string
	Swapped bool
	unknown bool
}

func (o Outcome) String() string {
	if o.unknown {
		return "?"
	}
	return fmt.Sprintf("found:%t value:%q swapped:%t", o.Found, o.Value, o.Swapped)
}

// Read decodes the result of the operation.
func (o Op) Read(r statemachine.Result) (Outcome, error) {
	if o.Kind == OpOther {
		return Outcome{Found: true, Value: string(r.Data)}, nil
	}
	res, err := kv.DecodeResult(r)
	if err != nil {
		return Outcome{}, fmt.Errorf("result of %v: %w", o, err)
	}
	switch err := res.Err(); {
	case o.Kind == OpSwap && err == nil:
		return Outcome{Swapped: true}, nil
	case o.Kind == OpSwap && errors.Is(err, kv.ErrCompareFailed), o.Kind == OpGet && err == nil:
		return Outcome{Found: res.Found, Value: string(res.KV.Value)}, nil
	case o.Kind == OpPut && err == nil:
		return Outcome{}, nil
	default:
		return Outcome{}, fmt.Errorf("result of %v: %w", o, err)
	}
}

// History records what clients did and saw, of a key-value store so that it can be
// judged. It is safe for concurrent use.
type History struct {
	mu  sync.Mutex
	ops []porcupine.Operation
}

// Begin records that a client calls op now and returns a number for the operation.
// As long as nothing else is said of it, it may have run at any time since. now is
// in any unit, the same for all calls.
func (h *History) Begin(client int, op Op, now int64) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: op, Call: now, Output: Outcome{unknown: true}, Return: math.MaxInt64})
	return len(h.ops) - 1
}

// End records the outcome of an operation.
func (h *History) End(i int, out Outcome, now int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops[i].Output, h.ops[i].Return = out, now
}

// Never records that an operation has not run and never will.
func (h *History) Never(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops[i].Input = nil
}

// Len returns how many operations were recorded, and how many of them have no
// known outcome.
func (h *History) Len() (ops, unknown int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, op := range h.ops {
		if op.Input == nil {
			continue
		}
		ops++
		if op.Output.(Outcome).unknown {
			unknown++
		}
	}
	return ops, unknown
}

// Check judges the history of every key by itself; timeout bounds one key's.
// Operations of other applications are left out. The
// error wraps ErrNotLinearizable, with the operations on the key, or ErrUndecided.
func (h *History) Check(timeout time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	byKey := map[string][]porcupine.Operation{}
	var keys []string
	for _, op := range h.ops {
		o, ran := op.Input.(Op)
		// A read that nobody saw the answer of says nothing.
		if !ran || o.Kind == OpOther || o.Kind == OpGet && op.Output.(Outcome).unknown {
			continue
		}
		if byKey[o.Key] == nil {
			keys = append(keys, o.Key)
		}
		byKey[o.Key] = append(byKey[o.Key], op)
	}
	var undecided error
	for _, key := range keys {
		switch porcupine.CheckOperationsTimeout(register, byKey[key], timeout) {
		case porcupine.Illegal:
			return fmt.Errorf("%w: key %s:\n%s", ErrNotLinearizable, key, describe(byKey[key]))
		case porcupine.Unknown:
			undecided = fmt.Errorf("%w: key %s, %d operations", ErrUndecided, key, len(byKey[key]))
		}
	}
	return undecided
}

func describe(ops []porcupine.Operation) string {
	var b strings.Builder
	for _, op := range ops {
		end := fmt.Sprint(op.Return)
		if op.Return == math.MaxInt64 {
			end = "-"
		}
		fmt.Fprintf(&b, "  client %d [%d, %s] %v: %v\n", op.ClientId, op.Call, end, op.Input, op.Output)
	}
	return b.String()
}

// value is the state of one key.
type value struct {
	found bool
	data  string
}

var register = porcupine.Model{
	Init: func() any { return value{} },
	Step: func(state, input, output any) (bool, any) {
		s, op, out := state.(value), input.(Op), output.(Outcome)
		switch op.Kind {
		case OpPut:
			return true, value{true, op.New}
		case OpSwap:
			swaps := s.found && s.data == op.Old
			if swaps {
				return out.unknown || out.Swapped, value{true, op.New}
			}
			return out.unknown || !out.Swapped && out.Found == s.found && out.Value == s.data, s
		}
		return out.unknown || out.Found == s.found && out.Value == s.data, s
	},
}
