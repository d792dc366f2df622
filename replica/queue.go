package replica

import "sync"

// queue hands items from any number of goroutines to one, or with take to several. It is not bounded by
// itself: whoever puts things in is bounded by what it may have under way.
type queue[T any] struct {
	mu     sync.Mutex
	items  []T
	closed bool
	ready  chan struct{} // holds a token while there is something to take
}

func newQueue[T any]() *queue[T] { return &queue[T]{ready: make(chan struct{}, 1)} }

// put adds an item; it is dropped, with false, if the queue is closed.
func (q *queue[T]) put(item T) bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	q.items = append(q.items, item)
	q.mu.Unlock()
	q.signal()
	return true
}

func (q *queue[T]) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// takeAll waits for items and moves all of them into buf, whose memory the queue
// takes over. After close it returns what is left, then ok is false.
func (q *queue[T]) takeAll(buf []T) (items []T, ok bool) {
	for {
		if items, ok = q.tryAll(buf); !ok || len(items) > 0 {
			return items, ok
		}
		buf = items
		<-q.ready
	}
}

// tryAll is takeAll without waiting: items is empty if there are none. Whoever uses
// it waits for ready, which tells of new items and of close.
func (q *queue[T]) tryAll(buf []T) (items []T, ok bool) {
	clear(buf)
	buf = buf[:0]
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) > 0 {
		items, q.items = q.items, buf
		if q.closed {
			q.signal() // there will be no other
		}
		return items, true
	}
	if q.closed {
		q.signal() // for others who wait
		return nil, false
	}
	return buf, true
}

// take waits for one item, for queues that several goroutines share. After close
// it returns what is left, then ok is false.
func (q *queue[T]) take() (item T, ok bool) {
	for {
		q.mu.Lock()
		n := len(q.items)
		if n > 0 {
			item = q.items[0]
			rest := copy(q.items, q.items[1:])
			clear(q.items[rest:])
			q.items = q.items[:rest]
		}
		closed := q.closed
		q.mu.Unlock()
		if n > 1 || closed {
			q.signal()
		}
		if n > 0 {
			return item, true
		}
		if closed {
			return item, false
		}
		<-q.ready
	}
}

func (q *queue[T]) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

// close lets takeAll return false once everything was taken.
func (q *queue[T]) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}
