package pbft

// What is held against a primary is that it does not serve a client (PROTOCOL 3.4 f,
// R12). Each client of whom something waits has a clock, which starts anew
//
//   - when something comes of it while nothing waited,
//   - when a block proposes a request of it that waits here, or another one that the
//     executed sessions would still let run,
//   - when the first of its queue goes in another way (late, executed, displaced),
//   - when a view is left or entered.
//
// The primary is suspected when a clock has run for RequestAge; what is proposed keeps
// the clock that it was proposed under until it commits.
//
// Why not each request's own age: of a client that has 1000 requests waiting an honest
// primary serves one in every round, as of everybody, and the last waits 1000 rounds.
// That is the client's doing, and by it any client could depose one honest primary
// after the other.
//
// Why a clock lets no primary off that starves somebody: every replica judges by its
// own pool alone, nothing of this has to be agreed upon. Let r be a request of an honest
// client that waits here. While it does, the clock starts anew only for other requests
// that this client signed, and for one of them only until it has run here: after that it
// is not admissible, so old requests are no service. Of those there are no more than
// the j that the client has open with r (the session's window bounds j, whatever the
// client does, as long as it wants an answer to r). So after at most j+1 times RequestAge,
// and what it takes to execute j blocks, r is proposed or the primary suspected. At half
// an age the first of the client's queue has been relayed to everybody, so every honest
// replica has a clock running for this client, and suspicion is collective. A client
// with one request at a time waits RequestAge, as if requests had ages of their own; one
// with many gets at least one of them served in that time by the worst of primaries,
// until the reign of that one ends (PROTOCOL 3.9).
//
// Why an honest primary is not suspected: it serves each of c clients once in c/b blocks
// of b requests, rounded up (pool_turns.go), and it has something of every client of whom
// something waits anywhere. For what was forwarded or relayed to it is refused only if
// it has MaxPoolPerClient others of that client, or others that fill the client's share
// of the room (or, in a pool that is full, if this one request is larger than a share).
// Those others are served, and unknown here. That is why a client that is served has no
// cause for complaint, even if what waits here was not.

// since is the tick from which the age of what waits of c counts.
func (p *pool) since(c *poolClient) uint64 { return max(c.clock, p.entered) }

// served notes that c has had its turn.
func (p *pool) served(c *poolClient) {
	if c.waiting.n > 0 {
		p.turns.last(&c.turn)
		p.restart(c)
	}
}

// servedAnother notes a request in a block that is not known here.
func (p *pool) servedAnother(r *Request) {
	if c := p.clients[r.Client]; c != nil && c.waiting.n > 0 && p.admissible(r) {
		p.restart(c)
	}
}

// restart sets the clock of c to now; no other is above that.
func (p *pool) restart(c *poolClient) {
	if c.waiting.n > 0 {
		c.clock = p.now
		p.ages.last(&c.age)
	}
}

// oldest returns the tick from which the highest age counts.
func (p *pool) oldest() (since uint64, ok bool) {
	if e := p.ages.head; e != nil {
		since, ok = p.since(e.of), true
	}
	if e := p.proposed.head; e != nil && (!ok || e.of.since < since) {
		since, ok = e.of.since, true
	}
	return since, ok
}

// maxRelayedPerClient bounds what is relayed of one client in the time between two
// relays of one request, in bytes; one request always is.
const maxRelayedPerClient = maxForwardBytes / 8

// older returns the requests that came at least age ago and were not relayed within
// the last age (a relay may be lost, and a request that only this replica knows makes
// nobody else suspect), and marks them as relayed. Bounded to what fits one message,
// and for each client: a flood is not spread by those whom it hits. Ones that could not
// be executed any more are forgotten instead. It must be called at every tick.
func (p *pool) older(now, age uint64) []*Request {
	p.now, p.shares.missing = now, 0
	var late []*Request
	size := 0
	for n := p.relays.n; n > 0; n-- {
		q := p.relays.head.of
		if now < max(q.stamp, p.entered)+age {
			break
		}
		if !p.admissible(q.request) {
			p.drop(q)
			continue
		}
		if size+q.request.Size() > maxForwardBytes || len(late) == maxForwardedRequests {
			break
		}
		q.stamp = now
		p.relays.last(&q.relay)
		if q.client.mayRelay(q.request.Size(), now, age) {
			size += q.request.Size()
			late = append(late, q.request)
		}
	}
	return late
}

func (c *poolClient) mayRelay(size int, now, age uint64) bool {
	if now >= c.relayFrom+age {
		c.relayed, c.relayFrom = 0, now
	}
	if c.relayed > 0 && c.relayed+size > maxRelayedPerClient {
		return false
	}
	c.relayed += size
	return true
}

// sift forgets all requests that cannot be executed any more: their deadline lies
// below now (block time), or they are not admissible. It looks at every request:
// for use when something is about to be held against a primary.
func (p *pool) sift(now Time, admissible func(*Request) bool) {
	keep := func(r *Request) bool { return r.Deadline >= now && admissible(r) }
	for e := p.turns.head; e != nil; {
		next := e.next
		p.sweep(e.of.waiting.head, keep)
		e = next
	}
	p.sweep(p.proposed.head, keep)
}

// sweep forgets of q and those after it what is not to be kept.
func (p *pool) sweep(q *joint[pooled], keep func(*Request) bool) {
	for q != nil {
		next := q.next
		if !keep(q.of.request) {
			p.drop(q.of)
		}
		q = next
	}
}
