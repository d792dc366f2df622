package pbft

import "github.com/parley-bft/parley/crypto"

// Changing views. A view goes through three stages at a replica:
//
//	left     view is v, ViewChange(v) is repeated until the view is entered
//	entered  NewView(v) is held; its base is voted for (RV)
//	open     a CommitQC of view v is held; proposals above the base are voted for
//
// The first view of an epoch is entered and open from the start.

// leave gives up the present view for v. From here on nothing of a lower view is
// signed any more (R4: the view is on disk before the ViewChange leaves).
func (c *Core) leave(v View, out *Output) {
	must(v > c.durable.View, "leaving view %d for %d", c.durable.View, v)
	c.counters.ViewChanges++
	c.resetView(v)
	c.sendViewChange(out)
}

// resetView makes v the present view, not entered.
func (c *Core) resetView(v View) {
	c.leaveNewView()
	c.leavePace(v)
	c.durable.View, c.durable.Entered, c.durable.NewView = v, false, Digest{}
	c.dirty = true
	c.open = false
	c.newView, c.wantNewView = nil, Digest{}
	c.base, c.baseDone = BlockRef{}, false
	c.tip, c.tipSet = BlockRef{}, false
	clear(c.seen)
	c.proposed, c.refresh = 0, false
	c.prepared, c.viewCommit = nil, nil
	c.sentCommit, c.hasCommit = BlockRef{}, false
	c.pool.reset(c.ticks)
	c.suspicion.reset()
	if c.timers.stalled {
		// A view that opened and then committed nothing new has failed as well: the
		// timeout may be too short for a proposal, though long enough for votes (R11).
		c.timers.failed++
	}
	c.timers.entered(c.ticks)
}

func (c *Core) sendViewChange(out *Output) {
	c.timers.lastChange = c.ticks
	if c.follower || c.High().View >= c.durable.View {
		return // with a certificate of this view there is nothing to claim for it (R3)
	}
	out.durable(Everyone, c.viewChange())
}

// viewChange is this replica's claim for the present view. A later one for the
// same view may claim more, since a certificate may have been learned meanwhile.
func (c *Core) viewChange() *ViewChange {
	claim := Claim{View: c.durable.View, High: c.High(), Block: c.cfg.Start.Digest(), Stable: c.Stable()}
	if c.high != nil {
		claim.Block, claim.Phase = c.high.Block, c.high.Phase
	}
	return &ViewChange{SignedClaim: SignedClaim{Claim: claim, Signer: c.cfg.Self}, Certificate: c.high}
}

// onViewChange keeps the highest ViewChange of each replica. Its certificate is
// not yet checked (R14).
func (c *Core) onViewChange(m *ViewChange, out *Output) Drop {
	p := &c.peers[m.Signer]
	if old := p.change; old != nil && (m.View < old.View || m.View == old.View && !old.High.Less(m.High)) {
		return DropDuplicate
	}
	if p.lied == m.View && m.View > 0 {
		return DropClaim // it has shown a forged certificate for this view: no second try
	}
	p.change = m
	if m.Signer != c.cfg.Self && (m.View < c.durable.View || m.View == c.durable.View && c.durable.Entered) {
		c.help(m.Signer, m.View, out)
	}
	c.joinHigherView(out)
	c.checkSuspicions(out)
	return NoDrop
}

// help answers a replica that asks for a view at or below mine.
func (c *Core) help(to ReplicaID, v View, out *Output) {
	p := &c.peers[to]
	if p.answered && c.ticks < p.lastAnswer+uint64(c.cfg.Timeouts.Retry) {
		return
	}
	p.answered, p.lastAnswer = true, c.ticks
	c.sendView(to, out)
}

// sendView sends what brings another replica into the present view.
func (c *Core) sendView(to ReplicaID, out *Output) {
	switch {
	case c.newView != nil:
		out.durable(to, c.newView)
		if c.viewCommit != nil {
			out.send(to, c.viewCommit)
		}
	case c.viewCommit != nil:
		out.send(to, c.viewCommit)
	case c.high != nil && c.high.View == c.durable.View:
		out.send(to, c.high)
	case !c.durable.Entered && !c.follower:
		out.durable(to, c.viewChange())
	}
}

