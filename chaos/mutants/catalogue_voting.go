package mutants

var votingMutants = []Mutant{
	{
		Number: 13, Title: "votes on in view v after its ViewChange for v+1",
		Sites: []Site{{
			File: "pbft/viewchange.go",
			Old:  "	c.counters.ViewChanges++\n	c.resetView(v)\n	c.sendViewChange(out)\n",
			New: `	if ON {
		old := c.durable
		c.durable.View = v
		if c.High().View < v {
			out.durable(Everyone, c.viewChange())
		}
		c.durable = old
		return
	}
	c.counters.ViewChanges++
	c.resetView(v)
	c.sendViewChange(out)
`,
		}},
	},
	{
		Number: 24, Title: "no high watermark",
		Sites: []Site{{
			File: "pbft/normal.go",
			Old:  "	case p.Height > c.executed+2*c.cfg.Window:\n",
			New:  "	case p.Height > c.executed+2*c.cfg.Window && !ON:\n",
		}, {
			File: "pbft/normal.go",
			Old:  "	return min(c.executed+c.cfg.Window, c.SnapshotHeight()+c.cfg.LogMax)\n",
			New:  "	return mutant.Pick(ON, ^Height(0)>>1, min(c.executed+c.cfg.Window, c.SnapshotHeight()+c.cfg.LogMax))\n",
		}},
	},
	{
		Number: 26, Title: "two branches of one view may be voted for (R1)",
		Sites: []Site{{
			File: "pbft/normal.go",
			Old:  "	voted := c.durable.Voted\n	if height < c.durable.Floor {\n",
			New:  "	voted := c.durable.Voted\n	if ON {\n		return true\n	}\n	if height < c.durable.Floor {\n",
		}, {
			File: "pbft/normal.go",
			Old:  "		c.prove(ProveTwoProposals(old, p), out)\n		return DropConflict\n",
			New:  "		c.prove(ProveTwoProposals(old, p), out)\n		if ON {\n			c.seen[p.Height] = p\n			if p.Height <= c.tip.Height {\n				if r := (BlockRef{p.Height - 1, p.Parent}); c.extendsCommitted(r) {\n					c.tip = r\n				}\n			}\n			return NoDrop\n		}\n		return DropConflict\n",
		}},
	},
	{
		Number: 27, Title: "votes above the base before the base is committed (RV)",
		Sites: []Site{{
			File: "pbft/normal.go",
			Old:  "	for c.open && c.tipSet {\n",
			New:  "	for (c.open || ON && c.durable.Entered) && c.tipSet {\n",
		}, {
			File: "pbft/normal.go",
			Old:  "	return c.open && c.tipSet && c.isPrimary()",
			New:  "	return (c.open || ON && c.durable.Entered) && c.tipSet && c.isPrimary()",
		}},
	},
}

var viewMutants = []Mutant{
	{
		Number: 3, Title: "a ViewChange hides what was prepared",
		Sites: []Site{{
			File: "pbft/viewchange.go",
			Old:  "	claim := Claim{View: c.durable.View, High: c.High(), Block: c.cfg.Start.Digest(), Stable: c.Stable()}\n",
			New: `	if ON {
		hidden := Claim{View: c.durable.View, High: Rank{0, c.cfg.Start.Height}, Block: c.cfg.Start.Digest(), Stable: c.Stable()}
		return &ViewChange{SignedClaim: SignedClaim{Claim: hidden, Signer: c.cfg.Self}}
	}
	claim := Claim{View: c.durable.View, High: c.High(), Block: c.cfg.Start.Digest(), Stable: c.Stable()}
`,
		}},
	},
	{
		Number: 4, Title: "a NewView's base is not compared with its claims",
		Sites: []Site{{
			File: "pbft/base.go",
			Old:  "	top, ok := ChooseBase(nv.Claims)\n	if !ok {\n",
			New:  "	top, ok := ChooseBase(nv.Claims)\n	if ON {\n		return NoDrop\n	}\n	if !ok {\n",
		}},
	},
	{
		Number: 5, Title: "a view starts from the lowest claim",
		Sites: []Site{{
			File: "pbft/base.go",
			Old:  "		case i == 0 || order > 0:\n			top, ok = *c, true\n",
			New:  "		case i == 0 || order > 0 && !ON || order < 0 && ON:\n			top, ok = *c, true\n",
		}, {
			File: "pbft/viewchange.go",
			Old:  "		case i == 0 || order > 0:\n			top, rival = *c, nil\n",
			New:  "		case i == 0 || order > 0 && !ON || order < 0 && ON:\n			top, rival = *c, nil\n",
		}},
	},
	{
		Number: 16, Title: "joins the highest view that anybody claims",
		Sites: []Site{{
			File: "pbft/viewchange.go",
			Old:  "		if x > best && ReplicaID(i) != c.cfg.Self && c.quorums.IsBlocking(c.atLeast(x, false)) {\n",
			New:  "		if x > best && ReplicaID(i) != c.cfg.Self && (ON || c.quorums.IsBlocking(c.atLeast(x, false))) {\n",
		}},
	},
	{
		Number: 25, Title: "votes of two views are held for proof of two votes in one",
		Sites: []Site{{
			File: "pbft/tally.go",
			Old:  "		t.first[currentView][id] = nil\n		if t.newer[id] > view {\n",
			New:  "		if !ON {\n			t.first[currentView][id] = nil\n		}\n		if t.newer[id] > view {\n",
		}, {
			File: "pbft/prove.go",
			Old:  "	if a.Signer != b.Signer || a.View != b.View {\n",
			New:  "	if a.Signer != b.Signer || a.View != b.View && !ON {\n",
		}, {
			File: "pbft/evidence_check.go",
			Old:  "	if a.View != b.View {\n		return fmt.Errorf(\"votes of views",
			New:  "	if a.View != b.View && !ON {\n		return fmt.Errorf(\"votes of views",
		}},
	},
	{
		Number: 29, Title: "a block certified again in a higher view does not raise the highest certificate",
		Sites: []Site{{
			File: "pbft/commit.go",
			Old:  "	if !c.High().Less(q.Rank()) {\n",
			New:  "	if !c.High().Less(q.Rank()) || ON && c.high != nil && c.high.Block == q.Block {\n",
		}},
	},
	{
		Number: 30, Title: "a restarted primary makes another NewView for the same view",
		Sites: []Site{{
			File: "pbft/viewchange.go",
			Old:  "		// On disk before it leaves: after a restart the same NewView is sent again,\n",
			New:  "		if ON {\n			out.durable(Everyone, n)\n			return\n		}\n		// On disk before it leaves: after a restart the same NewView is sent again,\n",
		}},
	},
}
