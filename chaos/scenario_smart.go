package chaos

import (
	"fmt"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// Several things at once: a decision and a view change, a sync and a proposal in
// flight, a restart in the middle.

var smartScenarios = []Scenario{
	{
		Name: "smartbft-delivers-twice", Origin: "SmartBFT", Bugs: []string{"SmartBFT #570", "SmartBFT #538"}, Kind: Caught,
		Wrong: "A node had a proposal in flight and asked for a view change; the decision reached it through the synchroniser and, because its checkpoint had not moved, " +
			"once more in the view data of the next view: delivered twice. In a variant the second view data found the proposal behind the last decision, and the node crashed.",
		Differs: "What is committed is a height of the one chain. A CommitQC by whatever route (link, NewView, Blocks, bundle) commits what lies between the committed height and its own; " +
			"at or below it there is nothing to commit. The base of a view is voted for again, and executed once.",
		Rules: "R2, RV, PROTOCOL 1.2",
		Breaches: []Breach{{
			Title: "a base that is committed again in another view is executed again",
			Sites: []BreachSite{
				{"pbft/commit.go", "	if on && q.View > c.maxCommitView {\n", "	if ON && on && q.View > c.maxCommitView && executedLast[c] != nil && executedLast[c].Height == q.Height {\n		out.Execute = append(out.Execute, executedLast[c])\n	}\n	if on && q.View > c.maxCommitView {\n"},
				{"pbft/commit.go", "		out.Execute = append(out.Execute, p.Block)\n		c.pool.remove", "		out.Execute = append(out.Execute, p.Block)\n		if ON {\n			executedLast[c] = p.Block\n		}\n		c.pool.remove"},
				{"replica/runner.go", "		if uint64(b.Height) <= r.exec.Position().Height {\n", "		if uint64(b.Height) <= r.exec.Position().Height && !ON {\n"},
				{"pbft/commit.go", "// onCertificate takes a valid certificate", "// ON\nvar executedLast = map[*Core]*Block{}\n\n// onCertificate takes a valid certificate"},
			},
		}},
		play: playDeliverTwice,
	},
	{
		Name: "smartbft-sequence-committed-twice", Origin: "SmartBFT", Bugs: []string{"SmartBFT #553"}, Kind: Caught,
		Wrong:   "The same sequence was committed twice.",
		Differs: "A height is committed once (see smartbft-delivers-twice), and what a primary proposes again at another height runs once: the sessions, part of the certified state, know each client's numbers.",
		Rules:   "R17",
		Mutants: []string{"M28"},
		play:    playCommittedTwice,
	},
	{
		Name: "smartbft-stuck-in-propose", Origin: "SmartBFT", Bugs: []string{"SmartBFT #561"}, Kind: Caught,
		Wrong:   "A leader got stuck in its step of proposing, and the node with it.",
		Differs: "Proposing is a function that returns, tried again after every step. A primary that was restarted in the middle of a proposal may not propose in that view; it says so, and is replaced at once instead of by a timer.",
		Rules:   "R6, abdication",
		Breaches: []Breach{without("that the primary itself asks to be replaced counts for nothing", "pbft/status.go",
			"	if m.View == c.durable.View && from == c.Primary() {\n", "	if m.View == c.durable.View && from == c.Primary() && !ON {\n")},
		play: playStuckInPropose,
	},
	{
		Name: "smartbft-decide-and-abort", Origin: "SmartBFT", Bugs: []string{"SmartBFT #622"}, Kind: Caught,
		Wrong:   "A decision came to its end in the moment in which the view was stopped; each waited for the other, and the node stood still.",
		Differs: "One goroutine does both, one after the other. A CommitQC counts in whatever view the replica is, also between two views, so the decision neither waits for the view change nor gets lost.",
		Rules:   "R2",
		Breaches: []Breach{without("between two views no certificate counts", "pbft/commit.go",
			"	used := c.raiseHigh(q, out)\n", "	if ON && !c.durable.Entered && q.View < c.durable.View {\n		return DropOldView\n	}\n	used := c.raiseHigh(q, out)\n")},
		play: playDecideAndAbort,
	},
	{
		Name: "smartbft-same-height-sync", Origin: "SmartBFT", Bugs: []string{"SmartBFT #663"}, Kind: Caught,
		Wrong:   "A sync that brought nothing new, because the node was at that height already, reset its count of decisions in the view to zero. Every later proposal looked wrong, and it fell behind for good.",
		Differs: "A bundle that is not above what the replica has changes nothing at all, and blocks that nobody asked for are not looked at.",
		Rules:   "PROTOCOL 1.3",
		Breaches: []Breach{{
			Title: "a bundle of the height that is stable already sets the replica back to it",
			Sites: []BreachSite{
				{"pbft/stable.go", "	h := b.Height()\n	if !c.advances(h) {\n", "	h := b.Height()\n	if ON && h == c.Stable() {\n		c.tip = b.Ref()\n	}\n	if !c.advances(h) {\n"},
				{"replica/inbox.go", "	case *pbft.Bundle:\n		if b := s.bounds.Load(); b != nil && ", "	case *pbft.Bundle:\n		if b := s.bounds.Load(); b != nil && !ON && "},
			},
		}},
		play: playSameHeightSync,
	},
}

// playDeliverTwice: replica 3 has prepared block h and hears of no Commit. The others
// commit it, and the view changes. It learns of the decision by the NewView, by the
// old CommitQC, by the votes of the new view, and by a second copy of everything.
func playDeliverTwice(a *act) {
	d := a.direct(nil)
	const start = 500 * time.Millisecond
	var h pbft.Height
	var heal func()
	inFlight, routes, opened := false, map[string]bool{}, false
	var nv *pbft.NewView
	var old *pbft.Certificate
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		if p, ok := m.(*pbft.PrePrepare); ok && h == 0 && d.now > start {
			h = p.Height
		}
		if h == 0 {
			return false
		}
		if n, ok := m.(*pbft.NewView); ok && n.View == 1 && !opened {
			opened, nv = true, n
			c := d.core(3)
			inFlight = c.Committed() < h && c.Uncommitted(d.judge.agreed[h]) != nil
			if n.Certificate != nil && n.Certificate.Height == h {
				routes["base"] = true
			}
		}
		if opened {
			return false
		}
		switch m := m.(type) {
		case *pbft.PrePrepare:
			return m.Height > h
		case *pbft.Vote:
			return to == 3 && m.Phase == pbft.Commit && m.Height >= h
		case *pbft.Certificate:
			if m.Phase == pbft.Commit && m.Height == h && m.View == 0 {
				old = m
			}
			return to == 3 && m.Phase == pbft.Commit && m.Height >= h
		case *pbft.Blocks, *pbft.Bundle:
			return to == 3
		}
		return false
	})
	copies := 0
	d.watch(5*time.Millisecond, func() {
		if h > 0 && heal == nil && d.core(1).Committed() >= h && d.core(2).Committed() >= h {
			heal = d.isolate(0) // the view changes
		}
		if opened && copies < 20 {
			// Everything that says that h is decided, once more.
			copies++
			d.network.send(1, 3, pbft.Encode(0, nv))
			if old != nil {
				d.network.send(2, 3, pbft.Encode(0, old))
				routes["old CommitQC"] = true
			}
			if c := d.core(3); c.Committed() >= h && c.View() == 1 {
				routes["committed"] = true
			}
		}
	})
	d.at(2*time.Second, func() { heal() })
	ran := map[string]int{}
	d.trace.line = func(line string) { countExecution(ran, line) }
	r := d.play()
	a.occurred(h > 0 && inFlight, "block %d in flight at replica 3 when the view changed", h)
	a.occurred(len(routes) == 3, "the decision as the base of view 1, and by the old CommitQC (%v, %d)", routes, copies)
	twice := 0
	for _, n := range ran {
		if n > 1 {
			twice++
		}
	}
	a.holds(twice == 0, "%d blocks were executed more than once by one replica", twice)
	a.fact("block %d, in flight at replica 3, was decided by the CommitQC of view 0, came again as the base of view 1 and was decided there, and %d copies of both followed: executed once", h, copies)
	a.fact("%d executions of %d blocks, none twice", len(ran), r.Blocks)
}

