package replica

import (
	"sync"
	"time"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// ingress is the way of a request from a client's stream to the protocol:
// decoding, limits, a bounded queue for each client, signatures in batches.
//
// The queues are served in turn and by cost (deficit round robin), so what one
// client sends, however much, delays nobody else. When all queues together are
// full, the longest one pays for a client that has less than it.
type ingress struct {
	limits   ingressLimits
	params   crypto.Parameters
	roster   *roster.Roster
	verify   crypto.RequestVerifier
	context  crypto.Context
	backend  backend
	out      ingressSink
	counters *clientCounters
	over     *overdrawn
	trace    *tracer

	mu      sync.Mutex
	wake    sync.Cond
	clients map[crypto.PublicKey]*ingressQueue
	active  []*ingressQueue // those that are not empty, whose turn is next first
	count   int
	bytes   int
	closed  bool
	workers sync.WaitGroup
}

// ingressSink takes what ingress can answer itself. It must not block.
type ingressSink interface {
	answer(client crypto.PublicKey, r statemachine.Reply)
	refuse(client crypto.PublicKey, digest pbft.Digest, why api.Reason)
}

// ingressLimits bound what waits for its signature to be checked.
type ingressLimits struct {
	Workers        int // goroutines that check signatures
	Batch          int // signatures checked at once
	ClientRequests int
	ClientBytes    int
	TotalRequests  int
	TotalBytes     int
}

// ingressQueue is what waits of one client.
type ingressQueue struct {
	client  crypto.PublicKey
	items   []*pbft.Request
	bytes   int
	deficit int
}

// requestCost is what a request counts against its client's turn: its bytes, and
// the signature as so many bytes.
func requestCost(r *pbft.Request) int { return r.Size() + 1024 }

const ingressQuantum = 16 << 10

func newIngress(limits ingressLimits, ros *roster.Roster, verify crypto.RequestVerifier, b backend,
	out ingressSink, counters *clientCounters) *ingress {
	g := &ingress{
		limits: limits, params: ros.Cluster.Parameters, roster: ros, verify: verify,
		context: ros.Context(crypto.KindRequest), backend: b, out: out, counters: counters, over: newOverdrawn(time.Now),
		clients: make(map[crypto.PublicKey]*ingressQueue),
	}
	g.wake.L = &g.mu
	return g
}

// start starts the workers; close ends them.
func (g *ingress) start() {
	for range g.limits.Workers {
		g.workers.Go(g.work)
	}
}

// close ends the workers and drops what waits.
func (g *ingress) close() {
	g.mu.Lock()
	g.closed = true
	clear(g.clients)
	g.active, g.count, g.bytes = nil, 0, 0
	g.wake.Broadcast()
	g.mu.Unlock()
	g.workers.Wait()
}

// ingressSource is a session that requests come through.
type ingressSource interface {
	// carries tells whether it is authenticated as that client too.
	carries(client crypto.PublicKey) bool
	// asks notes that the reply to a request is wanted there.
	asks(request pbft.Digest)
	// refuse tells the client over this session, and no other.
	refuse(client crypto.PublicKey, request pbft.Digest, why api.Reason)
}

// accept takes encoded requests that came over a channel authenticated as client; the
// source may be nil. It never blocks, and returns how many were refused because their
// client has had its share.
func (g *ingress) accept(client crypto.PublicKey, source ingressSource, encoded [][]byte) (over int) {
	for _, b := range encoded {
		if g.acceptOne(client, source, b) {
			over++
		}
	}
	return over
}

func (g *ingress) acceptOne(client crypto.PublicKey, source ingressSource, encoded []byte) (over bool) {
	came := g.trace.now()
	g.counters.requests.Add(1)
	if len(encoded) > int(g.params.MaxBlockBytes) {
		g.refuse(client, pbft.Digest{}, api.Reason_REASON_TOO_LARGE)
		return false
	}
	r, err := pbft.DecodeRequest(encoded)
	if err != nil {
		g.refuse(client, pbft.Digest{}, api.Reason_REASON_MALFORMED)
		return false
	}
	if r.Client != client && source != nil && source.carries(r.Client) {
		client = r.Client
	}
	if why := g.inspect(client, r); why != api.Reason_REASON_UNSPECIFIED {
		g.refuse(client, r.Digest(), why)
		return false
	}
	if source != nil {
		source.asks(r.Digest()) // before Lookup: what runs in between is heard of one way or the other
	}
	// The channel proves who asks, and the answer is on record under its key and
	// this very request: no signature need be checked for it.
	if reply, ran := g.backend.Lookup(r.Client, r.Seq, r.Digest()); ran {
		g.counters.fromCache.Add(1)
		g.out.answer(client, reply)
		return false
	}
	if why := g.over.refuses(client, func() bool { return g.backend.Known(r) }); why != api.Reason_REASON_UNSPECIFIED {
		g.counters.refuseUnchecked(why)
		if source != nil {
			source.refuse(client, r.Digest(), why)
		} else {
			g.out.refuse(client, r.Digest(), why)
		}
		return true
	}
	g.trace.received(r, came)
	dropped, ok := g.push(r)
	for _, d := range dropped {
		g.refuse(d.Client, d.Digest(), api.Reason_REASON_BUSY)
	}
	if ok != api.Reason_REASON_UNSPECIFIED {
		g.refuse(client, r.Digest(), ok)
	}
	return ok == api.Reason_REASON_CLIENT_BUSY
}

// inspect checks everything that costs next to nothing.
func (g *ingress) inspect(client crypto.PublicKey, r *pbft.Request) api.Reason {
	switch {
	case r.Client != client:
		return api.Reason_REASON_FOREIGN_CLIENT
	case !g.roster.Admits(client):
		return api.Reason_REASON_NOT_ADMITTED
	case len(r.Ops) > int(g.params.MaxRequestOperations):
		return api.Reason_REASON_TOO_LARGE
	}
	sum := 0
	for _, op := range r.Ops {
		if sum += len(op); sum > int(g.params.MaxOperationBytes) {
			return api.Reason_REASON_TOO_LARGE
		}
	}
	return api.Reason_REASON_UNSPECIFIED
}

func (g *ingress) refuse(client crypto.PublicKey, digest pbft.Digest, why api.Reason) {
	g.counters.refuse(why)
	g.out.refuse(client, digest, why)
}

// push queues r, if need be in place of what others have too much of; those come
// back as dropped. A reason other than unspecified means that r was not queued.
func (g *ingress) push(r *pbft.Request) (dropped []*pbft.Request, why api.Reason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, api.Reason_REASON_UNAVAILABLE
	}
	q := g.clients[r.Client]
	mine := r.Size()
	if q != nil {
		if len(q.items) >= g.limits.ClientRequests || q.bytes+r.Size() > g.limits.ClientBytes {
			return nil, api.Reason_REASON_CLIENT_BUSY
		}
		mine += q.bytes
	}
	for g.count >= g.limits.TotalRequests || g.bytes+r.Size() > g.limits.TotalBytes {
		longest := g.longest()
		if longest == nil || longest.bytes <= mine {
			return dropped, api.Reason_REASON_BUSY
		}
		dropped = append(dropped, g.popLast(longest))
	}
	if q == nil {
		q = &ingressQueue{client: r.Client}
		g.clients[r.Client] = q
	}
	if len(q.items) == 0 {
		g.active = append(g.active, q)
	}
	q.items = append(q.items, r)
	q.bytes += r.Size()
	g.count++
	g.bytes += r.Size()
	g.wake.Signal()
	return dropped, api.Reason_REASON_UNSPECIFIED
}

