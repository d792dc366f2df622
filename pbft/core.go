package pbft

import (
	"fmt"
)

// Core is one replica's part in the protocol within one epoch. It is told things
// and leaves a list of things to do in an [Output]; it has no clock, no
// randomness, no goroutine and does no I/O. It is not safe for concurrent use.
//
// Every exported method that takes an Output ends in finish, which takes up
// whatever has become possible. The rules that it follows are in the files named
// after them: normal.go, commit.go, viewchange.go, suspicion.go, timers.go,
// pool.go, catchup.go, stable.go, divergence.go, status.go, rejoin.go, recovery.go.
type Core struct {
	cfg      Config
	quorums  *QuorumSystem
	schedule Schedule

	// View and votes. durable is what must not be forgotten; dirty says that it
	// differs from what was last put into an Output.
	durable durableState
	dirty   bool
	// open: a CommitQC of the view is held, or it is the first view of the epoch.
	open bool
	// newView is the NewView that the view was entered by; nil in the first view
	// and before the view is entered.
	newView *NewView
	// unsentNewView is a NewView that this replica made before a restart.
	unsentNewView *NewView
	// wantNewView is the digest that a certificate of this view named before the
	// NewView itself was seen.
	wantNewView Digest
	// base of the view; baseDone once it was voted for (or cannot be).
	base     BlockRef
	baseDone bool
	// tip is the block that the next Prepare extends; valid when tipSet.
	tip    BlockRef
	tipSet bool
	// seen are the primary's proposals of this view above committed, one for each
	// height: at most 2*Window.
	seen map[Height]*PrePrepare
	// prepared is the highest PrepareQC of this view, viewCommit the highest
	// CommitQC of this view, sentCommit the highest block this replica sent a
	// Commit for in this view.
	prepared   *Certificate
	viewCommit *Certificate
	sentCommit BlockRef
	hasCommit  bool

	// high is the highest certificate; nil means the epoch's start block.
	high *Certificate

	// blocks above committed, by digest and (for iteration) in order of arrival.
	blocks map[Digest]*entry
	order  []*entry
	// chain is the committed chain from oldest kept to committed.
	chain chain
	// target is the highest CommitQC known; above committed when blocks are missing.
	target *Certificate
	// commitQC is the CommitQC that the committed tip was committed by.
	commitQC *Certificate
	// kept are CommitQCs at about one per Window heights, ascending.
	kept []*Certificate
	// maxCommitView is the highest view of any CommitQC whose block is committed here.
	maxCommitView View
	executed      Height
	// votedOff is set when the chain that committed passed the height of voted on
	// another block: this replica voted on a losing branch (PROTOCOL 1.6).
	votedOff bool
	// votedOn is set when voted was found on the committed chain.
	votedOn bool

	// Checkpoints.
	stable      *Bundle        // nil: the start block
	snapshot    *Bundle        // nil: the start block
	ownSnapshot Height         // highest snapshot height that this replica's disk holds
	statements  []ownStatement // above the snapshot, ascending
	agreed      Height         // the last checkpoint at which the own statement was the certified one
	// Certificates whose blocks are not here yet: the highest, the highest snapshot, and
	// the next one on the way to it.
	pendingCC       *CheckpointCertificate
	pendingSnapshot *CheckpointCertificate
	nextSnapshot    *CheckpointCertificate
	transfer        *Bundle
	offer           *Bundle         // the highest snapshot that somebody sent the bundle of
	offerFrom       uint64          // tick of the first of these offers
	storedNVs       []storedNewView // ascending by view

	pool pool

	// Peers, indexed by replica.
	peers []peer

	timers    timers
	suspicion suspicion
	now       Time
	ticks     uint64

	// barred is set when this replica was restarted in a view: it does not propose
	// in it, since it may have sent proposals that it no longer knows (PROTOCOL R6).
	barred     bool
	barredView View
	// unrecorded: nothing shows yet that this log's first record is on disk, so that
	// a restart would not know of this start.
	unrecorded bool
	// proposed is the height of this replica's last proposal of the view.
	proposed Height
	refresh  bool // somebody asked for a checkpoint (Refresh)
	follower bool
	rejoin   rejoin
	rejoined Height // no statement for a height up to this one is sent (R23)
	forked   bool   // an alarm about a fork was raised
	// diverged is set while the state here is not the certified one.
	diverged *divergence
	relapse  relapse

	fetch fetch

	evidence []*proof // one for each culprit and offence, kept on disk
	counters Counters
}

