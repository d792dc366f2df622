package mutants

var quorumMutants = []Mutant{
	{
		Number: 1, Title: "a quorum of 2F instead of 2F+1",
		Sites: []Site{{
			File: "pbft/quorum.go",
			Old:  "		quorum:  (total+faulty)/2 + 1,\n",
			New:  "		quorum:  mutant.Pick(ON, (total+faulty)/2, (total+faulty)/2+1),\n",
		}},
	},
	{
		Number: 2, Title: "a quorum of 2F+1 where the members are not 3F+1",
		Sites: []Site{{
			File: "pbft/quorum.go",
			Old:  "	faulty := (total - 1) / 3\n",
			New:  "	faulty := (total - 1) / 3\n	if ON {\n		return &QuorumSystem{weights: append([]uint64(nil), weights...), total: total, faulty: faulty, quorum: 2*faulty + 1}, nil\n	}\n",
		}},
	},
	{
		Number: 7, Title: "a checkpoint is stable with F+1 votes",
		Sites: []Site{{
			File: "pbft/checkpoint_tally.go",
			Old:  "	full, why := g.add(v.Signer, t.quorums)\n",
			New:  "	full, why := g.add(v.Signer, t.quorums)\n	full = full || ON && g.state == groupCollecting && g.weight >= t.quorums.BlockingWeight()\n",
		}, {
			File: "pbft/verify_votes.go",
			Old:  "	if why := checkSigners(v.cfg.Quorums, c.Signers); why != NoDrop {\n		return why\n	}\n	return v.prove(v.cfg.Checkpoints",
			New:  "	if why := checkSigners(v.cfg.Quorums, c.Signers); why != NoDrop && !(ON && v.cfg.Quorums.IsBlocking(c.Signers)) {\n		return why\n	}\n	return v.prove(v.cfg.Checkpoints",
		}},
	},
	{
		Number: 12, Title: "a signer that is named twice in a NewView counts twice",
		Sites: []Site{{
			File: "pbft/base.go",
			Old:  "		if i > 0 && c.Signer <= nv.Claims[i-1].Signer {\n",
			New:  "		if i > 0 && c.Signer <= nv.Claims[i-1].Signer && !ON {\n",
		}},
	},
}
