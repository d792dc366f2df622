package mutants

var durabilityMutants = []Mutant{
	{
		Number: 6, Title: "a vote leaves before it is on the disk",
		Sites: []Site{{
			File: "replica/node.go",
			Old:  "		n.host.Persist(b)\n",
			New:  "		if ON {\n			for _, e := range out.Durable {\n				if e.To != n.cfg.Core.Self {\n					n.host.Send(e.To, e.Message)\n				}\n			}\n		}\n		n.host.Persist(b)\n",
		}},
	},
	{
		Number: 23, Title: "a failed sync is ignored",
		Sites: []Site{{
			File: "replica/logwriter.go",
			Old:  "	if err := w.store.Write(records, sync); err != nil {\n		return err\n",
			New:  "	if err := w.store.Write(records, sync); err != nil && !ON {\n		return err\n",
		}},
	},
	{
		Number: 31, Title: "a replica that lost its disk votes again at once",
		Sites: []Site{{
			File: "pbft/rejoin.go",
			Old:  "	if q == nil || q.View <= r.max || !c.durable.Entered",
			New:  "	if q == nil || q.View <= r.max && !ON || !c.durable.Entered",
		}, {
			File: "pbft/rejoin.go",
			Old:  "		if !c.quorums.IsQuorum(counted) {\n			return\n		}\n",
			New:  "		if !c.quorums.IsQuorum(counted) && !ON {\n			return\n		}\n",
		}},
	},
	{
		Number: 32, Title: "answers to an earlier life count for rejoining",
		Sites: []Site{{
			File: "pbft/rejoin.go",
			Old:  "m.Echo == 0 || m.Echo != c.cfg.Incarnation {\n",
			New:  "(m.Echo == 0 || m.Echo != c.cfg.Incarnation) && !ON {\n",
		}},
	},
	{
		Number: 33, Title: "a replica that lost its disk never votes again",
		Sites: []Site{{
			File: "pbft/rejoin.go",
			Old:  "	c.follower = false\n",
			New:  "	if ON {\n		return\n	}\n	c.follower = false\n",
		}},
	},
	{
		Number: 34, Title: "the NewView that a replica enters by is not written down",
		Sites: []Site{{
			File: "pbft/spine.go",
			Old:  "	out.put(s.key(), n.append(nil))\n	c.noteStored(s)\n}\n\n// storeNewViews",
			New:  "	if ON {\n		return\n	}\n	out.put(s.key(), n.append(nil))\n	c.noteStored(s)\n}\n\n// storeNewViews",
		}},
	},
	{
		Number: 35, Title: "votes are sent again below the floor that a vote on a lost branch sets (1.6)",
		Sites: []Site{{
			File: "pbft/status.go",
			Old:  "	floor = max(floor, s.Floor)\n",
			New:  "	if !ON {\n		floor = max(floor, s.Floor)\n	}\n",
		}},
	},
	{
		Number: 36, Title: "the state on disk has the height of the last vote and not its block (R1)",
		Sites: []Site{{
			File: "pbft/record.go",
			Old:  "	b = appendRef(b, s.Voted)\n",
			New:  "	b = appendRef(b, mutant.Pick(ON, BlockRef{s.Voted.Height, s.NewView}, s.Voted))\n",
		}},
	},
}
