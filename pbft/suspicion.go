package pbft

import "github.com/parley-bft/parley/crypto"

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
	if c.follower {
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
		c.timers.failed, c.timers.stalled, c.timers.fresh = 0, false, true
		c.timers.pace.committedNow(c.ticks)
	}
	c.withdraw(CauseProgress, CauseIdle, CauseOthers, CauseLink)
}

// witness takes a proof of misbehaviour, found here (from itself) or received.
func (c *Core) witness(from ReplicaID, e *Evidence, out *Output) Drop {
	switch e.Offence {
	case TwoProposals, TwoNewViews, UnjustifiedVote:
		if e.Culprit == c.Primary() {
			c.suspect(CauseProof, out) // R18, in every view that it rules
		}
	}
	held := c.proofOf(e.key())
	if held != nil {
		held.known.Set(from)
		return DropDuplicate
	}
	held = c.addProof(e)
	held.known.Set(from)
	out.put(RecordKey{Kind: RecordEvidence, Height: uint64(e.key())}, e.append(nil))
	out.Evidence = append(out.Evidence, e)
	out.send(Everyone, e)
	return NoDrop
}

// proof is a piece of evidence that this replica passes on: at once to everybody, and
// since that may be lost, again on the Statuses of those who do not show that they
// have it, by passing it on in their turn. Not for ever: a traitor never would.
type proof struct {
	*Evidence
	known  crypto.Bitmap // of replicas it came from
	pushed []uint8       // how often, by replica
}

// maxProofPushes bounds how often a proof is sent to a replica again.
const maxProofPushes = 4

// key is one for each culprit and offence: one proof of each is enough.
func (e *Evidence) key() uint32 { return uint32(e.Culprit)<<8 | uint32(e.Offence) }

func (c *Core) proofOf(key uint32) *proof {
	for _, p := range c.evidence {
		if p.key() == key {
			return p
		}
	}
	return nil
}

func (c *Core) addProof(e *Evidence) *proof {
	n := c.quorums.N()
	p := &proof{e, crypto.NewBitmap(n), make([]uint8, n)}
	c.evidence = append(c.evidence, p)
	return p
}

// pushEvidence sends a peer one proof that it may not have: that which was sent to it
// least often.
func (c *Core) pushEvidence(to ReplicaID, out *Output) {
	var next *proof
	for _, p := range c.evidence {
		if !p.known.Has(to) && p.pushed[to] < maxProofPushes && p.Culprit != to && (next == nil || p.pushed[to] < next.pushed[to]) {
			next = p
		}
	}
	if next != nil {
		next.pushed[to]++
		out.send(to, next.Evidence)
	}
}

// prove takes evidence that this replica put together itself; nil is none.
func (c *Core) prove(e *Evidence, out *Output) {
	if e != nil {
		c.witness(c.cfg.Self, e, out)
	}
}

// Witness takes evidence that the host's tallies found.
func (c *Core) Witness(e *Evidence, out *Output) {
	c.prove(e, out)
	c.finish(out)
}
