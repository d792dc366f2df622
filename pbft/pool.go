package pbft

import "github.com/parley-bft/parley/crypto"

// pool holds the requests that this replica knows and that are not committed, in
// order of arrival: waiting ones, and ones that a block of this view proposes.
// Bounded by bytes and by requests for each client.
type pool struct {
	maxBytes     int
	maxPerClient int

	byDigest  map[Digest]*pooled
	bySeq     map[clientSeq]*pooled
	perClient map[crypto.PublicKey]int
	bytes     int
	// waitBytes is the size of the requests in waiting.
	waitBytes int

	waiting  list
	proposed list
}

type clientSeq struct {
	client crypto.PublicKey
	seq    uint64
}

type pooled struct {
	request    *Request
	since      uint64 // tick from which its age counts
	relayed    uint64 // tick at which it was last relayed to everybody; 0 never
	inBlock    bool
	next, prev *pooled
}

// list is a doubly linked list of pooled requests.
type list struct {
	head, tail *pooled
	n          int
}

func (l *list) push(p *pooled) {
	p.prev, p.next = l.tail, nil
	if l.tail != nil {
		l.tail.next = p
	} else {
		l.head = p
	}
	l.tail = p
	l.n++
}

func (l *list) remove(p *pooled) {
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		l.head = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	} else {
		l.tail = p.prev
	}
	p.next, p.prev = nil, nil
	l.n--
}

// prepend moves all of m in front of l.
func (l *list) prepend(m *list) {
	if m.head == nil {
		return
	}
	if l.head != nil {
		m.tail.next, l.head.prev = l.head, m.tail
		m.tail = l.tail
	}
	l.head, l.tail, l.n = m.head, m.tail, l.n+m.n
	*m = list{}
}

func newPool(maxBytes, maxPerClient int) pool {
	return pool{
		maxBytes: maxBytes, maxPerClient: maxPerClient,
		byDigest: map[Digest]*pooled{}, bySeq: map[clientSeq]*pooled{}, perClient: map[crypto.PublicKey]int{},
	}
}

func (p *pool) len() int { return p.waiting.n + p.proposed.n }

func (p *pool) add(r *Request, now uint64) Drop {
	if p.byDigest[r.Digest()] != nil {
		return DropDuplicate
	}
	key := clientSeq{r.Client, r.Seq}
	switch {
	case p.bySeq[key] != nil:
		return DropConflict
	case p.perClient[r.Client] >= p.maxPerClient:
		return DropClientFull
	case p.bytes+r.Size() > p.maxBytes:
		return DropPoolFull
	}
	q := &pooled{request: r, since: now}
	p.byDigest[r.Digest()] = q
	p.bySeq[key] = q
	p.perClient[r.Client]++
	p.bytes += r.Size()
	p.waitBytes += r.Size()
	p.waiting.push(q)
	return NoDrop
}

// propose marks requests as part of a block of this view.
func (p *pool) propose(requests []*Request) {
	for _, r := range requests {
		if q := p.byDigest[r.Digest()]; q != nil && !q.inBlock {
			p.waiting.remove(q)
			p.waitBytes -= r.Size()
			q.inBlock = true
			p.proposed.push(q)
		}
	}
}

// remove forgets requests: a block with them committed.
func (p *pool) remove(requests []*Request) {
	for _, r := range requests {
		if q := p.byDigest[r.Digest()]; q != nil {
			p.drop(q)
		}
	}
}

func (p *pool) drop(q *pooled) {
	r := q.request
	if q.inBlock {
		p.proposed.remove(q)
	} else {
		p.waiting.remove(q)
		p.waitBytes -= r.Size()
	}
	delete(p.byDigest, r.Digest())
	delete(p.bySeq, clientSeq{r.Client, r.Seq})
	if p.perClient[r.Client]--; p.perClient[r.Client] == 0 {
		delete(p.perClient, r.Client)
	}
	p.bytes -= r.Size()
}

// reset returns all proposed requests to the waiting ones, in front, and starts
// all ages anew: a new primary gets the full time.
func (p *pool) reset(now uint64) {
	for q := p.proposed.head; q != nil; q = q.next {
		q.inBlock = false
		p.waitBytes += q.request.Size()
	}
	p.waiting.prepend(&p.proposed)
	for q := p.waiting.head; q != nil; q = q.next {
		q.since, q.relayed = now, 0
	}
}

// blockOverhead is what a block's encoding adds to its requests.
const blockOverhead = headerSize + 4 + signatureSize

