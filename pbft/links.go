package pbft

// A primary whose process dies closes its links, and nobody listens where it was. Its
// peers notice that at once, while its silence tells them only when the whole timeout
// has passed. So a link to the primary that stays down for half of it, while nothing
// commits, is a reason to suspect.
//
// It is a hint and no more: like every suspicion it takes a quorum (R12), or a set that
// contains an honest replica, to leave the view. So a replica with a bad link does
// nothing by it, nor do up to F that lie; one of the former together with F of the latter
// suffices. A link that breaks and comes back is not noticed, nor is one whose primary
// still has blocks committed. And a view left for it without a new block counts as failed,
// also if there was nothing to do: both times grow (R11), until a view has been open and
// nobody suspected here for one of them. So links that come and go, and an outage of
// everybody's, cost no more views than an outage otherwise.

// SetLink tells whether the host has a link to a replica. Until it is told, it has.
func (c *Core) SetLink(to ReplicaID, up bool) {
	p := &c.peers[to]
	if p.cutOff == !up {
		return
	}
	p.cutOff, p.cutOffFrom = !up, c.ticks
	if up && to == c.Primary() {
		c.withdraw(CauseLink)
	}
}

func (c *Core) linkDue() bool {
	p := &c.peers[c.Primary()]
	return p.cutOff && c.open && !c.isPrimary() && !c.suspicion.has(CauseLink) &&
		c.ticks >= max(p.cutOffFrom, c.timers.openSince, c.timers.lastCommit)+(c.timeout()+1)/2
}

func (c *Core) onLinkLost(out *Output) {
	c.timers.stalled = true
	c.suspect(CauseLink, out)
}
