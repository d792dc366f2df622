package chaos

import (
	"math"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

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

// suspectAll has a traitor ask for the next view by its Status, again and again; if
// it is the primary, that alone is enough.
func (p *puppet) suspectFrom(at time.Duration) func(m pbft.Message) pbft.Message {
	return func(m pbft.Message) pbft.Message {
		if s, ok := m.(*pbft.Status); ok && p.Host.Now() >= at && s.View == 0 {
			x := *s
			x.Suspect = true
			return &x
		}
		return m
	}
}

// forgery is a certificate that nobody signed, for a quorum of all but the last.
func forgery(d *directed, s pbft.Statement) *pbft.Certificate {
	signers := crypto.NewBitmap(len(d.replicas))
	for i := range uint16(d.quorums.QuorumWeight()) {
		signers.Set(pbft.ReplicaID(i))
	}
	return &pbft.Certificate{Statement: s, Signers: signers, Proof: make([]byte, 96)}
}

// playStuckCertificate: the traitor is the first primary; it falls silent and then
// claims a certificate above everybody's that nobody signed. Replica 3's honest claim
// is late, so the next primary has a quorum only with the lie in it.
func playStuckCertificate(a *act) {
	d := a.direct(traitor(0, "mute"))
	var lie pbft.Claim
	lies := 0
	d.corrupt(0, func(p *puppet) {
		asks := p.suspectFrom(400 * time.Millisecond)
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			switch x := m.(type) {
			case *pbft.PrePrepare:
				return p.Host.Now() < 400*time.Millisecond
			case *pbft.ViewChange:
				high := pbft.Statement{Phase: pbft.Prepare, View: x.View - 1, Height: x.High.Height + 3, Block: crypto.Hash("chaos/no such block")}
				if x.View > 1 {
					return true
				}
				lie = pbft.Claim{View: x.View, High: high.Rank(), Block: high.Block, Phase: pbft.Prepare, Stable: x.Stable}
				lies++
				p.Transmit(to, &pbft.ViewChange{SignedClaim: pbft.SignedClaim{Claim: lie, Signer: p.Self}, Certificate: forgery(d, high)})
				return false
			}
			p.Transmit(to, asks(m))
			return false
		}
	})
	opened, ofTraitor, named := time.Duration(0), false, false
	early := 0
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		switch m := m.(type) {
		case *pbft.ViewChange:
			if from == 0 {
				early++
			}
			// The honest claim waits until the lie was looked at.
			return from == 3 && to == 1 && !named
		case *pbft.NewView:
			if m.View == 1 && opened == 0 {
				opened = d.now
				for i := range m.Claims {
					ofTraitor = ofTraitor || m.Claims[i].Signer == 0
				}
			}
		}
		return false
	})
	d.watch(10*time.Millisecond, func() {
		named = named || d.core(1).Counters().Dropped[pbft.KindViewChange][pbft.DropClaim] > 0
		if !named && opened == 0 && d.now > 900*time.Millisecond {
			named = true // or replica 3 would wait for ever
		}
	})
	r := d.play()
	dropped := d.core(1).Counters().Dropped[pbft.KindViewChange][pbft.DropClaim]
	a.occurred(lies > 0 && early > 0, "a claim above everybody's, with a certificate that nobody signed")
	a.holds(dropped > 0, "the primary of view 1 found no claim without its certificate")
	a.holds(opened > 0 && !ofTraitor, "view 1 does not open on honest claims (opened %v, with the traitor's %t)", opened, ofTraitor)
	a.holds(r.ViewChanges == 1, "view %d was reached, the first view change should have been enough", r.ViewChanges)
	a.fact("a claim of rank %v that no certificate proves was in the first quorum; the primary of view 1 named it and opened the view without it", lie.High)
	a.fact("%d blocks, highest view %d", r.Blocks, r.ViewChanges)
}

