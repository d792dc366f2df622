package chaos

import "github.com/parley-bft/parley/pbft"

// hide gives its votes to one favourite only, so that a block may be committed
// there and nowhere else, and then claims in view changes to know nothing of it
// (B14, V01, P02). As a primary it opens views without the favourite's claim.
type hide struct{ honest }

func newHide(p *Puppet) Adversary { return hide{honest{p}} }

// favourite is the same for all of the coalition, and an honest replica.
func (a hide) favourite() pbft.ReplicaID {
	for i := range a.Core.Quorums.N() {
		if !a.Coalition.has(pbft.ReplicaID(i)) {
			return pbft.ReplicaID(i)
		}
	}
	return a.Self
}

func (a hide) Send(to pbft.ReplicaID, m pbft.Message) {
	special := to == a.favourite() || a.Coalition.has(to)
	switch m := m.(type) {
	case *pbft.Vote:
		// What the others would commit without the traitors they do commit.
		if !special {
			a.did("withheld vote")
			return
		}
	case *pbft.Certificate, *pbft.Blocks, *pbft.Bundle:
		if !special {
			a.did("withheld certificate")
			return
		}
	case *pbft.ViewChange:
		a.did("hidden certificate")
		a.Transmit(to, a.startClaim(m.View))
		return
	case *pbft.NewView:
		if n := a.newViewOf(m.View, a.claimsWithout(m.View, a.favourite())); n != nil && a.enough(n.Claims) {
			a.did("NewView without the favourite")
			a.Transmit(to, n)
			return
		}
	}
	a.Transmit(to, m)
}

// startClaim is a claim for the epoch's start block, which needs no certificate.
func (p *Puppet) startClaim(v pbft.View) *pbft.ViewChange {
	s := p.Core.Start
	return &pbft.ViewChange{SignedClaim: pbft.SignedClaim{Claim: pbft.Claim{View: v, High: pbft.Rank{Height: s.Height}, Block: s.Digest()}, Signer: p.Self}}
}

// claimsWithout are all claims for a view that were heard, but one replica's.
func (p *Puppet) claimsWithout(v pbft.View, without pbft.ReplicaID) []pbft.SignedClaim {
	var claims []pbft.SignedClaim
	for i := range p.Core.Quorums.N() {
		if c := p.Coalition.lore.claims[v][pbft.ReplicaID(i)]; c != nil && pbft.ReplicaID(i) != without {
			claims = append(claims, c.SignedClaim)
		}
	}
	return claims
}

// enough tells whether claims weigh a quorum.
func (p *Puppet) enough(claims []pbft.SignedClaim) bool {
	var w uint64
	for i := range claims {
		w += p.Core.Quorums.Weight(claims[i].Signer)
	}
	return w >= p.Core.Quorums.QuorumWeight()
}
