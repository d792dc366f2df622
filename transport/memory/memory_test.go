package memory_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/transport"
	"github.com/parley-bft/parley/transport/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inbox records what arrives and who comes and goes.
type inbox struct {
	mu     sync.Mutex
	got    []string
	events []string
}

func (b *inbox) Receive(from crypto.ReplicaID, m []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, fmt.Sprintf("%d:%s", from, m))
}

func (b *inbox) Connected(p crypto.ReplicaID)    { b.events = append(b.events, fmt.Sprintf("+%d", p)) }
func (b *inbox) Disconnected(p crypto.ReplicaID) { b.events = append(b.events, fmt.Sprintf("-%d", p)) }

func (b *inbox) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.got...)
}

func attach(net *memory.Network, n int) (boxes []*inbox, ends []*memory.Endpoint) {
	for i := range n {
		boxes = append(boxes, &inbox{})
		ends = append(ends, net.Endpoint(crypto.ReplicaID(i), boxes[i]))
	}
	return boxes, ends
}

func TestStepByStep(t *testing.T) {
	net := memory.NewNetwork(3)
	boxes, ends := attach(net, 3)
	require.False(t, net.Step())
	ends[0].Send(1, transport.Bulk, []byte("a"))
	ends[1].Send(2, transport.Control, []byte("b"))
	ends[0].Send(2, transport.Control, []byte("c"))
	require.Equal(t, []memory.Message{
		{From: 0, To: 1, Priority: transport.Bulk, Data: []byte("a")},
		{From: 1, To: 2, Priority: transport.Control, Data: []byte("b")},
		{From: 0, To: 2, Priority: transport.Control, Data: []byte("c")},
	}, net.Pending())
	require.Empty(t, boxes[1].all(), "nothing moves by itself")
	require.True(t, net.Step())
	require.Equal(t, []string{"0:a"}, boxes[1].all())
	net.Deliver(1)
	require.Equal(t, []string{"0:c"}, boxes[2].all())
	require.Equal(t, 1, net.Run(100))
	require.Equal(t, []string{"0:c", "1:b"}, boxes[2].all())

	s := ends[0].Peers()
	require.Len(t, s, 2)
	require.EqualValues(t, 1, s[0].Sent[transport.Bulk].Messages)
	require.EqualValues(t, 1, s[1].Sent[transport.Control].Bytes)
	require.EqualValues(t, 1, ends[2].Peers()[1].Received[transport.Control].Messages)
}

// A handler may send while it receives, and the run goes on until all is quiet.
func TestHandlersThatAnswer(t *testing.T) {
	net := memory.NewNetwork(2)
	var ends [2]*memory.Endpoint
	rounds := 0
	for i := range ends {
		ends[i] = net.Endpoint(crypto.ReplicaID(i), transport.HandlerFunc(func(from crypto.ReplicaID, m []byte) {
			if rounds++; rounds < 10 {
				ends[i].Send(from, transport.Control, m)
			}
		}))
	}
	ends[0].Send(1, transport.Control, []byte("ball"))
	require.Equal(t, 10, net.Run(100))
}

func TestReceiverOwnsItsMessage(t *testing.T) {
	net := memory.NewNetwork(3)
	var second string
	spoil := transport.HandlerFunc(func(_ crypto.ReplicaID, m []byte) { clear(m) })
	e := net.Endpoint(0, spoil)
	net.Endpoint(1, spoil)
	net.Endpoint(2, transport.HandlerFunc(func(_ crypto.ReplicaID, m []byte) { second = string(m) }))
	m := []byte("shared")
	e.Send(1, transport.Control, m)
	e.Send(2, transport.Control, m)
	net.Run(10)
	require.Equal(t, "shared", second)
}

func TestPartition(t *testing.T) {
	net := memory.NewNetwork(4)
	boxes, ends := attach(net, 4)
	broadcast := func(m string) {
		for i, e := range ends {
			for j := range ends {
				if i != j {
					e.Send(crypto.ReplicaID(j), transport.Control, []byte(m))
				}
			}
		}
		net.Run(100)
	}
	net.Partition([]crypto.ReplicaID{0, 1}, []crypto.ReplicaID{2})
	broadcast("x")
	require.Equal(t, []string{"1:x"}, boxes[0].all())
	require.Equal(t, []string{"0:x"}, boxes[1].all())
	require.Empty(t, boxes[2].all())
	require.Empty(t, boxes[3].all())
	require.True(t, ends[0].Peers()[0].Connected)
	require.False(t, ends[0].Peers()[1].Connected)
	require.EqualValues(t, 1, ends[0].Peers()[1].Dropped[transport.DropInjected])
	net.Heal()
	broadcast("y")
	require.Equal(t, []string{"0:y", "1:y", "2:y"}, boxes[3].all())
}

