package pbft

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func anything(*Request) bool { return true }

// check holds the pool's parts against each other.
func (p *pool) check(t require.TestingT) {
	waiting, size, operations, back, held := 0, 0, 0, 0, map[*poolClient]int{}
	ring := map[*poolClient]bool{}
	for e := p.turns.head; e != nil; e = e.next {
		c := e.of
		ring[c] = true
		mine, ops := 0, 0
		require.NotNil(t, c.waiting.head)
		for q := c.waiting.head; q != nil; q = q.next {
			require.False(t, q.of.inBlock)
			require.Same(t, c, q.of.client)
			mine += q.of.request.Size()
			waiting++
			ops += len(q.of.request.Ops)
			held[c]++
		}
		require.Equal(t, mine, c.bytes)
		require.Equal(t, ops, c.operations)
		operations += ops
		if c.debt.holds {
			back += ops
		}
		size += mine
		require.Same(t, c, p.heap[c.rank])
		if up := p.heap[max(c.rank-1, 0)/2]; c.rank > 0 {
			require.GreaterOrEqual(t, up.bytes, c.bytes)
		}
	}
	require.Equal(t, waiting, p.waiting)
	require.Equal(t, size, p.bytes)
	require.Equal(t, operations, p.operations)
	require.Equal(t, back, p.shares.held)
	require.Len(t, p.heap, p.turns.n)
	ages, last := 0, uint64(0)
	for e := p.ages.head; e != nil; e = e.next {
		require.True(t, ring[e.of])
		require.GreaterOrEqual(t, p.since(e.of), last)
		last = p.since(e.of)
		ages++
	}
	require.Equal(t, p.turns.n, ages)
	proposed := 0
	for e := p.proposed.head; e != nil; e = e.next {
		require.True(t, e.of.inBlock)
		proposed += e.of.request.Size()
		held[e.of.client]++
	}
	require.Equal(t, proposed, p.proposedBytes)
	relays, last := 0, uint64(0)
	for e := p.relays.head; e != nil; e = e.next {
		require.GreaterOrEqual(t, max(e.of.stamp, p.entered), last)
		last = max(e.of.stamp, p.entered)
		require.Same(t, e.of, p.byDigest[e.of.request.Digest()])
		relays++
	}
	require.Equal(t, p.len(), relays)
	require.Len(t, p.byDigest, relays)
	require.Len(t, p.bySeq, relays)
	recent := 0
	for e := p.shares.recent.head; e != nil; e = e.next {
		require.Same(t, e.of, p.clients[e.of.key])
		require.Positive(t, e.of.debt.block)
		held[e.of] += 0
		recent++
	}
	require.Equal(t, p.shares.recent.n, recent)
	require.Len(t, p.clients, len(held))
	for key, c := range p.clients {
		require.Equal(t, key, c.key)
		require.Equal(t, held[c], c.held)
		require.LessOrEqual(t, c.held, p.maxPerClient)
		if c.waiting.n == 0 {
			require.False(t, ring[c])
		}
	}
	// Only what a view change brings back may wait above the limit.
	require.LessOrEqual(t, p.bytes, 2*p.maxBytes)
	require.LessOrEqual(t, p.proposedBytes, p.maxBytes)
	for _, q := range p.cursors {
		require.Nil(t, q)
	}
}

