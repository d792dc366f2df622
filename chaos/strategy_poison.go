package chaos

import (
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// poison lies in state transfer and catch-up (B22, T02, T09): wrong bytes in
// chunks, above all the last one; chunks under another number; manifests that
// promise too much; blocks that do not belong together.
type poison struct{ honest }

func newPoison(p *Puppet) Adversary { return poison{honest{p}} }

func (a poison) Send(to pbft.ReplicaID, m pbft.Message) {
	r := a.Rand
	switch m := m.(type) {
	case *pbft.Chunk:
		x := &pbft.Chunk{Height: m.Height, Index: m.Index, Data: m.Data}
		switch {
		case len(m.Data) == 0 || r.IntN(4) == 0:
			x.Data = make([]byte, 1<<12)
		case r.IntN(4) == 0:
			x.Index++
		case r.IntN(4) == 0:
			x.Data = m.Data[:len(m.Data)-1]
		default:
			x.Data = a.flipped(m.Data)
		}
		a.did("poisoned chunk")
		a.Transmit(to, x)
		return
	case *pbft.Manifest:
		x := &pbft.Manifest{Height: m.Height, Data: m.Data}
		switch {
		case len(m.Data) == 0 || r.IntN(3) == 0:
			x.Data = make([]byte, 1<<10)
		case r.IntN(3) == 0:
			x.Data = append(append([]byte(nil), m.Data...), m.Data...)
		default:
			x.Data = a.flipped(m.Data)
		}
		a.did("poisoned manifest")
		a.Transmit(to, x)
		return
	case *pbft.Blocks:
		if len(m.Blocks) == 0 {
			break
		}
		x := *m
		switch r.IntN(4) {
		case 0: // without one in the middle
			k := r.IntN(len(m.Blocks))
			x.Blocks = append(append([]*pbft.PrePrepare(nil), m.Blocks[:k]...), m.Blocks[k+1:]...)
		case 1: // the last one is another
			last := m.Blocks[len(m.Blocks)-1]
			h := last.Header
			h.Time++
			x.Blocks = append(append([]*pbft.PrePrepare(nil), m.Blocks[:len(m.Blocks)-1]...),
				&pbft.PrePrepare{Block: pbft.NewBlock(h, last.Requests), Signature: last.Signature})
		case 2:
			x.Certificate, x.NewViews = nil, nil
		default:
			x.Blocks = x.Blocks[:len(x.Blocks)-1]
		}
		a.did("poisoned blocks")
		a.Transmit(to, &x)
		return
	}
	a.Transmit(to, m)
}

// trickle serves catching up so slowly that it is of no use, and never the end of
// it (B22, T06).
type trickle struct{ honest }

func newTrickle(p *Puppet) Adversary { return trickle{honest{p}} }

func (a trickle) Send(to pbft.ReplicaID, m pbft.Message) {
	switch x := m.(type) {
	case *pbft.Chunk, *pbft.Manifest, *pbft.Blocks, *pbft.Bundle:
		a.did("trickled")
		if c, ok := x.(*pbft.Chunk); ok && c.Index%3 == 2 {
			return
		}
		a.Host.After(time.Second+time.Duration(a.Rand.Int64N(int64(2*time.Second))), func() { a.Transmit(to, m) })
		return
	}
	a.Transmit(to, m)
}

// heightLiar promises blocks and snapshots that it does not have, and a moment
// later knows of nothing (T04).
type heightLiar struct{ honest }

func newHeightLiar(p *Puppet) Adversary { return heightLiar{honest{p}} }

func (a heightLiar) Send(to pbft.ReplicaID, m pbft.Message) {
	if s, ok := m.(*pbft.Status); ok {
		x := *s
		k := pbft.Height(1 + a.Rand.IntN(200))
		switch a.Rand.IntN(3) {
		case 0:
			x.Committed, x.Executed, x.Stable, x.Snapshot, x.High.Height = x.Committed+k, x.Executed+k, x.Stable+k, x.Snapshot+k, x.High.Height+k
			x.Tip = pbft.BlockRef{Height: x.Tip.Height + k, Digest: crypto.Hash("chaos/height")}
		case 1:
			x.Committed, x.Executed, x.Stable, x.Snapshot, x.High = 0, 0, 0, 0, pbft.Rank{}
			x.Tip = a.Core.Start.Ref()
		default:
			x.Oldest += k
		}
		a.did("wrong heights")
		m = &x
	}
	a.Transmit(to, m)
}
