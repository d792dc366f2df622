package chaos

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// Votes that spoil certificates, that are forgotten, and what is proved by them.

var evidenceScenarios = []Scenario{
	{
		Name: "cometbft-wrong-signatures-in-a-commit", Origin: "CometBFT", Bugs: []string{"CometBFT GO-2021-0090"}, Kind: Caught,
		Wrong:   "A proposer could put wrong signatures into the commit of the last block; whoever verified all of it refused the block, others did not look.",
		Differs: "A certificate is made of a quorum of votes and verified as a whole, by its maker first. If it does not verify, the culprits are found, left out and named, and it is made of the others.",
		Rules:   "PROTOCOL 9",
		Breaches: []Breach{
			without("an aggregate is not verified by who makes it", "pbft/verify_votes.go",
				"	if err == nil && s.Lazy() {\n", "	if err == nil && s.Lazy() && !ON {\n"),
			without("the signatures of a list are not verified by who makes it", "pbft/verify_votes.go",
				"	if !s.Lazy() {\n", "	if !s.Lazy() && !ON {\n"),
		},
		play: playBadShares,
	},
	{
		Name: "cometbft-evidence-loop", Origin: "CometBFT", Bugs: []string{"CometBFT GO-2022-1052"}, Kind: ByDesign,
		Wrong:   "Evidence carried a time that nodes computed differently. Those who had it proposed it in blocks, those who had another refused the blocks, again and again.",
		Differs: "Evidence is in no block and has no time of its own: it is two signed statements, good or not for everybody alike. It is kept once for each culprit and offence, and passed on a bounded number of times.",
		Rules:   "R18, PROTOCOL 5.2",
		Breaches: []Breach{without("a proof is passed on with every status", "pbft/suspicion.go",
			"p.pushed[to] < maxProofPushes &&", "(ON || p.pushed[to] < maxProofPushes) &&")},
		play: playEvidenceLoop,
	},
	{
		Name: "cometbft-commit-and-block-time", Origin: "CometBFT", Bugs: []string{"CometBFT GO-2026-4361"}, Kind: ByDesign,
		Wrong:   "Block time was the weighted median of times in the votes of the last commit, and verifying a commit and computing the time looked at different votes: a proposer could move the time.",
		Differs: "Votes and certificates have no time. A block's time is in its header, not below its parent's, and a replica votes for it when its own clock is near enough.",
		Rules:   "R21",
		Breaches: []Breach{
			without("a block's time may be below its parent's", "pbft/normal.go",
				"	if p.Time < parentTime {\n", "	if p.Time < parentTime && !ON {\n"),
			without("a block's time may be as far ahead as its proposer likes", "pbft/normal.go",
				"	if p.Time > parentTime && p.Time > c.now.Add(c.cfg.MaxAhead) {\n", "	if p.Time > parentTime && p.Time > c.now.Add(c.cfg.MaxAhead) && !ON {\n"),
		},
		play: playBlockTime,
	},
	{
		Name: "cometbft-double-sign-check", Origin: "CometBFT", Bugs: []string{"CometBFT #5668"}, Kind: Caught,
		Wrong:   "The guard that looks for own signatures in recent blocks before a restarted validator signs again was off by default, and with the value 1 looked at no block at all.",
		Differs: "There is nothing to switch on. A replica whose disk is gone knows it, signs nothing, asks a quorum how far it can have voted, and waits for a commit in a view above that.",
		Rules:   "R7, PROTOCOL 14",
		Mutants: []string{"M31"},
		play:    playLostDisk,
	},
	{
		Name: "tendermint-amnesia", Origin: "Tendermint", Bugs: []string{"Tendermint amnesia n4_f2"}, Kind: Caught,
		Wrong:   "Two of four validators vote to commit a block, forget it, and vote for another in a later round: a fork in which nobody has signed two things in one round, so that nobody could be named.",
		Differs: "To let a later view start below what they committed the traitors must sign claims that hide it, and the NewView with these claims is kept: their Commit and their claim together are the proof. With F of them there is no fork.",
		Rules:   "O4, R19, PROTOCOL 5.3",
		Breaches: []Breach{without("hiding a Commit in a claim is no offence", "pbft/evidence_check.go",
			"func (v *Verifier) checkHiddenCommit(e *Evidence) error {\n", "func (v *Verifier) checkHiddenCommit(e *Evidence) error {\n	if ON {\n		return errNoConflict\n	}\n")},
		play: playAmnesia,
	},
}

