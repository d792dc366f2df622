package pbft

// A primary that proposes one block in just under a progress timeout restarts every
// timer for ever, and nobody's age runs out as long as each block has something of every
// client. So a backup also counts for how long the primary had nothing in flight
// although requests wait here (PROTOCOL 3.9).
//
// Each turn of the primary, from when the last block committed here or a request came
// until the next proposal, has an allowance. Ticks beyond it are idle ones. An account
// gets slowWeight for each of them and loses one with every other tick, so it grows only
// if the primary idles for more than one tick in slowWeight+1, which is a fifth of its
// time. When it has grown by what one whole timeout of idling adds, the primary is
// suspected. One stall that is shorter than the timeout is therefore no cause, and of the
// throughput that its turns allow a primary that is never suspected leaves four fifths.
//
// The allowance of a turn is twice what turns usually took under the best primary of the
// last rotations, a quarter of the timeout as long as there is none to compare with, and
// always leastAllowance. Where the cluster has more to do than then, a turn may take longer
// in the proportion in which blocks do, up to that quarter: every replica sees for itself how
// long blocks take from the proposal to the commit, which is the work of a quorum and not
// of the primary. It is also twice as long as the last block took here, and a tick.
// For an honest primary may wait for clients that owe nothing as long as a block takes
// (pool_debt.go), as it sees it: from the proposal, which was on the way here before the
// block began to take any time here. And the next one has the same way.
//
// What an honest primary is not blamed for: blocks in flight, however long they take
// under load; a quiet cluster; what it may not propose yet; the time before the view
// opened; what was lost with the link to it. A request that waits here was passed on to
// it when it came. Where it refused that, it has others of the same client or of
// everybody in flight; or the request cannot run any more, and is forgotten before it
// counts. One that only this replica knows, since the message was lost, makes nobody else
// suspect, and is relayed at half of its age.
//
// Why views do not run away, under whatever load: a replica that left an open view for
// this cause, or only because others did, has none of it before a rotation of views has
// passed, or sparedTimeouts for each view of one. Thus of all the views of a rotation, and
// in that time, a cluster without traitors leaves one for it, since everybody leaves
// together. The time is there because no views pass while the next primary is as slow: it
// would rule for good. A change of views costs about one timeout, so even where load alone
// makes every primary seem slow that is one in N*sparedTimeouts, and a primary that is slow
// after another has no more than that. To leave a view takes a quorum as ever, or more
// than F weight that draws it along: not the bits of F traitors, but one honest replica's
// with theirs, that once. The view is not one that failed, and no timeout grows (R11).
//
// What remains: a primary that shows its proposal to some in time, and to as many others
// as it takes late, has a block in flight for the first; only the timeout bounds that.
const (
	slowWeight     = 4
	leastAllowance = 3 // ticks
	fewTurns       = 16
	blockWeight    = 8
	sparedTimeouts = 20
)

// pace is what a backup knows of how fast primaries are.
type pace struct {
	run      uint64 // ticks in which the primary has owed a proposal
	account  uint64
	accepted uint64 // tick of the last proposal; 0: it committed
	took     uint64 // ticks from there to its commit
	blocks   uint64 // the same of the last blocks, on average, times blockWeight
	turns    uint64 // in this view that the primary was waited for, and their ticks
	waited   uint64
	commits  uint64 // in this view, of proposals, and how long those blocks took together
	taken    uint64
	best     [2]turn // of the best primary of this rotation, and of the one before
	rotation uint64
	spared   View   // below it no primary is suspected for this,
	until    uint64 // before this tick
}

// turn is how long a primary's turns took on average, in begun ticks, and blocks meanwhile,
// times blockWeight. The zero turn is unknown.
type turn struct{ ticks, blocks uint64 }

// load compares how much there is to do: a block that takes no tick is something too.
func (t turn) load() uint64 { return t.blocks + blockWeight }

// faster tells whether t is the better one for the load that there was.
func (t turn) faster(than turn) bool {
	return than.ticks == 0 || t.ticks*than.load() < than.ticks*t.load()
}

