package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
)

// event is something that happens at a virtual time; equal times go by the order
// in which they were planned. The most frequent ones are spared a function.
type event struct {
	at   time.Duration
	seq  uint64
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
		s.network.arrive(pbft.ReplicaID(e.from), pbft.ReplicaID(e.to), e.k)
	case e.life.dead:
	case e.work == eventRun:
		e.life.run()
	case e.work == eventTick:
		e.life.tick()
	default:
		e.life.done(replica.Work(e.work), int(e.n))
	}
}

// agenda is a binary heap of events.
type agenda struct {
	events []event
	seq    uint64
}

func (a *agenda) less(i, j int) bool {
	x, y := &a.events[i], &a.events[j]
	return x.at < y.at || x.at == y.at && x.seq < y.seq
}

func (a *agenda) add(at time.Duration, do func()) { a.plan(event{at: at, do: do}) }

func (a *agenda) plan(e event) {
	a.seq++
	e.seq = a.seq
	a.events = append(a.events, e)
	for i := len(a.events) - 1; i > 0; {
		parent := (i - 1) / 2
		if !a.less(i, parent) {
			break
		}
		a.events[i], a.events[parent] = a.events[parent], a.events[i]
		i = parent
	}
}

func (a *agenda) next() event {
	top := a.events[0]
	last := len(a.events) - 1
	a.events[0] = a.events[last]
	a.events[last] = event{}
	a.events = a.events[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && a.less(child+1, child) {
			child++
		}
		if !a.less(child, i) {
			break
		}
		a.events[i], a.events[child] = a.events[child], a.events[i]
		i = child
	}
	return top
}
