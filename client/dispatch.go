package client

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/parley-bft/parley/client/answers"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// run is the loop that cuts requests and sends them, first to whom it takes for
// the primary and, when that does not help, to everybody.
func (c *Client) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		c.mu.Lock()
		wait := c.step(c.cfg.Now())
		c.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-c.kick:
		case <-timer.C:
		case <-c.ctx.Done():
			return
		}
	}
}

// step does what is due and returns for how long nothing is.
func (c *Client) step(now time.Time) time.Duration {
	if c.closed {
		return time.Hour
	}
	wait := c.cutDue(now)
	due := func(p *pending) {
		if p.live == 0 {
			return
		}
		if p.attempts == 1 && !p.check.After(now) {
			c.checkReplies(p, now)
		}
		if p.next.After(now) || c.attempt(p, now) {
			wait = min(wait, p.next.Sub(now))
			if p.attempts == 1 {
				wait = min(wait, p.check.Sub(now))
			}
		}
	}
	for _, p := range c.numbers.open { // in their order, as far as that is up to us
		due(p)
	}
	for _, p := range c.requests {
		if !p.numbered {
			due(p)
		}
	}
	return wait
}

// cutDue makes requests of what waits as far as it is time to, and returns for how
// long it is not.
func (c *Client) cutDue(now time.Time) time.Duration {
	for c.waitingCalls() > 0 && c.fenced == nil {
		if c.live < c.cfg.MaxRequests && !c.full() {
			if wait, enough := c.packing.hold(now, c.waitingCalls(), c.live > 0, c.patience.usual); wait > 0 {
				c.enough = enough
				return wait
			}
		}
		if c.live >= c.cfg.MaxRequests || !c.cut(now) {
			c.enough = math.MaxInt // an outcome wakes the loop
			return time.Hour
		}
	}
	c.enough = 1
	return time.Hour
}

// full tells whether what waits fills a request.
func (c *Client) full() bool {
	return c.waitingCalls() >= c.cfg.BatchOperations || c.waitingBytes >= c.cfg.BatchBytes
}

// cut makes a request of what waits.
func (c *Client) cut(now time.Time) bool {
	given, ok := c.numbers.room()
	for _, p := range given {
		c.forget(p)
	}
	if !ok {
		return false
	}
	var calls []*Call
	taken, bytes := 0, 0
	for _, call := range c.waiting {
		if call.finished {
			c.withdrawn--
			taken++
			continue
		}
		if len(calls) == c.cfg.BatchOperations || len(calls) > 0 && bytes+len(call.op) > c.cfg.BatchBytes {
			break
		}
		calls = append(calls, call)
		bytes += len(call.op)
		taken++
	}
	clear(c.waiting[:taken])
	if c.waiting = c.waiting[taken:]; len(c.waiting) == 0 {
		c.waiting = nil
	}
	c.waitingBytes -= bytes
	ops := make([][]byte, len(calls))
	for i, call := range calls {
		ops[i] = call.op
	}
	seq := c.numbers.next
	deadline := pbft.TimeOf(now).Add(c.cfg.Life)
	r := pbft.SignedRequest(c.signer.Public(), seq, c.numbers.low(seq), deadline, ops, c.sign)
	p := c.newPending(r, now)
	p.calls, p.came, p.numbered = calls, calls[0].came, true
	for i, call := range calls {
		call.request, call.index = p, i
	}
	c.numbers.add(p)
	c.requests[p.digest] = p
	c.join(p, len(calls))
	c.packing.cut(now, len(calls))
	return true
}

func (c *Client) sign(d pbft.Digest) crypto.Signature {
	s, _ := crypto.SignatureOf(c.signer.Sign(c.context, d[:]))
	return s
}

func (c *Client) newPending(r *pbft.Request, now time.Time) *pending {
	n := len(c.links)
	return &pending{
		request: r, digest: r.Digest(), next: now, pause: c.patience.pause(c.cfg.Retry, c.cfg.MaxRetry),
		said: answers.New(n), refused: make([]api.Reason, n),
	}
}