func TestHookLosesAndDelays(t *testing.T) {
	net := memory.NewNetwork(3)
	boxes, ends := attach(net, 3)
	net.Intercept(func(m memory.Message) memory.Verdict {
		switch string(m.Data) {
		case "lost":
			return memory.Verdict{Drop: true}
		case "late":
			return memory.Verdict{Delay: 3}
		}
		return memory.Verdict{}
	})
	ends[0].Send(1, transport.Control, []byte("late"))
	ends[0].Send(1, transport.Control, []byte("behind it"))
	ends[0].Send(1, transport.Bulk, []byte("another lane"))
	ends[0].Send(2, transport.Control, []byte("lost"))
	ends[0].Send(2, transport.Control, []byte("another link"))
	net.Run(2)
	require.Equal(t, []string{"0:another lane"}, boxes[1].all())
	require.Equal(t, []string{"0:another link"}, boxes[2].all())
	require.True(t, net.Step(), "it only brings what is delayed nearer")
	require.Len(t, boxes[1].all(), 1)
	net.Run(100)
	require.Equal(t, []string{"0:another lane", "0:late", "0:behind it"}, boxes[1].all())
	net.Intercept(nil)
	ends[0].Send(2, transport.Control, []byte("lost"))
	net.Run(1)
	require.Len(t, boxes[2].all(), 2)
}

func TestLimitsDropLikeARealLink(t *testing.T) {
	net := memory.NewNetwork(2)
	boxes, ends := attach(net, 2)
	for i := range memory.ControlMessages + 2 {
		ends[0].Send(1, transport.Control, fmt.Appendf(nil, "c%d", i))
	}
	for i := range memory.BulkMessages + 3 {
		ends[0].Send(1, transport.Bulk, fmt.Appendf(nil, "b%d", i))
	}
	ends[0].Send(1, transport.Bulk, nil)
	ends[0].Send(1, transport.Bulk, make([]byte, memory.MaxMessage+1))
	ends[0].Send(0, transport.Bulk, []byte("to itself"))
	ends[0].Send(7, transport.Bulk, []byte("to nobody"))
	s := ends[0].Peers()[0]
	require.EqualValues(t, 5, s.Dropped[transport.DropQueueFull])
	require.EqualValues(t, 1, s.Dropped[transport.DropEmpty])
	require.EqualValues(t, 1, s.Dropped[transport.DropTooLarge])
	require.EqualValues(t, 2, ends[0].Astray())
	require.EqualValues(t, memory.ControlMessages, s.Queued[transport.Control].Messages)
	net.Run(1 << 20)
	got := boxes[1].all()
	require.Len(t, got, memory.ControlMessages+memory.BulkMessages)
	require.Equal(t, "0:c2", got[0], "the oldest votes gave way")
	require.Equal(t, fmt.Sprintf("0:b%d", memory.BulkMessages-1), got[len(got)-1], "the newest blocks were refused")
}

func TestRestartOfAMember(t *testing.T) {
	for name, net := range map[string]*memory.Network{"steps": memory.NewNetwork(2), "live": memory.NewLive(2)} {
		t.Run(name, func(t *testing.T) {
			boxes, ends := attach(net, 2)
			require.Panics(t, func() { net.Endpoint(1, &inbox{}) })
			net.Intercept(func(memory.Message) memory.Verdict { return memory.Verdict{Delay: time.Hour} })
			ends[0].Send(1, transport.Control, []byte("under way"))
			ends[1].Send(0, transport.Control, []byte("under way"))
			require.NoError(t, ends[1].Close())
			require.NoError(t, ends[1].Close())
			net.Intercept(nil)
			ends[0].Send(1, transport.Control, []byte("to nobody"))
			ends[1].Send(0, transport.Control, []byte("from nobody"))
			require.EqualValues(t, 2, ends[0].Peers()[0].Dropped[transport.DropUnreachable])
			require.EqualValues(t, 2, ends[1].Peers()[0].Dropped[transport.DropClosed])
			require.False(t, ends[0].Peers()[0].Connected)

			fresh := &inbox{}
			again := net.Endpoint(1, fresh)
			require.Equal(t, []string{"+1", "-1", "+1"}, boxes[0].events)
			require.Equal(t, []string{"+0"}, fresh.events)
			ends[0].Send(1, transport.Control, []byte("hello"))
			again.Send(0, transport.Control, []byte("back"))
			if name == "steps" {
				net.Run(10)
			}
			require.Eventually(t, func() bool { return len(fresh.all()) == 1 && len(boxes[0].all()) == 1 }, 10*time.Second, time.Millisecond)
			require.Equal(t, []string{"0:hello"}, fresh.all())
			require.Equal(t, []string{"1:back"}, boxes[0].all())
			require.NoError(t, again.Close())
			require.NoError(t, ends[0].Close())
		})
	}
}

