package pbft

import (
	"fmt"
	"testing"

	"github.com/parley-bft/parley/crypto"
)

// poolRequest is an unsigned request of so many bytes of operation.
func poolRequest(client, seq uint64, size int) *Request {
	var k crypto.PublicKey
	for i := range 8 {
		k[i] = byte(client >> (8 * i))
	}
	return NewRequest(k, seq, 1, ^Time(0), [][]byte{make([]byte, size)})
}

// BenchmarkPool is the life of one request in the pool of a primary: added, cut
// into a block with others, proposed, committed.
func BenchmarkPool(b *testing.B) {
	const block, waiting = 1000, 4000
	for _, clients := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			requests := make([]*Request, 4*waiting)
			for i := range requests {
				requests[i] = poolRequest(uint64(i%clients), uint64(i/clients+1), 64)
			}
			p := newPool(64<<20, waiting, func(*Request) bool { return true })
			next := 0
			for ; next < waiting-block; next++ {
				p.add(requests[next], 1)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += block {
				for range block {
					if d := p.add(requests[next%len(requests)], 1); d != NoDrop {
						b.Fatal(d)
					}
					next++
				}
				cut, full, _ := p.peek(1<<20, block, 1)
				if !full {
					b.Fatal("not full")
				}
				p.propose(cut)
				p.remove(cut)
			}
		})
	}
}

// BenchmarkPoolAges is a tick of a pool in which everything is old and relayed.
func BenchmarkPoolAges(b *testing.B) {
	const waiting = 4000
	p := newPool(64<<20, waiting, func(*Request) bool { return true })
	for i := range uint64(waiting) {
		p.add(poolRequest(i%100, i/100+1, 64), 1)
	}
	now := uint64(1000)
	for range 100 {
		p.older(now, 500)
	}
	b.ReportAllocs()
	for b.Loop() {
		if late := p.older(now, 500); late != nil {
			b.Fatal(len(late))
		}
		p.oldest()
	}
}
