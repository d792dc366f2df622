package explore

import (
	"github.com/parley-bft/parley/pbft"
)

// perform does what an output asks for, in its order, until nothing is left.
func (n *node) perform(out *pbft.Output) {
	for n.bad == "" && !out.Empty() {
		o := *out
		*out = pbft.Output{}
		if n.tears(&o) {
			return
		}
		for _, r := range o.Records {
			if r.Delete {
				delete(n.log, r.Key)
			} else {
				n.log[r.Key] = r.Value
			}
		}
		for _, e := range o.Send {
			n.send(e.Message)
		}
		own := make([]pbft.Message, 0, len(o.Durable))
		for _, e := range o.Durable {
			if m := n.send(e.Message); m != nil && e.To == pbft.Everyone {
				own = append(own, m)
			}
		}
		n.report(&o)
		for _, b := range o.Execute {
			n.execute(b, out)
		}
		for _, m := range own {
			n.core.Step(n.w.verify[n.id].Own(m), out)
		}
	}
}

// tears crashes the replica if the input is to be torn here: its proposals have left,
// the records are lost, and so nothing durable has left either.
func (n *node) tears(o *pbft.Output) bool {
	proposes := false
	for _, e := range o.Send {
		p, ok := e.Message.(*pbft.PrePrepare)
		proposes = proposes || ok && p.Proposer == n.id
	}
	if n.w.cfg.flaw == sendsEarly {
		proposes = len(o.Durable) > 0 && len(o.Records) > 0
	}
	if !proposes {
		return false
	}
	n.proposes = true
	if !n.tearing {
		return false
	}
	n.tearing = false
	for _, e := range o.Send {
		n.send(e.Message)
	}
	if n.w.cfg.flaw == sendsEarly {
		for _, e := range o.Durable {
			n.send(e.Message)
		}
	}
	n.restart()
	return true
}

// send notes what leaves, and returns what comes back to the sender if it was sent to
// everyone. Own votes count where certificates are made.
func (n *node) send(m pbft.Message) pbft.Message {
	m = pbft.Sign(n.w.cluster, 0, m, n.w.keys[n.id])
	switch m := m.(type) {
	case *pbft.PrePrepare:
		n.add(n.w.note(m).fact)
		if m.Proposer == n.id {
			return m
		}
	case *pbft.Vote:
		n.vote(&m.Statement)
	case *pbft.ViewChange:
		n.add(n.w.claimFact(m.View, m.Certificate, false))
		return m
	case *pbft.NewView:
		if n.w.primary(m.View) == n.id {
			return n.openView(m)
		}
	case *pbft.Status:
		if m.Suspect {
			n.add(n.w.suspectedFact(m.View))
		}
		return m
	}
	return nil
}

// add notes a fact. The set is the node's own: others see it when the node is done.
func (n *node) add(f int) { n.sent.add(f) }

// openView puts an honest primary's NewView into normal form, once it was checked like
// anybody's.
func (n *node) openView(m *pbft.NewView) pbft.Message {
	if _, why := n.w.verify[n.id].Verify(n.id, m); why != pbft.NoDrop {
		n.failf("replica %d makes a NewView for view %d that is refused: %v", n.id, m.View, why)
		return nil
	}
	f := n.w.newViewFact(m.View, m.Certificate, 0)
	n.sent.each(func(g int) {
		if old := &n.w.facts[g]; old.kind == opened && old.view == m.View && g != f {
			n.offends("replica %d makes two NewViews for view %d", n.id, m.View)
		}
	})
	n.add(f)
	return n.w.facts[f].newView.message
}

// vote notes a vote and holds it against everything that the replica has signed.
func (n *node) vote(s *pbft.Statement) {
	f := n.w.votedFact(*s)
	if n.sent.has(f) {
		return
	}
	b := n.w.blockOf[s.Block]
	n.sent.each(func(g int) {
		old := &n.w.facts[g]
		switch {
		case old.kind == voted && old.view == s.View && old.statement.NewView != s.NewView:
			n.offends("replica %d votes in view %d under two NewViews", n.id, s.View)
		case old.kind == voted && old.view == s.View && !onOneChain(old.block, b):
			n.offends("replica %d votes in view %d for %s and %s", n.id, s.View, nameOf(old.block), nameOf(b))
		case old.kind == claimed && old.view > s.View:
			n.offends("replica %d votes in view %d after it left for view %d", n.id, s.View, old.view)
		}
	})
	n.add(f)
}

func nameOf(b *block) string {
	if b == nil {
		return "the start block"
	}
	return b.name
}

// report looks at what the core tells operators: with at most F weight of traitors it
// has nothing to tell.
func (n *node) report(o *pbft.Output) {
	for _, a := range o.Alarms {
		n.offends("replica %d raises an alarm: %s", n.id, a.Reason)
	}
	for _, e := range o.Evidence {
		if !n.w.traitor[e.Culprit] {
			n.offends("replica %d accuses the honest replica %d: %v", n.id, e.Culprit, e)
		}
	}
}

func (n *node) execute(b *pbft.Block, out *pbft.Output) {
	next := n.w.blockOf[b.Digest()]
	var tip *block
	if len(n.chain) > 0 {
		tip = n.chain[len(n.chain)-1]
	}
	if next == nil || next.parent != tip {
		n.failf("replica %d commits %s after %s", n.id, nameOf(next), nameOf(tip))
		return
	}
	n.chain = append(n.chain, next)
	n.core.Executed(b.Height, out)
}

// equivocates checks what is left of PROTOCOL 5.2 for one replica, once an input is done.
func (n *node) equivocates() {
	var facts []*fact
	n.sent.each(func(f int) { facts = append(facts, &n.w.facts[f]) })
	for i, a := range facts {
		for _, b := range facts[:i] {
			switch {
			case a.kind == proposed && b.kind == proposed && a.view == b.view && a.block.proposal.Height == b.block.proposal.Height &&
				a.block.proposal.Proposer == n.id && b.block.proposal.Proposer == n.id:
				n.offends("replica %d proposes %s and %s in view %d", n.id, a.block.name, b.block.name, a.view)
			case a.kind == claimed && b.kind == voted:
				n.hides(a.claim, &b.statement)
			case a.kind == voted && b.kind == claimed:
				n.hides(b.claim, &a.statement)
			}
		}
	}
}

func (n *node) hides(c *claim, s *pbft.Statement) {
	if s.Phase == pbft.Commit && s.View < c.view && c.rank().Less(s.Rank()) {
		n.offends("replica %d sends %v and claims only %v for view %d", n.id, *s, c.rank(), c.view)
	}
}