// joinHigherView is rule R10: join the largest view x such that the replicas that
// showed to be in a view >= x form a blocking set. One of them is honest, and it is
// there legitimately.
func (c *Core) joinHigherView(out *Output) {
	best := c.durable.View
	for i := range c.peers {
		x := c.peers[i].view()
		if x > best && ReplicaID(i) != c.cfg.Self && c.quorums.IsBlocking(c.atLeast(x, false)) {
			best = x
		}
	}
	if best > c.durable.View {
		c.leave(best, out)
	}
}

// atLeast is the set of replicas that showed to be in a view >= x.
func (c *Core) atLeast(x View, self bool) crypto.Bitmap {
	set := crypto.NewBitmap(c.quorums.N())
	for i := range c.peers {
		if ReplicaID(i) == c.cfg.Self {
			if self && c.durable.View >= x && !c.follower {
				set.Set(c.cfg.Self)
			}
			continue
		}
		if c.peers[i].view() >= x {
			set.Set(ReplicaID(i))
		}
	}
	return set
}

// tryNewView makes the NewView as the primary of a view that this replica has left
// for, once it holds ViewChanges for exactly this view from a quorum.
func (c *Core) tryNewView(out *Output) {
	v := c.durable.View
	if c.durable.Entered || !c.isPrimary() || c.follower || c.timers.sentNewView == v || !c.wantNewView.IsZero() {
		return
	}
	for {
		claims, set := c.claimsFor(v)
		if !c.quorums.IsQuorum(set) {
			return
		}
		top, rival := highestClaims(claims)
		cert, culprit := c.certificateOf(top)
		if culprit < 0 && rival != nil {
			// Another block of the same rank: one of the two is a lie, and nobody has
			// checked yet which.
			if _, culprit = c.certificateOf(*rival); culprit < 0 {
				if c.timers.forkAlarm != v {
					c.timers.forkAlarm = v
					c.alarm(out, "two certificates of one rank for view %d name different blocks: more than a third of the weight is faulty", v)
				}
				return
			}
		}
		if culprit >= 0 {
			// The claim is not backed by its certificate: drop it, take the next.
			c.peers[culprit].change, c.peers[culprit].lied = nil, v
			c.counters.Dropped[KindViewChange][DropClaim]++
			continue
		}
		c.timers.sentNewView = v
		n := &NewView{View: v, Claims: claims, Certificate: cert}
		// On disk before it leaves: after a restart the same NewView is sent again,
		// never another one (R6). Its own copy comes back and is taken like anybody's.
		out.put(RecordKey{Kind: RecordNewView, Height: uint64(v)}, n.append(nil))
		c.noteStoredNewView(v)
		out.durable(Everyone, n)
		return
	}
}

// highestClaims returns a claim of the highest rank, and one of the same rank for
// another block if there is one: claims come unchecked (R14), so it may be a lie
// that must not keep the view from opening.
func highestClaims(claims []SignedClaim) (top Claim, rival *Claim) {
	for i := range claims {
		c := &claims[i].Claim
		switch order := c.High.Compare(top.High); {
		case i == 0 || order > 0:
			top, rival = *c, nil
		case order == 0 && c.Block != top.Block:
			rival = c
		}
	}
	return top, rival
}

// claimsFor collects the claims for exactly view v, ascending by signer.
func (c *Core) claimsFor(v View) ([]SignedClaim, crypto.Bitmap) {
	set := crypto.NewBitmap(c.quorums.N())
	var claims []SignedClaim
	for i := range c.peers {
		if m := c.peers[i].change; m != nil && m.View == v {
			set.Set(m.Signer)
			claims = append(claims, m.SignedClaim)
		}
	}
	return claims, set
}

// certificateOf returns a valid certificate for the highest claim (nil for the
// start block), or the replica whose claim it was and whose certificate is invalid.
func (c *Core) certificateOf(top Claim) (cert *Certificate, culprit int) {
	if top.Phase == 0 {
		return nil, -1
	}
	if c.high != nil && c.high.Rank() == top.High && c.high.Block == top.Block {
		return c.high, -1 // proven already
	}
	culprit = -1
	for i := range c.peers {
		m := c.peers[i].change
		if m == nil || m.View != c.durable.View || m.High != top.High || m.Block != top.Block || m.Phase == 0 {
			continue
		}
		if m.Certificate != nil && c.cfg.CheckCertificate(m.Certificate) == nil {
			return m.Certificate, -1
		}
		culprit = i
	}
	must(culprit >= 0, "the highest claim %v is nobody's", top)
	return nil, culprit
}

