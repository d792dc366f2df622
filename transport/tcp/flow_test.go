package peertcp

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/transport"
	"github.com/parley-bft/parley/transport/internal/frame"
	"github.com/parley-bft/parley/transport/internal/outbound"
)

func TestOrderIsKeptWithinAPriority(t *testing.T) {
	c := newCluster(t, 2)
	box := &inbox{}
	tr := c.start(0, &inbox{})
	c.start(1, box)
	const n = 4000
	r := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		p := transport.Priority(i % 2)
		size := 8 + r.IntN(400)
		if p == transport.Bulk && i%101 == 0 {
			size = 200 << 10
		}
		m := make([]byte, size)
		m[0] = byte(p)
		binary.BigEndian.PutUint32(m[1:], uint32(i))
		tr.Send(1, p, m)
		if i%500 == 0 { // bulk has room for 1024
			eventually(t, "room", func() bool { return statusOf(tr, 1).Queued[transport.Bulk].Messages < 500 })
		}
	}
	eventually(t, "all arrived", func() bool { return box.count() == n })
	next := [2]uint32{0, 1}
	for _, m := range box.from(0) {
		p := m[0]
		require.Equal(t, next[p], binary.BigEndian.Uint32(m[1:]))
		next[p] += 2
	}
	s := statusOf(tr, 1)
	require.EqualValues(t, n/2, s.Sent[transport.Control].Messages)
	require.EqualValues(t, n/2, s.Sent[transport.Bulk].Messages)
}

func TestVotesOvertakeABlockThatIsUnderWay(t *testing.T) {
	c := newCluster(t, 2)
	g := newGate()
	box := &inbox{}
	tr := c.start(0, &inbox{}, g.alone)
	c.start(1, box)
	eventually(t, "linked", linked(tr))
	eventually(t, "pinged", func() bool { return statusOf(tr, 1).RTT > 0 })

	block := make([]byte, 8<<20)
	for i := range block {
		block[i] = byte(i * 7)
	}
	g.shut()
	_, before, _ := g.state()
	tr.Send(1, transport.Bulk, block)
	// The writer has taken a frame; the rest of the block waits.
	eventually(t, "under way", func() bool {
		return statusOf(tr, 1).Queued[transport.Bulk].Bytes < uint64(len(block))
	})
	for i := range 3 {
		tr.Send(1, transport.Control, fmt.Appendf(nil, "vote %d", i))
	}
	_, after, _ := g.state()
	require.Less(t, after-before, len(block)/2)
	g.reopen()
	eventually(t, "all arrived", func() bool { return box.count() == 4 })
	got := box.from(0)
	for i := range 3 {
		require.Equal(t, fmt.Sprintf("vote %d", i), string(got[i]))
	}
	require.True(t, bytes.Equal(block, got[3]))
}

// stalled is a handler that blocks while its gate is shut.
type stalled struct {
	inbox
	release chan struct{}
	entered chan struct{}
}

func newStalled() *stalled {
	return &stalled{release: make(chan struct{}), entered: make(chan struct{}, 1)}
}

func (s *stalled) Receive(from crypto.ReplicaID, m []byte) {
	select {
	case s.entered <- struct{}{}:
	default:
	}
	<-s.release
	s.inbox.Receive(from, m)
}

// narrow is a listener with small buffers for what comes in.
type narrow struct {
	net.Listener
	buffer int
}

func (l narrow) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetReadBuffer(l.buffer)
	}
	return conn, err
}

