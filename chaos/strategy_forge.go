package chaos

import (
	"math"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// forge shows certificates that nobody gave it (B15): its own share a few times
// over under the names of a quorum, shares of another statement, too few signers;
// for blocks, in claims of a high rank, and for checkpoints that nobody reached.
type forge struct{ honest }

func newForge(p *Puppet) Adversary { return forge{honest{p}} }

func (a forge) Send(to pbft.ReplicaID, m pbft.Message) {
	switch m := m.(type) {
	case *pbft.ViewChange:
		a.did("forged claim")
		a.Transmit(to, a.forgedClaim(m.View))
		return
	case *pbft.Vote:
		a.Transmit(to, m)
		if a.Rand.IntN(3) == 0 {
			s := m.Statement
			s.Phase = pbft.Phase(1 + a.Rand.IntN(2))
			if a.Rand.IntN(2) == 0 {
				s.Block = crypto.Hash("chaos/forged", s.Block[:])
			}
			a.did("forged certificate")
			a.Transmit(to, a.forged(s))
		}
		return
	case *pbft.Bundle:
		a.did("forged bundle")
		a.Transmit(to, a.forgedBundle(m))
		return
	case *pbft.NewView:
		if m.Certificate != nil {
			bad := *m
			bad.Certificate, bad.Signature = a.forged(m.Certificate.Statement), crypto.Signature{}
			a.did("NewView on a forged certificate")
			a.Transmit(to, &bad)
			return
		}
	}
	if l := &a.Coalition.lore; len(l.bundles) > 0 && a.Rand.IntN(16) == 0 {
		a.did("forged bundle")
		a.Transmit(to, a.forgedBundle(l.bundles[a.Rand.IntN(len(l.bundles))]))
	}
	a.Transmit(to, m)
}

// forgedClaim claims a certificate of the highest rank that the view allows.
func (p *Puppet) forgedClaim(v pbft.View) *pbft.ViewChange {
	s := pbft.Statement{Phase: pbft.Prepare, View: v - 1, Height: p.Core.Start.Height + 1 + pbft.Height(p.Rand.IntN(100)), Block: crypto.Hash("chaos/forged-claim")}
	if p.Rand.IntN(4) == 0 {
		s.Height = math.MaxUint64 - 1
	}
	if s.View > 0 {
		s.NewView = crypto.Hash("chaos/forged-newview")
		if known := p.Coalition.lore.newViewDigests(s.View); len(known) > 0 {
			s.NewView = known[0]
		}
	}
	m := &pbft.ViewChange{SignedClaim: pbft.SignedClaim{Claim: pbft.Claim{View: v, High: s.Rank(), Block: s.Block, Phase: s.Phase}, Signer: p.Self}}
	m.Certificate = p.forged(s)
	return m
}

// forged is a certificate for a statement that the coalition alone made.
func (p *Puppet) forged(s pbft.Statement) *pbft.Certificate {
	return &pbft.Certificate{Statement: s, Signers: p.forgedSigners(), Proof: p.forgedProof(s.Phase.Kind(), s.Append(nil), false)}
}

// forgedSigners names a quorum, or one less.
func (p *Puppet) forgedSigners() crypto.Bitmap {
	q := p.Core.Quorums
	set := crypto.NewBitmap(q.N())
	set.Set(p.Self)
	for _, i := range p.Rand.Perm(q.N()) {
		if q.IsQuorum(set) {
			break
		}
		set.Set(pbft.ReplicaID(i))
	}
	if p.Rand.IntN(4) == 0 {
		fewer := crypto.NewBitmap(q.N())
		for i, id := range set.IDs() {
			if i > 0 {
				fewer.Set(id)
			}
		}
		return fewer
	}
	return set
}

// forgedProof joins the coalition's shares, with copies for who is missing.
func (p *Puppet) forgedProof(k crypto.Kind, msg []byte, checkpoint bool) []byte {
	c := crypto.Context{Kind: k, Cluster: p.Core.Cluster, Epoch: uint64(p.Core.Epoch)}
	var proof []byte
	for i := range p.Core.Quorums.N() {
		from := p
		for _, x := range p.Coalition.members {
			if x.Self == pbft.ReplicaID(i) {
				from = x
			}
		}
		if checkpoint {
			proof = append(proof, from.Keys.Checkpoints.Sign(c, msg)...)
		} else {
			proof = append(proof, from.Keys.Votes.Sign(c, msg)...)
		}
		if uint64(i)+1 >= p.Core.Quorums.QuorumWeight() {
			break
		}
	}
	return proof
}

// forgedBundle is a stable checkpoint of another state, or another height.
func (p *Puppet) forgedBundle(m *pbft.Bundle) *pbft.Bundle {
	bad := *m
	c := *m.Checkpoint
	switch p.Rand.IntN(3) {
	case 0:
		c.State = crypto.Hash("chaos/forged-state")
		c.Signers, c.Proof = p.forgedSigners(), p.forgedProof(crypto.KindCheckpoint, c.CheckpointStatement.Append(nil), true)
	case 1:
		c.Signers, c.Proof = p.forgedSigners(), p.forgedProof(crypto.KindCheckpoint, c.CheckpointStatement.Append(nil), true)
	default:
		c.Height += 1000
		bad.Header.Height = c.Height
		c.Block = bad.Header.Digest()
		c.Proof = p.forgedProof(crypto.KindCheckpoint, c.CheckpointStatement.Append(nil), true)
		bad.Links = nil
		s := pbft.Statement{Phase: pbft.Commit, View: p.view(), Height: c.Height, Block: c.Block}
		if nv := p.Coalition.lore.newViewDigests(s.View); len(nv) > 0 {
			s.NewView = nv[0]
		}
		bad.Commit = p.forged(s)
	}
	bad.Checkpoint = &c
	return &bad
}
