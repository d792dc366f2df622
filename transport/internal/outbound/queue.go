// Package outbound is the bounded queue of messages that wait for one peer.
package outbound

import (
	"sync"

	"github.com/parley-bft/parley/transport"
)

// Limits bounds one lane.
type Limits struct {
	Messages int
	Bytes    int
}

// Piece is a message, or a part of one, to put into a frame.
type Piece struct {
	Priority transport.Priority
	Message  []byte // the whole message
	Offset   int    // the part is Message[Offset:End]
	End      int
}

// Whole tells whether the piece is the complete message.
func (p Piece) Whole() bool { return p.Offset == 0 && p.End == len(p.Message) }

// Last tells whether the piece completes the message.
func (p Piece) Last() bool { return p.End == len(p.Message) }

// Size is the number of bytes of the part.
func (p Piece) Size() int { return p.End - p.Offset }

const (
	// PieceOverhead is what a piece may cost in a frame beside its bytes.
	PieceOverhead = 13
	// MinFrame is the smallest size that Take accepts.
	MinFrame = 8 << 10
	// bulkShare is the part of a frame, as a divisor, that bulk gets at least
	// while control fills every frame: urgent is not exclusive.
	bulkShare = 4
	// crumb is the shortest part worth starting at the end of a frame.
	crumb = 1 << 10
)

// Queue holds what waits for one peer, in two lanes. It is safe for concurrent
// use by any number of senders and one taker.
type Queue struct {
	ready chan struct{}

	mu      sync.Mutex
	lanes   [transport.Priorities]lane
	shut    bool
	reason  transport.DropReason // of what is pushed while shut
	dropped transport.Drops
}

// lane is a ring of messages; its first one may be partly taken.
type lane struct {
	limits Limits
	ring   [][]byte
	head   int
	count  int
	bytes  int
	offset int // bytes of the first message already taken
}

// New returns an empty queue.
func New(control, bulk Limits) *Queue {
	q := &Queue{ready: make(chan struct{}, 1)}
	q.lanes[transport.Control].limits = control
	q.lanes[transport.Bulk].limits = bulk
	return q
}

// Ready delivers a token after something was pushed. One token may stand for
// many messages, and a token may be stale.
func (q *Queue) Ready() <-chan struct{} { return q.ready }

// Push adds a message; it never blocks.
func (q *Queue) Push(p transport.Priority, message []byte) {
	q.mu.Lock()
	accepted := q.push(p, message)
	q.mu.Unlock()
	if accepted {
		select {
		case q.ready <- struct{}{}:
		default:
		}
	}
}

func (q *Queue) push(p transport.Priority, message []byte) bool {
	l := &q.lanes[p]
	switch {
	case q.shut:
		q.dropped[q.reason]++
		return false
	case len(message) == 0:
		q.dropped[transport.DropEmpty]++
		return false
	case len(message) > l.limits.Bytes:
		q.dropped[transport.DropTooLarge]++
		return false
	}
	for l.count >= l.limits.Messages || l.bytes+len(message) > l.limits.Bytes {
		if p != transport.Control || !l.dropOldest() {
			q.dropped[transport.DropQueueFull]++
			return false
		}
		q.dropped[transport.DropQueueFull]++
	}
	l.add(message)
	return true
}

// Drop counts a message that was refused before it came to the queue.
func (q *Queue) Drop(r transport.DropReason) {
	q.mu.Lock()
	q.dropped[r]++
	q.mu.Unlock()
}

// Take appends to dst what the next frame of about size bytes shall carry:
// control first, then bulk in what is left, at least a quarter of size. The sum
// of the pieces with their overhead is at most size + size/4. size is at least
// [MinFrame].
func (q *Queue) Take(dst []Piece, size int) []Piece {
	q.mu.Lock()
	defer q.mu.Unlock()
	dst, left := q.lanes[transport.Control].take(dst, transport.Control, size, size)
	dst, _ = q.lanes[transport.Bulk].take(dst, transport.Bulk, max(left, size/bulkShare), size)
	return dst
}

// Rewind makes partly taken messages start over: the receiver of the parts is
// gone.
func (q *Queue) Rewind() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.lanes {
		q.lanes[i].offset = 0
	}
}

// Shut drops everything that waits and all that is pushed from now on, for the
// given reason, until Open.
func (q *Queue) Shut(r transport.DropReason) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.shut, q.reason = true, r
	for i := range q.lanes {
		l := &q.lanes[i]
		q.dropped[r] += uint64(l.count)
		*l = lane{limits: l.limits}
	}
}

// Open ends Shut.
func (q *Queue) Open() {
	q.mu.Lock()
	q.shut = false
	q.mu.Unlock()
}

// Status returns what waits, less the parts that were taken, and what was dropped.
func (q *Queue) Status() (queued [transport.Priorities]transport.Load, dropped transport.Drops) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.lanes {
		l := &q.lanes[i]
		queued[i] = transport.Load{Messages: uint64(l.count), Bytes: uint64(l.bytes - l.offset)}
	}
	return queued, q.dropped
}

// take moves messages, or a part of one, into dst until room is used up, and
// returns what is left of it. A control message that would fit into an empty
// frame of full bytes waits for one instead of being split; bulk is split
// wherever the frame ends, so that it moves on however busy control is.
func (l *lane) take(dst []Piece, p transport.Priority, room, full int) ([]Piece, int) {
	for l.count > 0 {
		m := l.ring[l.head]
		rest := len(m) - l.offset
		n := min(rest, room-PieceOverhead)
		if n < rest && len(dst) > 0 {
			splits := p == transport.Bulk || len(m) > full-PieceOverhead
			if !splits || n < crumb {
				break
			}
		}
		dst = append(dst, Piece{Priority: p, Message: m, Offset: l.offset, End: l.offset + n})
		room -= n + PieceOverhead
		if n < rest {
			l.offset += n
			break
		}
		l.remove()
	}
	return dst, max(room, 0)
}

func (l *lane) add(message []byte) {
	if l.count == len(l.ring) {
		grown := make([][]byte, max(16, min(2*len(l.ring), l.limits.Messages)))
		for i := range l.count {
			grown[i] = l.ring[(l.head+i)%len(l.ring)]
		}
		l.ring, l.head = grown, 0
	}
	l.ring[(l.head+l.count)%len(l.ring)] = message
	l.count++
	l.bytes += len(message)
}

// remove takes the first message off.
func (l *lane) remove() {
	l.bytes -= len(l.ring[l.head])
	l.ring[l.head] = nil
	l.head = (l.head + 1) % len(l.ring)
	l.count--
	l.offset = 0
}

// dropOldest removes the oldest message of which nothing was taken yet.
func (l *lane) dropOldest() bool {
	if l.offset == 0 {
		if l.count == 0 {
			return false
		}
		l.remove()
		return true
	}
	if l.count < 2 {
		return false
	}
	// The first is partly sent: put it in the place of the second.
	offset, first, second := l.offset, l.head, (l.head+1)%len(l.ring)
	partly := l.ring[first]
	l.ring[first], l.ring[second] = l.ring[second], partly
	l.remove()
	l.offset = offset
	return true
}
