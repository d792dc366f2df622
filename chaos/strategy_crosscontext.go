package chaos

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// crossContext uses signatures where they do not belong (B9): of a Prepare under
// a Commit and the other way round, in votes and in certificates, of a vote under a checkpoint, and what it
// signed for another cluster or epoch, or for another kind of message.
type crossContext struct{ honest }

func newCrossContext(p *Puppet) Adversary { return crossContext{honest{p}} }

func (a crossContext) Send(to pbft.ReplicaID, m pbft.Message) {
	if a.Rand.IntN(2) == 0 {
		if x := a.misplaced(m); x != nil {
			a.did("signature out of place")
			a.Transmit(to, x)
		}
	}
	a.Transmit(to, m)
}

func (a crossContext) misplaced(m pbft.Message) pbft.Message {
	c := crypto.Context{Cluster: a.Core.Cluster, Epoch: uint64(a.Core.Epoch)}
	if a.Rand.IntN(2) == 0 {
		c.Epoch++
	} else {
		c.Cluster = crypto.Hash("chaos/another-cluster")
	}
	switch m := m.(type) {
	case *pbft.Vote:
		x := *m
		switch a.Rand.IntN(4) {
		case 3:
			// A certificate of the other phase, with the proof that there is.
			certs := a.Coalition.lore.certs
			if len(certs) == 0 {
				return nil
			}
			q := *certs[a.Rand.IntN(len(certs))]
			q.Phase = pbft.Prepare + pbft.Commit - q.Phase
			return &q
		case 0:
			x.Phase = pbft.Prepare + pbft.Commit - m.Phase // with the other's signature
		case 1:
			c.Kind = m.Phase.Kind()
			x.Signature = a.Keys.Votes.Sign(c, m.Statement.Append(nil))
		default:
			return &pbft.CheckpointVote{
				CheckpointStatement: pbft.CheckpointStatement{Height: m.Height, Block: m.Block}, Signer: a.Self, Signature: m.Signature,
			}
		}
		return &x
	case *pbft.CheckpointVote:
		x := *m
		c.Kind = crypto.KindCheckpoint
		x.Signature = a.Keys.Checkpoints.Sign(c, m.CheckpointStatement.Append(nil))
		return &x
	case *pbft.PrePrepare:
		d := m.Digest()
		c.Kind = crypto.KindPrePrepare
		sig, _ := crypto.SignatureOf(a.Keys.Signing.Sign(c, d[:]))
		return &pbft.PrePrepare{Block: m.Block, Signature: sig}
	case *pbft.ViewChange:
		x := *m
		c.Kind = crypto.KindViewChange
		x.Signature, _ = crypto.SignatureOf(a.Keys.Signing.Sign(c, m.Claim.Append(nil)))
		return &x
	case *pbft.NewView:
		x, d := *m, m.Digest()
		c.Kind, c.Cluster, c.Epoch = crypto.KindPrePrepare, a.Core.Cluster, uint64(a.Core.Epoch)
		x.Signature, _ = crypto.SignatureOf(a.Keys.Signing.Sign(c, d[:]))
		return &x
	}
	return nil
}
