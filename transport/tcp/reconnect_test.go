package peertcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/transport"
	"github.com/parley-bft/parley/transport/internal/frame"
)

// watcher is a handler that records who comes and goes.
type watcher struct {
	inbox
	mu     sync.Mutex
	events []string
}

func (w *watcher) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, fmt.Sprintf(format, args...))
}

func (w *watcher) Connected(p crypto.ReplicaID)    { w.note("+%d", p) }
func (w *watcher) Disconnected(p crypto.ReplicaID) { w.note("-%d", p) }

func (w *watcher) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.events...)
}

func TestRestartedPeerIsReachedAgain(t *testing.T) {
	c := newCluster(t, 2)
	w := &watcher{}
	tr := c.start(0, w)
	other := c.start(1, &inbox{})
	eventually(t, "linked", linked(tr))
	require.NoError(t, other.Close())
	eventually(t, "noticed", func() bool { s := statusOf(tr, 1); return !s.Connected && !s.Receiving })
	eventually(t, "known why", func() bool { s := statusOf(tr, 1); return s.LastError != "" && !s.LastErrorAt.IsZero() })
	tr.Send(1, transport.Control, []byte("while away"))

	box := &inbox{}
	c.start(1, box)
	eventually(t, "linked again", linked(tr))
	eventually(t, "arrived", func() bool { return box.count() == 1 })
	s := statusOf(tr, 1)
	require.EqualValues(t, 2, s.Connects)
	eventually(t, "forgotten now that both directions stand", func() bool {
		s := statusOf(tr, 1)
		return s.Receiving && s.LastError == "" && s.LastErrorAt.IsZero()
	})
	require.Equal(t, []string{"+1", "-1", "+1"}, w.seen())
}

// A peer that reaches us ends our pause, however long it is.
func TestPeerThatReachesUsEndsThePause(t *testing.T) {
	c := newCluster(t, 2)
	tr := c.start(0, &inbox{}, func(cfg *Config) { cfg.RefusedBackoff = time.Hour })
	wrong := c.start(1, &inbox{}, func(cfg *Config) { cfg.Cluster = crypto.Digest{2} })
	eventually(t, "refused", func() bool { return statusOf(tr, 1).Failures > 0 && statusOf(wrong, 0).Failures > 0 })
	require.NoError(t, wrong.Close())
	c.start(1, &inbox{})
	eventually(t, "linked", linked(tr))
}

// So it does when our own attempt hangs, as after a partition.
func TestPeerThatReachesUsEndsAHangingAttempt(t *testing.T) {
	c := newCluster(t, 2)
	hanging := make(chan struct{})
	var once sync.Once
	var log logBook
	tr := c.start(0, &inbox{}, log.keep, func(cfg *Config) {
		cfg.HandshakeTimeout = time.Hour
		dial := cfg.withDefaults().Dial
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			first := false
			once.Do(func() { first = true })
			if !first {
				return dial(ctx, address)
			}
			close(hanging)
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	<-hanging
	c.start(1, &inbox{})
	eventually(t, "linked", linked(tr))
	require.True(t, log.has(errWoken.Error()))
}

// Each side notices silence by itself, while the other one is patient.
func TestSilenceIsNoticed(t *testing.T) {
	short := func(cfg *Config) { cfg.PingInterval, cfg.PingTimeout = 20*time.Millisecond, 200*time.Millisecond }
	long := func(cfg *Config) { cfg.PingInterval, cfg.PingTimeout = 20*time.Millisecond, time.Hour }
	for name, tc := range map[string]struct {
		sender, receiver func(*Config)
		want             string
	}{
		"by the sender":   {short, long, errSilent.Error()},
		"by the receiver": {long, short, errPeerClosed.Error() + ": " + errSilent.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2)
			g := newGate()
			var log logBook
			tr := c.start(0, &inbox{}, tc.sender, log.keep, func(cfg *Config) { cfg.Dial = g.dial })
			other := c.start(1, &inbox{}, tc.receiver)
			eventually(t, "linked", linked(tr))
			eventually(t, "linked", linked(other))
			g.shut() // what replica 0 sends goes nowhere, and nothing is closed
			eventually(t, "noticed by the sender", func() bool { return log.has(`error="` + tc.want + `"`) })
			eventually(t, "gone at the receiver", func() bool { return !statusOf(other, 0).Receiving })
			g.reopen()
			eventually(t, "linked again", linked(tr))
			eventually(t, "linked again", linked(other))
		})
	}
}