func TestStalledReaderHoldsBackOnlyItself(t *testing.T) {
	c := newCluster(t, 3)
	const buffer, queue, message, n = 128 << 10, 1 << 20, 64 << 10, 2000
	slow := newStalled()
	release := sync.OnceFunc(func() { close(slow.release) })
	fine := &inbox{}
	tr := c.start(0, &inbox{}, func(cfg *Config) {
		cfg.MaxMessage = message
		cfg.Bulk = Limits{Messages: 1000, Bytes: queue}
		cfg.Control = Limits{Messages: 10, Bytes: queue}
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err == nil {
				err = conn.(*net.TCPConn).SetWriteBuffer(buffer)
			}
			return conn, err
		}
	})
	c.start(1, slow, func(cfg *Config) { cfg.Listener = narrow{cfg.Listener, buffer} })
	t.Cleanup(release) // else closing waits for the handler
	c.start(2, fine)
	eventually(t, "linked", linked(tr))

	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n {
		m := make([]byte, message)
		tr.Send(1, transport.Bulk, m)
		if i%10 == 0 {
			tr.Send(2, transport.Bulk, m[:100])
		}
	}
	<-slow.entered
	eventually(t, "the other peer got all", func() bool { return fine.count() == n/10 })
	votes := 0
	eventually(t, "control is held back too", func() bool { // once the buffers below are full: until then it goes out
		tr.Send(1, transport.Control, fmt.Appendf(nil, "vote %02d", votes))
		votes++
		return statusOf(tr, 1).Queued[transport.Control].Messages == 10
	})
	runtime.GC()
	runtime.ReadMemStats(&after)
	// Queue and a frame: far from the 125 MiB that were sent.
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(16<<20))
	s := statusOf(tr, 1)
	require.LessOrEqual(t, s.Queued[transport.Bulk].Bytes, uint64(queue))
	require.LessOrEqual(t, s.Sent[transport.Bulk].Bytes, uint64(4*buffer+4*message), "flow control")
	require.Greater(t, s.Dropped[transport.DropQueueFull], uint64(n-100))

	require.True(t, s.Connected)
	release()
	eventually(t, "caught up", func() bool {
		s = statusOf(tr, 1)
		return s.Queued[transport.Bulk].Messages == 0 && s.Queued[transport.Control].Messages == 0 &&
			uint64(slow.count()) == s.Sent[transport.Bulk].Messages+s.Sent[transport.Control].Messages &&
			uint64(slow.count())+s.Dropped.Total() == uint64(n+votes)
	})
	require.EqualValues(t, 1, s.Connects)
}

func TestOneFrameCarriesManyMessages(t *testing.T) {
	q := outbound.New(outbound.Limits{Messages: 1000, Bytes: 1 << 20}, outbound.Limits{Messages: 10, Bytes: 1 << 20})
	for i := range 250 {
		q.Push(transport.Control, bytes.Repeat([]byte{byte(i)}, 200))
	}
	block := bytes.Repeat([]byte("b"), 10<<10)
	q.Push(transport.Bulk, block)
	q.Push(transport.Bulk, []byte("short"))
	q.Push(transport.Bulk, block)
	pieces := q.Take(nil, 128<<10)
	require.Len(t, pieces, 253)
	entries, err := frame.Parse(nil, appendPieces(nil, pieces), 1<<20)
	require.NoError(t, err)
	require.Len(t, entries, 253)
	for i, e := range entries {
		require.Equal(t, pieces[i].Message, e.Bytes)
		require.Equal(t, pieces[i].Priority, e.Priority)
	}
}

func TestMessagesThatCannotBeSentAreCounted(t *testing.T) {
	c := newCluster(t, 2)
	tr := c.start(0, &inbox{}, func(cfg *Config) { cfg.MaxMessage = 1000 })
	tr.Send(1, transport.Bulk, make([]byte, 1001))
	tr.Send(1, transport.Bulk, nil)
	tr.Send(0, transport.Bulk, []byte("to myself"))
	tr.Send(9, transport.Bulk, []byte("to nobody"))
	s := statusOf(tr, 1)
	require.EqualValues(t, 1, s.Dropped[transport.DropTooLarge])
	require.EqualValues(t, 1, s.Dropped[transport.DropEmpty])
	require.EqualValues(t, 2, tr.Stats().Dropped[transport.DropUnknownPeer])
	require.NoError(t, tr.Close())
	tr.Send(1, transport.Bulk, []byte("late"))
	require.EqualValues(t, 1, statusOf(tr, 1).Dropped[transport.DropClosed])
	require.Panics(t, func() { tr.Send(1, transport.Priorities, []byte("x")) })
}

