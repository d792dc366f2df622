package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
)

// Two blocks at one height, each certified or voted to be committed in a view of
// its own: where most mistakes of view changes have their origin.

var splitScenarios = []Scenario{
	{
		Name: "zyzzyva-two-prepared-candidates", Origin: "Zyzzyva (and FaB)", Bugs: []string{"Zyzzyva"}, Kind: Caught,
		Wrong: "After two view changes the logs held two candidates for one slot, one from each view. The rule preferred the one with more witnesses over the one of the later view, " +
			"although the later one had been committed: two clients were given different histories.",
		Differs: "A view starts from the certificate of the highest rank, (view of the vote, height), among a quorum of claims, and primary and backups compute it with one function. " +
			"What was committed in a view had its certificate at a quorum, so each later quorum shows it or something above it.",
		Rules:   "R2, R3, R14",
		Mutants: []string{"M03", "M05"},
		play:    func(a *act) { twoCandidates(a, true) },
	},
	{
		Name: "dbft-commit-locks-in-two-views", Origin: "Neo dBFT 2.0", Bugs: []string{"Neo #792"}, Kind: Caught,
		Wrong: "A replica that had sent its Commit never changed the view again. With one replica locked in view v, another in view v+1 and two on their way to v+2, " +
			"no view had a quorum any more, and nothing could ever bring one about.",
		Differs: "A Commit locks nobody. It is a claim in the next view change (R4), and the replica follows the NewView, also to another block, since a quorum of claims proves " +
			"that its own was not committed.",
		Rules: "R1, R4, R14, RV",
		Breaches: []Breach{{
			Title: "whoever has sent a Commit stays in its view",
			Sites: []BreachSite{{
				"pbft/viewchange.go", "	must(v > c.durable.View, \"leaving view",
				"	if ON && c.hasCommit && c.sentCommit.Height > c.Committed() {\n		return\n	}\n	must(v > c.durable.View, \"leaving view",
			}, {
				"pbft/viewchange.go", "	case n.View == s.View && s.Entered:\n",
				"	case ON && n.View > s.View && c.hasCommit && c.sentCommit.Height > c.Committed():\n		return DropConflict\n	case n.View == s.View && s.Entered:\n",
			}},
		}},
		play: func(a *act) { twoCandidates(a, false) },
	},
}

// candidates is what the two schedules saw.
type candidates struct {
	d        *directed
	commit   bool // Y is committed at replica 1
	phase    int
	h        pbft.Height
	x, y     pbft.Digest
	lockX    bool // replica 0 has sent Commit for X in view 0
	lockY    bool // replica 1 has sent Commit for Y in view 1
	claims   []pbft.Claim
	base     pbft.BlockRef
	early    bool    // replica 1 had executed Y when view 2 opened
	conceded [2]bool // replicas 0 and 1 voted for another block at h in view 2
	opened   time.Duration
}

// twoCandidates: in view 0 block X is prepared at replica 0 alone, which is then cut
// off; in view 1 another block Y at the same height is prepared at replica 1. Then
// the claims of both meet in view 2.
//
// With commit, replicas 2 and 3 have prepared Y as well and replica 1 alone commits
// and executes it: view 2 must choose Y, without a word from replica 1. Otherwise
// replicas 0 and 1 have sent their Commits for X and Y, and view 2 is opened by
// claims that know of X and not of Y. Since view 1 has certified the block below
// again (RV), that one ranks above X: both give up their blocks for a third.
func twoCandidates(a *act, commit bool) {
	c := &candidates{d: a.direct(nil), commit: commit}
	d := c.d
	d.hold(c.holds)
	r := d.play()
	a.occurred(c.phase >= 1 && c.lockX, "X prepared in view 0 at replica 0 alone")
	a.occurred(c.phase >= 2 && c.y != c.x && c.lockY, "another block at its height prepared in view 1 at replica 1")
	ofX, ofY := false, false
	for _, x := range c.claims {
		ofX = ofX || x.Block == c.x && x.High == (pbft.Rank{Height: c.h})
		ofY = ofY || x.Block == c.y && x.High == (pbft.Rank{View: 1, Height: c.h})
	}
	agreed := d.judge.agreed[c.h]
	if commit {
		a.occurred(ofX && ofY, "claims for both in one NewView")
		a.occurred(c.early, "replica 1 executed Y before view 2 opened")
		a.holds(c.base.Digest == c.y, "view 2 starts from %v, Y is %v", c.base, c.y)
		a.holds(agreed == c.y, "block %d is %v, replica 1 had committed %v", c.h, agreed, c.y)
		a.fact("two prepared candidates for block %d, of views 0 and 1; view 2 chose that of view 1, which one replica had committed", c.h)
	} else {
		a.occurred(ofX && !ofY, "replica 0's claim of X in the NewView, and none of Y")
		for i, ok := range c.conceded {
			a.holds(ok, "replica %d, which has sent Commit for a block %d, votes for no other at that height in view 2", i, c.h)
		}
		a.holds(agreed != c.x && agreed != c.y, "block %d is %v, the base of view 2 was %v", c.h, agreed, c.base)
		a.fact("Commits for two blocks %d left honest replicas in views 0 and 1; in view 2 both voted for a third, which was committed", c.h)
	}
	a.fact("%d blocks equal at all replicas, answered %v after the storm (promise %v)", r.Blocks, r.Recovery.Round(time.Millisecond), r.Promise.Round(time.Millisecond))
}