// under is how long such a turn may take while blocks take that long, up to a bound if
// that is longer than it took.
func (t turn) under(blocks, most uint64) uint64 {
	now := turn{blocks: blocks}.load()
	if now <= t.load() {
		return t.ticks
	}
	return max(t.ticks, min(most, (t.ticks*now+t.load()-1)/t.load()))
}

// owed tells whether the primary could propose, and should.
func (c *Core) owed() bool {
	return c.open && c.tipSet && !c.isPrimary() && !c.follower && c.pool.waiting > 0 &&
		c.tip.Height <= c.Committed() && len(c.seen) == 0 && (c.target == nil || c.target.Height <= c.Committed()) &&
		c.transfer == nil && c.tip.Height < c.voteLimit() && !c.peers[c.Primary()].cutOff
}

// allowance is for how many ticks a primary may owe a proposal.
func (c *Core) allowance() uint64 {
	p := &c.timers.pace
	unknown := c.timeout() / 8
	usual, found := unknown, false
	for _, t := range p.best {
		if t.ticks > 0 {
			ticks := t.under(p.blocks, unknown)
			if !found || ticks < usual {
				usual, found = ticks, true
			}
		}
	}
	if p.turns >= fewTurns {
		usual = min(usual, p.turn().under(p.blocks, unknown))
	}
	return max(2*usual, 2*p.took+1, leastAllowance)
}

// turn is that of this view's primary, after the first.
func (p *pace) turn() turn {
	t := turn{ticks: (p.waited + p.turns - 1) / p.turns}
	if p.commits > 0 {
		t.blocks = p.taken * blockWeight / p.commits
	}
	return t
}

// watchPace is called at every tick.
func (c *Core) watchPace(out *Output) {
	p := &c.timers.pace
	limit := slowWeight * c.timeout()
	if !c.owed() {
		p.run = 0
	} else if p.run++; p.run == c.allowance()+1 {
		c.pool.sift(c.chain.tip().Time, c.cfg.Admissible)
		if c.pool.waiting == 0 {
			p.run = 0
		}
	}
	if p.run > c.allowance() {
		p.account = min(p.account+slowWeight, limit)
	} else if p.account > 0 {
		p.account--
	}
	switch {
	case c.suspicion.has(CauseSlow):
		if p.account < limit/2 {
			c.withdraw(CauseSlow)
		}
	case p.account >= limit && c.suspicion.mask == 0 && (c.durable.View >= p.spared || c.ticks >= p.until):
		c.suspect(CauseSlow, out)
	}
}

// proposedNow notes that the tip is a proposal that was accepted in this moment.
func (p *pace) proposedNow(now uint64) {
	if p.run > 0 {
		p.turns++
		p.waited += p.run
	}
	p.run, p.accepted = 0, now
}

// committedNow notes that a block of this view committed.
func (p *pace) committedNow(now uint64) {
	if p.accepted == 0 {
		return // fetched, or it came with others
	}
	p.took, p.accepted = now-p.accepted, 0
	p.commits++
	p.taken += p.took
	p.blocks = p.blocks - p.blocks/blockWeight + p.took
}

// leavePace ends what is counted within a view, before its suspicions are forgotten.
// next is the view that comes.
func (c *Core) leavePace(next View) {
	p := &c.timers.pace
	const ownCauses = ^uint32(1<<CauseSlow | 1<<CauseOthers)
	if c.open && c.suspicion.mask&ownCauses == 0 {
		n := c.schedule.Len()
		p.spared, p.until = c.durable.View+View(n), c.ticks+sparedTimeouts*uint64(n)*c.timeout()
	}
	if p.turns >= fewTurns && p.turn().faster(p.best[0]) {
		p.best[0] = p.turn()
	}
	switch r := uint64(next) / uint64(c.schedule.Len()); {
	case r > p.rotation+1:
		p.best = [2]turn{}
		p.rotation = r
	case r > p.rotation:
		p.best = [2]turn{1: p.best[0]}
		p.rotation = r
	}
	p.run, p.account, p.took, p.turns, p.waited, p.commits, p.taken = 0, 0, 0, 0, 0, 0, 0
}
