package pbft

// Time is a count of ticks. Every timer is a row of the table in Tick: when it is
// due and what happens then.

type timers struct {
	progressFrom  uint64 // since when the next block to commit is awaited
	workKnown     bool
	changeFrom    uint64 // since when a quorum is seen in this view or above (R9)
	changeRunning bool
	failed        int // k of R11: views that failed in a row with the R9 timer running
	base          int // T0, in ticks

	heardPrimary uint64
	spoke        uint64 // last proposal or heartbeat of this replica as primary
	gather       uint64 // until then only full blocks are cut
	lastStatus   uint64
	statusDue    bool
	lastChange   uint64 // last ViewChange sent
	lastCommit   uint64
	openSince    uint64
	sentNewView  View
	lastSift     uint64
	forkAlarm    View   // view whose claims gave rise to an alarm: once is enough
	stalled      bool   // the progress timer ran out in this view, the link to its primary was lost or it is this replica and its state is wrong, and nothing new was committed since
	fresh        bool   // a block that was proposed in this view was committed
	suspected    uint64 // the last tick at which a suspicion was held

	pace pace

	passOn       bool       // a view was opened: its primary gets what waits here
	forward      []*Request // for the primary, sent at the end of the step
	forwardBytes int
}

func (t *timers) restartProgress(now uint64) { t.progressFrom = now }

// entered restarts what is counted within a view.
func (t *timers) entered(now uint64) {
	t.progressFrom, t.heardPrimary = now, now
	t.changeRunning, t.stalled, t.fresh = false, false, false
}

// timeout is R11: T = T0 * min(2^k, 8) * 2^floor(k / length of a rotation). A full
// rotation without success proves T too small; F bad primaries in a row cost at
// most 8*T0 each; there is no upper bound, since none is right on every network.
func (c *Core) timeout() uint64 {
	k := c.timers.failed
	t := uint64(c.timers.base) << min(k, 3)
	return t << min(k/c.schedule.Len(), 24)
}

// FailedViews is k of R11: how many views have failed in a row, as far as the
// timeout has grown by it.
func (c *Core) FailedViews() int { return c.timers.failed }

// SetProgressTimeout sets T0 in ticks, from measured round trips. Values below 1
// count as 1.
func (c *Core) SetProgressTimeout(ticks int) { c.timers.base = max(ticks, 1) }

// Tick tells the core that one unit of time has passed. now is the host's wall
// clock; nothing about safety depends on it.
func (c *Core) Tick(now Time, out *Output) {
	c.ticks++
	c.now = now
	c.watchWork()
	for i := range timerTable {
		// Asked only now: a row above may have left the view.
		if r := &timerTable[i]; r.due(c) {
			r.do(c, out)
		}
	}
	c.finish(out)
}

var timerTable = [...]struct {
	due func(*Core) bool
	do  func(*Core, *Output)
}{
	{(*Core).progressDue, (*Core).onProgressTimeout},
	{(*Core).changeDue, (*Core).onChangeTimeout},
	{(*Core).idleDue, (*Core).onIdleTimeout},
	{(*Core).linkDue, (*Core).onLinkLost},
	{func(*Core) bool { return true }, (*Core).checkAges},
	{func(*Core) bool { return true }, (*Core).watchPace},
	{(*Core).clockDue, func(c *Core, out *Output) { c.suspect(CauseClock, out) }},
	{(*Core).rejoinRotationDue, (*Core).rotateToRejoin},
	{(*Core).abdicationDue, (*Core).abdicate},
	{(*Core).changeRepeatDue, (*Core).sendViewChange},
	{(*Core).heartbeatDue, (*Core).sendHeartbeat},
	{(*Core).statusIntervalDue, func(c *Core, out *Output) { c.sendStatus(Everyone, false, out) }},
}

func (c *Core) clockDue() bool { return c.suspicion.lateBlocks >= lateBlocksLimit }

// abdicationDue: a primary that was restarted in its view proposes nothing (R6), nor does
// one whose state is wrong (R24), so it asks for the next one, also if the view opens
// only now. If nobody's state is right, because all have the same bad application, no next
// one is better: a diverged primary goes at once only if no view failed just before, and
// else stays for a timeout, which grows as views fail (R11). So it goes at once but once in
// a rotation that commits nothing; else views would change at every tick for ever.
func (c *Core) abdicationDue() bool {
	if !c.open || !c.isPrimary() {
		return false
	}
	return c.barred && c.barredView == c.durable.View ||
		c.diverged != nil && (c.timers.failed == 0 || c.ticks >= c.timers.openSince+c.timeout())
}

// abdicate asks for the next primary. A view in which this one committed nothing new has
// failed.
func (c *Core) abdicate(out *Output) {
	c.timers.stalled = c.timers.stalled || c.diverged != nil && !c.timers.fresh
	c.suspect(CauseAbdication, out)
}

// watchWork starts the progress timer when work becomes known, and forgets failed
// views when an open view has nothing to do (R11), and has not been in doubt for a whole
// timeout: else those would not count that fail while there is nothing to do.
func (c *Core) watchWork() {
	known := c.workKnown()
	if known && !c.timers.workKnown {
		c.timers.restartProgress(c.ticks)
	}
	if c.suspicion.mask != 0 {
		c.timers.suspected = c.ticks
	}
	if !known && c.open && c.ticks >= max(c.timers.openSince, c.timers.suspected)+c.timeout() {
		c.timers.failed = 0
	}
	c.timers.workKnown = known
	c.watchChange()
}

// workKnown tells whether something is left to commit.
func (c *Core) workKnown() bool {
	return c.pool.len() > 0 || len(c.seen) > 0 || c.tipSet && c.tip.Height > c.Committed() ||
		c.target != nil && c.target.Height > c.Committed() || c.High().Height > c.Committed() || c.receiptDue()
}

