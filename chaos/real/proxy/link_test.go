package proxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipes is a listener whose connections are made by dial, in memory: under
// synctest the proxy runs on virtual time.
type pipes struct {
	queue chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{queue: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.queue:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.queue <- far:
		return near, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// virtual opens a link over pipes with one connection through it.
func virtual(t *testing.T, c Conditions) (l *Link, near, far net.Conn) {
	front, back := newPipes(), newPipes()
	l = Serve(front, back.dial)
	l.Set(c)
	near, err := front.dial(t.Context())
	require.NoError(t, err)
	far, err = back.Accept()
	require.NoError(t, err)
	return l, near, far
}

func send(t *testing.T, c net.Conn, data []byte) {
	t.Helper()
	_, err := c.Write(data)
	require.NoError(t, err)
}

func receive(t *testing.T, c net.Conn, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	_, err := io.ReadFull(c, b)
	require.NoError(t, err)
	return b
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, near, far := virtual(t, Conditions{Forward: Lane{Delay: 300 * time.Millisecond}, Backward: Lane{Delay: time.Second}})
		begin := time.Now()
		send(t, near, []byte("there"))
		require.Equal(t, "there", string(receive(t, far, 5)))
		require.Equal(t, 300*time.Millisecond, time.Since(begin))
		send(t, far, []byte("back"))
		require.Equal(t, "back", string(receive(t, near, 4)))
		require.Equal(t, 1300*time.Millisecond, time.Since(begin))
		require.NoError(t, l.Close())
	})
}

func TestJitterKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, near, far := virtual(t, Conditions{Forward: Lane{Delay: time.Millisecond, Jitter: time.Second}})
		go func() {
			for i := range 50 {
				_, _ = near.Write([]byte{byte(i)})
			}
		}()
		for i := range 50 {
			require.Equal(t, byte(i), receive(t, far, 1)[0])
		}
		require.NoError(t, l.Close())
	})
}

func TestThrottleAndTrickle(t *testing.T) {
	for _, c := range []struct {
		name string
		lane Lane
		n    int
		took time.Duration
	}{
		{"throttle", Lane{BytesPerSecond: 10_000}, 30_000, 3 * time.Second},
		{"trickle", Lane{Trickle: 100 * time.Millisecond}, 20, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, near, far := virtual(t, Conditions{Forward: c.lane})
				begin := time.Now()
				data := make([]byte, c.n)
				_, _ = rand.Read(data)
				go func() { _, _ = near.Write(data) }()
				require.True(t, bytes.Equal(data, receive(t, far, c.n)))
				require.InDelta(t, c.took.Seconds(), time.Since(begin).Seconds(), 0.11) // the last portion's pause
				require.NoError(t, l.Close())
			})
		})
	}
}

func TestStallHoldsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, near, far := virtual(t, Conditions{})
		l.Set(Conditions{Forward: Lane{Stall: true}})
		arrived := make(chan byte, 1)
		go func() {
			b := make([]byte, 1)
			if _, err := io.ReadFull(far, b); err == nil {
				arrived <- b[0]
			}
		}()
		go func() { _, _ = near.Write([]byte{7}) }()
		synctest.Wait()
		require.Empty(t, arrived)
		// The other direction is not concerned.
		go func() { _, _ = far.Write([]byte{8}) }()
		require.Equal(t, byte(8), receive(t, near, 1)[0])
		l.Set(Conditions{})
		require.Equal(t, byte(7), <-arrived)
		require.NoError(t, l.Close())
	})
}

func TestStallHoldsNewConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		front, back := newPipes(), newPipes()
		l := Serve(front, back.dial)
		l.Set(Conditions{Backward: Lane{Stall: true}})
		_, err := front.dial(t.Context())
		require.NoError(t, err)
		reached := make(chan net.Conn, 1)
		go func() {
			c, _ := back.Accept()
			reached <- c
		}()
		synctest.Wait()
		require.Empty(t, reached)
		l.Set(Conditions{})
		require.NotNil(t, <-reached)
		require.NoError(t, l.Close())
	})
}

func TestSwallowCutsAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, near, far := virtual(t, Conditions{})
		l.Set(Conditions{Forward: Lane{Swallow: true}})
		send(t, near, []byte("nobody hears"))
		send(t, near, []byte("this"))
		synctest.Wait()
		require.Equal(t, 1, l.Connections())
		l.Set(Conditions{})
		_, err := far.Read(make([]byte, 1))
		require.Error(t, err)
		_, err = near.Read(make([]byte, 1))
		require.Error(t, err)
		require.Equal(t, 1, l.Stats().Cut)
		require.NoError(t, l.Close())
	})
}

// tcp opens a link over real sockets to a target that is given its connections.
func tcp(t *testing.T) (l *Link, dial func() net.Conn, accepted func() net.Conn) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err = Listen("127.0.0.1:0", target.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		require.NoError(t, target.Close())
	})
	clean := func(c net.Conn, err error) net.Conn {
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	return l, func() net.Conn { return clean(net.Dial("tcp", l.Addr())) }, func() net.Conn { return clean(target.Accept()) }
}

func TestReset(t *testing.T) {
	l, dial, accepted := tcp(t)
	near := dial()
	far := accepted()
	send(t, near, []byte("x"))
	receive(t, far, 1)
	require.Equal(t, 1, l.Reset())
	for _, c := range []net.Conn{near, far} {
		_, err := c.Read(make([]byte, 1))
		require.ErrorContains(t, err, "reset")
	}
}

func TestHalfOpen(t *testing.T) {
	l, dial, accepted := tcp(t)
	near := dial()
	far := accepted()
	send(t, near, []byte("x"))
	receive(t, far, 1)
	require.Equal(t, 1, l.HalfOpen())
	_, err := far.Read(make([]byte, 1))
	require.ErrorContains(t, err, "reset")
	// The dialer notices nothing.
	for range 100 {
		send(t, near, make([]byte, 1000))
	}
	require.NoError(t, near.SetReadDeadline(time.Now()))
	_, err = near.Read(make([]byte, 1))
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
	require.Equal(t, 1, l.Connections())
	// A new connection works.
	again := dial()
	send(t, again, []byte("y"))
	require.Equal(t, "y", string(receive(t, accepted(), 1)))
}

// knock returns how a connection ends that the link cuts: either the dialing or
// the reading sees it first.
func knock(l *Link) error {
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_, err = c.Read(make([]byte, 1))
	return err
}

func TestRefuse(t *testing.T) {
	l, dial, accepted := tcp(t)
	l.Set(Conditions{Refuse: true})
	require.Error(t, knock(l))
	require.Equal(t, 1, l.Stats().Refused)
	l.Set(Conditions{})
	near := dial()
	send(t, near, []byte("z"))
	require.Equal(t, "z", string(receive(t, accepted(), 1)))
}

func TestHalfClose(t *testing.T) {
	_, dial, accepted := tcp(t)
	near := dial()
	far := accepted()
	send(t, near, []byte("last"))
	require.NoError(t, near.(*net.TCPConn).CloseWrite())
	all, err := io.ReadAll(far)
	require.NoError(t, err)
	require.Equal(t, "last", string(all))
	send(t, far, []byte("answer"))
	require.NoError(t, far.Close())
	all, err = io.ReadAll(near)
	require.NoError(t, err)
	require.Equal(t, "answer", string(all))
}

func TestLargeTransfersBothWays(t *testing.T) {
	_, dial, accepted := tcp(t)
	near := dial()
	far := accepted()
	data := make([]byte, 8<<20)
	_, _ = rand.Read(data)
	for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
		errs := make(chan error, 1)
		go func() {
			_, err := pair[0].Write(data)
			errs <- err
		}()
		require.True(t, bytes.Equal(data, receive(t, pair[1], len(data))))
		require.NoError(t, <-errs)
	}
}

func TestUnreachableTarget(t *testing.T) {
	gone, err := Listen("127.0.0.1:0", "127.0.0.1:1")
	require.NoError(t, err)
	defer func() { require.NoError(t, gone.Close()) }()
	require.Error(t, knock(gone))
}

func TestConditionsString(t *testing.T) {
	require.Equal(t, "no faults", Conditions{}.String())
	require.Equal(t, "stalled", Conditions{Forward: Lane{Stall: true}, Backward: Lane{Stall: true}}.String())
	require.Equal(t, "there delay 1s to 2s, back 5 bytes/s, refused",
		Conditions{Forward: Lane{Delay: time.Second, Jitter: time.Second}, Backward: Lane{BytesPerSecond: 5}, Refuse: true}.String())
}