// A link to a process that is no more is cut as soon as its successor reaches us,
// not only when its silence is noticed.
func TestSuccessorOfAPeerReplacesItsLink(t *testing.T) {
	c := newCluster(t, 2)
	var log logBook
	tr := c.start(0, &inbox{}, log.keep)
	other := c.start(1, &inbox{})
	eventually(t, "linked", linked(tr))
	before := statusOf(tr, 1).Connects
	successor := c.dialRaw(tr, 1)
	g := c.config(1).greeting(other.instance + 1)
	successor.send(g.Append(nil, 1))
	successor.answer()
	successor.send(frame.AppendProbe(nil, frame.Ping, 1))
	eventually(t, "cut and linked anew", func() bool {
		s := statusOf(tr, 1)
		return s.Connected && s.Connects > before && log.has(errRestarted.Error())
	})
}

func TestWhatWaitsForALostPeerIsDropped(t *testing.T) {
	c := newCluster(t, 2)
	tr := c.start(0, &inbox{}, func(cfg *Config) { cfg.UnreachableAfter = time.Millisecond })
	c.listeners[1].Close()
	tr.Send(1, transport.Bulk, []byte("stale"))
	eventually(t, "dropped", func() bool {
		s := statusOf(tr, 1)
		return s.Dropped[transport.DropUnreachable] > 0 && s.Queued[transport.Bulk].Messages == 0
	})
	tr.Send(1, transport.Control, []byte("dropped at once"))
	require.Zero(t, statusOf(tr, 1).Queued[transport.Control].Messages)

	box := &inbox{}
	c.listeners[1] = nil
	c.start(1, box)
	eventually(t, "linked", linked(tr))
	tr.Send(1, transport.Control, []byte("fresh"))
	eventually(t, "arrived", func() bool { return box.count() == 1 })
	require.Equal(t, "fresh", string(box.from(0)[0]))
}

func TestHalfSentMessageStartsOverOnTheNextLink(t *testing.T) {
	c := newCluster(t, 2)
	g := newGate()
	box := &inbox{}
	tr := c.start(0, &inbox{}, g.alone)
	c.start(1, box)
	eventually(t, "linked", linked(tr))
	eventually(t, "pinged", func() bool { return statusOf(tr, 1).RTT > 0 })
	g.shut()
	block := make([]byte, 4<<20)
	tr.Send(1, transport.Bulk, block)
	eventually(t, "under way", func() bool { return statusOf(tr, 1).Queued[transport.Bulk].Bytes < uint64(len(block)) })
	g.mu.Lock()
	for _, conn := range g.conns {
		conn.Conn.Close()
	}
	g.mu.Unlock()
	g.reopen()
	eventually(t, "arrived", func() bool { return box.count() == 1 })
	require.Len(t, box.from(0)[0], len(block))
	require.Zero(t, statusOf(tr, 1).Dropped.Total())
}

// A peer reaches us while our attempt to dial it hangs, and then the attempt fails: the
// pause that follows must not sleep through that.
func TestPeerThatReachedUsDuringAFailedAttemptIsDialledAtOnce(t *testing.T) {
	c := newCluster(t, 2)
	const address = "restarting.invalid:1"
	failure := errors.New("the predecessor is gone")
	var p *peer
	tr := c.start(0, &inbox{}, func(cfg *Config) {
		cfg.Dial = func(ctx context.Context, to string) (net.Conn, error) {
			if to != address {
				return new(net.Dialer).DialContext(ctx, "tcp", to)
			}
			p.nudge()
			for len(p.wake) > 0 && ctx.Err() == nil { // until the attempt has taken notice
				runtime.Gosched()
			}
			return nil, failure
		}
	})
	p = newPeer(tr, Peer{ID: 1, Address: address, Key: c.config(0).Membership.Peers[0].Key})
	defer p.cancel(nil)
	linked, err := p.link()
	require.False(t, linked)
	if !errors.Is(err, errWoken) { // it took longer than our patience
		require.ErrorContains(t, err, failure.Error())
		require.Len(t, p.wake, 1, "the pause is ended before it begins")
	}
}

