package chaos

import (
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// Single attacks of primaries. Each rewrites its own proposals for everybody
// alike; the honest node beneath learns what was agreed on like any other.

// proposer rewrites its own proposals.
type proposer struct {
	honest
	deed    string
	rewrite func(a *proposer, p *pbft.PrePrepare) *pbft.PrePrepare
	// made is the last rewritten proposal and what it stands for.
	from, made *pbft.PrePrepare
}

func (a *proposer) Send(to pbft.ReplicaID, m pbft.Message) {
	p, ok := m.(*pbft.PrePrepare)
	if !ok || p.Proposer != a.Self {
		a.Transmit(to, m)
		return
	}
	if a.from == nil || a.from.Digest() != p.Digest() {
		a.from, a.made = p, a.rewrite(a, p)
		if a.made != p {
			a.did(a.deed)
		}
	}
	if a.made != nil {
		a.Transmit(to, a.made)
	}
}

// newCensor never orders the requests of one client (P04), whichever way they
// reach it. Who it is changes with the view.
func newCensor(p *Puppet) Adversary { return &censor{honest: honest{p}} }

type censor struct {
	honest
	victim crypto.PublicKey
	view   pbft.View
}

func (a *censor) wants(r *pbft.Request) bool {
	if v := a.Puppet.view(); v != a.view || a.victim == (crypto.PublicKey{}) {
		a.view, a.victim = v, r.Client
	}
	if r.Client != a.victim || a.Schedule.Primary(a.Core.Epoch, a.view) != a.Self {
		return true
	}
	a.did("censored request")
	return false
}

func (a *censor) Request(r *pbft.Request) bool { return a.wants(r) }

func (a *censor) Hear(_ pbft.ReplicaID, m pbft.Message) bool {
	f, ok := m.(*pbft.Forward)
	if !ok {
		return true
	}
	for _, r := range f.Requests {
		if !a.wants(r) {
			return false // what else is in it will come again
		}
	}
	return true
}

// newHole skips a height now and then (P07).
func newHole(p *Puppet) Adversary {
	return &proposer{honest: honest{p}, deed: "skipped height", rewrite: func(a *proposer, p *pbft.PrePrepare) *pbft.PrePrepare {
		switch a.Rand.IntN(4) {
		case 0:
			return nil
		case 1:
			h := p.Header
			h.Height++
			return &pbft.PrePrepare{Block: pbft.NewBlock(h, p.Requests)}
		}
		return p
	}}
}

// newBadRequests proposes requests that nobody signed, of an other client than
// who signed, too large, or too many (P10, P16).
func newBadRequests(p *Puppet) Adversary {
	return &proposer{honest: honest{p}, deed: "bad request in a block", rewrite: func(a *proposer, p *pbft.PrePrepare) *pbft.PrePrepare {
		if a.Rand.IntN(3) > 0 {
			return p
		}
		rs := append([]*pbft.Request(nil), p.Requests...)
		q := pbft.NewRequest(crypto.PublicKey{1}, 1, 1, a.Host.Clock().Add(time.Minute), [][]byte{{1}})
		switch {
		case a.Rand.IntN(3) == 0:
			q = pbft.NewRequest(crypto.PublicKey{1}, 1, 1, a.Host.Clock(), [][]byte{make([]byte, a.Core.MaxOperationBytes+1)})
		case a.Rand.IntN(3) == 0:
			for len(rs) <= a.Core.MaxBlockRequests {
				rs = append(rs, q)
			}
		case len(rs) > 0: // the right signature on something else
			o := rs[0]
			q = pbft.NewRequest(o.Client, o.Seq+1, o.Low, o.Deadline, o.Ops).WithSignature(o.Signature)
		}
		return &pbft.PrePrepare{Block: pbft.NewBlock(p.Header, append(rs, q))}
	}}
}

// newDuplicates proposes requests twice: within a block, and long after they ran
// (P11).
func newDuplicates(p *Puppet) Adversary {
	return &proposer{honest: honest{p}, deed: "request again", rewrite: func(a *proposer, p *pbft.PrePrepare) *pbft.PrePrepare {
		old := a.Coalition.lore.requests
		rs := append([]*pbft.Request(nil), p.Requests...)
		if len(rs) > 0 && 2*len(rs) <= a.Core.MaxBlockRequests {
			rs = append(rs, rs...)
		}
		for range 3 {
			if len(old) > 0 && len(rs) < a.Core.MaxBlockRequests {
				rs = append(rs, old[a.Rand.IntN(len(old))])
			}
		}
		if len(rs) == len(p.Requests) {
			return p
		}
		return &pbft.PrePrepare{Block: pbft.NewBlock(p.Header, rs)}
	}}
}

// newBadTime lies about the time: far ahead, back before the parent, or standing
// still (P15).
func newBadTime(p *Puppet) Adversary {
	return &proposer{honest: honest{p}, deed: "wrong time", rewrite: func(a *proposer, p *pbft.PrePrepare) *pbft.PrePrepare {
		h := p.Header
		switch a.Rand.IntN(5) {
		case 0:
			h.Time = h.Time.Add(a.Core.MaxAhead * 9 / 10)
		case 1:
			h.Time = h.Time.Add(100 * a.Core.MaxAhead)
		case 2:
			h.Time = h.Time.Add(-time.Hour)
		case 3:
			h.Time = ^pbft.Time(0)
		default:
			return p
		}
		return &pbft.PrePrepare{Block: pbft.NewBlock(h, p.Requests)}
	}}
}

// newFlags asks for a checkpoint with every block, so that everybody pays for one
// each time (PROTOCOL 3.8).
func newFlags(p *Puppet) Adversary {
	return &proposer{honest: honest{p}, deed: "needless checkpoint", rewrite: func(_ *proposer, p *pbft.PrePrepare) *pbft.PrePrepare {
		if p.Checkpoint {
			return p
		}
		h := p.Header
		h.Checkpoint = true
		return &pbft.PrePrepare{Block: pbft.NewBlock(h, p.Requests)}
	}}
}

// withhold has votes for blocks whose body one replica only has, or nobody (P12,
// C18).
type withhold struct{ honest }

func newWithhold(p *Puppet) Adversary { return withhold{honest{p}} }

func (a withhold) Send(to pbft.ReplicaID, m pbft.Message) {
	switch p := m.(type) {
	case *pbft.PrePrepare:
		if p.Proposer == a.Self && uint64(to) != uint64(p.Height)%uint64(a.Core.Quorums.N()) {
			a.did("withheld body")
			return
		}
	case *pbft.Blocks:
		a.did("withheld body")
		return
	}
	a.Transmit(to, m)
}