// playWrongSet: at the view change every replica claims another stable checkpoint,
// the traitor one beyond all that exist.
func playWrongSet(a *act) {
	d := a.direct(traitor(0, "mute"))
	const away = 700 * time.Millisecond
	d.corrupt(0, func(p *puppet) {
		asks := p.suspectFrom(away)
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			if v, ok := m.(*pbft.ViewChange); ok {
				x := v.Claim
				x.Stable = 1 << 40
				p.Transmit(to, &pbft.ViewChange{SignedClaim: pbft.SignedClaim{Claim: x, Signer: p.Self}, Certificate: v.Certificate})
				return false
			}
			p.Transmit(to, asks(m))
			return false
		}
	})
	stables := map[pbft.Height]bool{}
	opened := false
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		if n, ok := m.(*pbft.NewView); ok && n.View == 1 && !opened {
			opened = true
			for i := range n.Claims {
				stables[n.Claims[i].Stable] = true
			}
		}
		if opened {
			return false
		}
		if v, ok := m.(*pbft.ViewChange); ok && v.View == 1 {
			return from == 3 // so that the quorum is 0, 1 and 2
		}
		if to == 2 && d.now > 300*time.Millisecond {
			switch m.(type) {
			case *pbft.Status, *pbft.ViewChange:
				return false
			}
			return true
		}
		return false
	})
	r := d.play()
	a.occurred(len(stables) == 3, "three claims with three stable checkpoints in the NewView (%v)", stables)
	a.holds(r.ViewChanges == 1, "view %d was reached, the first view change should have been enough", r.ViewChanges)
	a.fact("view 1 opened on claims with %d different stable checkpoints, one of them 2^40; no other view was needed", len(stables))
	a.fact("%d blocks", r.Blocks)
}

// playHugeView: in a cluster of ten a traitor says in every way that it is in views up
// to 2^64-1, also as their primary.
func playHugeView(a *act) {
	d := a.direct(func(o *Options) {
		o.Weights = equalWeights(10)
		traitor(4, "mute")(o)
	})
	views := []pbft.View{math.MaxUint64, math.MaxUint64 - 1, 1 << 63, 1<<63 - 1, 1 << 62, 1 << 32, 1 << 31, 1000, 4, 14}
	said, verified, n := 0, 0, 0
	d.corrupt(4, func(p *puppet) {
		p.tick = func() {
			v := views[n%len(views)]
			n++
			claim := p.startClaim(v)
			p.Broadcast(claim)
			p.Broadcast(&pbft.Status{View: v, Entered: true, Open: true, High: pbft.Rank{View: v, Height: math.MaxUint64}, Committed: math.MaxUint64 - 1, Suspect: true})
			if p.Schedule.Primary(0, v) == p.Self {
				signed := pbft.Sign(p.Core.Cluster, 0, claim, p.Keys).(*pbft.ViewChange)
				p.Broadcast(&pbft.NewView{View: v, Claims: []pbft.SignedClaim{signed.SignedClaim}})
			}
			said += 3
			if d.verdict(0, p.Self, pbft.Sign(p.Core.Cluster, 0, claim, p.Keys)) == pbft.NoDrop {
				verified++
			}
		}
	})
	r := d.play()
	a.occurred(said > 500 && verified > 100, "%d huge views, %d of them authentic", said, verified)
	a.holds(r.ViewChanges == 0, "an honest replica went to view %d", r.ViewChanges)
	a.fact("%d messages with views up to 2^64-1, correctly signed: no honest replica left view 0, %d blocks", said, r.Blocks)
}

func playStorm(a *act) {
	d := a.direct(traitor(2, "storm"))
	r := d.play()
	a.occurred(d.deeds(2) > 100, "the traitor asked for view changes %d times", d.deeds(2))
	// The view that it is asked to rule itself it may end: by silence it could, too.
	a.holds(r.ViewChanges == 0, "view %d was reached", r.ViewChanges)
	a.fact("one of four asked for another view %d times: none was opened, %d blocks", d.deeds(2), r.Blocks)
}

