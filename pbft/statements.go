package pbft

import (
	"slices"

	"github.com/parley-bft/parley/crypto/canon"
)

// What this replica says about checkpoints: one statement for each height, for ever (R23).

// Checkpointed gives this replica's statement for a checkpoint block that it
// executed. The statement is on disk before the vote leaves and never changes: a
// second, different one at the same height is never signed (R23), and says that
// the state here is wrong now, or was before. At snapshot heights the host calls it
// once the snapshot is durable.
func (c *Core) Checkpointed(s CheckpointStatement, out *Output) {
	must(s.Height <= c.executed, "checkpoint %d above executed %d", s.Height, c.executed)
	if c.diverged == nil { // else it is of a wrong state
		c.checkpointed(s, out)
		c.prune(out)
	}
	c.finish(out)
}

func (c *Core) checkpointed(s CheckpointStatement, out *Output) {
	if c.IsSnapshot(s.Height) {
		c.ownSnapshot = max(c.ownSnapshot, s.Height)
	}
	agreed := false
	for _, b := range [...]*Bundle{c.stable, c.snapshot} {
		if b != nil && b.Height() == s.Height {
			if !c.compare(&s, &b.Checkpoint.CheckpointStatement, out) {
				return
			}
			agreed = true
		}
	}
	if old := c.statementAt(s.Height); old != nil {
		old.now, old.agreed = s, old.agreed || agreed
		switch {
		case old.CheckpointStatement == s && old.disowned:
			old.disowned = false // it was right all the same
			c.putStatement(old, out)
		case old.CheckpointStatement != s && !old.disowned:
			c.diverge(Divergence{Mine: s, Other: old.CheckpointStatement}, out)
		}
		return
	}
	if s.Height > c.SnapshotHeight() && s.Height != c.Stable() {
		// Also below the stable checkpoint: a snapshot takes its time, and meanwhile
		// later checkpoints without one become stable.
		c.addStatement(s)
		c.putStatement(c.statementAt(s.Height), out)
		if !c.silent(s.Height) {
			out.durable(Everyone, &CheckpointVote{CheckpointStatement: s, Signer: c.cfg.Self})
		}
		c.tryPendingCheckpoint(out)
	}
}

// ownStatement is what this replica said about a checkpoint. It stays on the disk until
// a certified snapshot covers it: the log may be replayed from below it, and if that came
// to another state the replica would sign proof against itself.
type ownStatement struct {
	CheckpointStatement
	certified bool // nobody needs the vote any more
	agreed    bool // a certificate said the same
	disowned  bool // it may be of a wrong state (R23): neither sent again nor compared with
	// now is what the present state came to at this height, as far as it was executed
	// since the process began or the state was rebuilt; of height 0 if it was not.
	now CheckpointStatement
}

// state is what the present state comes to at the height, nil if nobody knows.
func (s *ownStatement) state() *CheckpointStatement {
	switch {
	case s.now.Height != 0:
		return &s.now
	case !s.disowned:
		return &s.CheckpointStatement
	}
	return nil
}

func (c *Core) putStatement(s *ownStatement, out *Output) {
	out.put(RecordKey{Kind: RecordCheckpoint, Height: uint64(s.Height)}, canon.AppendBool(s.Append(nil), s.disowned))
}

// addStatement keeps the statements in ascending order.
func (c *Core) addStatement(s CheckpointStatement) {
	at := len(c.statements)
	for at > 0 && c.statements[at-1].Height > s.Height {
		at--
	}
	c.statements = slices.Insert(c.statements, at, ownStatement{CheckpointStatement: s, now: s})
}

func (c *Core) disown(s *ownStatement, out *Output) {
	s.now = CheckpointStatement{}
	if !s.agreed && !s.disowned {
		s.disowned = true
		c.putStatement(s, out)
	}
}

// statementAt finds this replica's own statement for a height.
func (c *Core) statementAt(h Height) *ownStatement {
	if i := slices.IndexFunc(c.statements, func(s ownStatement) bool { return s.Height == h }); i >= 0 {
		return &c.statements[i]
	}
	return nil
}
