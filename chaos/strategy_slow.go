package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
)

// slow proposes as late as it gets away with (B20, P03): one block in almost a
// progress timeout. When that cost it a view it is a little faster from then on,
// and slower again as long as nothing happens (P19).
type slow struct {
	honest
	fraction float64
	queue    []pbft.Envelope
	next     time.Duration
	view     pbft.View
	led      bool
}

func newSlow(p *Puppet) Adversary { return &slow{honest: honest{p}, fraction: 0.9} }

func (a *slow) Send(to pbft.ReplicaID, m pbft.Message) {
	if p, ok := m.(*pbft.PrePrepare); ok && p.Proposer == a.Self {
		a.queue = append(a.queue, pbft.Envelope{To: to, Message: m})
		if len(a.queue) > 4096 {
			a.queue = a.queue[1:]
		}
		return
	}
	a.Transmit(to, m)
}

func (a *slow) Tick() {
	if v := a.Puppet.view(); v != a.view {
		if a.led {
			a.fraction *= 0.8
		}
		a.view, a.led, a.queue = v, a.Schedule.Primary(a.Core.Epoch, v) == a.Self, nil
	}
	now := a.Host.Now()
	if len(a.queue) == 0 || now < a.next {
		return
	}
	a.fraction = min(0.95, a.fraction*1.01)
	a.next = now + time.Duration(a.fraction*float64(a.Core.Timeouts.Progress)*float64(a.Puppet.Tick))
	h := a.queue[0].Message.(*pbft.PrePrepare).Height
	kept := a.queue[:0]
	for _, e := range a.queue {
		if e.Message.(*pbft.PrePrepare).Height > h {
			kept = append(kept, e)
			continue
		}
		a.did("late proposal")
		a.Transmit(e.To, e.Message)
	}
	a.queue = kept
}
