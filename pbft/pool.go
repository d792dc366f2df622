package pbft

import (
	"math"

	"github.com/parley-bft/parley/crypto"
)

// pool holds the requests that this replica knows and that are not committed: ones
// that wait, in a queue for each client, and ones that a block of this view proposes.
//
// Clients are served in turn (pool_turns.go), the room is theirs in equal shares
// (pool_share.go), and age is held against a primary for a client that it does not
// serve, not for a request that waits behind others of its client (pool_ages.go). So
// what one client sends, however much, costs the others one place in a round.
//
// Everything but sift takes constant time for each request that it touches, and
// O(log clients) where a client's share changes.
type pool struct {
	maxBytes     int
	maxPerClient int
	admissible   func(*Request) bool

	byDigest map[Digest]*pooled
	bySeq    map[clientSeq]*pooled
	clients  map[crypto.PublicKey]*poolClient
	// waiting and bytes are the number and the size of the requests that wait, operations
	// those in them.
	waiting, bytes, operations int

	proposed      series[pooled] // in order of proposal
	proposedBytes int

	turns  series[poolClient] // clients of whom something waits; the first is served next
	ages   series[poolClient] // the same, by their clocks
	relays series[pooled]     // all requests, by when they came or were last relayed
	heap   []*poolClient      // those of turns; the one with the most bytes waiting is on top

	// now is the tick of the last add, reset or older; older is called at every tick.
	now uint64
	// entered is the tick of the last reset: nothing counts from before.
	entered   uint64
	displaced []*Request       // made room for others', in this add
	cursors   []*joint[pooled] // of peek
	shares    shares
}

type clientSeq struct {
	client crypto.PublicKey
	seq    uint64
}

type pooled struct {
	request *Request
	client  *poolClient
	since   uint64 // of a proposed one: tick from which its age counts
	stamp   uint64 // tick at which it came or was last relayed to everybody
	inBlock bool
	order   joint[pooled] // in the client's queue or among the proposed
	relay   joint[pooled]
}

// poolClient is a client of whom something is in the pool, or was in recent blocks.
type poolClient struct {
	key     crypto.PublicKey
	waiting series[pooled]
	// bytes and operations are those that wait.
	bytes, operations int
	held              int // requests, waiting and proposed
	rank              int // place in the heap
	// clock is the tick from which the age of what waits counts.
	clock uint64
	debt  debt
	// relayed are the bytes relayed since relayFrom.
	relayed   int
	relayFrom uint64
	turn, age joint[poolClient]
}

func newPool(maxBytes, maxPerClient int, admissible func(*Request) bool) pool {
	return pool{
		maxBytes: maxBytes, maxPerClient: maxPerClient, admissible: admissible,
		byDigest: map[Digest]*pooled{}, bySeq: map[clientSeq]*pooled{}, clients: map[crypto.PublicKey]*poolClient{},
		shares: shares{block: 1, usual: firstUsual, patience: math.MaxUint32},
	}
}

func (p *pool) len() int { return p.waiting + p.proposed.n }

// add takes a request at the end of its client's queue.
func (p *pool) add(r *Request, now uint64) Drop {
	p.now = now
	if p.byDigest[r.Digest()] != nil {
		return DropDuplicate
	}
	key := clientSeq{r.Client, r.Seq}
	if p.bySeq[key] != nil {
		return DropConflict
	}
	c := p.clients[r.Client]
	if c != nil && c.held >= p.maxPerClient {
		return DropClientFull
	}
	if p.bytes+r.Size() > p.maxBytes && !p.makeRoom(c, r.Size()) {
		return DropPoolFull
	}
	if c == nil {
		c = &poolClient{key: r.Client}
		c.turn.of, c.age.of, c.debt.place.of = c, c, c
		p.clients[r.Client] = c
	}
	q := &pooled{request: r, client: c, stamp: now}
	q.order.of, q.relay.of = q, q
	p.byDigest[r.Digest()] = q
	p.bySeq[key] = q
	c.held++
	c.waiting.push(&q.order)
	p.relays.push(&q.relay)
	if c.waiting.n == 1 {
		p.turns.push(&c.turn)
		c.debt.taken = 0
	}
	p.queued(q)
	if p.shares.missing > 0 && !p.owes(c, p.share()) {
		p.shares.missing = max(0, p.shares.missing-q.work())
	}
	return NoDrop
}

