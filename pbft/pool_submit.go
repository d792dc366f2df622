package pbft

// How requests get into the pool and on to the primary.

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
	d := c.admit(r, out)
	if d != NoDrop {
		c.counters.DroppedRequest[d]++
	} else if !c.isPrimary() {
		c.forward(r, out)
	}
	return d
}

func (c *Core) admit(r *Request, out *Output) Drop {
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
	d := c.pool.add(r, c.ticks)
	c.counters.DroppedRequest[DropDisplaced] += uint64(len(c.pool.displaced))
	out.Displaced = append(out.Displaced, c.pool.displaced...)
	clear(c.pool.displaced)
	c.pool.displaced = c.pool.displaced[:0]
	return d
}

// forward collects requests for the primary; flushForward sends them.
func (c *Core) forward(r *Request, out *Output) {
	c.timers.forward = append(c.timers.forward, r)
	if c.timers.forwardBytes += r.Size(); c.timers.forwardBytes >= maxForwardBytes {
		c.flushForward(out)
	}
}

// passOnWaiting gives the primary of a view that was opened what waits here, in turn
// from every client: it went to another primary, which may have left it. Bounded to
// one message; the rest is relayed by age.
func (c *Core) passOnWaiting(out *Output) {
	if !c.timers.passOn {
		return
	}
	c.timers.passOn = false
	if c.isPrimary() {
		return
	}
	requests, _, _ := c.pool.peek(maxForwardBytes-c.timers.forwardBytes, maxForwardedRequests, 0)
	for _, r := range requests {
		c.forward(r, out)
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
func (c *Core) onForward(m *Forward, out *Output) Drop {
	used := DropDuplicate
	for _, r := range m.Requests {
		d := c.admit(r, out)
		if d == NoDrop {
			used = NoDrop
		} else {
			c.counters.DroppedRequest[d]++
		}
	}
	return used
}
