package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
)

// event is something that happens at a virtual time; equal times go by the order
// in which they were planned. The most frequent ones are spared a function.
type event struct {
	do   func()
	life *process // run, or the end of work
	k    *packet  // that arrives
	n    int32    // batches
	work int8
	from uint8
	to   uint8
}

// What a life does, beside work of a kind.
const (
	eventRun  = -1
	eventTick = -2
)

// happen does what the event is about.
func (s *Simulation) happen(e *event) {
	switch {
	case e.do != nil:
		e.do()
	case e.k != nil:
		s.network.landed(pbft.ReplicaID(e.from), pbft.ReplicaID(e.to), e.k)
	case e.life.dead:
	case e.work == eventRun:
		e.life.run()
	case e.work == eventTick:
		e.life.tick()
	default:
		e.life.done(replica.Work(e.work), int(e.n))
	}
}

// agenda is what is planned, in a heap with four children to a node. The heap
// itself holds when and where; events, which hold pointers, stay in their slots
// while it is put in order, so the garbage collector need not be told.
type agenda struct {
	heap  []planned
	slots []event
	free  []int32
	seq   uint64
}

// planned is an event's place in the order.
type planned struct {
	at   time.Duration
	seq  uint64
	slot int32
}

func (x *planned) before(y *planned) bool { return x.at < y.at || x.at == y.at && x.seq < y.seq }

func (a *agenda) add(at time.Duration, do func()) { a.plan(at, event{do: do}) }

func (a *agenda) plan(at time.Duration, e event) {
	slot := int32(len(a.slots))
	if n := len(a.free); n > 0 {
		slot, a.free = a.free[n-1], a.free[:n-1]
		a.slots[slot] = e
	} else {
		a.slots = append(a.slots, e)
	}
	a.seq++
	x := planned{at, a.seq, slot}
	i := len(a.heap)
	a.heap = append(a.heap, x)
	for i > 0 {
		parent := (i - 1) / 4
		if !x.before(&a.heap[parent]) {
			break
		}
		a.heap[i] = a.heap[parent]
		i = parent
	}
	a.heap[i] = x
}

// due tells whether an event is planned for this time or before.
func (a *agenda) due(end time.Duration) bool { return len(a.heap) > 0 && a.heap[0].at <= end }

// next takes the first event.
func (a *agenda) next() (time.Duration, event) {
	top := a.heap[0]
	last := len(a.heap) - 1
	x := a.heap[last]
	a.heap = a.heap[:last]
	if last > 0 {
		a.sink(&x)
	}
	e := a.slots[top.slot]
	a.slots[top.slot] = event{}
	a.free = append(a.free, top.slot)
	return top.at, e
}

// sink puts x where the first was.
func (a *agenda) sink(x *planned) {
	i, n := 0, len(a.heap)
	for {
		first := 4*i + 1
		if first >= n {
			break
		}
		least := first
		for child := first + 1; child < min(first+4, n); child++ {
			if a.heap[child].before(&a.heap[least]) {
				least = child
			}
		}
		if !a.heap[least].before(x) {
			break
		}
		a.heap[i] = a.heap[least]
		i = least
	}
	a.heap[i] = *x
}
