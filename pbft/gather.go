package pbft

// gatherTicks is for how many ticks, begun ones counted, Gather lasts when nobody calls Cut.
const gatherTicks = 2

// Gather has this replica, while it is primary, cut no block that is not full, also
// when nothing is in flight: the host expects more requests in a moment, and knows
// when to [Core.Cut]. A host that does not come back to it costs two ticks.
func (c *Core) Gather() { c.timers.gather = c.ticks + gatherTicks }

// Cut ends what [Core.Gather] began: what waits is proposed now.
func (c *Core) Cut(out *Output) {
	c.timers.gather = 0
	c.finish(out)
}

func (c *Core) gathering() bool { return c.ticks < c.timers.gather }