// longest is the queue with the most bytes. It is asked for only in overload.
func (g *ingress) longest() *ingressQueue {
	var longest *ingressQueue
	for _, q := range g.active {
		if longest == nil || q.bytes > longest.bytes {
			longest = q
		}
	}
	return longest
}

func (g *ingress) popLast(q *ingressQueue) *pbft.Request {
	last := len(q.items) - 1
	r := q.items[last]
	q.items[last] = nil
	q.items = q.items[:last]
	g.removed(q, r)
	if len(q.items) == 0 {
		for i, a := range g.active {
			if a == q {
				g.active = append(g.active[:i], g.active[i+1:]...)
				break
			}
		}
		delete(g.clients, q.client)
	}
	return r
}

func (g *ingress) removed(q *ingressQueue, r *pbft.Request) {
	q.bytes -= r.Size()
	g.count--
	g.bytes -= r.Size()
}

// take waits for requests and takes a batch, in turn from all clients that have
// some. It returns nil when the ingress is closed.
func (g *ingress) take() []*pbft.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.active) == 0 && !g.closed {
		g.wake.Wait()
	}
	if g.closed {
		return nil
	}
	batch := make([]*pbft.Request, 0, min(g.limits.Batch, g.count))
	for len(batch) < g.limits.Batch && len(g.active) > 0 {
		q := g.active[0]
		g.active[0] = nil
		g.active = g.active[1:]
		q.deficit += ingressQuantum
		for len(q.items) > 0 && len(batch) < g.limits.Batch && requestCost(q.items[0]) <= q.deficit {
			r := q.items[0]
			q.items[0] = nil
			q.items = q.items[1:]
			q.deficit -= requestCost(r)
			g.removed(q, r)
			batch = append(batch, r)
		}
		if len(q.items) == 0 {
			delete(g.clients, q.client)
			continue
		}
		if requestCost(q.items[0]) <= q.deficit {
			q.deficit = requestCost(q.items[0]) // the batch is full: nothing is saved up
		}
		g.active = append(g.active, q)
	}
	return batch
}

func (g *ingress) work() {
	var items []crypto.Item
	var digests []pbft.Digest
	for {
		batch := g.take()
		if batch == nil {
			return
		}
		good := make([]*pbft.Request, 0, len(batch))
		unknown := batch[:0]
		for _, r := range batch {
			if g.backend.Known(r) {
				good = append(good, r)
			} else {
				unknown = append(unknown, r)
			}
		}
		g.counters.known.Add(uint64(len(good)))
		items, digests = items[:0], digests[:0]
		for _, r := range unknown {
			digests = append(digests, r.Digest())
		}
		for i, r := range unknown {
			items = append(items, crypto.Item{Key: r.Client, Context: g.context, Message: digests[i][:], Signature: r.Signature})
		}
		for i, ok := range g.verify.VerifyBatch(items) {
			if r := unknown[i]; ok {
				g.counters.verified.Add(1)
				good = append(good, r)
			} else {
				g.refuse(r.Client, r.Digest(), api.Reason_REASON_BAD_SIGNATURE)
			}
		}
		clear(items)
		if len(good) > 0 {
			g.trace.checked(good)
			g.backend.Offer(good)
		}
	}
}

// load returns what waits.
func (g *ingress) load() (requests, bytes, clients int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count, g.bytes, len(g.clients)
}