// holds decides what arrives.
func (c *candidates) holds(from, to pbft.ReplicaID, m pbft.Message) bool {
	d := c.d
	if p, ok := m.(*pbft.PrePrepare); ok && p.Proposer == from {
		switch {
		case c.phase == 0 && p.View == 0 && d.now > 400*time.Millisecond:
			c.phase, c.h, c.x = 1, p.Height, p.Digest()
		case c.phase == 1 && p.View == 1 && p.Height == c.h:
			c.phase, c.y = 2, p.Digest()
		}
	}
	if n, ok := m.(*pbft.NewView); ok && n.View == 2 && c.phase == 2 {
		c.phase, c.opened = 3, d.now
		for i := range n.Claims {
			c.claims = append(c.claims, n.Claims[i].Claim)
		}
		if c.base, _ = pbft.Base(n); n.Certificate != nil {
			c.base = n.Certificate.Ref()
		}
		c.early = d.core(1).ExecutedHeight() >= c.h
	}
	if v, ok := m.(*pbft.Vote); ok && v.Signer == from {
		switch {
		case v.Phase == pbft.Commit && v.View == 0 && v.Block == c.x && from == 0:
			c.lockX = true
		case v.Phase == pbft.Commit && v.View == 1 && v.Block == c.y && from == 1:
			c.lockY = true
		case v.View == 2 && v.Height == c.h && (from == 0 && v.Block != c.x || from == 1 && v.Block != c.y):
			c.conceded[from] = true
		}
	}
	switch c.phase {
	case 1, 2:
		return c.apart(from, to, m)
	}
	return false
}

// apart is while the candidates come about.
func (c *candidates) apart(from, to pbft.ReplicaID, m pbft.Message) bool {
	view, known := viewOf(m)
	if from == 0 || to == 0 {
		// Replica 0 takes part in view 0, and hears that others go to view 2.
		switch m := m.(type) {
		case *pbft.ViewChange, *pbft.Forward:
			return known && view == 1
		case *pbft.Status:
			return from == 0 || view == 1
		case *pbft.PrePrepare:
			return m.View > 0 || m.Height > c.h
		case *pbft.Vote:
			return m.View > 0 && m.View < 2 || from == 0 && m.Height >= c.h && m.Phase == pbft.Commit
		}
		return true
	}
	switch m := m.(type) {
	case *pbft.PrePrepare:
		return m.Height > c.h
	case *pbft.Vote:
		switch {
		case m.Height < c.h:
			return false
		case m.View == 0 || m.Height > c.h:
			return true
		case m.Phase == pbft.Prepare:
			return !c.commit && to != 1
		}
		return !c.commit || to != 1
	case *pbft.Certificate:
		return m.Height >= c.h && (from == 1 || m.View == 0)
	case *pbft.ViewChange:
		return from == 1 && m.View > 1
	case *pbft.Heartbeat, *pbft.Blocks, *pbft.Bundle:
		return from == 1
	}
	return false
}
