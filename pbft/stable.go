package pbft

import "slices"

// Executed reports that the application finished the block at h. Blocks are
// reported in order.
func (c *Core) Executed(h Height, out *Output) {
	must(h == c.executed+1 && h <= c.Committed(), "executed %d after %d, committed %d", h, c.executed, c.Committed())
	c.executed = h
	c.finish(out)
}

// CheckpointCertified takes the certificate that the tally made. Certificates may
// come in any order; each is of use, since receipts are bound to the checkpoint
// that ends their interval.
func (c *Core) CheckpointCertified(q *CheckpointCertificate, out *Output) {
	switch {
	case q.Height <= c.SnapshotHeight():
	case q.Height <= c.Committed():
		c.certified(q, out)
	default:
		c.await(q)
	}
	c.finish(out)
}

// await keeps a certificate whose block is not here yet. The highest will do, the highest
// snapshot, and the next snapshot: a replica that lags all the time hears of a later one
// before it gets to the last, and its log would never be pruned.
func (c *Core) await(q *CheckpointCertificate) {
	if c.pendingCC == nil || q.Height > c.pendingCC.Height {
		c.pendingCC = q
	}
	if !c.IsSnapshot(q.Height) {
		return
	}
	if c.pendingSnapshot == nil || q.Height > c.pendingSnapshot.Height {
		c.pendingSnapshot = q
	}
	if c.nextSnapshot == nil || q.Height < c.nextSnapshot.Height {
		c.nextSnapshot = q
	}
}

// tryPendingCheckpoint takes up certificates that came before their blocks.
func (c *Core) tryPendingCheckpoint(out *Output) {
	for _, p := range [...]**CheckpointCertificate{&c.nextSnapshot, &c.pendingSnapshot, &c.pendingCC} {
		if q := *p; q != nil && q.Height <= c.Committed() {
			*p = nil
			c.certified(q, out)
		}
	}
	if c.nextSnapshot == nil {
		c.nextSnapshot = c.pendingSnapshot
	}
}

// certified takes a certificate for a block that is committed here.
func (c *Core) certified(q *CheckpointCertificate, out *Output) {
	if q.Height <= c.SnapshotHeight() {
		return
	}
	if on, _ := c.chain.has(BlockRef{q.Height, q.Block}); !on {
		c.alarm(out, "a certified checkpoint names block %d:%v, this replica committed another: more than a third of the weight is faulty", q.Height, q.Block)
		return
	}
	c.stabilise(c.bundle(q), out)
}

// bundle puts a certificate together with the lowest CommitQC that covers it.
func (c *Core) bundle(q *CheckpointCertificate) *Bundle {
	commit := c.commitQC
	for i := len(c.kept) - 1; i >= 0 && c.kept[i].Height >= q.Height; i-- {
		commit = c.kept[i]
	}
	b := &Bundle{Checkpoint: q, Header: c.chain.at(q.Height).Header, Commit: commit}
	for h := q.Height + 1; h <= commit.Height; h++ {
		b.Links = append(b.Links, c.chain.at(h).Header)
	}
	return b
}

// stabilise takes a certified checkpoint whose block is on the committed chain: the
// new stable one, the new snapshot, or a late one in between.
func (c *Core) stabilise(b *Bundle, out *Output) {
	h := b.Height()
	if s := c.statementAt(h); s != nil {
		s.certified = true
		if mine := s.state(); mine != nil && c.diverged == nil {
			s.agreed = c.compare(mine, &b.Checkpoint.CheckpointStatement, out) && s.CheckpointStatement == *mine
		}
	}
	value := b.append(nil)
	if h > c.Stable() {
		c.stable = b
		out.put(RecordKey{Kind: RecordStable}, value)
	}
	out.Stable = append(out.Stable, b)
	if c.IsSnapshot(h) && h > c.SnapshotHeight() {
		c.snapshot = b
		out.put(RecordKey{Kind: RecordSnapshot}, value)
		c.prune(out)
		c.rotate(out)
	}
	c.statements = slices.DeleteFunc(c.statements, func(s ownStatement) bool {
		gone := s.Height <= c.SnapshotHeight()
		if gone {
			out.remove(RecordKey{Kind: RecordCheckpoint, Height: uint64(s.Height)})
		}
		return gone
	})
}

// rotate ends the reign of a primary after so many snapshots. A snapshot is no occasion
// to end it sooner for a replica that waits to rejoin: under load they come often, so
// only the clock sets the shortest reign (rejoinRotationDue).
func (c *Core) rotate(out *Output) {
	if !c.open {
		return
	}
	c.suspicion.reigned++
	every := c.cfg.Timeouts.RotateEvery
	if every > 0 && c.suspicion.reigned >= every {
		c.suspect(CauseRotation, out)
	}
}