// countExecution counts the lines of a trace that tell of executions, by replica and
// block.
func countExecution(ran map[string]int, line string) {
	var at, what, block string
	var id int
	if n, err := fmt.Sscan(line, &at, &id, &what, &block); err == nil && n == 4 && what == "execute" {
		ran[line[len(at):]]++
	}
}

func playCommittedTwice(a *act) {
	d := a.direct(func(o *Options) {
		o.Storm, o.CheckpointEvery, o.Timeouts.RotateEvery = 5*time.Second, 4, 1 // so that its turn comes often
		o.BadClients = []string{"leaper", "replayer"}                            // whose numbers have gaps
		traitor(0, "duplicates")(o)
	})
	r := d.play()
	again := 0
	for _, rq := range d.replicas[0].traitor.Coalition.lore.requests {
		if _, ok := d.judge.ran[rq.Digest()]; ok {
			again++
		}
	}
	a.occurred(d.deeds(0) >= 4 && again > 10, "requests that ran proposed again (%d times)", d.deeds(0))
	a.fact("the primary proposed requests again in %d blocks, within a block and long after they ran: none ran twice", d.deeds(0))
	a.fact("%d blocks, %d operations", r.Blocks, r.Operations)
}

// playStuckInPropose restarts the primary when its proposal has reached one backup.
func playStuckInPropose(a *act) {
	d := a.direct(func(o *Options) { o.Timeouts.Progress = 60; o.Timeouts.Idle = 60; o.Timeouts.RequestAge = 300 })
	const start = 500 * time.Millisecond
	var h pbft.Height
	var crashed time.Duration
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		p, ok := m.(*pbft.PrePrepare)
		if ok && from == 0 && d.now > start && h == 0 {
			h = p.Height
			d.after(0, func() {
				crashed = d.now
				d.restart(0, nil)
			})
		}
		return ok && h > 0 && p.Height == h && from == 0 && to != 1
	})
	opened := time.Duration(0)
	d.watch(5*time.Millisecond, func() {
		if opened == 0 && d.core(1) != nil && d.core(1).View() == 1 && d.core(1).Open() {
			opened = d.now - crashed
		}
	})
	r := d.play()
	a.occurred(crashed > 0 && r.Sometimes[seenPrimaryAlone] > 0, "the primary restarted in its view, its proposal at one backup")
	a.holds(opened > 0 && opened < 300*time.Millisecond, "the next view opened after %v, the progress timeout is 600ms", opened)
	a.fact("the primary was restarted in the middle of a proposal: it asked to be replaced, and view 1 was open after %v of a timeout of 600ms", opened.Round(time.Millisecond))
	a.fact("%d blocks", r.Blocks)
}

