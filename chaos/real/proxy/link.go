package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Link accepts connections and forwards each to one address. All methods are safe
// for concurrent use.
type Link struct {
	listener net.Listener
	dial     func(ctx context.Context) (net.Conn, error)
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu      sync.Mutex
	now     Conditions
	changed chan struct{} // closed and replaced by each change
	conns   map[*connection]struct{}
	stats   Stats
}

// Stats count what a link did.
type Stats struct {
	Accepted int // connections
	Refused  int // of them, by Conditions.Refuse
	Failed   int // of them, because the target could not be reached
	Cut      int // by Reset, HalfOpen and the end of Lane.Swallow
}

// dialTimeout is how long the target may take to accept a connection.
const dialTimeout = 5 * time.Second

// Listen opens a link from address to target; port 0 of address picks a free one.
func Listen(address, target string) (*Link, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("proxy to %s: %w", target, err)
	}
	return Serve(l, func(ctx context.Context) (net.Conn, error) {
		d := net.Dialer{Timeout: dialTimeout}
		return d.DialContext(ctx, "tcp", target)
	}), nil
}

// Serve opens a link for what listener accepts. dial connects to the target.
func Serve(listener net.Listener, dial func(ctx context.Context) (net.Conn, error)) *Link {
	l := &Link{listener: listener, dial: dial, changed: make(chan struct{}), conns: map[*connection]struct{}{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.running.Go(l.accept)
	return l
}

// Addr is the address to dial.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Set changes the conditions, also for connections that exist.
func (l *Link) Set(c Conditions) { l.Update(func(Conditions) Conditions { return c }) }

// Update changes the conditions by a function of those that are.
func (l *Link) Update(f func(Conditions) Conditions) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = f(l.now)
	for c := range l.conns {
		if c.lossy.Load() && !l.now.Forward.Swallow && !l.now.Backward.Swallow {
			c.reset()
			l.stats.Cut++
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// Conditions returns what the link is like now.
func (l *Link) Conditions() Conditions {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// Stats returns the counters.
func (l *Link) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// state returns the conditions, and a channel that is closed when they change.
func (l *Link) state() (Conditions, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, l.changed
}

// Reset cuts all connections with an RST and returns how many.
func (l *Link) Reset() int { return l.each((*connection).reset) }

// HalfOpen cuts the target's side of all connections with an RST and keeps the
// dialer's open and silent, until the dialer gives up or the link is closed. It
// returns how many.
func (l *Link) HalfOpen() int { return l.each((*connection).halfOpen) }

func (l *Link) each(do func(*connection)) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		do(c)
	}
	l.stats.Cut += len(l.conns)
	return len(l.conns)
}

// Connections is how many there are.
func (l *Link) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// Close stops listening, cuts all connections and waits for its goroutines.
func (l *Link) Close() error {
	l.cancel()
	err := l.listener.Close()
	l.mu.Lock()
	for c := range l.conns {
		c.close()
	}
	l.mu.Unlock()
	l.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (l *Link) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			if l.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			select { // too many open files, mostly: it passes
			case <-l.ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
			continue
		}
		l.mu.Lock()
		l.stats.Accepted++
		refuse := l.now.Refuse
		if refuse {
			l.stats.Refused++
		}
		l.mu.Unlock()
		if refuse {
			abort(conn)
			continue
		}
		l.running.Go(func() { l.forward(conn) })
	}
}

// forward connects to the target and passes bytes on until both sides are done.
func (l *Link) forward(near net.Conn) {
	// A SYN does not pass a link that lets nothing through, and the answer to it
	// does not come back.
	if !l.await(func(c Conditions) bool { return c.passes() }) {
		abort(near)
		return
	}
	far, err := l.dial(l.ctx)
	if err != nil {
		l.mu.Lock()
		l.stats.Failed++
		l.mu.Unlock()
		abort(near)
		return
	}
	c := newConnection(l, near, far)
	l.mu.Lock()
	closed := l.ctx.Err() != nil
	if !closed {
		l.conns[c] = struct{}{}
	}
	l.mu.Unlock()
	if closed {
		c.close()
		return
	}
	c.run()
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// await waits for conditions; false if the link was closed before.
func (l *Link) await(ok func(Conditions) bool) bool {
	for {
		now, changed := l.state()
		if ok(now) {
			return l.ctx.Err() == nil
		}
		select {
		case <-changed:
		case <-l.ctx.Done():
			return false
		}
	}
}

// abort closes with an RST where the connection is TCP.
func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
