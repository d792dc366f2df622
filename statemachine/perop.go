package statemachine

import "fmt"

// PerOp runs the operations of b one by one and turns a panic of one of them into
// the result [CodePanicked], so that one poisonous operation does not stop the
// whole cluster for good (every replica would panic on it again at each replay).
// An application whose Apply treats operations one by one is
//
//	func (m *Machine) Apply(b statemachine.Block) []statemachine.Result {
//		return statemachine.PerOp(b, m.apply, nil)
//	}
//
// PerOp does not undo what the operation changed before it panicked. Either apply
// checks everything before it changes anything, or recovered undoes it: it is
// called, if not nil, after each panic with the operation and the panic's value
// (for logging too). A change left behind is at least the same on all replicas as
// long as the panic is deterministic. The result carries no text of the panic,
// because such text may differ between replicas (addresses).
//
// A [Halt] is no panic of the operation, and goes on. If recovered panics itself, the
// panic goes on and names the operation: the replica stops (see [PanicError]).
//
// What each operation reads is counted from its beginning to its end (see [Meter]).
//
// Of a result for which the block has no room (see [Limits]) it keeps the data no longer
// than until the next operation, and returns CodeResultTooLarge in its place.
func PerOp(b Block, apply func(Op) Result, recovered func(op Op, value any)) []Result {
	results := make([]Result, len(b.Ops))
	var room *room
	if b.limits != nil {
		room = b.limits.room()
	}
	for i := range b.Ops {
		b.meter.begin(&b.Ops[i])
		results[i] = applyOne(i, b.Ops[i], apply, recovered)
		b.meter.end()
		if room == nil {
			continue
		}
		if i == 0 || b.Ops[i].Index == 0 {
			room.next()
		}
		results[i] = room.fit(results[i])
	}
	return results
}

func applyOne(i int, op Op, apply func(Op) Result, recovered func(Op, any)) (r Result) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if h, ok := v.(Halt); ok {
			panic(h)
		}
		r = Result{Code: CodePanicked}
		if recovered == nil {
			return
		}
		defer func() {
			if w := recover(); w != nil {
				panic(opPanic{index: i, value: fmt.Sprintf("%v; then, while undoing it: %v", v, w)})
			}
		}()
		recovered(op, v)
	}()
	return apply(op)
}

// opPanic carries the position of the operation to the executor.
type opPanic struct {
	index int
	value any
}

func (p opPanic) String() string { return fmt.Sprintf("operation %d: %v", p.index, p.value) }
