package chaos

import "time"

// event is something that happens at a virtual time; equal times go by the order
// in which they were planned.
type event struct {
	at  time.Duration
	seq uint64
	do  func()
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

func (a *agenda) add(at time.Duration, do func()) {
	a.seq++
	a.events = append(a.events, event{at, a.seq, do})
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