func playBadShares(a *act) {
	d := a.direct(func(o *Options) { o.LazyVotes = true; traitor(1, "badshare")(o) })
	r := d.play()
	a.occurred(d.deeds(1) > 100 && r.Sometimes[seenBadShare] > 10, "bad shares in aggregates (%d, found %d times)", d.deeds(1), r.Sometimes[seenBadShare])
	a.holds(r.ViewChanges <= 1, "view %d was reached", r.ViewChanges)
	a.fact("one of four voted with %d bad signatures that only the aggregate shows: found in %d aggregates, the culprit left out, %d blocks", d.deeds(1), r.Sometimes[seenBadShare], r.Blocks)

	// Where an aggregate is a list, whoever is found out once has its votes verified as
	// they come.
	d = a.direct(traitor(1, "badshare"))
	r = d.play()
	a.occurred(d.deeds(1) > 100 && r.Sometimes[seenBadShare] > 0, "bad shares in lists (%d, found %d times)", d.deeds(1), r.Sometimes[seenBadShare])
	a.holds(r.ViewChanges <= 1, "view %d was reached", r.ViewChanges)
	a.fact("with lists for aggregates: %d bad signatures, %d of them found by who joined them and all others on arrival, %d blocks", d.deeds(1), r.Sometimes[seenBadShare], r.Blocks)
}

// playEvidenceLoop: a primary proves itself guilty, and floods everybody with the proof
// and with a false one. Another traitor never shows that it has the proof, so that the
// honest ones send it to him again.
func playEvidenceLoop(a *act) {
	d := a.direct(func(o *Options) {
		o.Weights = equalWeights(7)
		traitor(0, "mute")(o)
		traitor(5, "mute")(o)
	})
	d.corrupt(5, func(p *puppet) {
		p.send = func(_ pbft.ReplicaID, m pbft.Message) bool { return m.Kind() != pbft.KindEvidence }
	})
	var proof *pbft.Evidence
	sent, passed := 0, map[string]int{}
	d.corrupt(0, func(p *puppet) {
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			if b, ok := m.(*pbft.PrePrepare); ok && b.Proposer == 0 && d.now > 500*time.Millisecond && proof == nil {
				h := b.Header
				h.Time++
				other := &pbft.PrePrepare{Block: pbft.NewBlock(h, b.Requests)}
				proof = pbft.ProveTwoProposals(pbft.Sign(d.cluster, 0, b, p.Keys).(*pbft.PrePrepare), pbft.Sign(d.cluster, 0, other, p.Keys).(*pbft.PrePrepare))
			}
			return true
		}
		p.hear = func(_ pbft.ReplicaID, m pbft.Message) bool { return m.Kind() != pbft.KindEvidence }
		p.tick = func() {
			if proof == nil {
				return
			}
			p.Broadcast(proof)
			late := *proof
			late.Proposals = slices.Clone(proof.Proposals)
			late.Proposals[1].Time += 1000 // "the same at another time"
			p.Broadcast(&late)
			sent += 2
		}
	})
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		if _, ok := m.(*pbft.Evidence); ok && d.replicas[from].honest() {
			passed[fmt.Sprintf("%d->%d", from, to)]++
		}
		return false
	})
	kept := 0
	r := d.play()
	most := 0
	for _, n := range passed {
		most = max(most, n)
	}
	must(d.replicas[1].disk.Load(nil, func(r pbft.Record) error {
		if r.Key.Kind == pbft.RecordEvidence {
			kept++
		}
		return nil
	}))
	for name, t := range fieldsOf(reflect.TypeOf(pbft.Evidence{})) {
		a.holds(t != reflect.TypeOf(pbft.Time(0)) || name == "Header.Time", "evidence has a time of its own: %s", name)
	}
	a.occurred(sent > 200 && r.Evidence == 1, "a proof, again and again (%d times)", sent)
	a.holds(kept == 1, "%d proofs are kept of one offence", kept)
	a.occurred(passed["1->5"] > 1, "a proof sent again to who does not pass it on (%v)", passed)
	a.holds(most <= 1+4, "one replica sent the proof %d times to another", most)
	a.fact("a proof and its twin with another time came %d times: kept once, passed on at most %d times to anybody; no field but the signed header's is a time", sent, most)
}

