package chaos

import "github.com/parley-bft/parley/pbft"

// fork is the attack of a whole coalition: whoever of it is the primary proposes
// another chain to either side, and all of it vote for each side's chain, in both
// phases, at once. At most F of them fail; F+1 succeed.
type fork struct {
	honest
	*forkState
}

// forkState is what the members of the coalition share: of every block on the
// first chain its double on the second.
type forkState struct {
	doubles map[pbft.Digest]*pbft.PrePrepare
	first   []pbft.Digest // of doubles, the oldest first
}

func newFork(p *Puppet) Adversary {
	if p.Coalition.fork == nil {
		p.Coalition.fork = &forkState{doubles: map[pbft.Digest]*pbft.PrePrepare{}}
	}
	return fork{honest{p}, p.Coalition.fork}
}

func (a fork) Send(to pbft.ReplicaID, m pbft.Message) {
	second := a.Coalition.side(to) == 1 && !a.Coalition.has(to)
	switch m := m.(type) {
	case *pbft.PrePrepare:
		if m.Proposer != a.Self {
			break
		}
		d := a.double(m)
		if second {
			a.did("second chain")
			m = d
		}
		a.Transmit(to, m)
		return
	case *pbft.Vote:
		if d := a.doubles[m.Block]; d != nil && second {
			x := &pbft.Vote{Statement: m.Statement, Signer: a.Self}
			x.Block = d.Digest()
			a.did("vote for the second chain")
			a.Transmit(to, x)
			return
		}
	case *pbft.Certificate:
		if a.doubles[m.Block] != nil && second {
			return
		}
	case *pbft.Status, *pbft.Blocks, *pbft.Bundle:
		if second {
			return
		}
	}
	a.Transmit(to, m)
}

// double makes the block of the second chain that stands for one of the first,
// and has all of the coalition vote for both.
func (a fork) double(p *pbft.PrePrepare) *pbft.PrePrepare {
	if d := a.doubles[p.Digest()]; d != nil {
		return d
	}
	h := p.Header
	h.Time++
	if parent := a.doubles[h.Parent]; parent != nil {
		h.Parent, h.Time = parent.Digest(), max(h.Time, parent.Time)
	}
	d := &pbft.PrePrepare{Block: pbft.NewBlock(h, p.Requests)}
	a.doubles[p.Digest()] = d
	if a.first = append(a.first, p.Digest()); len(a.first) > 4*loreSize {
		delete(a.doubles, a.first[0])
		a.first = a.first[1:]
	}
	for _, x := range a.Coalition.members {
		x.voteForBoth(p, d)
	}
	return d
}

func (p *Puppet) voteForBoth(first, second *pbft.PrePrepare) {
	var newView pbft.Digest
	if c := p.core(); c == nil || c.View() != first.View {
		return
	} else if n := c.NewView(); n != nil {
		newView = n.Digest()
	}
	for _, phase := range []pbft.Phase{pbft.Prepare, pbft.Commit} {
		for i := range p.Core.Quorums.N() {
			to := pbft.ReplicaID(i)
			if p.Coalition.has(to) {
				continue
			}
			ref := first.Ref()
			if p.Coalition.side(to) == 1 {
				ref = second.Ref()
			}
			p.Transmit(to, &pbft.Vote{Statement: pbft.Statement{Phase: phase, View: first.View, NewView: newView, Height: ref.Height, Block: ref.Digest}, Signer: p.Self})
		}
	}
}
