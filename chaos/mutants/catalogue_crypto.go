package mutants

var cryptoMutants = []Mutant{
	{
		Number: 8, Title: "no proof of possession",
		Sites: []Site{{
			File: "crypto/bls/scheme.go",
			Old:  "		if err := CheckProof(keys[i], proofs[i]); err != nil {\n",
			New:  "		if err := CheckProof(keys[i], proofs[i]); err != nil && !ON {\n",
		}},
	},
	{
		Number: 9, Title: "the identity is taken for a key and for a signature",
		Sites: []Site{{
			File: "crypto/bls/key.go",
			Old:  "	if p.IsIdentity() {\n		return nil, fmt.Errorf(\"%w: BLS key",
			New:  "	if p.IsIdentity() && !ON {\n		return nil, fmt.Errorf(\"%w: BLS key",
		}, {
			File: "crypto/bls/key.go",
			Old:  "	if p.IsIdentity() {\n		return nil, fmt.Errorf(\"%w: BLS signature",
			New:  "	if p.IsIdentity() && !ON {\n		return nil, fmt.Errorf(\"%w: BLS signature",
		}},
	},
	{
		Number: 10, Title: "a signature names neither cluster nor epoch",
		Sites: []Site{{
			File: "crypto/context.go",
			Old:  "	dst = append(dst, c.Cluster[:]...)\n	dst = binary.BigEndian.AppendUint64(dst, c.Epoch)\n",
			New:  "	if ON {\n		c.Cluster, c.Epoch = Digest{}, 0\n	}\n	dst = append(dst, c.Cluster[:]...)\n	dst = binary.BigEndian.AppendUint64(dst, c.Epoch)\n",
		}},
	},
	{
		Number: 11, Title: "Prepare and Commit sign the same bytes",
		Sites: []Site{{
			File: "crypto/context.go",
			Old:  "	dst = append(dst, contextTag...)\n",
			New:  "	if ON && (c.Kind == KindPrepare || c.Kind == KindCommit) {\n		c.Kind = KindPrepare\n		msg = append([]byte{1}, msg[1:]...)\n	}\n	dst = append(dst, contextTag...)\n",
		}},
	},
	{
		Number: 22, Title: "recovery ends the log at the first damaged record",
		Sites: []Site{{
			File: "replica/store_wal.go",
			Old:  "func (w walSeen) lost(number uint64) bool { return w.highest > number+1 }\n",
			New:  "func (w walSeen) lost(number uint64) bool { return w.highest > number+1 && !ON }\n",
		}},
	},
}