func TestPortInUse(t *testing.T) {
	c := newCluster(t, 2)
	cfg := c.config(0) // its address is held by the listener of the test
	tr, err := New(cfg, &inbox{})
	require.Nil(t, tr)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, "Listen")
	require.ErrorContains(t, err, c.addresses[0])
	require.ErrorContains(t, err, "choose another port")

	cfg.Listen = "192.0.2.1:1" // of nobody
	_, err = New(cfg, &inbox{})
	require.Error(t, err)
	require.False(t, errors.Is(err, syscall.EADDRINUSE))
	require.ErrorContains(t, err, "of this machine")
}

func TestReconfigure(t *testing.T) {
	c := newCluster(t, 3)
	w := &watcher{}
	tr := c.start(0, w)
	one, two := c.start(1, &inbox{}), c.start(2, &inbox{})
	eventually(t, "linked", linked(tr))

	// Replica 2 leaves: its links end and it cannot come back.
	m := c.config(0).Membership
	m.Epoch = 2
	m.Peers = m.Peers[:1]
	require.NoError(t, tr.Reconfigure(m))
	require.Len(t, tr.Peers(), 1)
	eventually(t, "cut", func() bool { s := statusOf(two, 0); return !s.Connected && !s.Receiving && s.Failures > 1 })
	require.EqualValues(t, 1, statusOf(tr, 1).Connects, "the link to a peer that stays is not touched")
	tr.Send(2, transport.Control, []byte("x"))
	require.EqualValues(t, 1, tr.Stats().Dropped[transport.DropUnknownPeer])

	// It joins again, and the others learn of the epoch when they link anew.
	m = c.config(0).Membership
	m.Epoch = 3
	require.NoError(t, tr.Reconfigure(m))
	eventually(t, "linked", linked(tr))
	eventually(t, "epoch is told", func() bool { return statusOf(two, 0).Epoch == 3 })

	// The key of a peer changes: its link is not the same any more.
	m.Peers = append([]Peer(nil), m.Peers...)
	m.Peers[0].Key = crypto.PublicKey{1}
	require.NoError(t, tr.Reconfigure(m))
	eventually(t, "linked anew", func() bool { return statusOf(one, 0).Connects > 1 && linked(tr)() })

	m.Peers[0].ID = 0
	require.ErrorIs(t, tr.Reconfigure(m), ErrConfig)
	require.NoError(t, tr.Close())
	require.ErrorIs(t, tr.Reconfigure(c.config(0).Membership), errClosed)
}

func TestCloseAmidTraffic(t *testing.T) {
	c := newCluster(t, 3)
	var all []*Transport
	for i := range 3 {
		all = append(all, c.start(i, &inbox{}))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i, tr := range all {
		wg.Go(func() {
			pace := time.NewTicker(time.Millisecond) // who only fills queues lets nobody empty them
			defer pace.Stop()
			for {
				select {
				case <-stop:
					return
				case <-pace.C:
					tr.Send(crypto.ReplicaID((i+1)%3), transport.Bulk, make([]byte, 100<<10))
					tr.Peers()
				}
			}
		})
	}
	eventually(t, "traffic", func() bool { return statusOf(all[0], 1).Sent[transport.Bulk].Messages > 50 })
	// A connection that never says a word must not hold Close up.
	idle, err := net.Dial("tcp", all[0].Addr().String())
	require.NoError(t, err)
	defer idle.Close()
	var closing sync.WaitGroup
	for _, tr := range all {
		for range 2 {
			closing.Go(func() { _ = tr.Close() })
		}
	}
	closing.Wait()
	close(stop)
	wg.Wait()
}