// onNewView enters a view by its NewView, which the Verifier has checked whole.
func (c *Core) onNewView(from ReplicaID, n *NewView, out *Output) Drop {
	s := &c.durable
	d := n.Digest()
	switch {
	case n.View < s.View:
		c.noteRival(from, n, out)
		return DropOldView
	case n.View == s.View && s.Entered:
		if c.newView == nil || d == s.NewView {
			return DropDuplicate
		}
		c.prove(ProveTwoNewViews(c.Primary(), c.newView, n), out)
		c.noteRival(from, n, out)
		return DropConflict
	case n.View == s.View && !c.wantNewView.IsZero() && d != c.wantNewView:
		return DropConflict // the quorum that voted in this view was shown another one
	}
	base, _ := c.baseOf(n)
	if on, known := c.chain.has(base); known && !on || base.Height < c.Committed() && c.committedBefore(n.View) {
		if !c.forked {
			c.forked = true
			c.alarm(out, "NewView %d has base %v, but this replica has committed %v: more than a third of the weight is faulty", n.View, base, c.CommittedRef())
		}
		return DropCommittedFork
	}
	if n.View > s.View {
		c.counters.ViewChanges++
		c.resetView(n.View)
	}
	s.Entered, s.NewView = true, d
	c.dirty = true
	c.newView = n
	c.base = base
	c.putNewView(n, out)
	if n.Certificate != nil {
		c.raiseHigh(n.Certificate, out)
		if n.Certificate.Phase == Commit {
			c.onCommitCertificate(n.Certificate, out)
		}
		c.storeRivals(n.Certificate, out)
	}
	if s.VotedView == s.View && c.hasVoted() {
		// Voted in this view before a restart: stay on that chain, whatever base
		// this NewView names (R1).
		c.tip, c.tipSet, c.baseDone = s.Voted, true, true
	}
	c.pool.reset(c.ticks)
	if from == c.Primary() {
		c.timers.heardPrimary = c.ticks
	}
	return NoDrop
}

// committedBefore tells whether the committed tip was committed by a certificate
// of a view below v; then every honest base of v is at or above it.
func (c *Core) committedBefore(v View) bool {
	return c.commitQC != nil && c.commitQC.View < v
}

func (c *Core) baseOf(n *NewView) (BlockRef, Rank) {
	if n.Certificate == nil {
		return c.cfg.Start.Ref(), Rank{0, c.cfg.Start.Height}
	}
	return n.Certificate.Ref(), n.Certificate.Rank()
}

// tryBase casts the first vote of a view: Prepare for its base (RV), once the base
// and all its ancestors are held.
func (c *Core) tryBase(out *Output) {
	if !c.durable.Entered || c.newView == nil || c.baseDone || !c.extendsCommitted(c.base) {
		return
	}
	c.baseDone = true
	c.tip, c.tipSet = c.base, true
	c.markProposed()
	if !c.follower {
		c.vote(Prepare, c.base, out)
	}
}

// markProposed takes the requests of uncommitted blocks up to the tip out of the
// waiting ones.
func (c *Core) markProposed() {
	for at := c.tip; at.Height > c.Committed(); {
		e := c.blocks[at.Digest]
		if e == nil {
			return
		}
		c.pool.propose(e.proposal.Requests)
		at = BlockRef{at.Height - 1, e.proposal.Parent}
	}
}

// enterByCertificate enters a view that a certificate proves to be under way. No
// vote is cast before its NewView is held as well (R19).
func (c *Core) enterByCertificate(q *Certificate, out *Output) {
	c.counters.ViewChanges++
	c.resetView(q.View)
	c.wantNewView = q.NewView
	c.timers.statusDue = true // whoever has the NewView pushes it
}

// openView is reached with the first CommitQC of the view.
func (c *Core) openView() {
	c.open = true
	c.timers.passOn = true
	c.timers.openSince = c.ticks
	c.chargeFollowers()
	c.timers.restartProgress(c.ticks)
}
