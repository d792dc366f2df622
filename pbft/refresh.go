package pbft

// A cluster that executes nothing makes no checkpoints, so what it can prove of its state
// gets older although the state is what it was. Whoever wants to know that it still is asks
// the primary for a checkpoint: an empty block with the flag, as one that is due for
// receipts (R15). No replica is owed that: only the primary knows that it was asked, and it is no
// known work that anybody could be suspected for, or a client who asks the backups alone
// would have them change views. A primary that is faulty may leave it out.

// Refresh asks for a checkpoint, though nothing was executed since the last one. Only the
// primary of an open view does anything about it, and no sooner than busyGaps times
// MinCheckpointGap after the last: under load checkpoints are no closer either.
func (c *Core) Refresh(out *Output) {
	c.refresh = c.open && c.isPrimary()
	c.finish(out)
}

// refreshDue tells whether an empty flagged block is due because somebody asked for it.
func (c *Core) refreshDue() bool {
	if !c.refresh || !c.tipSet || c.tip.Height > c.Committed() || c.executed < c.Committed() {
		return false
	}
	return max(c.chain.tip().Time, c.now) >= c.chain.tip().checkpoint.Add(busyGaps*c.cfg.MinCheckpointGap)
}
