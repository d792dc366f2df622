package chaos

// View changes: claims that lie, views that are huge, changes without end or that
// never come about.

var viewScenarios = []Scenario{
	{
		Name: "fab-stuck-progress-certificate", Origin: "FaB Paxos", Bugs: []string{"FaB"}, Kind: Caught,
		Wrong: "The messages that a new leader collected could vouch for no value at all: what one liar said of an earlier round contradicted the others, the certificate permitted " +
			"nothing, and every later leader was stuck with it.",
		Differs: "Any quorum of claims has exactly one answer, the highest. A claim that its certificate does not prove is dropped and named by the primary, who takes the next; " +
			"the view opens with whoever else is there.",
		Rules: "R14",
		Breaches: []Breach{without("the primary believes claims without looking at their certificates", "pbft/viewchange.go",
			"m.Certificate != nil && c.cfg.CheckCertificate(m.Certificate) == nil", "m.Certificate != nil && (ON || c.cfg.CheckCertificate(m.Certificate) == nil)")},
		play: playStuckCertificate,
	},
	{
		Name: "fabric-pbft-quorum-over-the-wrong-set", Origin: "Fabric PBFT 0.5", Bugs: []string{"Fabric PBFT #1111"}, Kind: ByDesign,
		Wrong: "Choosing where a view starts, a quorum was counted among the replicas that agree on a checkpoint (S') and not among all that sent a view change (S). " +
			"With checkpoints at different heights no view change ever ended.",
		Differs: "Checkpoints play no part in choosing the base: a claim's stable height is information only. The base is the highest certificate of any quorum of claims.",
		Rules:   "R14, PROTOCOL 1.3",
		Breaches: []Breach{without("a quorum of the claims must know the same checkpoint", "pbft/base.go", "	if weight < q.QuorumWeight() {\n",
			"	alike := uint64(0)\n	for i := range nv.Claims {\n		if nv.Claims[i].Stable == nv.Claims[0].Stable {\n			alike += q.Weight(nv.Claims[i].Signer)\n		}\n	}\n	if weight < q.QuorumWeight() || ON && alike < q.QuorumWeight() {\n")},
		play: playWrongSet,
	},
	{
		Name: "fisco-huge-view", Origin: "FISCO-BCOS 3.0", Bugs: []string{"FISCO-BCOS #2211", "FISCO-BCOS #2312"}, Kind: Caught,
		Wrong:   "One replica's view-change message with a huge view was followed: the others raced after it, or their counters overflowed and the traitor was the leader for ever.",
		Differs: "A replica joins the largest view that a blocking set has reached, so an honest one is there; one sender counts with one message, its highest, and views are compared and never added to.",
		Rules:   "R9, R10, R3",
		Mutants: []string{"M16"},
		play:    playHugeView,
	},
	{
		Name: "fisco-one-traitor-keeps-views-changing", Origin: "FISCO-BCOS 3.0", Bugs: []string{"FISCO-BCOS #2206"}, Kind: Caught,
		Wrong:   "One malicious node of four kept the others changing views until nothing was ordered any more.",
		Differs: "Suspicion is collective: a replica leaves a view on the suspicions of a quorum, or for one that a blocking set has reached. F traitors are neither.",
		Rules:   "R10, R12",
		Breaches: []Breach{without("one that suspects makes the others suspect", "pbft/suspicion.go",
			"		if !c.quorums.IsBlocking(set) {\n", "		if !c.quorums.IsBlocking(set) && !(ON && set.Count() > 0) {\n")},
		play: playStorm,
	},
	{
		Name: "fisco-hash-not-recomputed", Origin: "FISCO-BCOS 3.0", Bugs: []string{"FISCO-BCOS #2448"}, Kind: Caught,
		Wrong: "View-change and new-view packets carried their own hash, and the receiver checked the signature against that hash, not against the content: " +
			"a traitor changed view or sender of a good packet, and it was taken.",
		Differs: "No message carries a digest of itself. What is verified is the canonical encoding of what was decoded, and of a NewView every claim in it.",
		Rules:   "DESIGN: one canonical encoding",
		Breaches: []Breach{without("a ViewChange's signature is not held against its content", "pbft/verify.go",
			"	if !v.verifyMember(m.Signer, crypto.KindViewChange, m.Claim.Append(nil), m.Signature) {\n", "	if !v.verifyMember(m.Signer, crypto.KindViewChange, m.Claim.Append(nil), m.Signature) && !ON {\n")},
		play: playFakedFields,
	},
	{
		Name: "fabric-pbft-views-change-on-a-poor-network", Origin: "Fabric PBFT 0.5", Bugs: []string{"Fabric PBFT #917"}, Kind: Caught,
		Wrong:   "On a network that lost or delayed a little, views changed all the time: 13 in ten minutes on one laptop, and no transactions meanwhile.",
		Differs: "Whatever is lost is pushed again when a status shows that it is missing, long before any timer runs out; progress withdraws suspicions.",
		Rules:   "R12, R13",
		Breaches: []Breach{without("what a status shows to be missing is not pushed", "pbft/status.go",
			"	if !p.pushed || c.ticks >= p.lastPush", "	if !ON && !p.pushed || !ON && c.ticks >= p.lastPush")},
		play: playPoorNetwork,
	},
	{
		Name: "fabric-pbft-view-change-without-end", Origin: "Fabric PBFT 0.6", Bugs: []string{"Fabric PBFT #2032"}, Kind: Caught,
		Wrong: "After an hour the replicas repeated the same view-change messages to each other for ever, each answering that it had them already. " +
			"A related report tells how it comes about: backups that cannot hear each other for a moment each hold too few view changes, and nothing makes up for it later.",
		Differs: "ViewChanges are repeated until the view is entered, by a timer and on every status, the highest of each sender counts, and the timer that gives up a view runs only " +
			"while a quorum is known to be there: once the links are back, one view change is enough.",
		Rules: "R9, R13",
		Breaches: []Breach{{
			Title: "ViewChanges, and what a status shows to be missing, are sent once",
			Sites: []BreachSite{
				{"pbft/timers.go", "	return !c.durable.Entered && c.wantNewView.IsZero() && c.ticks >= c.timers.lastChange", "	return !ON && !c.durable.Entered && c.wantNewView.IsZero() && c.ticks >= c.timers.lastChange"},
				{"pbft/status.go", "	view := c.durable.View\n	if m.View < view || m.View == view && !m.Entered {\n", "	view := c.durable.View\n	if !ON && (m.View < view || m.View == view && !m.Entered) {\n"},
				{"pbft/viewchange.go", "	if m.Signer != c.cfg.Self && (m.View < c.durable.View ||", "	if !ON && m.Signer != c.cfg.Self && (m.View < c.durable.View ||"},
			},
		}},
		play: playBackupsApart,
	},
	{
		Name: "bft-smart-livelock-one-partitioned", Origin: "BFT-SMaRt", Bugs: []string{"BFT-SMaRt #19"}, Kind: Caught,
		Wrong:   "With one replica of four partitioned, cut off just when a leader change was about to happen, the others never made progress again.",
		Differs: "Three of four are a quorum, for suspecting as well as for claims: they leave the view of a primary that is gone, and none of them waits for the fourth.",
		Rules:   "R9, R11, R12",
		Breaches: []Breach{without("a view is left only when everybody suspects", "pbft/suspicion.go",
			"	if c.quorums.IsQuorum(set) {\n		c.leave", "	if c.quorums.IsQuorum(set) && !(ON && set.Count() < c.quorums.N()) {\n		c.leave")},
		play: playOnePartitioned,
	},
	{
		Name: "concord-newview-without-viewchanges", Origin: "concord-bft", Bugs: []string{"concord-bft #704"}, Kind: ByDesign,
		Wrong:   "A backup that had the NewView, but not the view-change messages that it referred to, could not enter the view, and nobody sent them again.",
		Differs: "A NewView refers to nothing: it holds the signed claims themselves, and the certificate of the highest. Whoever has it can enter, and can pass it on.",
		Rules:   "R13, R14",
		Breaches: []Breach{without("a NewView counts only with the ViewChanges heard", "pbft/viewchange.go",
			"	case n.View < s.View:\n		c.noteRival(from, n, out)\n", "	case ON && from != c.cfg.Self && func() bool { _, set := c.claimsFor(n.View); return !c.quorums.IsQuorum(set) }():\n		return DropBase\n	case n.View < s.View:\n		c.noteRival(from, n, out)\n")},
		play: playWithoutViewChanges,
	},
}