// peer is what is known of another replica.
type peer struct {
	change     *ViewChange // the highest, or nil
	lied       View        // the view for which it claimed what its certificate did not prove; 0 none
	status     Status
	known      bool   // status was received
	heard      uint64 // tick of that
	lastPush   uint64
	pushed     bool
	lastAnswer uint64
	answered   bool
	stalled    bool // two statuses in a row with one tip
	cutOff     bool // the host has no link to it
	cutOffFrom uint64
	patience   patience
	rivals     rivals
	proposals  backoff
}

// view is the highest view that the peer showed to be in.
func (p *peer) view() View {
	v := p.status.View
	if p.change != nil && p.change.View > v {
		v = p.change.View
	}
	return v
}

// entry is a block above the committed one.
type entry struct {
	proposal *PrePrepare
	digest   Digest
	// lastView is the highest view in which the block was proposed, voted for,
	// certified or asked for (PROTOCOL R8).
	lastView View
	// checkpoint is the time of the nearest checkpoint block at or below this one.
	checkpoint Time
}

func (e *entry) ref() BlockRef { return BlockRef{e.proposal.Height, e.digest} }

// View returns the present view.
func (c *Core) View() View { return c.durable.View }

// Primary returns the primary of the present view.
func (c *Core) Primary() ReplicaID { return c.primaryOf(c.durable.View) }

func (c *Core) primaryOf(v View) ReplicaID { return c.schedule.Primary(c.cfg.Epoch, v) }

func (c *Core) isPrimary() bool { return c.Primary() == c.cfg.Self }

// Entered tells whether the view's NewView is held (or it is the first view).
func (c *Core) Entered() bool { return c.durable.Entered }

// Open tells whether the view has committed its base.
func (c *Core) Open() bool { return c.open }

// Committed is the height of the highest committed block.
func (c *Core) Committed() Height { return c.chain.tip().Height }

// CommittedRef names the highest committed block.
func (c *Core) CommittedRef() BlockRef { return c.chain.tipRef() }

// ExecutedHeight is the height that the host has reported as executed.
func (c *Core) ExecutedHeight() Height { return c.executed }

// Stable is the height of the latest stable checkpoint.
func (c *Core) Stable() Height {
	if c.stable == nil {
		return c.cfg.Start.Height
	}
	return c.stable.Height()
}

// SnapshotHeight is the height of the latest stable checkpoint with a snapshot.
func (c *Core) SnapshotHeight() Height {
	if c.snapshot == nil {
		return c.cfg.Start.Height
	}
	return c.snapshot.Height()
}

// StableBundle is the latest stable checkpoint, nil before the first.
func (c *Core) StableBundle() *Bundle { return c.stable }

// SnapshotBundle is the latest stable checkpoint with a snapshot, nil before the first.
func (c *Core) SnapshotBundle() *Bundle { return c.snapshot }

// Oldest is the lowest height whose block this replica can serve.
func (c *Core) Oldest() Height {
	// The lowest entry's body is not kept: it is the start block, or the block of
	// an installed snapshot, or the one just below the log.
	return c.chain.low() + 1
}

// Tip is the block that the next vote extends.
func (c *Core) Tip() BlockRef {
	if c.tipSet {
		return c.tip
	}
	return c.chain.tipRef()
}

// High is the rank of the highest certificate.
func (c *Core) High() Rank {
	if c.high == nil {
		return Rank{0, c.cfg.Start.Height}
	}
	return c.high.Rank()
}

// PoolLen is the number of requests waiting or proposed.
func (c *Core) PoolLen() int { return c.pool.len() }

// Waiting is the number of operations that wait to be proposed, and that a block may have:
// not those of clients that owe for earlier ones (see [Core.SetCongested]).
func (c *Core) Waiting() int { return c.pool.operations - c.pool.shares.held }

// Suspecting tells whether this replica suspects the present primary.
func (c *Core) Suspecting() bool { return c.suspicion.mask != 0 }

// IsFollower tells whether this replica signs nothing: it lost its disk and has
// not rejoined yet.
func (c *Core) IsFollower() bool { return c.follower }

// NewView returns the NewView of the present view, or nil.
func (c *Core) NewView() *NewView { return c.newView }

// Counters returns the counters; the caller must not change them.
func (c *Core) Counters() *Counters { return &c.counters }

