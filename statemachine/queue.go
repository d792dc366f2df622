package statemachine

import "bytes"

// evictionQueue finds the session with the lowest (maxDeadline, key). It is a
// binary heap in which a session stands under the maxDeadline that it had when it
// was last moved (session.queued). Deadlines only rise, so that is a lower bound,
// and it is put right only when the session comes to the top: a request that
// raises a deadline costs nothing here, and putting it right is paid for by it.
type evictionQueue struct{ heap []*session }

func (q *evictionQueue) less(i, j int) bool {
	a, b := q.heap[i], q.heap[j]
	if a.queued != b.queued {
		return a.queued < b.queued
	}
	return bytes.Compare(a.client[:], b.client[:]) < 0
}

// push adds s under its present maxDeadline.
func (q *evictionQueue) push(s *session) {
	s.queued = s.maxDeadline
	q.heap = append(q.heap, s)
	for i := len(q.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.less(i, up) {
			break
		}
		q.heap[i], q.heap[up] = q.heap[up], q.heap[i]
		i = up
	}
}

// min returns the session with the lowest (maxDeadline, key) if its maxDeadline
// has passed, and nil if no session's has.
func (q *evictionQueue) min(now Time) *session {
	for len(q.heap) > 0 {
		top := q.heap[0]
		if top.queued >= now {
			return nil // a lower bound for everybody: none has passed
		}
		if top.queued == top.maxDeadline {
			return top
		}
		top.queued = top.maxDeadline
		q.down()
	}
	return nil
}

// popMin removes the session that min returned.
func (q *evictionQueue) popMin() {
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = nil
	q.heap = q.heap[:last]
	q.down()
}

// down moves the top to its place.
func (q *evictionQueue) down() {
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(q.heap); c++ {
			if q.less(c, least) {
				least = c
			}
		}
		if least == i {
			return
		}
		q.heap[i], q.heap[least] = q.heap[least], q.heap[i]
		i = least
	}
}