// prune removes what lies Retain blocks below the stable snapshot from the log.
// This replica's own snapshot must be durable: it replays the log from there.
func (c *Core) prune(out *Output) {
	if c.snapshot == nil {
		return
	}
	limit := min(c.snapshot.Height(), c.ownSnapshot)
	if limit <= c.cfg.Retain {
		return
	}
	limit -= c.cfg.Retain
	low := c.chain.low()
	if limit <= low {
		return
	}
	// The link at the limit stays as the lowest; its body goes with those below.
	for h := low; h <= limit && h <= c.Committed(); h++ {
		l := c.chain.at(h)
		out.remove(RecordKey{Kind: RecordBlock, Height: uint64(h), Digest: l.digest})
		if h < limit {
			out.remove(RecordKey{Kind: RecordChain, Height: uint64(h)})
		}
		out.remove(RecordKey{Kind: RecordCommit, Height: uint64(h)})
	}
	if l := c.chain.at(limit); l != nil {
		// Its header stays in place of the block, so that a restart finds the chain.
		out.put(RecordKey{Kind: RecordChain, Height: uint64(limit)}, l.Header.Append(appendRef(nil, l.ref())))
	}
	c.chain.drop(limit)
	for len(c.kept) > 0 && c.kept[0].Height <= limit {
		c.kept = append(c.kept[:0], c.kept[1:]...)
	}
	c.pruneNewViews(out)
}

// advances tells whether a certified checkpoint at h would be the new stable one or
// the new snapshot.
func (c *Core) advances(h Height) bool {
	return h > c.Stable() || c.IsSnapshot(h) && h > c.SnapshotHeight()
}

// onBundle takes a stable checkpoint of somebody else, checked whole.
func (c *Core) onBundle(b *Bundle, out *Output) Drop {
	h := b.Height()
	if !c.advances(h) {
		return DropDuplicate
	}
	c.onCertificate(b.Commit, out)
	c.tryCommit(out) // perhaps all blocks are here
	if !c.advances(h) {
		return NoDrop
	}
	if h <= c.Committed() {
		if on, known := c.chain.has(b.Ref()); known && !on {
			c.committedFork(b.Commit, out)
			return DropCommittedFork
		}
		c.stabilise(b, out)
		return NoDrop
	}
	c.await(b.Checkpoint)
	if c.IsSnapshot(h) && (c.offer == nil || h > c.offer.Height()) {
		if c.offer == nil {
			c.offerFrom = c.ticks
		}
		c.offer = b
	}
	c.considerTransfer(out)
	return NoDrop
}

// considerTransfer asks for a state transfer when the blocks that this replica
// needs next are gone: fewer than a blocking set say that they still have them, so
// perhaps no honest replica does. Those that have said nothing yet may have them, for
// two status intervals: right after a start nobody has said anything, and the first
// bundle that somebody sends must not make this replica throw its own log away.
func (c *Core) considerTransfer(out *Output) {
	b := c.offer
	if b == nil || b.Height() <= c.Committed() {
		c.offer = nil
		return
	}
	have := c.ahead()
	if c.ticks < c.offerFrom+2*uint64(c.cfg.Timeouts.Status) {
		for i := range c.peers {
			if ReplicaID(i) != c.cfg.Self && !c.peers[i].known {
				have.Set(ReplicaID(i))
			}
		}
	}
	if c.quorums.IsBlocking(have) {
		return
	}
	// A transfer under way goes on unless its snapshot is two behind: peers keep
	// the last two.
	if t := c.transfer; t != nil && b.Height() < t.Height()+2*c.cfg.CheckpointEvery {
		return
	}
	c.transfer = b
	if c.diverged != nil {
		c.diverged.repair = nil // this one repairs it as well
	}
	out.Fetch = append(out.Fetch, Want{b})
}

