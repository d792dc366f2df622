package pbft

// series is a doubly linked list whose links lie in what it holds, so that nothing is
// allocated and everything can be taken out of the middle.
type series[T any] struct {
	head, tail *joint[T]
	n          int
}

type joint[T any] struct {
	next, prev *joint[T]
	of         *T
}

func (s *series[T]) push(e *joint[T]) {
	e.prev, e.next = s.tail, nil
	if s.tail != nil {
		s.tail.next = e
	} else {
		s.head = e
	}
	s.tail = e
	s.n++
}

func (s *series[T]) pushFront(e *joint[T]) {
	e.prev, e.next = nil, s.head
	if s.head != nil {
		s.head.prev = e
	} else {
		s.tail = e
	}
	s.head = e
	s.n++
}

func (s *series[T]) remove(e *joint[T]) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		s.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		s.tail = e.prev
	}
	e.next, e.prev = nil, nil
	s.n--
}

// last moves e to the end.
func (s *series[T]) last(e *joint[T]) {
	if s.tail != e {
		s.remove(e)
		s.push(e)
	}
}