// playFakedFields: a traitor passes on what others signed, with one field changed.
func playFakedFields(a *act) {
	d := a.direct(traitor(3, "mute"))
	faked, good := 0, 0
	taken := map[string]int{}
	d.corrupt(3, func(p *puppet) {
		send := func(what string, m pbft.Message) {
			faked++
			if d.core(1) != nil && d.verdict(1, p.Self, m) == pbft.NoDrop {
				taken[what]++
			}
			p.Broadcast(m)
		}
		p.hear = func(from pbft.ReplicaID, m pbft.Message) bool {
			switch m := m.(type) {
			case *pbft.ViewChange:
				good++
				for _, fake := range []func(x *pbft.ViewChange){
					func(x *pbft.ViewChange) { x.View++ },
					func(x *pbft.ViewChange) { x.Signer = (x.Signer + 1) % 3 },
					func(x *pbft.ViewChange) { x.Stable += 8 },
				} {
					x := *m
					fake(&x)
					send("ViewChange", &x)
				}
			case *pbft.NewView:
				good++
				for _, fake := range []func(x *pbft.NewView){
					func(x *pbft.NewView) { x.Claims[0].Stable++ },
					func(x *pbft.NewView) { x.Claims[0].Signer, x.Claims[1].Signer = x.Claims[1].Signer, x.Claims[0].Signer },
					func(x *pbft.NewView) { x.View += 4 },
				} {
					x := &pbft.NewView{View: m.View, Claims: append([]pbft.SignedClaim(nil), m.Claims...), Certificate: m.Certificate, Signature: m.Signature}
					fake(x)
					send("NewView", x)
				}
			case *pbft.PrePrepare:
				if good++; good%4 == 0 {
					h := m.Header
					h.Time++
					send("PrePrepare", &pbft.PrePrepare{Block: pbft.NewBlock(h, m.Requests), Signature: m.Signature})
				}
			}
			return true
		}
	})
	var heal func()
	d.at(500*time.Millisecond, func() { heal = d.isolate(0) })
	d.at(1500*time.Millisecond, func() { heal() })
	r := d.play()
	a.occurred(faked > 50 && r.ViewChanges > 0, "%d messages passed on with a field changed, a view change among them", faked)
	a.holds(len(taken) == 0, "taken with a changed field: %v", taken)
	a.holds(r.ViewChanges <= 2, "view %d was reached", r.ViewChanges)
	a.fact("%d messages of others passed on with one field changed and their old signature, ViewChanges and NewViews among them: none verified", faked)
	a.fact("highest view %d, %d blocks", r.ViewChanges, r.Blocks)
}

func playPoorNetwork(a *act) {
	d := a.direct(func(o *Options) {
		o.Storm = 12 * time.Second
		o.Think = 10 * time.Millisecond
		o.Network = Network{Delay: 2 * time.Millisecond, Jitter: 3 * time.Millisecond, Loss: 0.02, Tail: 0.005, Duplicate: 0.01}
		o.Timeouts.Progress, o.Timeouts.RequestAge, o.Timeouts.Retry = 50, 200, 3
	})
	sent := uint64(0)
	d.hold(func(pbft.ReplicaID, pbft.ReplicaID, pbft.Message) bool { sent++; return false })
	r := d.play()
	a.occurred(sent > 5000, "%d messages on a network that loses 2%%", sent)
	a.holds(r.ViewChanges == 0, "view %d was reached in %v", r.ViewChanges, d.opts.Storm)
	a.fact("2%% of more than %d messages lost, others fifty times as late: no view change in %v, %d blocks", sent/1000*1000, d.opts.Storm, r.Blocks)
}