// Installed reports that the host's state is the one that b certifies: a state
// transfer ended, and everything at and below b's height is executed. The host
// installs only what is above the height it has executed, and skips blocks at or
// below b's height that it was asked to execute before.
func (c *Core) Installed(b *Bundle, out *Output) {
	must(b.Height() > c.executed, "installed %d, executed %d already", b.Height(), c.executed)
	c.transfer = nil
	if c.diverged != nil {
		c.healed(out)
	}
	c.agreed = b.Height()
	if b.Height() <= c.Committed() {
		// The blocks arrived as well, meanwhile.
		c.executed = b.Height()
		c.ownSnapshot = max(c.ownSnapshot, b.Height())
		if c.advances(b.Height()) {
			c.stabilise(b, out)
		}
		c.pool.sift(b.Header.Time, c.cfg.Admissible)
		c.finish(out)
		return
	}
	c.onCertificate(b.Commit, out) // also the view it was made in, if a restart forgot it
	// What the log needs to be read again comes first, what it does not need any more
	// goes last: a crash may come in between.
	value := b.append(nil)
	out.put(RecordKey{Kind: RecordChain, Height: uint64(b.Height())}, b.Header.Append(appendRef(nil, b.Ref())))
	out.put(RecordKey{Kind: RecordCommitted}, appendOptional(appendRef(nil, b.Ref()), b.Commit))
	out.put(RecordKey{Kind: RecordStable}, value)
	out.put(RecordKey{Kind: RecordSnapshot}, value)
	for h := c.chain.low(); h <= c.Committed(); h++ {
		l := c.chain.at(h)
		out.remove(RecordKey{Kind: RecordBlock, Height: uint64(h), Digest: l.digest})
		out.remove(RecordKey{Kind: RecordChain, Height: uint64(h)})
		out.remove(RecordKey{Kind: RecordCommit, Height: uint64(h)})
	}
	for _, s := range c.statements {
		out.remove(RecordKey{Kind: RecordCheckpoint, Height: uint64(s.Height)})
	}
	c.statements = nil
	c.chain.links = c.chain.links[:0]
	c.chain.push(b.Header, b.Checkpoint.Block, true)
	c.kept = nil
	c.executed = b.Height()
	c.ownSnapshot = b.Height()
	c.stable, c.snapshot = b, b
	out.Stable = append(out.Stable, b)
	for h := range c.cfg.Window * 2 {
		delete(c.seen, b.Height()-h)
	}
	c.forgetSeen()
	c.dropBlocks(out, func(e *entry) (drop, erase bool) {
		old := e.proposal.Height <= b.Height()
		return old, old
	})
	if c.target == nil || c.target.Height < b.Commit.Height {
		c.target = b.Commit
	}
	c.commitQC = b.Commit
	c.maxCommitView = max(c.maxCommitView, b.Commit.View)
	c.offer = nil
	c.settleVoteAfterTransfer(b)
	c.pool.sift(b.Header.Time, c.cfg.Admissible)
	c.timers.restartProgress(c.ticks)
	c.timers.statusDue = true
	c.finish(out)
}

// TransferFailed reports that the state transfer to b was given up. The next
// bundle from a peer may start another.
func (c *Core) TransferFailed(b *Bundle, out *Output) {
	if c.transfer != nil && c.transfer.Height() == b.Height() {
		c.transfer, c.offer = nil, nil
	}
	if d := c.diverged; d != nil && d.repair != nil && d.repair.Height() == b.Height() {
		d.repair, d.from = nil, c.ticks
	}
	c.finish(out)
}

// Outlived tells whether the snapshot of a height is two behind, so that peers, which keep the
// last two, discard it, and there is a later one for [Core.TransferUnserved] to go over to. How
// far the others are a certified block shows: who does not execute hears of a checkpoint only
// if it has its blocks, or is two behind.
func (c *Core) Outlived(h Height) bool {
	later := c.SnapshotHeight()
	if c.offer != nil {
		later = max(later, c.offer.Height())
	}
	others := later
	if c.target != nil {
		others = max(others, c.target.Height)
	}
	return later > h && others >= h+2*c.cfg.CheckpointEvery
}

// TransferUnserved reports that the snapshot of b, whose transfer is under way, seems to
// be gone: too many peers say that they do not have it. If a later one is certified,
// that is the one to get, be it only one interval later and although peers have all
// blocks that this replica could ask for: those are of no use without the state below.
func (c *Core) TransferUnserved(b *Bundle, out *Output) {
	later := c.snapshot
	if o := c.offer; o != nil && o.Height() > c.SnapshotHeight() {
		later = o
	}
	if later != nil && later.Height() > b.Height() {
		c.transfer = nil
		if later.Height() > c.Committed() {
			c.transfer = later
		}
		if d := c.diverged; d != nil && d.repair != nil {
			d.repair = later
		}
		out.Fetch = append(out.Fetch, Want{later})
	}
	c.finish(out)
}

// forgetSeen drops proposals outside of the window after a jump.
func (c *Core) forgetSeen() {
	kept := make(map[Height]*PrePrepare, len(c.seen))
	for h := c.Committed() + 1; h <= c.executed+2*c.cfg.Window; h++ {
		if p := c.seen[h]; p != nil {
			kept[h] = p
		}
	}
	c.seen = kept
}

// settleVoteAfterTransfer is PROTOCOL 1.6 for a transfer in the view in which this
// replica had voted. A vote above the checkpoint stays what the next one extends. One
// below it may lie on a branch that lost: then the unmute rule decides.
func (c *Core) settleVoteAfterTransfer(b *Bundle) {
	s := &c.durable
	c.votedOn, c.votedOff = false, false
	c.tip, c.tipSet = BlockRef{}, false
	if !c.hasVoted() || s.VotedView < s.View {
		return
	}
	switch {
	case s.Voted == b.Ref():
		c.votedOn = true
	case s.Voted.Height <= b.Height():
		// Below the checkpoint nothing tells on which branch it was. The unmute rule is
		// safe for both; it also sees to it that the chain is that of this replica's own
		// NewView, which votes name.
		c.votedOff = true
	default:
		for i := range b.Links {
			if b.Links[i].Height == s.Voted.Height {
				c.votedOff = b.Links[i].Digest() != s.Voted.Digest
			}
		}
	}
	if !c.votedOff && s.Entered {
		// As after a restart: on from the vote, never again below it.
		c.tip, c.tipSet, c.baseDone = s.Voted, true, true
	}
}