func playBlockTime(a *act) {
	d := a.direct(func(o *Options) {
		o.Retain, o.CheckpointEvery, o.Timeouts.RotateEvery, o.Storm = 2000, 8, 1, 4*time.Second
		traitor(0, "badtime")(o)
	})
	// When an honest replica has executed a block first.
	clocks, top := map[pbft.Height]pbft.Time{}, pbft.Height(0)
	d.watch(time.Millisecond, func() {
		for i := range pbft.ReplicaID(3) {
			for c := d.core(i + 1); c != nil && top < c.ExecutedHeight(); {
				top++
				clocks[top] = d.clock()
			}
		}
	})
	r := d.play()
	times := map[pbft.Height]pbft.Time{}
	must(d.replicas[1].disk.Load(nil, func(r pbft.Record) error {
		if r.Key.Kind != pbft.RecordBlock {
			return nil
		}
		p, err := pbft.DecodeRecordBlock(r.Value)
		if err == nil && d.judge.agreed[p.Height] == p.Digest() {
			times[p.Height] = p.Time
		}
		return err
	}))
	back, ahead, compared := 0, time.Duration(0), 0
	for h, t := range times {
		if before, ok := times[h-1]; ok && t < before {
			back++
		}
		if clock, ok := clocks[h]; ok {
			compared++
			ahead = max(ahead, time.Duration(t)-time.Duration(clock))
		}
	}
	for _, m := range []any{pbft.Vote{}, pbft.Certificate{}, pbft.CheckpointVote{}, pbft.SignedClaim{}} {
		for name, t := range fieldsOf(reflect.TypeOf(m)) {
			a.holds(t != reflect.TypeOf(pbft.Time(0)), "%T has a time: %s", m, name)
		}
	}
	a.occurred(d.deeds(0) >= 3 && compared > 100, "wrong times proposed (%d, %d blocks)", d.deeds(0), compared)
	a.occurred(ahead > maxAhead/2, "a time far ahead, but not too far, taken (%v)", ahead)
	a.holds(back == 0, "time goes back in %d blocks", back)
	a.holds(ahead <= maxAhead, "a block's time was %v ahead when it was executed", ahead)
	a.fact("the primary proposed %d wrong times, an hour back and far ahead: time never goes back in %d blocks and was at most %v ahead when one was executed; no vote, certificate or claim has one", d.deeds(0), len(times), ahead.Round(time.Millisecond))
	a.fact("highest view %d, %d blocks", r.ViewChanges, r.Blocks)
}

