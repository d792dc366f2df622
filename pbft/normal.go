package pbft

import "time"

// The normal case: proposals and Prepares. Costs of a block of B requests at one
// replica, n members: B request signatures (in batches, most of them on arrival),
// one signature over the header, the votes of two quorums but the own ones, two syncs of which the
// group commit merges those of neighbouring blocks, and (primary) n-1 times the
// block's bytes on the wire.

// onPrePrepare takes a proposal of the primary. Whatever comes too early is held
// (bounded: one for each height), not dropped: at a full window the proposal of
// the next height normally arrives before the commit that makes room for it.
func (c *Core) onPrePrepare(from ReplicaID, p *PrePrepare, out *Output) Drop {
	view := c.durable.View
	switch {
	case p.View < view:
		return DropOldView
	case p.View > view || !c.durable.Entered:
		return DropFutureView
	case p.Height <= c.Committed():
		return DropDuplicate
	case p.Height > c.executed+2*c.cfg.Window:
		return DropHeight
	}
	if old := c.seen[p.Height]; old != nil {
		if old.Digest() == p.Digest() {
			return DropDuplicate
		}
		c.prove(ProveTwoProposals(old, p), out)
		return DropConflict
	}
	c.seen[p.Height] = p
	if from == c.Primary() {
		c.timers.heardPrimary = c.ticks
	}
	return NoDrop
}

// mayVote is rule R1: all votes of one view, of either phase, lie on one chain,
// across restarts too. It answers for a vote at height on a chain that contains
// anchor, which is held here with all its ancestors: the block itself, or for a
// proposal its parent.
func (c *Core) mayVote(anchor BlockRef, height Height) bool {
	if c.follower || !c.durable.Entered {
		return false
	}
	if c.durable.VotedView < c.durable.View || !c.hasVoted() {
		return true
	}
	voted := c.durable.Voted
	if height < c.durable.Floor {
		return false
	}
	if c.votedOn {
		return true // anchor extends the committed chain, and so it extends voted or is below it
	}
	if c.onOneChain(voted, anchor) && (voted.Height <= anchor.Height || height == anchor.Height) {
		return true
	}
	// The unmute rule (PROTOCOL 1.6): voted lies on a branch that lost within this
	// view. A vote more than Window above it can neither bring the lost branch back
	// (nobody switches before the winning branch was certified) nor be used as
	// evidence (votes that far apart are none).
	return c.votedOff && c.viewCommit != nil && c.viewCommit.NewView == c.durable.NewView &&
		c.viewCommit.Height > voted.Height && c.executed > voted.Height && height > voted.Height+c.cfg.Window
}

// hasVoted tells whether VotedView and Voted mean anything: in view 0 they are
// zero before the first vote.
func (c *Core) hasVoted() bool { return !c.durable.Voted.Digest.IsZero() }

// vote casts a vote for a block that is held with all its ancestors (R5). It may
// leave only after the record of the block and of voted.
func (c *Core) vote(phase Phase, ref BlockRef, out *Output) {
	s := &c.durable
	must(s.Entered, "%v in a view not entered", phase)
	if s.VotedView < s.View || !c.hasVoted() || ref.Height > s.Voted.Height {
		switch {
		case s.VotedView < s.View || !c.hasVoted():
			s.Floor = 0
		case c.votedOff:
			// What lies closer to the lost vote must not be voted for, now or when the
			// votes are sent again (pushVotes).
			s.Floor = s.Voted.Height + c.cfg.Window + 1
		}
		s.VotedView, s.Voted = s.View, ref
		c.votedOn, c.votedOff = false, false
		if ref.Height <= c.Committed() {
			c.votedOn = true
		}
		c.dirty = true
	}
	out.durable(Everyone, &Vote{Statement: c.statement(phase, ref), Signer: c.cfg.Self})
	if e := c.blocks[ref.Digest]; e != nil {
		e.lastView = max(e.lastView, s.View)
	}
}

func (c *Core) statement(phase Phase, ref BlockRef) Statement {
	return Statement{Phase: phase, View: c.durable.View, NewView: c.durable.NewView, Height: ref.Height, Block: ref.Digest}
}

