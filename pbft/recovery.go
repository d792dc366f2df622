package pbft

import (
	"fmt"
	"iter"
	"sort"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// New makes a core from what its log holds: nothing at the very first start. The
// records may come in any order. Call [Core.Recover] once right after.
//
// Every record was written before anything that depends on it left, so whatever
// prefix of the log survived a crash is a state in which this replica can go on:
// it may have promised less than the log says, never more.
func New(cfg Config, log iter.Seq[Record]) (*Core, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Admissible == nil {
		cfg.Admissible = func(*Request) bool { return true }
	}
	if cfg.MaxNewViews == 0 {
		cfg.MaxNewViews = DefaultMaxNewViews
	}
	n := cfg.Quorums.N()
	c := &Core{
		cfg:      cfg,
		quorums:  cfg.Quorums,
		schedule: NewSchedule(cfg.Quorums.Weights()),
		seen:     map[Height]*PrePrepare{},
		blocks:   map[Digest]*entry{},
		peers:    make([]peer, n),
		pool:     newPool(cfg.MaxPoolBytes, cfg.MaxPoolPerClient, cfg.Admissible),
		follower: cfg.Follower,
		rejoin:   rejoin{answers: make([]View, n), has: crypto.NewBitmap(n)},
	}
	c.timers.base = cfg.Timeouts.Progress
	c.pool.shares.patience = uint64(cfg.Timeouts.RequestAge) / 4
	r, err := readLog(log, cfg.Executed)
	if err != nil {
		return nil, fmt.Errorf("pbft: the log cannot be used: %w", err)
	}
	if err := c.restore(r); err != nil {
		return nil, fmt.Errorf("pbft: the log cannot be used: %w", err)
	}
	return c, nil
}

// logContents is what the records of a log amount to.
type logContents struct {
	state      durableState
	found      bool
	high       *Certificate
	newViews   []*NewView
	storedNVs  []storedNewView
	executed   Height // blocks up to here: only their headers are kept
	headers    []*Header
	blocks     []*PrePrepare
	chain      []BlockRef
	lowest     *Header // header kept in place of the lowest block
	committed  BlockRef
	commit     *Certificate
	kept       []*Certificate
	statements []ownStatement
	diverged   *Divergence
	rejoined   Height
	stable     *Bundle
	snapshot   *Bundle
	evidence   []*Evidence
	rejoin     bool
}

func readLog(log iter.Seq[Record], executed Height) (*logContents, error) {
	l := &logContents{executed: executed}
	for r := range log {
		if err := l.add(r); err != nil {
			return nil, fmt.Errorf("record %v: %w", r.Key, err)
		}
	}
	sort.Slice(l.newViews, func(i, j int) bool { return l.newViews[i].View < l.newViews[j].View })
	sort.Slice(l.blocks, func(i, j int) bool { return l.blocks[i].Height < l.blocks[j].Height })
	sort.Slice(l.chain, func(i, j int) bool { return l.chain[i].Height < l.chain[j].Height })
	sort.Slice(l.kept, func(i, j int) bool { return l.kept[i].Height < l.kept[j].Height })
	sort.Slice(l.statements, func(i, j int) bool { return l.statements[i].Height < l.statements[j].Height })
	return l, nil
}

func (l *logContents) add(r Record) (err error) {
	switch r.Key.Kind {
	case RecordState:
		l.state, err = decodeState(r.Value)
		l.found = true
	case RecordHigh:
		l.high, err = DecodeRecordCertificate(r.Value)
	case RecordNewView:
		var n *NewView
		n, err = DecodeRecordNewView(r.Value)
		l.newViews = append(l.newViews, n)
		if err == nil {
			s := newStoredNewView(n, n.Digest())
			s.second = !r.Key.Digest.IsZero()
			l.storedNVs = append(l.storedNVs, s)
		}
	case RecordBlock:
		if Height(r.Key.Height) <= l.executed {
			rd := canon.NewReader(r.Value)
			h := readHeader(rd)
			l.headers = append(l.headers, &h)
			return rd.Err()
		}
		var p *PrePrepare
		p, err = DecodeRecordBlock(r.Value)
		l.blocks = append(l.blocks, p)
	case RecordCommitted:
		l.committed, l.commit, err = DecodeRecordCommitted(r.Value)
	case RecordCommit:
		var q *Certificate
		q, err = DecodeRecordCertificate(r.Value)
		l.kept = append(l.kept, q)
	case RecordCheckpoint:
		var s ownStatement
		s.CheckpointStatement, s.disowned, err = DecodeRecordCheckpoint(r.Value)
		l.statements = append(l.statements, s)
	case RecordDiverged:
		l.diverged, err = DecodeRecordDiverged(r.Value)
	case RecordStable:
		l.stable, err = DecodeRecordBundle(r.Value)
	case RecordSnapshot:
		l.snapshot, err = DecodeRecordBundle(r.Value)
	case RecordEvidence:
		var e *Evidence
		e, err = DecodeRecordEvidence(r.Value)
		l.evidence = append(l.evidence, e)
	case RecordRejoin:
		l.rejoin = true
	case RecordRejoined:
		l.rejoined, err = decodeRecordRejoined(r.Value)
	case RecordChain:
		var ref BlockRef
		var h *Header
		ref, h, err = decodeChain(r.Value)
		l.chain = append(l.chain, ref)
		if h != nil && (l.lowest == nil || h.Height > l.lowest.Height) {
			l.lowest = h
		}
	default:
		err = fmt.Errorf("unknown kind: the data folder was written by a newer version")
	}
	return err
}

// decodeChain reads a chain entry; the lowest one carries its header, since its
// block is gone.
func decodeChain(value []byte) (BlockRef, *Header, error) {
	r := canon.NewReader(value)
	ref := readRef(r)
	var h *Header
	if r.Len() > 0 {
		hd := readHeader(r)
		h = &hd
	}
	if err := r.Close(); err != nil {
		return BlockRef{}, nil, fmt.Errorf("stored chain entry: %w", err)
	}
	return ref, h, nil
}

func (c *Core) restore(l *logContents) error {
	if err := c.restoreChain(l); err != nil {
		return err
	}
	c.high = l.high
	c.target, c.commitQC = l.commit, l.commit
	if q := c.high; q != nil && q.Phase == Commit && (c.target == nil || q.Height > c.target.Height) {
		c.target = q // its blocks were still missing
	}
	c.kept = l.kept
	c.stable, c.snapshot = l.stable, l.snapshot
	for _, s := range l.statements {
		if b := c.stable; b != nil && b.Height() == s.Height {
			s.certified, s.agreed = true, b.Checkpoint.CheckpointStatement == s.CheckpointStatement
		}
		c.statements = append(c.statements, s)
	}
	if d := l.diverged; d != nil {
		// The host does not begin with the wrong state, and says what it began with (Rebuilt).
		c.diverged, c.agreed = &divergence{Divergence: *d}, d.Agreed
	}
	for _, s := range l.storedNVs {
		c.noteStored(s)
	}
	for _, e := range l.evidence {
		c.addProof(e)
	}
	c.follower, c.rejoined = c.follower || l.rejoin, l.rejoined
	if c.follower && c.cfg.Incarnation == 0 {
		return fmt.Errorf("this replica is rejoining: Config.Incarnation is 0: give a number that was not used before, for instance a random one")
	}
	if c.cfg.Executed > c.Committed() {
		return fmt.Errorf("the host has executed block %d, but the log commits only up to %d", c.cfg.Executed, c.Committed())
	}
	if c.cfg.Executed < c.chain.low() {
		return fmt.Errorf("the host has executed up to block %d, but the log begins above %d: restore a snapshot", c.cfg.Executed, c.chain.low())
	}
	c.executed = c.cfg.Executed
	// Which snapshots the host's disk holds is not known here: nothing is pruned
	// before it reports the next one. (That the quorum's snapshot was executed again
	// from an older one says nothing: the log up to it may be needed once more.)
	if c.commitQC != nil {
		c.maxCommitView = c.commitQC.View
	}
	c.restoreView(l)
	return nil
}

// restoreChain rebuilds the committed chain downward from the committed block as
// far as it is kept, and holds the blocks above it.
func (c *Core) restoreChain(l *logContents) error {
	start := c.cfg.Start
	if l.commit == nil {
		l.committed = start.Ref()
	}
	headers := map[Digest]*Header{start.Digest(): &start.Header}
	if l.lowest != nil {
		headers[l.lowest.Digest()] = l.lowest
	}
	if l.snapshot != nil {
		headers[l.snapshot.Checkpoint.Block] = &l.snapshot.Header
	}
	for _, h := range l.headers {
		headers[h.Digest()] = h
	}
	for _, p := range l.blocks {
		headers[p.Digest()] = &p.Header
	}
	var path []*Header
	for at := l.committed; ; {
		h := headers[at.Digest]
		if h == nil || h.Height != at.Height {
			break
		}
		path = append(path, h)
		if at.Height == 0 {
			break
		}
		at = BlockRef{at.Height - 1, h.Parent}
	}
	if len(path) == 0 {
		return fmt.Errorf("the committed block %v is missing", l.committed)
	}
	for i := len(path) - 1; i >= 0; i-- {
		c.chain.push(*path[i], path[i].Digest(), c.IsCheckpoint(path[i]))
	}
	for _, p := range l.blocks {
		if p.Height > c.Committed() {
			d := p.Digest()
			if c.blocks[d] == nil {
				e := &entry{proposal: p, digest: d, lastView: l.state.View}
				c.blocks[d] = e
				c.order = append(c.order, e)
			}
		}
	}
	c.setCheckpointTimes()
	return nil
}

// restoreView puts this replica back where it was in its view. It never proposes
// in a view that it was in before: it may have sent proposals that did not reach
// the disk (R6).
func (c *Core) restoreView(l *logContents) {
	c.durable = l.state
	s := &c.durable
	if !l.found {
		s.Entered = true // the first view of the epoch needs no NewView
	}
	if c.high != nil && c.high.View > s.View {
		// The crash came between the certificate and the view that it led into.
		s.View, s.Entered, s.NewView = c.high.View, false, Digest{}
	}
	c.open = s.View == 0
	for _, n := range l.newViews {
		if n.View == s.View && s.Entered && n.Digest() == s.NewView {
			c.newView = n
			c.base, _ = c.baseOf(n)
		}
	}
	for _, n := range l.newViews {
		if !s.Entered && c.isPrimary() && n.View == s.View {
			// Made by this replica before it stopped; perhaps nobody has it.
			c.unsentNewView = n
			c.timers.sentNewView = s.View
		}
	}
	if s.Entered && s.View > 0 && c.newView == nil {
		// Cannot happen: the NewView is written first. If it is gone all the same, no
		// other one may take its place.
		s.Entered, c.wantNewView = false, s.NewView
	}
	for _, q := range [...]*Certificate{c.target, c.high} {
		if q == nil || q.View != s.View {
			continue
		}
		if c.prepared == nil || q.Height > c.prepared.Height {
			c.prepared = q
		}
		if q.Phase == Commit && (c.viewCommit == nil || q.Height > c.viewCommit.Height) {
			c.viewCommit = q
			c.open = true
		}
	}
	if !s.Entered && c.prepared != nil {
		c.wantNewView = c.prepared.NewView
	}
	c.noteVotedBranch()
	switch {
	case !s.Entered:
	case c.hasVoted() && s.VotedView == s.View:
		c.tip, c.tipSet, c.baseDone = s.Voted, true, true
	case s.View == 0:
		c.tip, c.tipSet, c.baseDone = c.CommittedRef(), true, true
	}
	c.barred, c.barredView = l.found, s.View
	c.unrecorded = !l.found
}

// Recover sends and asks what a replica does when it comes back. Call it once,
// right after [New].
func (c *Core) Recover(out *Output) {
	if c.follower {
		out.put(RecordKey{Kind: RecordRejoin}, []byte{1})
	}
	c.dirty = true
	c.timers.statusDue = true
	if c.barred && c.open && c.isPrimary() {
		c.suspect(CauseAbdication, out)
	} else {
		c.sendStatus(Everyone, false, out)
	}
	if !c.durable.Entered && !c.follower {
		c.sendViewChange(out)
		if c.unsentNewView != nil {
			out.durable(Everyone, c.unsentNewView)
			c.unsentNewView = nil
		}
	}
	c.finish(out)
}