// Uncommitted returns a block above the committed one, or nil.
func (c *Core) Uncommitted(d Digest) *PrePrepare {
	if e := c.blocks[d]; e != nil {
		return e.proposal
	}
	return nil
}

// IsSnapshot tells whether the checkpoint at h carries a snapshot.
func (c *Core) IsSnapshot(h Height) bool { return h%c.cfg.CheckpointEvery == 0 }

// IsCheckpoint tells whether a block is a checkpoint.
func (c *Core) IsCheckpoint(h *Header) bool { return h.Checkpoint || c.IsSnapshot(h.Height) }

// TallyRange is what votes are of use now: those of view (and one view above), for
// heights low to high, both included. The committed block may be voted for again,
// as the base of a later view.
func (c *Core) TallyRange() (view View, low, high Height) {
	return c.durable.View, c.Committed(), c.executed + 2*c.cfg.Window
}

// Step takes a message from a replica.
func (c *Core) Step(m Verified, out *Output) {
	if d := c.step(m, out); d != NoDrop {
		c.counters.Dropped[m.Message().Kind()][d]++
	}
	c.finish(out)
}

func (c *Core) step(m Verified, out *Output) Drop {
	from := m.From()
	switch m := m.Message().(type) {
	case *PrePrepare:
		return c.onPrePrepare(from, m, out)
	case *Certificate:
		return c.onCertificate(m, out)
	case *ViewChange:
		return c.onViewChange(m, out)
	case *NewView:
		return c.onNewView(from, m, out)
	case *Status:
		return c.onStatus(from, m, out)
	case *Heartbeat:
		return c.onHeartbeat(from, m)
	case *Bundle:
		return c.onBundle(m, out)
	case *Blocks:
		return c.onBlocks(m, out)
	case *Forward:
		return c.onForward(m, out)
	case *Evidence:
		return c.witness(from, m, out)
	}
	return DropUnwanted
}

// finish takes up whatever the last event made possible, and writes down the
// durable state if it changed. All steps may do nothing and may be repeated.
func (c *Core) finish(out *Output) {
	c.tryCommit(out)
	c.tryBase(out)
	c.trySkip()
	c.tryPrepare(out)
	c.tryCommitVote(out)
	c.tryPropose(out)
	c.tryNewView(out)
	c.tryRejoin(out)
	c.considerTransfer(out)
	c.tryRepair(out)
	c.tryFetch(out)
	c.passOnWaiting(out)
	c.flushForward(out)
	c.flushState(out)
	c.invariants()
}

func (c *Core) flushState(out *Output) {
	if !c.dirty {
		return
	}
	c.dirty = false
	out.put(RecordKey{Kind: RecordState}, c.durable.encode())
}

func (c *Core) alarm(out *Output, format string, args ...any) {
	out.Alarms = append(out.Alarms, Alarm{Reason: fmt.Sprintf(format, args...)})
}

// invariants are what must hold between events; a violation is our own bug.
func (c *Core) invariants() {
	// Not must: its arguments would be put on the heap in every step.
	switch {
	case c.executed > c.Committed():
		broken("executed %d above committed %d", c.executed, c.Committed())
	case c.durable.VotedView > c.durable.View:
		broken("voted in view %d, now in %d", c.durable.VotedView, c.durable.View)
	case c.open && c.durable.View != 0 && c.viewCommit == nil:
		broken("view %d open without a commit", c.durable.View)
	case c.tipSet && !c.durable.Entered:
		broken("a tip in a view not entered")
	case Height(len(c.seen)) > 2*c.cfg.Window:
		broken("%d proposals held", len(c.seen))
	case len(c.order) != len(c.blocks):
		broken("%d blocks in order, %d by digest", len(c.order), len(c.blocks))
	}
}

func broken(format string, args ...any) { panic("pbft: " + fmt.Sprintf(format, args...)) }

func must(ok bool, format string, args ...any) {
	if !ok {
		broken(format, args...)
	}
}

func (o *Output) put(k RecordKey, value []byte) {
	o.Records = append(o.Records, Record{Key: k, Value: value})
}

func (o *Output) remove(k RecordKey) {
	o.Records = append(o.Records, Record{Key: k, Delete: true})
}

func (o *Output) send(to ReplicaID, m Message) {
	o.Send = append(o.Send, Envelope{to, m})
}

func (o *Output) durable(to ReplicaID, m Message) {
	o.Durable = append(o.Durable, Envelope{to, m})
}