// playDecideAndAbort keeps all Commits for a block back until everybody has left the
// view, and lets them come just then.
func playDecideAndAbort(a *act) {
	d := a.direct(nil)
	const start = 500 * time.Millisecond
	var h pbft.Height
	var q *pbft.Certificate
	var votes []*pbft.Vote
	released := false
	decided := map[pbft.ReplicaID]bool{}
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		if p, ok := m.(*pbft.PrePrepare); ok && h == 0 && d.now > start {
			h = p.Height
		}
		if h == 0 || released {
			return false
		}
		switch m := m.(type) {
		case *pbft.PrePrepare:
			return m.Height > h
		case *pbft.Vote:
			if m.Phase == pbft.Commit && m.Height == h && m.View == 0 && (len(votes) == 0 || votes[len(votes)-1] != m) {
				votes = append(votes, m)
			}
			return m.Phase == pbft.Commit && m.Height >= h
		case *pbft.ViewChange:
			return true
		}
		return false
	})
	d.watch(5*time.Millisecond, func() {
		if released || h == 0 {
			if released {
				for i := range pbft.ReplicaID(4) {
					c := d.core(i)
					if !decided[i] && c.View() == 1 && !c.Entered() && c.Committed() >= h {
						decided[i] = true
					}
				}
			}
			return
		}
		for i := range pbft.ReplicaID(4) {
			if c := d.core(i); c.View() != 1 || c.Entered() {
				return
			}
		}
		// All are between two views. Anybody who held the Commits back makes them a
		// certificate now.
		pending := &pbft.Pending{Statement: votes[0].Statement}
		signers := map[pbft.ReplicaID]*pbft.Vote{}
		for _, v := range votes {
			signers[v.Signer] = v
		}
		tally := pbft.NewTally(d.quorums, d.opts.Window)
		tally.Advance(0, h-1, h+1)
		for i := range pbft.ReplicaID(4) {
			if v := signers[i]; v != nil {
				if p, _ := tally.Add(v); p != nil {
					pending = p
				}
			}
		}
		if pending.Signers == nil {
			return
		}
		q, _ = d.replicas[1].up.verifier.Aggregate(pending)
		released = true
		for i := range pbft.ReplicaID(4) {
			d.network.send((i+1)%4, i, pbft.Encode(0, q))
		}
	})
	r := d.play()
	a.occurred(q != nil, "everybody between two views with a block prepared and not committed")
	a.holds(len(decided) > 0, "no replica committed block %d between the views", h)
	a.holds(r.ViewChanges == 1, "view %d was reached", r.ViewChanges)
	a.fact("the CommitQC of view 0 came when all four had left it: %d committed block %d between the views, and view 1 opened above it", len(decided), h)
	a.fact("%d blocks", r.Blocks)
}

