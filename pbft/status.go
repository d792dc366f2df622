package pbft

// No message is acknowledged and none is sent for ever: a replica says where it is
// (Status), and whoever hears it pushes what it lacks (R13). So a lost message costs
// one status interval, whatever it was.

// maxPushBytes bounds the proposals pushed for one status.
const maxPushBytes = 2 << 20

func (c *Core) statusMessage(reply bool) *Status {
	return &Status{
		View: c.durable.View, Entered: c.durable.Entered, Open: c.open, NewView: c.durable.NewView,
		Tip: c.Tip(), High: c.High(), Committed: c.Committed(), Executed: c.executed, Stable: c.Stable(), Snapshot: c.SnapshotHeight(),
		Oldest: c.Oldest(), Suspect: c.suspicion.mask != 0, Follower: c.follower, Reply: reply,
		Incarnation: c.cfg.Incarnation,
	}
}

func (c *Core) sendStatus(to ReplicaID, reply bool, out *Output) {
	if to == Everyone {
		c.timers.lastStatus = c.ticks
		c.timers.statusDue = false
	}
	// A status promises nothing, but R10 and the rejoin rule count its view as
	// reached: it leaves only when that view is on disk.
	c.flushState(out)
	m := c.statusMessage(reply)
	if reply {
		m.Echo = c.peers[to].status.Incarnation
	}
	out.durable(to, m)
}

// onStatus notes where a peer is, and pushes what it lacks, at most once in a
// retry interval for each peer.
func (c *Core) onStatus(from ReplicaID, m *Status, out *Output) Drop {
	if from == c.cfg.Self {
		c.unrecorded = false // it came back, so what was written before it is on disk
		return NoDrop
	}
	p := &c.peers[from]
	p.stalled = p.known && p.status.Tip == m.Tip && p.status.View == m.View
	p.status, p.known, p.heard = *m, true, c.ticks
	c.noteRejoinAnswer(from, m)
	c.joinHigherView(out)
	if m.View == c.durable.View && from == c.Primary() {
		if m.Suspect {
			// The primary itself asks to be replaced: it was restarted, or is going to
			// stop. A traitor gains nothing by it that silence would not give.
			c.suspect(CauseAbdication, out)
		} else {
			// It only shared the others' doubts, and progress dispelled them (R12). One
			// that was restarted never takes it back within the view: it may not propose.
			c.withdraw(CauseAbdication)
		}
	}
	c.checkSuspicions(out)
	if !p.pushed || c.ticks >= p.lastPush+uint64(c.cfg.Timeouts.Retry+1)/2 {
		p.pushed, p.lastPush = true, c.ticks
		c.push(from, m, out)
	}
	return NoDrop
}

// push sends what a peer's status shows to be missing there.
func (c *Core) push(to ReplicaID, m *Status, out *Output) {
	view := c.durable.View
	if m.View < view || m.View == view && !m.Entered {
		c.sendView(to, out)
	}
	if m.Committed < c.Committed() && c.target != nil {
		if m.Committed+1 < c.Oldest() && c.snapshot != nil {
			out.send(to, c.snapshot)
		}
		out.send(to, c.target)
	}
	if c.snapshot != nil && m.Snapshot+2*c.cfg.CheckpointEvery <= c.snapshot.Height() {
		// Its last snapshot is one that nobody serves any more: if it lacks that state, it
		// has to know of a later one. It need not be behind in blocks.
		out.send(to, c.snapshot)
	}
	if c.high != nil && m.High.Less(c.high.Rank()) {
		out.send(to, c.high)
	}
	if m.View == view && m.Entered && c.durable.Entered {
		if c.newView != nil && m.NewView != c.durable.NewView {
			out.durable(to, c.newView) // with its own the proof that the primary made two
		}
		if !m.Open && c.viewCommit != nil {
			out.send(to, c.viewCommit)
		}
		c.pushVotes(to, m, out)
		c.pushProposals(to, m, out)
	}
	c.pushCheckpoints(to, m, out)
	c.pushEvidence(to, out)
	if !m.Reply && (m.View > view || m.Committed > c.Committed() || c.High().Less(m.High) || m.Stable > c.Stable() || m.Snapshot > c.SnapshotHeight() || !c.open && m.Open || m.Follower) {
		c.sendStatus(to, true, out) // they are ahead: let them push
	}
}

