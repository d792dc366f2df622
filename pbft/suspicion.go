package pbft

// Suspicion is collective (R12): a replica that suspects says so in its Status and
// keeps voting; it leaves the view when a quorum suspects. A lone suspect that left
// at once would be mute until the next view and could drag everybody along.

// lateBlocksLimit is how many blocks in a row may have a time far behind the own
// clock before that is held against the primary (R21).
const lateBlocksLimit = 8

type suspicion struct {
	mask       uint32 // bit i: cause i
	lateBlocks int
	// reigned counts the snapshot checkpoints that became stable in this view.
	reigned int
}

func (s *suspicion) reset() { *s = suspicion{} }

func (s *suspicion) has(why Cause) bool { return s.mask&(1<<why) != 0 }

// suspect sets the bit and says so at once.
func (c *Core) suspect(why Cause, out *Output) {
	if c.suspicion.has(why) || c.follower {
		return
	}
	fresh := c.suspicion.mask == 0
	c.suspicion.mask |= 1 << why
	c.counters.Suspicions[why]++
	if fresh {
		c.sendStatus(Everyone, false, out)
	}
	c.checkSuspicions(out)
}

// withdraw clears causes that no longer hold.
func (c *Core) withdraw(causes ...Cause) {
	before := c.suspicion.mask
	for _, why := range causes {
		c.suspicion.mask &^= 1 << why
	}
	if before != 0 && c.suspicion.mask == 0 {
		c.timers.statusDue = true
	}
}

// checkSuspicions leaves the view on a quorum of suspects, and suspects as well
// when the others who do form a blocking set. Whoever is in a higher view counts.
func (c *Core) checkSuspicions(out *Output) {
	if c.follower || c.halted {
		return
	}
	view := c.durable.View
	set := c.atLeast(view+1, false)
	for i := range c.peers {
		p := &c.peers[i]
		if ReplicaID(i) != c.cfg.Self && p.known && p.status.View == view && p.status.Suspect {
			set.Set(ReplicaID(i))
		}
	}
	if c.suspicion.mask == 0 {
		if !c.quorums.IsBlocking(set) {
			return
		}
		c.suspect(CauseOthers, out) // comes back here
		return
	}
	set.Set(c.cfg.Self)
	if c.quorums.IsQuorum(set) {
		c.leave(view+1, out)
	}
}

// progressed is called when blocks commit; fresh if one of them was proposed in
// the present view.
func (c *Core) progressed(fresh bool) {
	c.timers.lastCommit = c.ticks
	c.timers.restartProgress(c.ticks)
	if fresh {
		// Only a new block shows that the timeout is long enough. The base proves
		// nothing: its second vote is small, the first new block may be large (R11).
		c.timers.failed, c.timers.stalled = 0, false
	}
	c.withdraw(CauseProgress, CauseIdle, CauseOthers)
}

// witness takes a proof of misbehaviour, found here or received.
func (c *Core) witness(e *Evidence, out *Output) Drop {
	switch e.Offence {
	case TwoProposals, TwoNewViews, UnjustifiedVote:
		if e.Culprit == c.Primary() {
			c.suspect(CauseProof, out) // R18, in every view that it rules
		}
	}
	key := uint32(e.Culprit)<<8 | uint32(e.Offence)
	if c.evidence[key] {
		return DropDuplicate
	}
	c.evidence[key] = true
	out.put(RecordKey{Kind: RecordEvidence, Height: uint64(key)}, e.append(nil))
	out.Evidence = append(out.Evidence, e)
	out.send(Everyone, e) // once
	return NoDrop
}

// prove takes evidence that this replica put together itself; nil is none.
func (c *Core) prove(e *Evidence, out *Output) {
	if e != nil {
		c.witness(e, out)
	}
}

// Witness takes evidence that the host's tallies found.
func (c *Core) Witness(e *Evidence, out *Output) {
	c.prove(e, out)
	c.finish(out)
}