// Whatever is done with a pool, its books balance and it stays within its bounds.
func TestPoolModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		executed := map[Digest]bool{}
		p := newPool(rapid.IntRange(400, 4000).Draw(t, "room"), rapid.IntRange(1, 8).Draw(t, "each"),
			func(r *Request) bool { return !executed[r.Digest()] })
		now := uint64(1)
		var known []*Request
		some := func() []*Request {
			var of []*Request
			for range rapid.IntRange(0, 4).Draw(t, "n") {
				if len(known) > 0 {
					of = append(of, known[rapid.IntRange(0, len(known)-1).Draw(t, "which")])
				}
			}
			return of
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) { p.check(t) },
			"add": func(t *rapid.T) {
				r := poolRequest(rapid.Uint64Range(0, 5).Draw(t, "client"), rapid.Uint64Range(1, 12).Draw(t, "seq"), rapid.IntRange(0, 300).Draw(t, "size"))
				if rapid.Bool().Draw(t, "short") {
					r = NewRequest(r.Client, r.Seq, r.Low, Time(now+3), r.Ops)
				}
				known = append(known, r)
				before := p.bytes
				if p.add(r, now) != NoDrop {
					require.Equal(t, before, p.bytes, "nothing is displaced in vain")
				} else {
					require.LessOrEqual(t, p.bytes, p.maxBytes)
				}
			},
			"tick":    func(*rapid.T) { now++; p.older(now, 5) },
			"propose": func(*rapid.T) { p.propose(some()) },
			"remove": func(*rapid.T) {
				of := some()
				p.remove(of)
				for _, r := range of {
					executed[r.Digest()] = true
				}
			},
			"congest": func(t *rapid.T) { p.shares.congested = rapid.Bool().Draw(t, "congested") },
			"reset":   func(*rapid.T) { p.reset(now) },
			"sift":    func(*rapid.T) { p.sift(Time(now), p.admissible) },
			"cut": func(t *rapid.T) {
				requests, full, emptied := p.peek(blockOverhead+rapid.IntRange(300, 3000).Draw(t, "bytes"), rapid.IntRange(1, 8).Draw(t, "requests"), Time(now))
				left := p.waiting
				p.propose(requests)
				require.Equal(t, left-len(requests), p.waiting)
				require.Equal(t, emptied, p.waiting == 0)
				require.True(t, emptied || full)
			},
		})
	})
}

// One client floods; the others have a few requests each. Each of them is in a block
// as soon as the blocks have gone round as often as it stands in its client's queue,
// and what a client sent first comes first.
func TestPoolTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		honest := rapid.IntRange(1, 20).Draw(t, "honest")
		block := rapid.IntRange(1, 12).Draw(t, "block")
		const flooder = 1000
		p := newPool(1<<20, 64, anything)
		seq, cuts := uint64(0), 0
		flood := func() {
			for d := NoDrop; d == NoDrop; seq++ {
				d = p.add(poolRequest(flooder, seq+1, 8), uint64(cuts))
			}
		}
		flood()
		type expected struct{ client, seq uint64 }
		due := map[Digest]int{}
		next := map[uint64]uint64{} // of each client, which comes next
		at := func(r *Request) expected {
			return expected{uint64(r.Client[0]) | uint64(r.Client[1])<<8, r.Seq}
		}
		sent := map[uint64]uint64{}
		send := func(client uint64) {
			waits := sent[client] - next[client]
			sent[client]++
			r := poolRequest(client, sent[client], 8)
			require.Equal(t, NoDrop, p.add(r, uint64(cuts)))
			due[r.Digest()] = cuts + int(waits+1)*((honest+1+block-1)/block)
		}
		for range 60 {
			for range rapid.IntRange(0, 3).Draw(t, "new") {
				if c := uint64(rapid.IntRange(0, honest-1).Draw(t, "client")); sent[c]-next[c] < 4 {
					send(c)
				}
			}
			flood()
			cuts++
			requests, full, _ := p.peek(1<<20, block, 0)
			require.True(t, full)
			p.propose(requests)
			p.remove(requests)
			for _, r := range requests {
				if e := at(r); e.client != flooder {
					next[e.client]++
					require.Equal(t, next[e.client], e.seq, "in order")
					require.LessOrEqual(t, cuts, due[r.Digest()])
					delete(due, r.Digest())
				}
			}
			for _, latest := range due {
				require.Greater(t, latest, cuts-1, "nobody is left behind")
			}
		}
	})
}

// A view change puts back what was proposed, in front and in order.
func TestPoolOrderSurvivesReset(t *testing.T) {
	p := newPool(1<<20, 64, anything)
	for i := range uint64(12) {
		require.Equal(t, NoDrop, p.add(poolRequest(i%3, i/3+1, 8), 1))
	}
	all, _, emptied := p.peek(1<<20, 100, 0)
	require.True(t, emptied)
	require.Len(t, all, 12)
	for i, r := range all {
		require.Equal(t, uint64(i/3+1), r.Seq)
		require.Equal(t, byte(i%3), r.Client[0])
	}
	p.propose(all[:7])
	p.check(t)
	p.reset(2)
	p.check(t)
	again, _, _ := p.peek(1<<20, 100, 0)
	require.Equal(t, all, again)
	// The turn is remembered: after a block of four it is the second client's.
	p.propose(all[:4])
	next, _, _ := p.peek(1<<20, 2, 0)
	require.Equal(t, all[4:6], next)
}