// tryPrepare votes for the proposals that are held and acceptable, in order.
func (c *Core) tryPrepare(out *Output) {
	for c.open && c.tipSet {
		p := c.seen[c.tip.Height+1]
		if p == nil {
			return
		}
		verdict, why := c.judge(p)
		if verdict == wait {
			return
		}
		if verdict == refuse {
			c.counters.Dropped[KindPrePrepare][why]++
			delete(c.seen, p.Height)
			return
		}
		c.accept(p, out)
	}
}

type judgement int

const (
	wait judgement = iota
	refuse
	acceptable
)

// judge decides on the proposal for the height above the tip. What depends on how
// far this replica has come makes it wait; only the block and its ancestors can
// make it refuse.
func (c *Core) judge(p *PrePrepare) (judgement, Drop) {
	if p.Parent != c.tip.Digest {
		return refuse, DropParent
	}
	parentTime, checkpoint, ok := c.parentInfo(c.tip)
	if !ok {
		return wait, NoDrop
	}
	if p.Time < parentTime {
		return refuse, DropTime
	}
	if p.Checkpoint && !c.IsSnapshot(p.Height) && p.Time < checkpoint.Add(c.cfg.MinCheckpointGap) {
		return refuse, DropFlag
	}
	if p.Height > c.voteLimit() {
		return wait, NoDrop
	}
	if p.Time > parentTime && p.Time > c.now.Add(c.cfg.MaxAhead) {
		return wait, NoDrop // R21: held until the own clock gets there
	}
	if !c.extendsCommitted(c.tip) || !c.mayVote(c.tip, p.Height) {
		return wait, NoDrop
	}
	return acceptable, NoDrop
}

// voteLimit is the highest height that may be proposed or voted for, the same for
// primary and backups: execution that lags holds ordering back, and a checkpoint
// that does not become stable bounds the log.
func (c *Core) voteLimit() Height {
	return min(c.executed+c.cfg.Window, c.SnapshotHeight()+c.cfg.LogMax)
}

// accept makes p the tip and votes Prepare.
func (c *Core) accept(p *PrePrepare, out *Output) {
	c.hold(p, out)
	c.tip = p.Ref()
	c.pool.propose(p.Requests)
	c.timers.pace.proposedNow(c.ticks)
	c.judgeClock(p)
	c.vote(Prepare, c.tip, out)
}

// judgeClock notes block times that lag far behind the own clock: a reason to
// suspect, never to refuse (R21).
func (c *Core) judgeClock(p *PrePrepare) {
	if len(p.Requests) > 0 && p.Time.Add(c.cfg.MaxAhead) < c.now {
		c.suspicion.lateBlocks++
	} else {
		c.suspicion.lateBlocks = 0
		c.withdraw(CauseClock)
	}
}

// tryPropose cuts blocks while this replica is the primary of an open view.
//
// Batching is adaptive: with nothing in flight whatever waits is cut at once, unless
// the host gathers (see [Core.Gather]); with blocks in flight only a full block is, so
// the batch grows to what arrives in one round and no request waits longer than a
// round for company.
func (c *Core) tryPropose(out *Output) {
	for c.mayPropose() {
		if c.tip.Height+1 > c.voteLimit() {
			return
		}
		idle := c.tip.Height <= c.Committed()
		onlyFull := !idle || c.gathering()
		if onlyFull && c.pool.waiting > 0 && !c.pool.mayFill(c.cfg.MaxBlockBytes, c.cfg.MaxBlockRequests) {
			return
		}
		requests, full, emptied := c.pool.cut(c.cfg.MaxBlockBytes, c.cfg.MaxBlockRequests, c.expiry(), c.pool.share())
		if len(requests) == 0 && !onlyFull && c.ticks > 2*c.timers.lastCommit-min(c.timers.spoke, c.timers.lastCommit) {
			// Who owes nothing had as long to ask for more as the last block took.
			requests, full, emptied = c.pool.cut(c.cfg.MaxBlockBytes, c.cfg.MaxBlockRequests, c.expiry(), c.pool.leastDebt()+1)
		}
		if len(requests) == 0 && (!idle || !c.receiptDue() && !c.refreshDue()) || len(requests) > 0 && !full && onlyFull {
			return
		}
		c.propose(requests, emptied || len(requests) == 0, out)
	}
}

