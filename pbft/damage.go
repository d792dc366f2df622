package pbft

// Damaged reports that the host cannot read its own state any more, because the disk has
// changed or lost a part of it. That is a divergence like others (R24), but for one thing:
// nobody has to say which state is right, so the repair begins with the last certified
// snapshot at once. Statements that were made before and that no certificate confirmed are
// disowned, although they were right as far as anybody knows: it costs a vote at most, and
// what damage did before it was found nobody can tell.
//
// If the state is known to be wrong already, its repair makes this good as well.
func (c *Core) Damaged(out *Output) {
	if c.diverged == nil {
		at := CheckpointStatement{Height: c.executed}
		c.diverge(Divergence{Mine: at, Other: at, Damaged: true}, out)
	}
	c.finish(out)
}
