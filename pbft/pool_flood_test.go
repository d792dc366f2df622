package pbft

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// closedLoop is clients of a congested cluster in simulated time, whose callers ask again
// when they were answered, and one more that has always more waiting than it can get. A
// block takes as long as there is in it, and is cut when the one before was committed.
// Times are in microseconds.
type closedLoop struct {
	pool     pool
	now      uint64
	clients  int
	requests int // that a client makes of those of its callers that were answered together
	flood    int // operations in each request of the one that floods; 0: there is none
	seq      uint64
	coming   []coming // ascending

	served, gorged int // operations of the clients, and of the one that floods
}

// coming is a request on its way.
type coming struct {
	at          uint64
	client, ops int
}

const (
	loopTick    = 10_000
	loopBlock   = 5000 // an empty block
	loopOp      = 23   // each operation
	loopRequest = 50   // each request
	loopBack    = 1000 // until who was answered asks again
	loopMost    = 1000 // operations of one request
)

var loopOperation = make([]byte, 256)

func newClosedLoop(clients, callers, requests, flood int, congested bool) *closedLoop {
	l := &closedLoop{pool: newPool(32<<20, 1024, anything), clients: clients, requests: requests, flood: flood}
	l.pool.shares.congested, l.pool.shares.patience = congested, 50
	for c := range clients {
		l.ask(uint64(c)*loopBack/uint64(clients), c, callers)
	}
	return l
}

func (l *closedLoop) ask(at uint64, client, ops int) {
	for left := max(l.requests, (ops+loopMost-1)/loopMost); left > 0; left-- {
		if n := ops / left; n > 0 {
			l.coming = append(l.coming, coming{at, client, n})
			ops -= n
		}
	}
}

func (l *closedLoop) submit(client, ops int) {
	l.seq++
	all := make([][]byte, ops)
	for i := range all {
		all[i] = loopOperation
	}
	r := poolRequest(uint64(client), l.seq, 0)
	l.pool.add(NewRequest(r.Client, r.Seq, r.Low, r.Deadline, all), l.now/loopTick)
}

// arrive takes in what has come by now.
func (l *closedLoop) arrive() {
	for len(l.coming) > 0 && l.coming[0].at <= l.now {
		l.submit(l.coming[0].client, l.coming[0].ops)
		l.coming = l.coming[1:]
	}
	if c := l.pool.clients[poolRequest(uint64(l.clients), 1, 0).Client]; l.flood > 0 && (c == nil || c.waiting.n < 4) {
		for range max(4, 512/l.flood) {
			l.submit(l.clients, l.flood)
		}
	}
}

func (l *closedLoop) run(until uint64) {
	var took, idle uint64 // of the last block, and since then
	for l.now < until {
		l.pool.older(l.now/loopTick, 100)
		l.arrive()
		requests, _, _ := l.pool.cut(1<<20, 4096, 0, l.pool.share())
		if len(requests) == 0 && idle > took+loopTick {
			requests, _, _ = l.pool.cut(1<<20, 4096, 0, l.pool.leastDebt()+1)
		}
		if len(requests) == 0 {
			l.now += loopBack / 5
			idle += loopBack / 5
			continue
		}
		l.pool.propose(requests)
		back := make([]int, l.clients+1)
		took, idle = loopBlock, 0
		for _, r := range requests {
			back[int(r.Client[0])] += len(r.Ops)
			took += loopRequest + loopOp*uint64(len(r.Ops))
		}
		l.now += took
		l.pool.remove(requests)
		for c := range l.clients {
			l.served += back[c]
			l.ask(l.now+loopBack, c, back[c])
		}
		l.gorged += back[l.clients]
	}
}

// perSecond is what the clients together and the one that floods get in the long run.
func (l *closedLoop) perSecond() (clients, flood float64) {
	l.run(1_000_000)
	l.served, l.gorged = 0, 0
	from := l.now
	l.run(from + 2_000_000)
	seconds := float64(l.now-from) / 1e6
	return float64(l.served) / seconds, float64(l.gorged) / seconds
}

func TestFloodLeavesOthersTheirThroughput(t *testing.T) {
	for _, c := range []struct{ clients, callers, requests int }{
		{16, 4, 1}, {16, 4, 4}, {16, 64, 1}, {16, 64, 4}, {64, 16, 4},
	} {
		before, _ := newClosedLoop(c.clients, c.callers, c.requests, 0, true).perSecond()
		for _, flood := range []int{1, 100, 1000} { // operations in a request
			t.Run(fmt.Sprintf("%+v, %d in each", c, flood), func(t *testing.T) {
				l := newClosedLoop(c.clients, c.callers, c.requests, flood, true)
				left, had := l.perSecond()
				require.Greater(t, left, 0.9*before)
				require.Greater(t, had, left/float64(c.clients)/4, "it is served too")
				l.pool.check(t)
			})
		}
	}
}

// Shares cost clients nothing that ask for the same, however much that is and in whatever
// requests.
func TestSharesHoldNobodyBackAmongEquals(t *testing.T) {
	for _, clients := range []int{1, 2, 16, 64} {
		for _, callers := range []int{64, 1024, 4096} {
			for _, requests := range []int{1, 4} {
				free, _ := newClosedLoop(clients, callers/clients, requests, 0, false).perSecond()
				shared, _ := newClosedLoop(clients, callers/clients, requests, 0, true).perSecond()
				require.Greater(t, shared, 0.95*free, "%d callers of %d clients, %d requests", callers, clients, requests)
			}
		}
	}
}

// What somebody could not have because it was held back does not make the shares smaller, and
// so more of everybody held back.
func TestSharesDoNotShrinkByThemselves(t *testing.T) {
	before, _ := newClosedLoop(4, 1000, 1, 0, true).perSecond()
	left, _ := newClosedLoop(4, 1000, 1, 100, true).perSecond()
	// In larger blocks than before; if the shares shrink it is the same as before, at most.
	require.Greater(t, left, 1.25*before)
}

func TestWaitingLeavesOutWhoIsHeldBack(t *testing.T) {
	l := newClosedLoop(3, 10, 1, 200, true)
	c := Core{pool: l.pool}
	p := &c.pool
	owner := func(client uint64) *poolClient { return p.clients[poolRequest(client, 1, 0).Client] }
	l.now = 1_000_000
	l.arrive()
	c.pool = l.pool
	require.Equal(t, 3*10+4*200, c.Waiting())
	requests, _, _ := p.cut(1<<20, 4096, 0, p.share())
	p.propose(requests)
	for owner(3).debt.bytes < 2*p.share() { // it will owe after the next block too
		p.charge(&pooled{request: requests[len(requests)-1], client: owner(3)})
	}
	p.propose(nil)
	require.True(t, owner(3).debt.holds)
	require.Positive(t, owner(3).operations)
	require.Zero(t, c.Waiting())
	c.SetCongested(false)
	require.Equal(t, owner(3).operations, c.Waiting())
	p.check(t)
}
