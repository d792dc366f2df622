package proxy

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// connection is one TCP connection through a link: two lanes.
type connection struct {
	link      *Link
	near, far net.Conn // the dialer's side and the target's
	done      chan struct{}
	once      sync.Once
	dead      chan struct{} // the far side was cut, the near one is only kept open
	deadOnce  sync.Once
	lossy     atomic.Bool // bytes were swallowed
}

func newConnection(l *Link, near, far net.Conn) *connection {
	return &connection{link: l, near: near, far: far, done: make(chan struct{}), dead: make(chan struct{})}
}

// close ends both sides.
func (c *connection) close() {
	c.once.Do(func() {
		close(c.done)
		_ = c.near.Close()
		_ = c.far.Close()
	})
}

func (c *connection) reset() {
	c.once.Do(func() {
		close(c.done)
		abort(c.near)
		abort(c.far)
	})
}

func (c *connection) halfOpen() {
	c.deadOnce.Do(func() {
		close(c.dead)
		abort(c.far)
	})
}

func (c *connection) isDead() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}

// run passes bytes on in both directions and returns when that is over.
func (c *connection) run() {
	var lanes sync.WaitGroup
	lanes.Go(func() { c.pass(c.near, c.far, func(s Conditions) Lane { return s.Forward }) })
	lanes.Go(func() { c.pass(c.far, c.near, func(s Conditions) Lane { return s.Backward }) })
	lanes.Wait()
	if c.isDead() {
		// Half-open: what the dialer says goes nowhere, until it gives up.
		_, _ = io.Copy(io.Discard, c.near)
	}
	c.close()
}

const (
	// pieceBytes is how much is read at once, queuePieces how many pieces may be
	// under way in one direction: as much as a large socket buffer.
	pieceBytes  = 16 << 10
	queuePieces = 64
)

// piece is bytes under way.
type piece struct {
	data []byte
	due  time.Time
}

// pass moves bytes from src to dst as the lane permits.
func (c *connection) pass(src, dst net.Conn, lane func(Conditions) Lane) {
	under := make(chan piece, queuePieces)
	stop := make(chan struct{}) // closed when the writer has ended
	var writer sync.WaitGroup
	writer.Go(func() {
		defer close(stop)
		c.write(dst, under, lane)
	})
	err := c.read(src, under, stop, lane)
	close(under)
	writer.Wait()
	switch {
	case c.isDead():
	case errors.Is(err, io.EOF):
		// Half-closed: the other direction may go on.
		if t, ok := dst.(interface{ CloseWrite() error }); ok {
			_ = t.CloseWrite()
		} else {
			c.close()
		}
	default:
		c.reset()
	}
}

var errOver = errors.New("connection is over")

// read takes bytes from src. It returns io.EOF if src ended in order.
func (c *connection) read(src net.Conn, under chan<- piece, stop <-chan struct{}, lane func(Conditions) Lane) error {
	var last time.Time
	for {
		if !c.await(lane) {
			return errOver
		}
		buf := make([]byte, pieceBytes)
		n, err := src.Read(buf)
		if n > 0 {
			now, _ := c.link.state()
			l := lane(now)
			switch {
			case c.isDead() || c.lossy.Load():
			case l.Swallow:
				c.lossy.Store(true)
			default:
				due := time.Now().Add(l.Delay)
				if l.Jitter > 0 {
					due = due.Add(rand.N(l.Jitter))
				}
				if due.Before(last) { // the order is kept
					due = last
				}
				last = due
				select {
				case under <- piece{buf[:n], due}:
				case <-stop:
					return errOver
				case <-c.done:
					return errOver
				}
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return io.EOF
			}
			return errOver
		}
	}
}

// write passes on what is under way, each piece when it is due.
func (c *connection) write(dst net.Conn, under <-chan piece, lane func(Conditions) Lane) {
	for p := range under {
		if !c.sleep(time.Until(p.due)) {
			return
		}
		for rest := p.data; len(rest) > 0; {
			if !c.await(lane) {
				return
			}
			now, _ := c.link.state()
			n, pause := lane(now).portion(len(rest))
			if _, err := dst.Write(rest[:n]); err != nil {
				return
			}
			if !c.sleep(pause) {
				return
			}
			rest = rest[n:]
		}
	}
}

// slice is the time for which a throttled lane passes on bytes at once.
const slice = 20 * time.Millisecond

// portion is how many of n bytes may be written at once, and the pause after them.
func (l Lane) portion(n int) (int, time.Duration) {
	if l.Trickle > 0 {
		return 1, l.Trickle
	}
	if l.BytesPerSecond > 0 {
		n = min(n, max(1, int(int64(l.BytesPerSecond)*int64(slice)/int64(time.Second))))
		return n, time.Duration(int64(n) * int64(time.Second) / int64(l.BytesPerSecond))
	}
	return n, 0
}

// await waits until the lane passes bytes; false if the connection ends before.
func (c *connection) await(lane func(Conditions) Lane) bool {
	for {
		now, changed := c.link.state()
		select {
		case <-c.done:
			return false
		default:
		}
		if !lane(now).Stall {
			return true
		}
		select {
		case <-changed:
		case <-c.done:
			return false
		}
	}
}

// sleep returns false if the connection ends before the time is over.
func (c *connection) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.done:
		return false
	}
}
