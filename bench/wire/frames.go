package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// MaxFrame bounds a frame, in bytes.
const MaxFrame = 64 << 20

// maxQueued bounds what waits in a queue: beyond, frames are dropped. The programs
// here keep less than that under way.
const maxQueued = 256 << 20

// Queue collects frames for one connection and writes many at once. It is safe for
// concurrent use.
type Queue struct {
	mu     sync.Mutex
	filled sync.Cond
	buf    []byte
	closed bool
}

// NewQueue returns an empty queue.
func NewQueue() *Queue {
	q := new(Queue)
	q.filled.L = &q.mu
	return q
}

// Put adds a frame made of parts.
func (q *Queue) Put(parts ...[]byte) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.buf)+n > maxQueued {
		return
	}
	q.buf = binary.BigEndian.AppendUint32(q.buf, uint32(n))
	for _, p := range parts {
		q.buf = append(q.buf, p...)
	}
	q.filled.Signal()
}

// Close ends Run.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}

// Run copies what comes into the queue to w until that fails or the queue is closed.
func (q *Queue) Run(w io.Writer) error {
	var spare []byte
	for {
		q.mu.Lock()
		for len(q.buf) == 0 && !q.closed {
			q.filled.Wait()
		}
		if q.closed {
			q.mu.Unlock()
			return io.EOF
		}
		full := q.buf
		q.buf = spare[:0]
		q.mu.Unlock()
		if _, err := w.Write(full); err != nil {
			return err
		}
		spare = full
	}
}

// ReadFrames calls f with each frame, which f may keep, until reading fails.
func ReadFrames(r io.Reader, f func([]byte)) error {
	br := bufio.NewReaderSize(r, 256<<10)
	var head [4]byte
	for {
		if _, err := io.ReadFull(br, head[:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > MaxFrame {
			return fmt.Errorf("frame of %d bytes: the limit is %d", n, MaxFrame)
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(br, frame); err != nil {
			return err
		}
		f(frame)
	}
}