func TestPeerThatBreaksTheFormatIsCut(t *testing.T) {
	part := func(total, offset int, s string) []byte {
		e := frame.Entry{Priority: transport.Bulk, Part: true, Total: total, Offset: offset, Bytes: []byte(s)}
		return append(frame.AppendHeader([]byte{byte(frame.Data)}, e), s...)
	}
	for name, frames := range map[string][][]byte{
		"empty frame":        {{}},
		"unknown kind":       {{99}},
		"second greeting":    {{byte(frame.Hello)}},
		"cut ping":           {{byte(frame.Ping), 1, 2}},
		"malformed data":     {{byte(frame.Data), 0, 0, 0}},
		"message too long":   {part(1001, 0, "abc")},
		"gap between parts":  {part(1000, 0, "abc"), part(1000, 4, "e")},
		"frame too long":     {make([]byte, frame.MaxSize+1)},
		"whole amid a split": {part(1000, 0, "abc"), append(frame.AppendHeader([]byte{byte(frame.Data)}, frame.Entry{Priority: transport.Bulk, Bytes: []byte("x")}), 'x')},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2)
			box := &inbox{}
			tr := c.start(0, box, func(cfg *Config) { cfg.MaxMessage = 1000 })
			r := c.dialRaw(tr, 1)
			c.greet(r, 1)
			r.send(voteFrame("good"))
			for _, f := range frames {
				r.send(f)
			}
			require.Error(t, r.end())
			// Not LastError: our attempts to reach the peer, where nobody answers, fail too.
			eventually(t, "counted", func() bool {
				return statusOf(tr, 1).Malformed == 1 && strings.Contains(inError(tr, 1), errMalformed.Error())
			})
			require.EqualValues(t, 1, tr.Refused()["malformed"])
			require.Equal(t, 1, box.count())
			again := c.dialRaw(tr, 1)
			c.greet(again, 1)
		})
	}
}

func TestMalformedGreeting(t *testing.T) {
	for name, b := range map[string][]byte{
		"data first":      voteFrame("vote"),
		"nothing":         {},
		"cut":             {byte(frame.Hello), 0, 1, 2},
		"welcome":         frame.Greeting{Version: frame.Version}.Append(nil, frame.Welcome),
		"beyond all size": make([]byte, frame.MaxSize),
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 2)
			box := &inbox{}
			tr := c.start(0, box)
			r := c.dialRaw(tr, 1)
			r.send(b)
			require.ErrorContains(t, r.end(), errMalformed.Error())
			require.EqualValues(t, 1, statusOf(tr, 1).Malformed)
			require.Zero(t, box.count())
		})
	}
}

func TestPingsAreAnswered(t *testing.T) {
	c := newCluster(t, 2)
	tr := c.start(0, &inbox{})
	r := c.dialRaw(tr, 1)
	c.greet(r, 1)
	r.send(frame.AppendProbe(nil, frame.Ping, 42))
	require.Equal(t, frame.Pong, r.answer())
	nonce, err := frame.ParseProbe(r.frame)
	require.NoError(t, err)
	require.EqualValues(t, 42, nonce)
}

// A handler that blocks keeps pings from being answered, which must not look
// like a dead link to either side.
func TestBlockedHandlerIsNotSilence(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *cluster) {
		slow := newStalled()
		const interval = 10 * time.Millisecond
		tr := c.start(0, slow, func(cfg *Config) { cfg.PingInterval, cfg.PingTimeout = interval, 2*interval })
		r := c.dialRaw(tr, 1)
		c.greet(r, 1)
		r.send(voteFrame("vote"))
		<-slow.entered
		for range 10 { // twice as many ticks as the receiver bears in silence
			b, err := r.read(frame.MaxSmall)
			require.NoError(t, err)
			require.Equal(t, frame.Alive, frame.Kind(b[0]))
		}
		close(slow.release)
		// From now on it is silence.
		require.ErrorContains(t, r.end(), errSilent.Error())
		require.Equal(t, 1, slow.count())
	})
}

func TestFrameSizeFollowsTheLine(t *testing.T) {
	const full = 64 << 10
	size := full
	for range 10 {
		size = adapt(size, full, slowFrame+1)
	}
	require.Equal(t, outbound.MinFrame, size)
	require.Equal(t, size, adapt(size, full, fastFrame+1))
	for range 10 {
		size = adapt(size, full, 0)
	}
	require.Equal(t, full, size)
}