func (c *Core) progressDue() bool {
	return c.open && c.timers.workKnown && c.ticks >= c.timers.progressFrom+c.timeout()
}

func (c *Core) onProgressTimeout(out *Output) {
	c.timers.restartProgress(c.ticks)
	// Executing slower than the log grows is this replica's own trouble; that a
	// snapshot takes long to become stable is no fault of the primary either.
	if c.executed+c.cfg.Window <= c.Committed() || c.transfer != nil || c.Tip().Height >= c.SnapshotHeight()+c.cfg.LogMax {
		return
	}
	c.timers.stalled = true
	c.suspect(CauseProgress, out)
}

// watchChange runs the view-change timer only while a quorum is known to be in
// this view or above (R9): views never run away during an outage.
func (c *Core) watchChange() {
	if c.open || !c.quorums.IsQuorum(c.atLeast(c.durable.View, true)) {
		c.timers.changeRunning = false
		return
	}
	if !c.timers.changeRunning {
		c.timers.changeRunning, c.timers.changeFrom = true, c.ticks
	}
}

func (c *Core) changeDue() bool {
	return !c.open && c.timers.changeRunning && c.ticks >= c.timers.changeFrom+c.timeout()
}

// onChangeTimeout goes on to the next view: within a failed view change nobody
// needs to be asked.
func (c *Core) onChangeTimeout(out *Output) {
	if c.follower {
		c.timers.changeRunning = false
		return
	}
	c.timers.failed++
	c.leave(c.durable.View+1, out)
}

// idleDue tells whether the primary has been silent for too long.
func (c *Core) idleDue() bool {
	return c.open && !c.isPrimary() && c.ticks >= c.timers.heardPrimary+max(uint64(c.cfg.Timeouts.Idle), c.timeout())
}

func (c *Core) onIdleTimeout(out *Output) {
	c.timers.heardPrimary = c.ticks
	c.suspect(CauseIdle, out)
}

// checkAges relays a request that waits for half of its time to everybody, so that
// suspicion is collective, and suspects when its time is over (PROTOCOL 3.4 f).
func (c *Core) checkAges(out *Output) {
	age := uint64(c.cfg.Timeouts.RequestAge)
	limit := max(age, c.timeout())
	// Sifting looks at every request: under overload, when the oldest is always old,
	// not at every tick, but always before it is held against the primary.
	since, ok := c.pool.oldest()
	half := ok && c.ticks >= since+age/2 && c.ticks >= c.timers.lastSift+age/8
	if half || ok && c.open && c.ticks >= since+limit && !c.suspicion.has(CauseRequestAge) {
		c.pool.sift(c.chain.tip().Time, c.cfg.Admissible)
		c.timers.lastSift = c.ticks
	}
	late := c.pool.older(c.ticks, age/2)
	if len(late) > 0 {
		out.send(Everyone, &Forward{Requests: late})
	}
	if !c.open {
		return // nobody to suspect; but one who left alone must not keep a request to itself
	}
	oldest, ok := c.pool.oldest()
	switch {
	case ok && c.ticks >= oldest+limit:
		c.suspect(CauseRequestAge, out)
	case c.suspicion.has(CauseRequestAge):
		c.withdraw(CauseRequestAge)
	}
}

// changeRepeatDue repeats ViewChange at a fixed interval until the view is entered.
func (c *Core) changeRepeatDue() bool {
	return !c.durable.Entered && c.wantNewView.IsZero() && c.ticks >= c.timers.lastChange+4*uint64(c.cfg.Timeouts.Retry)
}

func (c *Core) heartbeatDue() bool {
	return c.open && c.isPrimary() && !c.follower && c.ticks >= c.timers.spoke+uint64(c.cfg.Timeouts.Heartbeat)
}

func (c *Core) sendHeartbeat(out *Output) {
	c.timers.spoke = c.ticks
	out.send(Everyone, &Heartbeat{View: c.durable.View, Tip: c.Tip(), High: c.High()})
}

// onHeartbeat resets the idle timer, never progress or ages.
func (c *Core) onHeartbeat(from ReplicaID, m *Heartbeat) Drop {
	if m.View != c.durable.View {
		if m.View > c.durable.View {
			c.timers.statusDue = true
			return DropFutureView
		}
		return DropOldView
	}
	if from != c.Primary() {
		return DropNotPrimary
	}
	c.timers.heardPrimary = c.ticks
	c.withdraw(CauseIdle)
	if m.High.Height > c.High().Height || m.Tip.Height > c.Tip().Height {
		c.timers.statusDue = true // something was lost on the way: ask for it
	}
	return NoDrop
}

// statusIntervalDue: at an interval when idle, soon after progress stopped while
// work is known, and when something calls for it.
func (c *Core) statusIntervalDue() bool {
	since := c.ticks - c.timers.lastStatus
	retry := uint64(c.cfg.Timeouts.Retry)
	switch {
	case since >= uint64(c.cfg.Timeouts.Status):
		return true
	case since < retry:
		return false
	case c.timers.statusDue:
		return true
	}
	pause := c.patientRetry()
	return !c.open || c.timers.workKnown && c.ticks >= c.timers.lastCommit+pause && since >= pause
}

// patientRetry is how long blocks may take to commit before anything counts as lost: on
// long links twice as long as they usually do, so that what is merely under way is not
// sent again. Like proposals (backoff), votes are pushed several times before anybody
// suspects the primary.
func (c *Core) patientRetry() uint64 {
	return max(uint64(c.cfg.Timeouts.Retry), min(2*c.timers.pace.blocks/blockWeight, c.timeout()/4))
}