// queued counts a request that was put into its client's queue.
func (p *pool) queued(q *pooled) {
	c := q.client
	c.bytes += q.request.Size()
	p.bytes += q.request.Size()
	p.waiting++
	p.count(c, len(q.request.Ops))
	if c.waiting.n == 1 {
		c.clock = p.now
		p.ages.push(&c.age)
		p.enrol(c)
	} else {
		p.grown(c)
	}
}

// count notes n more operations that wait of c.
func (p *pool) count(c *poolClient, n int) {
	c.operations += n
	p.operations += n
	if c.debt.holds {
		p.shares.held += n
	}
}

// unqueue takes a request out of its client's queue.
func (p *pool) unqueue(q *pooled) {
	c := q.client
	c.waiting.remove(&q.order)
	c.bytes -= q.request.Size()
	p.bytes -= q.request.Size()
	p.waiting--
	p.count(c, -len(q.request.Ops))
	if c.waiting.n == 0 {
		p.turns.remove(&c.turn)
		p.ages.remove(&c.age)
		p.strike(c)
	} else {
		p.shrunk(c)
	}
}

// propose marks requests as part of a block of this view: their clients have had
// their turns. Proposed ones have as much room again as those that wait; what finds
// none there is forgotten, since its block holds it.
func (p *pool) propose(requests []*Request) {
	p.shares.missing = 0
	defer p.repay(p.share())
	for _, r := range requests {
		q := p.byDigest[r.Digest()]
		switch {
		case q == nil:
			p.servedAnother(r)
			continue
		case q.inBlock:
			continue
		}
		q.since = p.since(q.client)
		p.unqueue(q)
		q.inBlock = true
		p.proposed.push(&q.order)
		p.proposedBytes += r.Size()
		p.charge(q)
		p.served(q.client)
		if p.proposedBytes > p.maxBytes {
			p.drop(q)
		}
	}
}

// remove forgets requests: a block with them committed.
func (p *pool) remove(requests []*Request) {
	for _, r := range requests {
		q := p.byDigest[r.Digest()]
		if q == nil {
			p.servedAnother(r)
			continue
		}
		if !q.inBlock {
			p.served(q.client)
		}
		p.drop(q)
	}
}

func (p *pool) drop(q *pooled) {
	r, c := q.request, q.client
	if q.inBlock {
		p.proposed.remove(&q.order)
		p.proposedBytes -= r.Size()
	} else {
		first := c.waiting.head == &q.order
		p.unqueue(q)
		if first {
			p.restart(c)
		}
	}
	p.relays.remove(&q.relay)
	delete(p.byDigest, r.Digest())
	delete(p.bySeq, clientSeq{r.Client, r.Seq})
	c.held--
	p.forgetClient(c)
}

// forgetClient forgets a client of whom nothing is here or was lately.
func (p *pool) forgetClient(c *poolClient) {
	if c.held == 0 && c.debt.block == 0 {
		delete(p.clients, c.key)
	}
}

// reset returns all proposed requests to the queues, in front, in the order in which
// they were proposed and with the first turns, and starts all ages anew: a new primary
// gets the full time.
func (p *pool) reset(now uint64) {
	p.now, p.entered = now, now
	for e := p.proposed.tail; e != nil; e = p.proposed.tail {
		q := e.of
		c := q.client
		p.proposed.remove(e)
		p.proposedBytes -= q.request.Size()
		q.inBlock = false
		if c.waiting.pushFront(e); c.waiting.n > 1 {
			p.turns.remove(&c.turn)
		}
		p.turns.pushFront(&c.turn)
		p.queued(q)
	}
}
