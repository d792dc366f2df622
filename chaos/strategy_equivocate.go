package chaos

import "github.com/parley-bft/parley/pbft"

// equivocate proposes one block to one side and another to the other (B4).
type equivocate struct {
	honest
	other map[pbft.Height]*pbft.PrePrepare
}

func newEquivocate(p *Puppet) Adversary {
	return &equivocate{honest: honest{p}, other: map[pbft.Height]*pbft.PrePrepare{}}
}

func (a *equivocate) Send(to pbft.ReplicaID, m pbft.Message) {
	p, ok := m.(*pbft.PrePrepare)
	if !ok || p.Proposer != a.Self || a.Coalition.side(to) == 0 {
		a.Transmit(to, m)
		return
	}
	x := a.other[p.Height]
	if x == nil || x.View != p.View {
		h := p.Header
		h.Time++
		x = &pbft.PrePrepare{Block: pbft.NewBlock(h, p.Requests)}
		if len(p.Requests) > 1 {
			x = a.shuffled(p)
		}
		a.other[p.Height] = x
		delete(a.other, p.Height-100)
	}
	a.did("second proposal")
	a.Transmit(to, x)
}

// shuffled is the same proposal in another order.
func (p *Puppet) shuffled(m *pbft.PrePrepare) *pbft.PrePrepare {
	requests := append([]*pbft.Request(nil), m.Requests...)
	p.Rand.Shuffle(len(requests), func(i, k int) { requests[i], requests[k] = requests[k], requests[i] })
	return &pbft.PrePrepare{Block: pbft.NewBlock(m.Header, requests)}
}

// shuffler orders the requests of its proposals differently for every recipient
// (P13).
type shuffler struct{ honest }

func newShuffler(p *Puppet) Adversary { return shuffler{honest{p}} }

func (a shuffler) Send(to pbft.ReplicaID, m pbft.Message) {
	if p, ok := m.(*pbft.PrePrepare); ok && p.Proposer == a.Self && len(p.Requests) > 1 {
		a.did("shuffled proposal")
		m = a.shuffled(p)
	}
	a.Transmit(to, m)
}