// pushVotes sends this replica's votes of the view again: Prepares for the chain
// it voted for above the peer's highest certificate, and its last Commit. They are
// regenerated, not stored; signing is deterministic.
func (c *Core) pushVotes(to ReplicaID, m *Status, out *Output) {
	s := &c.durable
	if c.follower || !c.hasVoted() || s.VotedView != s.View {
		return
	}
	floor := c.base.Height
	if c.newView == nil {
		floor = c.cfg.Start.Height + 1
	}
	if m.High.View == s.View {
		floor = max(floor, m.High.Height+1)
	} else if m.Open {
		floor = max(floor, m.Committed+1)
	}
	floor = max(floor, s.Floor)
	if !c.extendsCommitted(s.Voted) {
		return
	}
	for at, n := s.Voted, Height(0); at.Height >= floor && n <= 2*c.cfg.Window; n++ {
		// A Commit may have taken voted further up than this replica may prepare, or a
		// restart what it has executed further down. Only the base is exempt (3.1).
		if at.Height <= c.voteLimit() || at == c.base {
			out.durable(to, &Vote{Statement: c.statement(Prepare, at), Signer: c.cfg.Self})
		}
		e := c.blocks[at.Digest]
		switch {
		case e != nil:
			at = BlockRef{at.Height - 1, e.proposal.Parent}
		case at.Height > floor && c.chain.at(at.Height-1) != nil:
			at = c.chain.at(at.Height - 1).ref()
		default:
			n = 2 * c.cfg.Window
		}
		if at.Height == 0 && floor > 0 {
			break
		}
	}
	if c.hasCommit && (c.sentCommit.Height > m.Committed || !m.Open) {
		out.durable(to, &Vote{Statement: c.statement(Commit, c.sentCommit), Signer: c.cfg.Self})
	}
}

// pushProposals sends proposals of the view above the peer's tip: the primary
// always, others only when the peer stands still (the primary may keep it in the
// dark; proposals are signed, so anybody can pass them on).
func (c *Core) pushProposals(to ReplicaID, m *Status, out *Output) {
	if !c.isPrimary() && !c.peers[to].stalled || m.Tip.Height >= c.Tip().Height {
		return
	}
	size, b := 0, &c.peers[to].proposals
	for h := max(m.Tip.Height+1, c.Committed()+1, b.next(c, m)); h <= c.executed+2*c.cfg.Window; h++ {
		p := c.seen[h]
		if p == nil {
			continue
		}
		if size += p.Size(); size > maxPushBytes {
			return
		}
		c.sendProposal(to, p, out)
		b.top = max(b.top, h)
	}
}

// backoff spaces out what is pushed to a peer that does not get on: on a slow link
// the first copies are still under way, and more of them make it slower.
type backoff struct {
	view  View
	tip   BlockRef // the peer's, when it was pushed to last
	top   Height   // of what was pushed
	again uint64   // tick before which nothing up to top is pushed again
	wait  uint64
}

// next returns the lowest height to push now. While the peer's tip stands still the
// pause doubles, from the retry interval up to a quarter of the progress timeout, so
// that what was really lost is there several times before anybody suspects the primary.
// The timeout grows with every view that fails, and so does the pause (R11).
func (b *backoff) next(c *Core, m *Status) Height {
	retry := uint64(c.cfg.Timeouts.Retry)
	switch {
	case b.wait == 0 || b.view != m.View:
		*b = backoff{view: m.View, wait: retry}
	case c.ticks < b.again:
		return b.top + 1
	case b.tip == m.Tip:
		b.wait = min(2*b.wait, max(retry, c.timeout()/4))
	default:
		b.wait = retry
	}
	b.tip, b.again = m.Tip, c.ticks+b.wait
	return 0
}

// pushCheckpoints sends this replica's checkpoint votes, or the stable bundle. For
// these there is no timer at all: without this a lost share would stay lost.
func (c *Core) pushCheckpoints(to ReplicaID, m *Status, out *Output) {
	if m.Stable < c.Stable() && m.Committed >= c.Stable() {
		out.send(to, c.stable)
	}
	if m.Snapshot < c.SnapshotHeight() && m.Committed >= c.SnapshotHeight() && c.snapshot != c.stable {
		out.send(to, c.snapshot)
	}
	if c.follower {
		return
	}
	for _, s := range c.statements {
		// One below the peer's stable checkpoint still wants its certificate, or the
		// receipts of its interval would be lost.
		if !s.certified && !s.disowned && !c.silent(s.Height) && s.Height > m.Snapshot {
			out.durable(to, &CheckpointVote{CheckpointStatement: s.CheckpointStatement, Signer: c.cfg.Self})
		}
	}
}