// What peek says of a block's limits.
func TestPoolPeek(t *testing.T) {
	size := poolRequest(0, 1, 8).Size()
	for _, c := range []struct {
		name            string
		bytes, requests int
		late            int // the last so many of four are late
		n               int
		full, emptied   bool
	}{
		{"all", 1 << 20, 100, 0, 4, false, true},
		{"requests", 1 << 20, 3, 0, 3, true, false},
		{"requests, just", 1 << 20, 4, 0, 4, true, true},
		{"bytes", blockOverhead + 3*size, 100, 0, 3, true, false},
		{"bytes, just", blockOverhead + 4*size, 100, 0, 4, true, true},
		{"late", 1 << 20, 100, 4, 0, false, true},
		{"late behind a full block", 1 << 20, 2, 2, 2, true, true},
	} {
		for clients := range uint64(4) {
			t.Run(fmt.Sprint(c.name, clients+1), func(t *testing.T) {
				p := newPool(1<<20, 64, anything)
				for i := range uint64(4) {
					r := poolRequest(i%(clients+1), i+1, 8)
					if int(i) >= 4-c.late {
						r = NewRequest(r.Client, r.Seq, r.Low, 9, r.Ops)
					}
					require.Equal(t, NoDrop, p.add(r, 1))
				}
				requests, full, emptied := p.peek(c.bytes, c.requests, 10)
				require.Len(t, requests, c.n)
				require.Equal(t, c.full, full)
				require.Equal(t, c.emptied, emptied)
				p.propose(requests)
				require.Equal(t, emptied, p.waiting == 0)
				p.check(t)
			})
		}
	}
}

// A client within its share of the room is never refused and never loses anything,
// whatever others send; and nobody else displaces anything.
func TestPoolShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const clients, room = 6, 6000
		p := newPool(room, 1000, anything)
		seqs := map[uint64]uint64{}
		for range rapid.IntRange(20, 120).Draw(t, "requests") {
			// The first two send most and most of it large.
			client := uint64(rapid.IntRange(0, clients-1).Draw(t, "client"))
			if rapid.Bool().Draw(t, "flood") {
				client %= 2
			}
			seqs[client]++
			r := poolRequest(client, seqs[client], rapid.IntRange(0, 400).Draw(t, "size"))
			before := map[*poolClient]int{}
			mine := r.Size()
			n := 1
			for _, c := range p.clients {
				before[c] = c.bytes
				if c.key == r.Client {
					mine += c.bytes
				} else {
					n++
				}
			}
			share, displaced := room/n, len(p.displaced)
			d := p.add(r, 1)
			p.check(t)
			if mine <= share {
				require.Equal(t, NoDrop, d)
			} else {
				require.Len(t, p.displaced, displaced)
			}
			for _, c := range p.clients {
				if was, ok := before[c]; ok && was <= share {
					require.GreaterOrEqual(t, c.bytes, was, "within its share")
				}
				delete(before, c)
			}
			for _, was := range before {
				require.Greater(t, was, share, "gone, though within its share")
			}
		}
	})
}

// The client with the most is on top, among many that come, grow, shrink and go.
func TestPoolHeap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPool(1<<20, 64, anything)
		var all []*Request
		for i := range uint64(rapid.IntRange(1, 80).Draw(t, "requests")) {
			r := poolRequest(rapid.Uint64Range(0, 40).Draw(t, "client"), i+1, rapid.IntRange(0, 1000).Draw(t, "size"))
			require.Equal(t, NoDrop, p.add(r, 1))
			all = append(all, r)
		}
		p.check(t)
		for _, i := range rapid.Permutation(all).Draw(t, "order") {
			p.remove([]*Request{i})
			p.check(t)
		}
		require.Zero(t, p.bytes+p.len()+len(p.heap))
	})
}

// What recurs allocates nothing but the list of a block's requests.
func TestPoolDoesNotAllocate(t *testing.T) {
	p := newPool(1<<20, 64, anything)
	for i := range uint64(200) {
		p.add(poolRequest(i%10, i/10+1, 8), 1)
	}
	p.peek(1<<20, 100, 0)
	now := uint64(100)
	p.older(now, 50)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { p.peek(1<<20, 100, 0) }), 1.0)
	cut, _, _ := p.peek(1<<20, 100, 0)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		now++
		p.propose(cut)
		p.reset(now)
		p.older(now, 50)
		p.oldest()
	}))
}