// attempt sends p once more. It returns false if nobody is connected: then a
// link that comes up wakes the loop.
func (c *Client) attempt(p *pending, now time.Time) bool {
	sent := false
	if p.attempts == 0 && p.numbered {
		if id, ok := c.primary.choose(c.links); ok {
			p.target = id
			c.links[id].send(p.request)
			sent = true
		}
	} else {
		if p.lacking || p.said.Any() {
			c.transport.disappointed(func(id pbft.ReplicaID) bool { return p.said.Of(id).IsZero() })
		}
		for _, l := range c.links {
			if l.up && !(p.lacking && !p.said.Of(l.id).IsZero()) {
				l.send(p.request)
				sent = true
			}
		}
	}
	if !sent {
		p.next = now.Add(c.cfg.MaxRetry)
		return false
	}
	if p.attempts == 0 {
		p.sent, p.check = now, now.Add(c.patience.usual+c.patience.lacking())
		c.stats.Requests++
		c.stats.Operations += uint64(len(p.request.Ops))
	} else {
		c.stats.Retries++
		if p.attempts == 1 && p.numbered && !p.lacking && p.said.Of(p.target).IsZero() {
			c.primary.disappoints(p.target)
		}
	}
	p.attempts++
	p.lacking = false
	p.next = now.Add(jitter(p.pause))
	p.pause = min(2*p.pause, c.cfg.MaxRetry)
	return true
}

// checkReplies has the other replicas asked for their replies if there are some and
// they do not suffice yet.
func (c *Client) checkReplies(p *pending, now time.Time) {
	p.check = now.Add(c.patience.lacking())
	if p.said.Any() {
		p.lacking, p.next = true, now
	}
}

// jitter spreads pauses by a quarter, so that clients that were refused together
// do not come back together.
func jitter(d time.Duration) time.Duration {
	return d - d/8 + rand.N(d/4+1)
}

// primaryGuess is where a request goes first. What replicas say about it is heard
// by weight; a wrong guess costs the pause before the next attempt.
type primaryGuess struct {
	quorums *pbft.QuorumSystem
	hints   []pbft.ReplicaID // by who says so
	heard   []bool
	suspect []bool // did not deliver lately
	best    int    // whom most weight named last
}

func newPrimaryGuess(q *pbft.QuorumSystem) primaryGuess {
	n := q.N()
	return primaryGuess{quorums: q, hints: make([]pbft.ReplicaID, n), heard: make([]bool, n), suspect: make([]bool, n)}
}

func (g *primaryGuess) hint(from, primary pbft.ReplicaID) {
	if !g.quorums.Contains(primary) {
		return
	}
	g.hints[from], g.heard[from] = primary, true
}

func (g *primaryGuess) disappoints(id pbft.ReplicaID) {
	g.suspect[id] = true
	for _, s := range g.suspect {
		if !s {
			return
		}
	}
	clear(g.suspect)
}

func (g *primaryGuess) delivers(id pbft.ReplicaID) { g.suspect[id] = false }

// choose returns the connected replica that most weight takes for the primary, or
// one after it if that one disappoints.
func (g *primaryGuess) choose(links []*link) (pbft.ReplicaID, bool) {
	n := g.quorums.N()
	votes := make([]uint64, n)
	for from, heard := range g.heard {
		if heard {
			votes[g.hints[from]] += g.quorums.Weight(pbft.ReplicaID(from))
		}
	}
	best := 0
	for id := range votes {
		if votes[id] > votes[best] {
			best = id
		}
	}
	if best != g.best { // a new reign
		g.best, g.suspect[best] = best, false
	}
	fallback, found := pbft.ReplicaID(0), false
	for i := range n {
		id := pbft.ReplicaID((best + i) % n)
		switch {
		case !links[id].up:
		case !g.suspect[id]:
			return id, true
		case !found:
			fallback, found = id, true
		}
	}
	return fallback, found
}
