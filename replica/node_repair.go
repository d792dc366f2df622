package replica

import "github.com/parley-bft/parley/pbft"

// What a node does about a state that is not the certified one. The core decides; this is
// about the order in which the host hears of it:
//
//	Host.Alarm         with a Divergence: execution stops, nobody is answered
//	Node.StandsStill   it has
//	Host.ForgetWrong   the records are written, that of the divergence too: what this replica
//	                   says of itself after a crash does not rest on its wrong snapshots any more
//	Node.Forgotten     they are deleted; the core asks for a state
//	Host.Install       of a certified state at or below what was executed
//	Node.Rebuilt       it is installed, and the log above it was executed again
//	                   (or, before the first certified snapshot, Host.BeginAnew and Node.Begun)
//	Host.Healed        execution goes on; or Host.Alarm again

// Damaged reports that the host cannot read its own state any more. What follows is the same
// as after any other divergence.
func (n *Node) Damaged() {
	if !n.failed {
		n.core.Damaged(&n.out)
	}
}

// startDamaged is Damaged for a host that finds it out at its start. A divergence that was
// there before goes on: the alarm of it was another process's.
func (n *Node) startDamaged() {
	if d := n.core.Diverged(); d != nil {
		n.host.Alarm(pbft.Alarm{Reason: d.String(), Divergence: d})
		return
	}
	n.core.Damaged(&n.out)
}

// StandsStill reports, after an alarm with a Divergence, that no block is executed any
// more. By then the divergence may be over, or it may be before this is settled:
//
//  1. a certificate shows that what was said of an earlier state was wrong, while a
//     certified one is being installed since the replica lags
//  2. that state is installed, which ends the divergence, and the host stands still for it
//  3. the host goes on, writes a snapshot of what is right, and the vote for it leaves
//
// Nothing is to be forgotten then.
func (n *Node) StandsStill() {
	if n.failed || n.core.Diverged() == nil {
		return
	}
	// The blocks that were executed are in batches up to this one, and a repair reads them
	// from the log.
	n.still = max(n.seq, 1)
	n.settleStill()
}

func (n *Node) settleStill() {
	switch {
	case n.still == 0:
	case n.core.Diverged() == nil:
		n.still = 0
	case n.persisted >= n.still || n.seq == 0:
		n.still = 0
		n.host.ForgetWrong()
	}
}

// Forgotten reports the end of a Host.ForgetWrong.
func (n *Node) Forgotten() {
	if !n.failed {
		n.core.StandsStill(&n.out)
	}
}

// reportDivergence tells the host of alarms and of divergences that are over, whatever
// was last at last.
func (n *Node) reportDivergence(out *pbft.Output) {
	healed := func() {
		for _, d := range out.Healed {
			n.host.Healed(d)
		}
	}
	if n.core.Diverged() != nil {
		healed()
		healed = func() {}
	}
	for _, a := range out.Alarms {
		n.host.Alarm(a)
	}
	healed()
}

// reportSplit tells the host of a checkpoint for which no certificate can exist: of the
// first, until there is a certificate again.
func (n *Node) reportSplit() {
	if n.split > 0 && n.core.Stable() >= n.split {
		n.split = 0
	}
	if s := n.ctally.Split(); s != nil && n.split == 0 && s.Height > n.core.Stable() {
		n.split = s.Height
		n.host.Alarm(pbft.Alarm{Reason: s.String(), Split: s})
	}
}

// Rebuilt reports the end of a Host.Install that made the state anew: that of b is
// installed, and the log above it was executed again up to a height, with these
// statements at its checkpoints.
func (n *Node) Rebuilt(b *pbft.Bundle, upTo pbft.Height, statements []pbft.CheckpointStatement) {
	t := &n.transfer
	if n.failed || !t.is(b.Height(), transferInstalling) {
		return
	}
	next := t.end()
	if b.Height() > n.core.ExecutedHeight() {
		n.core.Installed(b, &n.out)
		n.Executed(max(upTo, b.Height()))
		for _, s := range statements {
			n.Checkpointed(s)
		}
	} else {
		n.Executed(upTo)
		n.core.Rebuilt(b.Height(), statements, &n.out)
	}
	t.goOn(b, next)
}

// Begun reports the end of a Host.BeginAnew: the log was executed again from its first
// block up to a height, with these statements at its checkpoints.
func (n *Node) Begun(upTo pbft.Height, statements []pbft.CheckpointStatement) {
	if !n.failed {
		n.Executed(upTo)
		n.core.Rebuilt(0, statements, &n.out)
	}
}

// CannotBegin reports that what Host.BeginAnew needs is not there.
func (n *Node) CannotBegin() {
	if !n.failed {
		n.core.CannotBegin(&n.out)
	}
}
