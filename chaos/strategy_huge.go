package chaos

import (
	"math"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// huge says enormous numbers (B18, V11, P08, P09): views and heights just above a
// window or at the end of their range, in everything that carries one.
type huge struct{ honest }

func newHuge(p *Puppet) Adversary { return huge{honest{p}} }

func (a huge) number(from uint64) uint64 {
	w := uint64(a.Core.Window)
	return []uint64{from + w, from + w + 1, from + 2*w, from + 2*w + 1, from + 1000, 1 << 31, 1 << 32, 1 << 53, 1 << 63, math.MaxUint64 - 1, math.MaxUint64}[a.Rand.IntN(11)]
}

func (a huge) Send(to pbft.ReplicaID, m pbft.Message) {
	a.Transmit(to, m)
	if a.Rand.IntN(3) > 0 {
		return
	}
	if x := a.blown(m); x != nil {
		a.did("huge number")
		a.Transmit(to, x)
	}
}

func (a huge) blown(m pbft.Message) pbft.Message {
	coin := a.Rand.IntN(2) == 0
	switch m := m.(type) {
	case *pbft.Vote:
		x := &pbft.Vote{Statement: m.Statement, Signer: a.Self}
		if x.NewView = crypto.Hash("chaos/huge"); coin {
			x.View = pbft.View(a.number(uint64(m.View)))
		} else {
			x.NewView, x.Height = m.NewView, pbft.Height(a.number(uint64(m.Height)))
		}
		return x
	case *pbft.PrePrepare:
		if m.Proposer != a.Self {
			return nil
		}
		h := m.Header
		if coin {
			h.Height = pbft.Height(a.number(uint64(h.Height)))
		} else {
			h.View = pbft.View(a.number(uint64(h.View)))
		}
		return &pbft.PrePrepare{Block: pbft.NewBlock(h, m.Requests)}
	case *pbft.Status:
		x := *m
		x.View, x.High.View, x.High.Height = pbft.View(a.number(uint64(m.View))), pbft.View(a.number(0)), pbft.Height(a.number(0))
		x.Tip.Height, x.Committed, x.Executed = pbft.Height(a.number(0)), pbft.Height(a.number(0)), pbft.Height(a.number(0))
		x.Stable, x.Snapshot, x.Oldest = pbft.Height(a.number(0)), pbft.Height(a.number(0)), pbft.Height(a.number(0))
		return &x
	case *pbft.CheckpointVote:
		x := &pbft.CheckpointVote{CheckpointStatement: m.CheckpointStatement, Signer: a.Self}
		x.Height = pbft.Height(a.number(uint64(m.Height)))
		return x
	case *pbft.ViewChange:
		return a.startClaim(pbft.View(a.number(uint64(m.View))))
	case *pbft.Heartbeat:
		return a.startClaim(pbft.View(a.number(uint64(m.View))))
	case *pbft.GetBlocks:
		return &pbft.GetBlocks{From: pbft.Height(a.number(0)), Height: pbft.Height(a.number(0)), Digest: m.Digest}
	case *pbft.GetChunk:
		return &pbft.GetChunk{Height: pbft.Height(a.number(0)), Index: math.MaxUint32}
	case *pbft.Certificate:
		return &pbft.GetChunk{Height: m.Height, Index: uint32(a.number(0))}
	}
	return nil
}
