package pbft

// onCertificate takes a valid certificate of any view.
func (c *Core) onCertificate(q *Certificate, out *Output) Drop {
	used := c.raiseHigh(q, out)
	if q.View > c.durable.View {
		c.enterByCertificate(q, out)
		used = true
	}
	if q.View == c.durable.View {
		if !c.durable.Entered && c.wantNewView.IsZero() {
			c.wantNewView = q.NewView
		}
		if c.prepared == nil || q.Height > c.prepared.Height {
			c.prepared = q
			used = true
		}
	}
	if q.Phase == Commit {
		if c.onCommitCertificate(q, out) {
			used = true
		}
	}
	if e := c.blocks[q.Block]; e != nil {
		e.lastView = max(e.lastView, q.View)
	}
	if !used {
		return DropDuplicate
	}
	c.storeRivals(q, out)
	return NoDrop
}

// raiseHigh makes q the highest certificate if it ranks above the present one. A
// block certified again in a higher view raises it too (forgetting that is a fork).
func (c *Core) raiseHigh(q *Certificate, out *Output) bool {
	if !c.High().Less(q.Rank()) {
		return false
	}
	c.high = q
	out.put(RecordKey{Kind: RecordHigh}, q.append(nil))
	return true
}

// onCommitCertificate notes what is committed. The blocks may still be missing.
func (c *Core) onCommitCertificate(q *Certificate, out *Output) (used bool) {
	if q.View == c.durable.View {
		if c.viewCommit == nil || q.Height > c.viewCommit.Height {
			c.viewCommit = q
			used = true
		}
		if !c.open {
			c.openView()
		}
	}
	on, known := c.chain.has(q.Ref())
	if known && !on {
		c.committedFork(q, out)
		return used
	}
	if on && q.View > c.maxCommitView {
		// The base of a new view, committed before: nothing new to execute, but blocks
		// that older views left behind can go (R8), or failed views would pile them up.
		c.maxCommitView = q.View
		c.collect(out)
	}
	if c.target == nil || q.Height > c.target.Height {
		c.target = q
		used = true
	}
	return used
}

// committedFork is reached only when more than F weight is guilty.
// Once is enough: peers go on pushing what they have.
func (c *Core) committedFork(q *Certificate, out *Output) {
	if c.forked {
		return
	}
	c.forked = true
	c.alarm(out, "a certificate commits %v, but this replica committed another block there: more than a third of the weight is faulty; compare the replicas' evidence", q.Ref())
}

// tryCommit commits the target and all its ancestors, once all are held.
func (c *Core) tryCommit(out *Output) {
	if c.target != nil {
		c.commit(c.target, out)
	}
}

// commit commits the block of a CommitQC and all its ancestors, if all are held.
func (c *Core) commit(q *Certificate, out *Output) {
	if q.Height <= c.Committed() || !c.extendsCommitted(q.Ref()) {
		return
	}
	path := make([]*entry, 0, q.Height-c.Committed())
	for at := q.Ref(); at.Height > c.Committed(); {
		e := c.blocks[at.Digest]
		path = append(path, e)
		at = BlockRef{at.Height - 1, e.proposal.Parent}
	}
	c.accuseProposers(path, out)
	fresh := false
	for i := len(path) - 1; i >= 0; i-- {
		p := path[i].proposal
		c.chain.push(p.Header, path[i].digest, c.IsCheckpoint(&p.Header))
		out.put(RecordKey{Kind: RecordChain, Height: uint64(p.Height)}, appendRef(make([]byte, 0, refSize), BlockRef{p.Height, path[i].digest}))
		out.Execute = append(out.Execute, p.Block)
		c.pool.remove(p.Requests)
		delete(c.seen, p.Height)
		c.counters.Committed++
		fresh = fresh || p.View == c.durable.View
	}
	out.put(RecordKey{Kind: RecordCommitted}, appendOptional(appendRef(make([]byte, 0, refSize+optionalSize(q)), q.Ref()), q))
	c.keepSpine(q, out)
	c.commitQC = q
	c.maxCommitView = max(c.maxCommitView, q.View)
	c.noteVotedBranch()
	c.collect(out)
	c.progressed(fresh)
	c.tryPendingCheckpoint(out)
}