func (c *Core) mayPropose() bool {
	return c.open && c.tipSet && c.isPrimary() && c.diverged == nil && !(c.barred && c.barredView == c.durable.View) &&
		c.tip.Height >= c.proposed && c.extendsCommitted(c.tip) && c.mayVote(c.tip, c.tip.Height+1)
}

// expiry is the block time of the tip: requests whose deadline is below it cannot
// be executed any more.
func (c *Core) expiry() Time {
	t, _, _ := c.parentInfo(c.tip)
	return t
}

// busyBlocks since the last checkpoint mean load, under which the gap between flagged
// blocks is busyGaps times the least one.
const (
	busyBlocks = 16
	busyGaps   = 4
)

// checkpointGap is what this primary leaves between checkpoints. Under a closed loop
// every block leaves the pool empty although the primary never falls idle, and a
// checkpoint costs what many blocks do; when the load ends, [Core.receiptDue] makes
// up for it.
func (c *Core) checkpointGap(h Height) time.Duration {
	if h-c.chain.tip().lastCheckpoint > busyBlocks {
		return busyGaps * c.cfg.MinCheckpointGap
	}
	return c.cfg.MinCheckpointGap
}

func (c *Core) propose(requests []*Request, emptied bool, out *Output) {
	parentTime, checkpoint, ok := c.parentInfo(c.tip)
	must(ok, "no parent for a proposal on %v", c.tip)
	h := Header{
		Cluster:  c.cfg.Cluster,
		Epoch:    c.cfg.Epoch,
		Height:   c.tip.Height + 1,
		View:     c.durable.View,
		Parent:   c.tip.Digest,
		Proposer: c.cfg.Self,
		Time:     max(parentTime, c.now),
	}
	// The last block before the primary falls idle is a checkpoint, so receipts
	// come soon under light load; the gap keeps the cost bounded under any load.
	// A block without requests is there for nothing else (receiptDue, refreshDue).
	gap := c.checkpointGap(h.Height)
	if len(requests) == 0 {
		gap = c.cfg.MinCheckpointGap
	}
	h.Checkpoint = emptied && !c.IsSnapshot(h.Height) && h.Time >= checkpoint.Add(gap)
	if h.Checkpoint || c.IsSnapshot(h.Height) {
		c.refresh = false
	}
	p := &PrePrepare{Block: NewBlock(h, requests)}
	c.counters.Proposed++
	c.seen[h.Height], c.proposed = p, h.Height
	c.sendProposal(Everyone, p, out)
	c.accept(p, out)
	c.timers.spoke = c.ticks
}

// sendProposal sends a proposal at once, also this replica's own, whose own Prepare
// waits for the disk. After a restart it proposes nothing in this view (R6, barred).
// That needs a log that tells of this start: until one is sure to be there, its
// proposals wait too, and so do their copies.
func (c *Core) sendProposal(to ReplicaID, p *PrePrepare, out *Output) {
	if c.unrecorded && p.Proposer == c.cfg.Self {
		out.durable(to, p)
		return
	}
	out.send(to, p)
}

// receiptDue tells whether executed blocks lie above the last checkpoint of the
// chain and have waited long enough, so that an empty flagged block is due (R15).
func (c *Core) receiptDue() bool {
	if !c.tipSet || c.tip.Height > c.Committed() || c.executed < c.Committed() {
		return false
	}
	t := c.chain.tip()
	if t.lastCheckpoint >= t.Height {
		return false
	}
	return c.ticks >= c.timers.lastCommit+uint64(c.cfg.Timeouts.ReceiptDelay) &&
		max(t.Time, c.now) >= t.checkpoint.Add(c.cfg.MinCheckpointGap)
}