// peek returns the waiting requests, oldest first, that fit into one block; full
// when a limit cut them off, emptied when nothing is left waiting. Requests whose
// deadline lies below now (block time) are forgotten: they cannot be executed.
func (p *pool) peek(maxBytes, maxRequests int, now Time) (requests []*Request, full, emptied bool) {
	if p.waiting.n == 0 {
		return nil, false, true
	}
	requests = make([]*Request, 0, min(p.waiting.n, maxRequests))
	size := blockOverhead
	for q := p.waiting.head; q != nil; {
		next := q.next
		if q.request.Deadline < now {
			p.drop(q)
			q = next
			continue
		}
		if len(requests) == maxRequests || size+q.request.Size() > maxBytes {
			return requests, true, false
		}
		size += q.request.Size()
		requests = append(requests, q.request)
		q = next
	}
	return requests, len(requests) == maxRequests || size >= maxBytes, true
}

// older returns the requests that have waited for at least age and were not
// relayed within the last age (a relay may be lost, and a request that only this
// replica knows makes nobody else suspect), and marks them as relayed. Bounded to
// what fits one message.
func (p *pool) older(now, age uint64) []*Request {
	var late []*Request
	size := 0
	for _, l := range [...]*list{&p.proposed, &p.waiting} {
		for q := l.head; q != nil && now >= q.since+age; q = q.next {
			if q.relayed != 0 && now < q.relayed+age {
				continue
			}
			if size += q.request.Size(); size > maxForwardBytes || len(late) == maxForwardedRequests {
				return late
			}
			q.relayed = now
			late = append(late, q.request)
		}
	}
	return late
}

// oldest returns the tick from which the oldest request's age counts.
func (p *pool) oldest() (since uint64, ok bool) {
	for _, l := range [...]*list{&p.proposed, &p.waiting} {
		if l.head != nil && (!ok || l.head.since < since) {
			since, ok = l.head.since, true
		}
	}
	return since, ok
}

// sift forgets all requests that cannot be executed any more: their deadline lies
// below now (block time), or they are not admissible. It looks at every request:
// for use when something is about to be held against a primary.
func (p *pool) sift(now Time, admissible func(*Request) bool) {
	for _, l := range [...]*list{&p.waiting, &p.proposed} {
		for q := l.head; q != nil; {
			next := q.next
			if q.request.Deadline < now || !admissible(q.request) {
				p.drop(q)
			}
			q = next
		}
	}
}

// maxForwardBytes bounds one Forward message.
const maxForwardBytes = 1 << 20

// Submit takes a client's request that the host found authentic and admissible
// under its executed sessions. A backup passes it on to the primary.
func (c *Core) Submit(r *Request, out *Output) Drop {
	d := c.submit(r, out)
	c.finish(out)
	return d
}

// SubmitAll takes several requests that came together, so that an idle primary
// puts them into one block, and a backup into one message. refused hears of each
// that was not taken.
func (c *Core) SubmitAll(requests []*Request, out *Output, refused func(*Request, Drop)) {
	for _, r := range requests {
		if d := c.submit(r, out); d != NoDrop {
			refused(r, d)
		}
	}
	c.finish(out)
}

func (c *Core) submit(r *Request, out *Output) Drop {
	d := c.admit(r)
	if d != NoDrop {
		c.counters.DroppedRequest[d]++
	} else if !c.isPrimary() {
		c.forward(r, out)
	}
	return d
}

func (c *Core) admit(r *Request) Drop {
	if r.Size()+blockOverhead > c.cfg.MaxBlockBytes {
		return DropLimits
	}
	for _, op := range r.Ops {
		if len(op) > c.cfg.MaxOperationBytes {
			return DropLimits
		}
	}
	if r.Deadline < c.chain.tip().Time {
		return DropExpired
	}
	if !c.cfg.Admissible(r) {
		return DropDuplicate
	}
	return c.pool.add(r, c.ticks)
}

// forward collects requests for the primary; flushForward sends them.
func (c *Core) forward(r *Request, out *Output) {
	c.timers.forward = append(c.timers.forward, r)
	if c.timers.forwardBytes += r.Size(); c.timers.forwardBytes >= maxForwardBytes {
		c.flushForward(out)
	}
}

// passOnWaiting gives the primary of a view that was opened the oldest requests that
// wait here: they went to another primary, which may have left them. Bounded to one
// message; the rest is relayed by age.
func (c *Core) passOnWaiting(out *Output) {
	if !c.timers.passOn {
		return
	}
	c.timers.passOn = false
	if c.isPrimary() {
		return
	}
	for q := c.pool.waiting.head; q != nil && c.timers.forwardBytes+q.request.Size() <= maxForwardBytes; q = q.next {
		c.forward(q.request, out)
	}
}

func (c *Core) flushForward(out *Output) {
	if len(c.timers.forward) == 0 {
		return
	}
	out.send(c.Primary(), &Forward{Requests: c.timers.forward})
	c.timers.forward, c.timers.forwardBytes = nil, 0
}

// onForward takes requests from another replica.
func (c *Core) onForward(m *Forward, _ *Output) Drop {
	used := DropDuplicate
	for _, r := range m.Requests {
		d := c.admit(r)
		if d == NoDrop {
			used = NoDrop
		} else {
			c.counters.DroppedRequest[d]++
		}
	}
	return used
}