func TestLiveDeliversInOrder(t *testing.T) {
	const n, each = 4, 300
	net := memory.NewLive(n)
	boxes, ends := attach(net, n)
	var wg sync.WaitGroup
	for i, e := range ends {
		wg.Go(func() {
			for k := range each {
				for j := range n {
					if i != j {
						e.Send(crypto.ReplicaID(j), transport.Control, fmt.Appendf(nil, "%d", k))
					}
				}
			}
		})
	}
	wg.Wait()
	for _, b := range boxes {
		require.Eventually(t, func() bool { return len(b.all()) == each*(n-1) }, 10*time.Second, time.Millisecond)
		next := map[string]int{}
		for _, m := range b.all() {
			from := m[:1]
			require.Equal(t, fmt.Sprintf("%s:%d", from, next[from]), m)
			next[from]++
		}
	}
	for _, e := range ends {
		require.NoError(t, e.Close())
	}
}

func TestLiveDelayTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memory.NewLive(2)
		boxes, ends := attach(net, 2)
		net.Intercept(func(memory.Message) memory.Verdict { return memory.Verdict{Delay: 30 * time.Millisecond} })
		ends[0].Send(1, transport.Control, []byte("1"))
		ends[0].Send(1, transport.Control, []byte("2"))
		start := time.Now()
		synctest.Wait()
		require.Empty(t, boxes[1].all())
		<-time.After(30 * time.Millisecond) // of the bubble, not of the wall
		synctest.Wait()
		require.Equal(t, []string{"0:1", "0:2"}, boxes[1].all(), "a delay is latency, not bandwidth")
		require.Equal(t, 30*time.Millisecond, time.Since(start))
		for _, e := range ends {
			require.NoError(t, e.Close())
		}
	})
}

func TestLiveHandlerThatBlocksHoldsBackOneLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memory.NewLive(3)
		release := make(chan struct{})
		box := &inbox{}
		e0 := net.Endpoint(0, transport.HandlerFunc(func(from crypto.ReplicaID, m []byte) {
			if from == 1 {
				<-release
			}
			box.Receive(from, m)
		}))
		e1, e2 := net.Endpoint(1, &inbox{}), net.Endpoint(2, &inbox{})
		e1.Send(0, transport.Control, []byte("blocks"))
		e1.Send(0, transport.Control, []byte("waits"))
		e2.Send(0, transport.Control, []byte("passes"))
		synctest.Wait()
		require.Equal(t, []string{"2:passes"}, box.all())

		// The sender is restarted: its successor waits for the call under way.
		require.NoError(t, e1.Close())
		e1 = net.Endpoint(1, &inbox{})
		e1.Send(0, transport.Control, []byte("successor"))
		synctest.Wait()
		require.Len(t, box.all(), 1)
		close(release)
		synctest.Wait()
		require.Equal(t, []string{"2:passes", "1:blocks", "1:successor"}, box.all())
		for _, e := range []*memory.Endpoint{e0, e1, e2} {
			require.NoError(t, e.Close())
		}
	})
}

func TestMisuseOfALiveNetwork(t *testing.T) {
	net := memory.NewLive(2)
	require.Panics(t, func() { net.Step() })
	require.Panics(t, func() { net.Deliver(0) })
	require.Panics(t, func() { net.Endpoint(2, &inbox{}) })
	require.Panics(t, func() { memory.NewNetwork(0) })
}

func BenchmarkStep(b *testing.B) {
	net := memory.NewNetwork(4)
	_, ends := attach(net, 4)
	vote := make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		ends[0].Send(1, transport.Control, vote)
		net.Step()
	}
}