// playLostDisk takes the disk of a replica that has just voted.
func playLostDisk(a *act) {
	d := a.direct(func(o *Options) { o.Storm = 6 * time.Second })
	const start = 500 * time.Millisecond
	var last, again *pbft.Vote
	lost, early := time.Duration(0), 0
	d.hold(func(from, _ pbft.ReplicaID, m pbft.Message) bool {
		if from != 3 {
			return false
		}
		switch m := m.(type) {
		case *pbft.Vote:
			switch {
			case lost == 0:
				if last = m; d.now > start {
					lost = d.now
					d.after(0, func() { d.restart(3, (*member).wipe) })
				}
			case d.now > lost+time.Millisecond && m.View <= last.View:
				early++
			case d.now > lost+time.Millisecond && again == nil:
				again = m
			}
		case *pbft.ViewChange:
			if lost > 0 && m.View <= last.View+1 {
				early++
			}
		}
		return false
	})
	r := d.play()
	a.occurred(lost > 0 && last != nil, "a disk lost right after a vote")
	a.holds(early == 0, "replica 3 signed %d things that may contradict what it has forgotten", early)
	a.holds(again != nil && r.Sometimes[seenRejoined] > 0, "replica 3 never votes again")
	if again != nil {
		a.fact("replica 3 lost its disk right after a vote in view %d: it signed nothing in that view any more, and voted again in view %d", last.View, again.View)
	}
	a.fact("%d blocks", r.Blocks)
}

// forgetting counts what amnesiacs sent to replica 1.
type forgetting struct{ claims, votes int }

// amnesiacs are traitors who commit with replica 0, and have forgotten it when they
// talk to replica 1.
func (d *directed) amnesiacs(ids ...pbft.ReplicaID) *forgetting {
	f := &forgetting{}
	const apart, forget = 400 * time.Millisecond, 700 * time.Millisecond
	for _, id := range ids {
		d.corrupt(id, func(p *puppet) {
			echo := func(s pbft.Statement) {
				for _, phase := range []pbft.Phase{pbft.Prepare, pbft.Commit} {
					s.Phase = phase
					p.Transmit(1, &pbft.Vote{Statement: s, Signer: p.Self})
					f.votes++
				}
			}
			p.send = func(to pbft.ReplicaID, _ pbft.Message) bool { return to != 1 || d.now < apart }
			p.hear = func(from pbft.ReplicaID, m pbft.Message) bool {
				if from != 1 || d.now < apart {
					return true
				}
				switch v, ok := m.(*pbft.Vote); {
				case ok && (v.View == 1 || d.now > forget):
					echo(v.Statement)
				}
				return false
			}
			p.tick = func() {
				if d.now > forget && d.core(1).View() <= 1 && !d.core(1).Entered() || d.now > forget && d.core(1).View() == 0 {
					p.Transmit(1, p.startClaim(1))
					f.claims++
				}
			}
		})
	}
	d.hold(func(from, to pbft.ReplicaID, _ pbft.Message) bool {
		return d.now > apart && (from == 0 && to == 1 || from == 1 && to == 0)
	})
	return f
}

func playAmnesia(a *act) {
	d := a.direct(func(o *Options) {
		o.Retain, o.AboveBound, o.Storm = 1000, true, 2*time.Second
		traitor(2, "mute")(o)
		traitor(3, "mute")(o)
	})
	two := d.amnesiacs(2, 3)
	r := d.play()
	a.occurred(two.claims > 0 && two.votes > 20, "claims that hide what was committed, and votes for both (%d, %d)", two.claims, two.votes)
	a.occurred(r.Findings[Agreement] > 0 && len(r.Forks) == 1, "two amnesiacs of four fork the log (%v)", r.Findings)
	if len(r.Forks) == 1 {
		f := r.Forks[0]
		a.holds(slices.Equal(f.Culprits, []pbft.ReplicaID{2, 3}), "the logs of %d and %d name %v", f.A, f.B, f.Culprits)
	}
	one := a.direct(func(o *Options) { o.Storm = 2 * time.Second; traitor(3, "mute")(o) })
	alone := one.amnesiacs(3)
	r1 := one.play()
	a.occurred(alone.claims > 0 && alone.votes > 0, "one amnesiac alone claims and votes (%d, %d)", alone.claims, alone.votes)
	a.holds(one.core(1).View() <= 1, "view %d was reached", one.core(1).View())
	a.fact("two amnesiacs of four fork the log: the logs of the two honest replicas name exactly them, by Commits and claims that hide these; one alone sends %d claims and %d votes to no effect (%d blocks)", alone.claims, alone.votes, r1.Blocks)
}