// playSameHeightSync: a traitor answers everything with the stable checkpoint and
// blocks that everybody has.
func playSameHeightSync(a *act) {
	d := a.direct(traitor(3, "mute"))
	sent := 0
	d.corrupt(3, func(p *puppet) {
		p.tick = func() {
			c := p.core()
			if c == nil || c.StableBundle() == nil {
				return
			}
			for i := range pbft.ReplicaID(3) {
				if o := d.core(i); o.StableBundle() != nil && o.Stable() == c.Stable() {
					p.Transmit(i, c.StableBundle())
					p.Transmit(i, c.StableBundle().Commit)
					sent++
				}
			}
		}
	})
	resets := 0
	type place struct {
		view pbft.View
		tip  pbft.BlockRef
		high pbft.Rank
	}
	last := map[pbft.ReplicaID]place{}
	d.watch(time.Millisecond, func() {
		for i := range pbft.ReplicaID(3) {
			c := d.core(i)
			now := place{c.View(), c.Tip(), c.High()}
			if old, ok := last[i]; ok && old.view == now.view && (now.tip.Height < old.tip.Height || now.high.Less(old.high)) {
				resets++
			}
			last[i] = now
		}
	})
	unused := uint64(0)
	d.at(2900*time.Millisecond, func() {
		for i := range pbft.ReplicaID(3) {
			unused += d.core(i).Counters().Dropped[pbft.KindBundle][pbft.DropDuplicate] + d.dropped(i)
		}
	})
	r := d.play()
	a.occurred(sent > 100 && unused > 100, "bundles of the height that the receiver has (%d sent, %d not used)", sent, unused)
	a.holds(resets == 0, "replicas were set back %d times", resets)
	a.holds(r.ViewChanges == 0, "view %d was reached", r.ViewChanges)
	a.fact("%d bundles of a height that the receiver had were counted and not used: view, tip and certificate never went back, %d blocks", unused, r.Blocks)
}