// accuseProposers looks for blocks held here that lost against the blocks of path
// within one view: their primary made two (PROTOCOL 1.6). Path descends to the
// block above the committed one.
func (c *Core) accuseProposers(path []*entry, out *Output) {
	for _, e := range c.order {
		top := path[0].proposal.Height
		if e.proposal.Height > top || top-e.proposal.Height >= Height(len(path)) {
			continue
		}
		if won := path[top-e.proposal.Height]; won != e && won.proposal.View == e.proposal.View {
			c.prove(ProveTwoProposals(won.proposal, e.proposal), out)
		}
	}
}

// keepSpine retains CommitQCs at most Window apart, as far as the certificates
// that came allow it (R19): the blame walk steps from one to the next, and peers
// that lag are served up to one of them. It decides on the CommitQC before q, once
// q shows that the gap would grow too wide without it.
func (c *Core) keepSpine(q *Certificate, out *Output) {
	last := c.cfg.Start.Height
	if n := len(c.kept); n > 0 {
		last = c.kept[n-1].Height
	} else if c.snapshot != nil {
		last = c.chain.low()
	}
	if q.Height <= last+c.cfg.Window {
		return
	}
	if before := c.commitQC; before != nil && before.Height > last && before.Height < q.Height {
		c.keep(before, out)
		last = before.Height
	}
	if q.Height > last+c.cfg.Window {
		c.keep(q, out)
	}
}

func (c *Core) keep(q *Certificate, out *Output) {
	c.kept = append(c.kept, q)
	out.put(RecordKey{Kind: RecordCommit, Height: uint64(q.Height)}, q.append(nil))
}

// noteVotedBranch finds out on which side of a fork within the view this
// replica's vote lies, as soon as the height of that vote is committed.
func (c *Core) noteVotedBranch() {
	if c.votedOn || c.votedOff || !c.hasVoted() {
		return
	}
	if on, known := c.chain.has(c.durable.Voted); known {
		c.votedOn, c.votedOff = on, !on
	} else if c.durable.Voted.Height < c.chain.low() {
		// Nobody here knows any more on which side it was: the unmute rule is safe for
		// both.
		c.votedOff = true
	}
}

// collect is rule R8: a block that was voted for or certified leaves the tip but
// not the store, until nothing can name it any more: its height is committed, or a
// CommitQC of a higher view than any in which it was voted for was learned.
func (c *Core) collect(out *Output) {
	committed := c.Committed()
	c.dropBlocks(out, func(e *entry) (drop, erase bool) {
		if e.proposal.Height <= committed {
			on, _ := c.chain.has(e.ref())
			return true, !on
		}
		stale := e.lastView < c.maxCommitView
		return stale, stale
	})
}

// tryCommitVote sends Commit for the highest PrepareQC of this view. A block that
// is missing is fetched first: without it the one-chain rule cannot be checked
// (PROTOCOL 1.7). Lower heights are skipped: the highest covers them.
func (c *Core) tryCommitVote(out *Output) {
	q := c.prepared
	if q == nil || !c.durable.Entered || c.follower || c.hasCommit && q.Height <= c.sentCommit.Height {
		return
	}
	if c.viewCommit != nil && q.Height <= c.viewCommit.Height {
		return // committed in this view already
	}
	if !c.open && q.Ref() != c.base {
		return // RV: nothing above the base before the base is committed
	}
	if q.NewView != c.durable.NewView || !c.extendsCommitted(q.Ref()) || !c.mayVote(q.Ref(), q.Height) {
		return
	}
	c.sentCommit, c.hasCommit = q.Ref(), true
	c.vote(Commit, q.Ref(), out)
}

// trySkip moves the tip up to the highest certificate of this view (PROTOCOL 1.5):
// a replica that is late begins above what the others have certified. Nothing else
// is ever skipped, or no height would get a quorum.
func (c *Core) trySkip() {
	if !c.durable.Entered {
		return
	}
	for _, q := range [...]*Certificate{c.viewCommit, c.prepared} {
		if q == nil || q.NewView != c.durable.NewView || c.tipSet && q.Height <= c.tip.Height && !c.tipLost() {
			continue
		}
		if !c.open && q.Phase != Commit && (c.base != q.Ref()) {
			continue
		}
		// The second: after the unmute rule a vote may be allowed for the next height
		// and not for this one.
		if c.extendsCommitted(q.Ref()) && (c.mayVote(q.Ref(), q.Height) || c.mayVote(q.Ref(), q.Height+1)) {
			c.tip, c.tipSet = q.Ref(), true
			c.baseDone = true
		}
	}
}

// tipLost tells whether the tip lies on a branch that lost.
func (c *Core) tipLost() bool {
	on, known := c.chain.has(c.tip)
	return known && !on
}
