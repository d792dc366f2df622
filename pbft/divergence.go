package pbft

import (
	"fmt"

	"github.com/parley-bft/parley/crypto/canon"
)

// A replica whose state is not the one that a quorum certified (R23, R24).
//
// To the others it is one whose execution stands still. It goes on ordering: a vote for a
// block says that the block and its ancestors are on this disk and on the one chain of the
// view, and nothing of what they come to. So nothing that agreement rests on changes; the
// window above the executed height bounds how far it goes, as it does for any replica that
// is slow. What it does not do until its state is right again:
//
//	sign a statement for a checkpoint    whatever it computes now comes of a wrong state
//	propose, or stay primary             its session table decides what the pool admits
//	prune its log                        its own snapshots may be of the wrong state
//
// and its host answers nobody from the state. Then the host brings the state back: it
// stands still ([Core.StandsStill]), gets a certified state that the core asks for
// ([Output.Fetch]) and executes the log above it again ([Core.Rebuilt], or
// [Core.Installed] if the state is above everything that was executed). Before there is a
// certified snapshot it begins with the first block once more ([Output.Anew]).

// Divergence says that the state of this replica after a block is another one than it
// must be.
type Divergence struct {
	// Mine is what the state came to.
	Mine CheckpointStatement
	// Other is what a quorum certified; if not Certified it is what this replica said
	// itself when it executed the block before, and nobody knows yet which is right.
	Other     CheckpointStatement
	Certified bool
	// Agreed is the last checkpoint at which this replica's statement was the certified
	// one, as far as is known; 0 if it is not.
	Agreed Height
	// Damaged: no states were compared, the host cannot read its own any more. Mine and Other
	// have the height that it had executed then, and nothing else.
	Damaged bool
}

// Height is that of the checkpoint at which the states differ.
func (d *Divergence) Height() Height { return d.Mine.Height }

func (d *Divergence) String() string {
	if d.Damaged {
		return fmt.Sprintf("what this replica keeps of the state on its disk is damaged, as was found after block %d", d.Height())
	}
	if !d.Certified {
		return fmt.Sprintf("executing block %d again gave another state (%v, before: %v): the application is not deterministic or its data is corrupt",
			d.Height(), d.Mine, d.Other)
	}
	return fmt.Sprintf("the state after block %d differs from what a quorum certified (mine %v, certified %v): the application is not deterministic or this replica's data is corrupt",
		d.Height(), d.Mine, d.Other)
}

func (d *Divergence) append(b []byte) []byte {
	b = d.Mine.Append(b)
	b = d.Other.Append(b)
	b = canon.AppendBool(b, d.Certified)
	b = canon.AppendUint64(b, uint64(d.Agreed))
	return canon.AppendBool(b, d.Damaged)
}

// DecodeRecordDiverged reads the value of a RecordDiverged.
func DecodeRecordDiverged(value []byte) (*Divergence, error) {
	r := canon.NewReader(value)
	d := &Divergence{Mine: readCheckpointStatement(r), Other: readCheckpointStatement(r), Certified: r.Bool(), Agreed: Height(r.Uint64()), Damaged: r.Bool()}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("stored divergence: %w", err)
	}
	if d.Mine.Height != d.Other.Height {
		return nil, fmt.Errorf("stored divergence: of heights %d and %d", d.Mine.Height, d.Other.Height)
	}
	return d, nil
}

// divergence is a [Divergence] and what is being done about it.
type divergence struct {
	Divergence
	// still: the host executes nothing more, and its records of what it executed are
	// written. From since then on.
	still bool
	from  uint64
	// repair is the state that was asked for; anew: the host begins with the first block,
	// cannotBegin that it cannot.
	repair            *Bundle
	anew, cannotBegin bool
	// tried is the highest checkpoint whose state was installed and came to a wrong one
	// again; tries is how often that happened.
	tried Height
	tries uint
}

// relapse makes the pause before a repair longer for an application that diverges again
// right after each: a transfer for each checkpoint would serve nobody.
type relapse struct {
	count uint
	last  uint64 // tick at which the last repair ended
}

// Pauses, in status intervals: how long a certified state above the divergence is waited
// for before an older one and the log will do, how soon after a repair a divergence
// counts as a relapse, and how often either pause is doubled at most.
const (
	repairPatience = 4
	relapseWithin  = 16
	maxRepairWaits = 6
)

// Diverged says how this replica's state differs from the certified one, nil if as far as
// is known it does not.
func (c *Core) Diverged() *Divergence {
	if c.diverged == nil {
		return nil
	}
	d := c.diverged.Divergence
	return &d
}

// compare looks for a divergence. It tells whether the state is the certified one.
func (c *Core) compare(mine, certified *CheckpointStatement, out *Output) bool {
	if *mine == *certified {
		c.agreed = max(c.agreed, mine.Height)
		return true
	}
	c.diverge(Divergence{Mine: *mine, Other: *certified, Certified: true}, out)
	return false
}