// playBackupsApart: the backups hear each other's suspicions, and then only the primary:
// all four have left for view 1, the old primary has all four ViewChanges, and everybody
// else, the new primary among them, has two.
func playBackupsApart(a *act) {
	d := a.direct(nil)
	const from = 500 * time.Millisecond
	until := time.Hour
	d.hold(func(x, y pbft.ReplicaID, m pbft.Message) bool {
		if d.now < from || d.now >= until {
			return false
		}
		switch m.(type) {
		case *pbft.Status:
			return false
		case *pbft.Certificate:
			return true // those that the primary passes on would do without the backups' links
		}
		return x != 0 && y != 0
	})
	stuck, resumed := pbft.Height(0), time.Duration(0)
	d.watch(10*time.Millisecond, func() {
		left := true
		for i := range pbft.ReplicaID(4) {
			left = left && d.core(i).View() == 1
		}
		switch c := d.core(1); {
		case until == time.Hour && left && !c.Entered():
			until, stuck = d.now+60*time.Millisecond, c.Committed()
		case d.now > until && resumed == 0 && c.Committed() > stuck:
			resumed = d.now - until
		}
	})
	r := d.play()
	a.occurred(until < time.Hour, "all four in view 1, each backup without the others' ViewChanges")
	a.holds(resumed > 0 && resumed < 200*time.Millisecond, "no block soon after the links' return (%v)", resumed)
	a.holds(r.ViewChanges == 1, "view %d was reached", r.ViewChanges)
	a.fact("four replicas in view 1 with two ViewChanges at each backup: once they heard each other again the next block came after %v, in view %d", resumed.Round(time.Millisecond), r.ViewChanges)
}

// playOnePartitioned cuts off the primary, heals it, and cuts off the next one at the
// moment when it opens its view.
func playOnePartitioned(a *act) {
	d := a.direct(nil)
	cuts, blocks, opening := 0, pbft.Height(0), false
	var heal func()
	victim := pbft.ReplicaID(0)
	cut := func(id pbft.ReplicaID) {
		if heal != nil {
			heal()
		}
		cuts, victim, heal = cuts+1, id, d.isolate(id)
	}
	d.at(500*time.Millisecond, func() { cut(0) })
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		if n, ok := m.(*pbft.NewView); ok && n.View == 1 && from == 1 {
			if !opening {
				opening = true
				d.after(2*time.Millisecond, func() { cut(1) })
			}
			return to != 2 // one of three has it
		}
		return false
	})
	d.at(2500*time.Millisecond, func() { blocks = d.core(3).Committed() })
	grown := pbft.Height(0)
	d.at(2990*time.Millisecond, func() { grown = d.core(3).Committed() - blocks })
	r := d.play()
	a.occurred(cuts == 2 && victim == 1, "the primary cut off, and the next one when it opened its view (%d)", cuts)
	a.holds(grown > 10, "%d blocks in half a second with one of four cut off", grown)
	a.fact("the primary was cut off, then the next one in the middle of opening its view: view %d ordered %d blocks in half a second without it", r.ViewChanges, grown)
}

// playWithoutViewChanges: replica 3 gets no ViewChange at all.
func playWithoutViewChanges(a *act) {
	d := a.direct(nil)
	held, got := 0, 0
	var heal func()
	d.at(500*time.Millisecond, func() { heal = d.isolate(0) })
	d.at(1200*time.Millisecond, func() { heal() })
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		if _, ok := m.(*pbft.ViewChange); ok && to == 3 {
			held++
			return true
		}
		if s, ok := m.(*pbft.Status); ok && to == 3 && s.View == 1 && !s.Entered {
			return true
		}
		return false
	})
	entered := time.Duration(0)
	votes := 0
	d.watch(10*time.Millisecond, func() {
		if c := d.core(3); entered == 0 && c.View() == 1 && c.Entered() {
			entered = d.now
		}
		if entered > 0 && d.core(3).View() == 1 && d.core(3).Open() {
			votes++
		}
	})
	r := d.play()
	a.occurred(held > 0 && got == 0 && r.ViewChanges > 0, "no ViewChange reached replica 3 (%d held)", held)
	a.holds(entered > 0 && entered < 1500*time.Millisecond && votes > 0, "replica 3 is not in view 1 (%v)", entered)
	a.fact("none of %d ViewChanges reached replica 3: it entered view 1 at %v by the NewView alone, and took part", held, entered.Round(time.Millisecond))
}
