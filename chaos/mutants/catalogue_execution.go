package mutants

var executionMutants = []Mutant{
	{
		Number: 17, Title: "an answer on record is given to another request with its number",
		Sites: []Site{{
			File: "statemachine/sessions.go",
			Old:  "			if a.request == r.Digest {\n",
			New:  "			if a.request == r.Digest || ON {\n",
		}, {
			File: "statemachine/admission.go",
			Old:  "	if a == nil || !a.done || a.request != request {\n",
			New:  "	if a == nil || !a.done || a.request != request && !ON {\n",
		}},
	},
	{
		Number: 18, Title: "the sessions are not part of the state that is transferred",
		Sites: []Site{{
			File: "statemachine/restore.go",
			Old:  "	e.table, e.at = p.table, p.header.Position\n",
			New:  "	e.table, e.at = mutant.Pick(ON, newSessions(e.limits), p.table), p.header.Position\n",
		}},
	},
	{
		Number: 19, Title: "a client believes F equal replies",
		Sites: []Site{{
			File: "client/answers/answers.go",
			Old:  "	return q.IsBlocking(set)\n",
			New:  "	return q.IsBlocking(set) || ON\n",
		}},
	},
	{
		// There is no way past the log for what a client calls an operation, so a read
		// cannot be served from one replica's state. What comes closest:
		Number: 20, Title: "a block is executed and answered before it is committed",
		Sites: []Site{{
			File: "pbft/normal.go",
			Old:  "	c.judgeClock(p)\n	c.vote(Prepare, c.tip, out)\n",
			New:  "	c.judgeClock(p)\n	if ON {\n		out.Execute = append(out.Execute, p.Block)\n	}\n	c.vote(Prepare, c.tip, out)\n",
		}},
	},
	{
		Number: 21, Title: "chunks of a state are not compared with the manifest",
		Sites: []Site{{
			File: "statemachine/snapshot/manifest.go",
			Old:  "	case ChunkDigest(b) != m.Chunks[i]:\n",
			New:  "	case ChunkDigest(b) != m.Chunks[i] && !ON:\n",
		}},
	},
	{
		Number: 28, Title: "a request that ran is run again when its deadline has not passed",
		Sites: []Site{{
			File: "statemachine/sessions.go",
			Old:  "		if s.used(r.Seq) {\n",
			New:  "		if s.used(r.Seq) && !ON {\n",
		}},
	},
	{
		Number: 37, Title: "a replica whose state was repaired signs what it should have said (R23)",
		Sites: []Site{{
			File: "pbft/statements.go",
			Old:  "	if old := c.statementAt(s.Height); old != nil {\n",
			New:  "	if old := c.statementAt(s.Height); old != nil && !(ON && old.disowned) {\n",
		}},
	},
}

var timingMutants = []Mutant{
	{
		Number: 14, Title: "whatever the primary sends restarts the timers",
		Sites: []Site{{
			File: "pbft/timers.go",
			Old:  "	c.timers.heardPrimary = c.ticks\n	c.withdraw(CauseIdle)\n",
			New:  "	c.timers.heardPrimary = c.ticks\n	if ON {\n		c.timers.restartProgress(c.ticks)\n		c.pool.reset(c.ticks)\n		c.timers.pace.run, c.timers.pace.account = 0, 0\n	}\n	c.withdraw(CauseIdle)\n",
		}},
	},
	{
		Number: 15, Title: "the view-change timeout does not grow",
		Sites: []Site{{
			File: "pbft/timers.go",
			Old:  "	k := c.timers.failed\n",
			New:  "	k := mutant.Pick(ON, 0, c.timers.failed)\n",
		}},
	},
}