// diverge notes a divergence, durably, and raises the alarm.
//
// Every statement of this replica that no certificate has confirmed may be of the wrong
// state. They are disowned: never sent again, and what the right state turns out to be
// at their heights is not held against them. They stay in the log, though: they were
// signed, so no other statement for their heights ever is (R23).
func (c *Core) diverge(d Divergence, out *Output) {
	if c.diverged != nil {
		return // the first one counts
	}
	d.Agreed = min(c.agreed, d.Height()-1)
	now := &divergence{Divergence: d, from: c.ticks}
	r := &c.relapse
	if r.last > 0 && c.ticks < r.last+c.repairPause(relapseWithin, r.count) {
		r.count++
	} else {
		r.count = 0
	}
	c.diverged = now
	c.ownSnapshot = 0
	for i := range c.statements {
		c.disown(&c.statements[i], out)
	}
	c.recordDivergence(out)
}

func (c *Core) recordDivergence(out *Output) {
	d := c.diverged.Divergence
	out.put(RecordKey{Kind: RecordDiverged}, d.append(nil))
	out.Alarms = append(out.Alarms, Alarm{Reason: d.String(), Divergence: &d})
}

// repairPause is so many status intervals, doubled so often.
func (c *Core) repairPause(intervals int, doubled uint) uint64 {
	return uint64(intervals*c.cfg.Timeouts.Status) << min(doubled, maxRepairWaits)
}

// StandsStill reports that the host executes nothing any more, after an alarm with a
// Divergence, that the records of everything it was asked to execute are written, and what
// it had written of the wrong state is gone.
func (c *Core) StandsStill(out *Output) {
	if d := c.diverged; d != nil && !d.still {
		d.still, d.from = true, c.ticks
	}
	c.finish(out)
}

// tryRepair asks for a certified state: one at or above the divergence, as soon as there
// is one; if none comes for a while, because nobody asks for anything, the last one, or
// before the first one the beginning. The log is executed again from there, which may go
// well, if it was the data that was bad. Where that is known neither waits.
func (c *Core) tryRepair(out *Output) {
	d, b := c.diverged, c.snapshot
	if d == nil || !d.still || d.repair != nil || d.anew || c.transfer != nil {
		return
	}
	if c.relapse.count > 0 && c.ticks < d.from+c.repairPause(1, c.relapse.count) {
		return
	}
	if !d.Damaged && (b == nil || b.Height() < d.Height() || b.Height() <= d.tried) && c.ticks < d.from+c.repairPause(repairPatience, d.tries) {
		return
	}
	if b == nil {
		c.tryAnew(out)
		return
	}
	d.repair = b
	out.Fetch = append(out.Fetch, Want{b})
}

// tryAnew has the host begin with the first block. The log has all blocks, since before
// the first certified snapshot nothing is pruned and no state installed; if it does not,
// that snapshot is waited for.
func (c *Core) tryAnew(out *Output) {
	d := c.diverged
	if !d.cannotBegin && c.Oldest() == c.cfg.Start.Height+1 {
		d.anew, out.Anew = true, true
	}
}

// CannotBegin reports that the host cannot do what [Output.Anew] asks for: the state that the
// application began with is not there any more. The next certified snapshot is waited for.
func (c *Core) CannotBegin(out *Output) {
	if d := c.diverged; d != nil && d.anew {
		d.anew, d.cannotBegin = false, true
	}
	c.finish(out)
}

// Rebuilt reports that the host's state was made anew: it restored the certified state at
// base (or began with the first block, 0) and executed the log above it again, up to the
// height that it had executed before. The statements are what that came to at the
// checkpoints above base, ascending; those of snapshots are of snapshots that are durable.
// The divergence is over, unless one of them is not what is certified.
func (c *Core) Rebuilt(base Height, statements []CheckpointStatement, out *Output) {
	if c.transfer != nil && c.transfer.Height() == base {
		c.transfer, c.offer = nil, nil
	}
	if d := c.diverged; d != nil {
		if wrong := c.contradicted(statements); wrong != nil {
			wrong.Agreed = min(max(d.Agreed, base), wrong.Height()-1)
			*d = divergence{Divergence: *wrong, from: c.ticks, tried: max(d.tried, base), tries: d.tries + 1, cannotBegin: d.cannotBegin}
			c.recordDivergence(out)
			c.finish(out)
			return
		}
		c.healed(out)
		c.agreed = max(c.agreed, base)
		if c.IsSnapshot(base) {
			c.ownSnapshot = max(c.ownSnapshot, base)
		}
	}
	for _, s := range statements {
		must(s.Height <= c.executed, "checkpoint %d above executed %d", s.Height, c.executed)
		c.checkpointed(s, out)
	}
	c.prune(out)
	c.finish(out)
}

// contradicted returns the first statement that is not what is certified, as far as
// certificates are held here.
func (c *Core) contradicted(statements []CheckpointStatement) *Divergence {
	var certified []*CheckpointStatement
	for _, b := range [...]*Bundle{c.stable, c.snapshot} {
		if b != nil {
			certified = append(certified, &b.Checkpoint.CheckpointStatement)
		}
	}
	if d := c.diverged; d.Certified {
		certified = append(certified, &d.Other)
	}
	for _, s := range statements {
		for _, x := range certified {
			if x.Height == s.Height && *x != s {
				return &Divergence{Mine: s, Other: *x, Certified: true}
			}
		}
	}
	return nil
}

// healed ends the divergence.
func (c *Core) healed(out *Output) {
	d := c.diverged.Divergence
	c.diverged = nil
	c.relapse.last = max(c.ticks, 1)
	out.remove(RecordKey{Kind: RecordDiverged})
	out.Healed = append(out.Healed, &d)
	c.timers.statusDue = true
}
