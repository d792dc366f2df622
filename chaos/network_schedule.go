package chaos

import (
	"slices"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// Schedules are the adversarial schedulers by name. Each sees what a message is and
// decides how much longer it takes, before the storm ends.
func Schedules() []string {
	var names []string
	for name := range schedules {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

var schedules = map[string]func(p *plan, n *network, from, to pbft.ReplicaID, m pbft.Message) float64{
	// Later messages overtake earlier ones.
	"reverse": func(p *plan, n *network, _, _ pbft.ReplicaID, _ pbft.Message) float64 {
		period := 200 * time.Millisecond
		return float64(period-n.s.now%period) / float64(20*time.Millisecond)
	},
	// Commits crawl, view changes fly: a view ends with much prepared and little
	// known to be committed.
	"late commits": func(_ *plan, _ *network, _, _ pbft.ReplicaID, m pbft.Message) float64 {
		switch m := m.(type) {
		case *pbft.Vote:
			if m.Phase == pbft.Commit {
				return 30
			}
		case *pbft.Certificate:
			return 30
		}
		return 0
	},
	// The other way round: old votes still arrive when the view is over.
	"late views": func(_ *plan, _ *network, _, _ pbft.ReplicaID, m pbft.Message) float64 {
		switch m.(type) {
		case *pbft.ViewChange, *pbft.NewView, *pbft.Status:
			return 30
		}
		return 0
	},
	// What says where a replica is comes long after what it did: answers to somebody who
	// has lost its disk meanwhile, among others.
	"late statuses": func(_ *plan, _ *network, _, _ pbft.ReplicaID, m pbft.Message) float64 {
		if m.Kind() == pbft.KindStatus {
			return 60
		}
		return 0
	},
	// Votes come before the blocks they are for.
	"late blocks": func(_ *plan, _ *network, _, to pbft.ReplicaID, m pbft.Message) float64 {
		if m.Kind() == pbft.KindPrePrepare && to%2 == 0 {
			return 20
		}
		return 0
	},
	// One replica hears of certificates first, and long before the others: what it
	// commits is hidden from them.
	"favourite": func(p *plan, _ *network, from, to pbft.ReplicaID, m pbft.Message) float64 {
		if v, ok := m.(*pbft.Vote); ok && v.Phase == pbft.Commit && to != p.favourite {
			return 40
		}
		if from == p.favourite {
			return 20
		}
		return 0
	},
	// Each kind of message has its own delay for each recipient, drawn anew all the
	// time.
	"whims": func(p *plan, n *network, _, to pbft.ReplicaID, m pbft.Message) float64 {
		if n.s.now >= p.until {
			p.until = n.s.now + n.s.exp(500*time.Millisecond)
			for i := range p.whims {
				p.whims[i] = 0
				if n.s.rng.IntN(3) == 0 {
					p.whims[i] = 40 * n.s.rng.Float64()
				}
			}
			p.favourite = n.s.anyone().id
		}
		return p.whims[(int(m.Kind())*7+int(to))%len(p.whims)]
	},
}

// plan is the adversarial scheduler of a run.
type plan struct {
	decide    func(p *plan, n *network, from, to pbft.ReplicaID, m pbft.Message) float64
	favourite pbft.ReplicaID
	whims     [61]float64
	until     time.Duration
}

func newPlan(s *Simulation) *plan {
	p := &plan{decide: schedules[s.opts.Network.Schedule]}
	if p.decide != nil {
		p.favourite = pbft.ReplicaID(s.rng.IntN(len(s.opts.Weights)))
	}
	return p
}

// hold is how much longer the adversary lets a message take, in delays of the
// network.
func (p *plan) hold(n *network, from, to pbft.ReplicaID, k *packet) time.Duration {
	if p.decide == nil {
		return 0
	}
	m, err := k.message()
	if err != nil {
		return 0
	}
	unit := max(n.s.opts.Network.Delay+n.s.opts.Network.Jitter, time.Millisecond)
	return time.Duration(p.decide(p, n, from, to, m) * float64(unit))
}

// hunted tells whether a message does not pass because of who is primary.
func (n *network) hunted(from, to pbft.ReplicaID) bool {
	o := &n.s.opts.Network
	if !o.HuntPrimary && !o.TraitorsLead {
		return false
	}
	p := n.primary()
	if o.HuntPrimary && (from == p || to == p) {
		return true
	}
	return o.TraitorsLead && n.s.replicas[p].honest() && n.s.rng.IntN(4) > 0
}
