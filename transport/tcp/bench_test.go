package peertcp

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/transport"
)

// BenchmarkSend measures both ends of a link on this machine, the sender never
// more than a little ahead of the receiver.
func BenchmarkSend(b *testing.B) {
	for _, bc := range []struct {
		size     int
		priority transport.Priority
		ahead    int64
	}{
		{200, transport.Control, 2000}, {4 << 10, transport.Control, 500},
		{64 << 10, transport.Bulk, 64}, {1 << 20, transport.Bulk, 16},
	} {
		b.Run(fmt.Sprintf("%v-%d", bc.priority, bc.size), func(b *testing.B) {
			c := newCluster(b, 2)
			var got atomic.Int64
			progress := make(chan struct{}, 1)
			tr := c.start(0, &inbox{})
			c.start(1, transport.HandlerFunc(func(crypto.ReplicaID, []byte) {
				got.Add(1)
				select {
				case progress <- struct{}{}:
				default:
				}
			}))
			eventually(b, "linked", linked(tr))
			message := make([]byte, bc.size)
			b.SetBytes(int64(bc.size))
			b.ReportAllocs()
			sent := int64(0)
			for b.Loop() {
				tr.Send(1, bc.priority, message)
				for sent++; sent-got.Load() > bc.ahead; {
					<-progress
				}
			}
			for got.Load() < sent {
				<-progress
			}
		})
	}
}

// BenchmarkRoundTrip measures a vote that is answered, alone on the line.
func BenchmarkRoundTrip(b *testing.B) {
	c := newCluster(b, 2)
	back := make(chan struct{}, 1)
	tr := c.start(0, transport.HandlerFunc(func(crypto.ReplicaID, []byte) { back <- struct{}{} }))
	var other atomic.Pointer[Transport]
	o := c.start(1, transport.HandlerFunc(func(_ crypto.ReplicaID, m []byte) { other.Load().Send(0, transport.Control, m) }))
	other.Store(o)
	eventually(b, "linked", linked(tr))
	eventually(b, "linked", linked(o))
	vote := make([]byte, 200)
	b.ReportAllocs()
	for b.Loop() {
		tr.Send(1, transport.Control, vote)
		<-back
	}
}
