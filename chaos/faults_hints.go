package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
)

// faultHints has a replica's host mistaken for a while in what it tells of its links and
// of how busy the cluster is (pbft.Core.SetLink and SetCongested). It may take them for
// worse than they are, or not notice: both are hints, and what is promised does not hang
// on them.
func (s *Simulation) faultHints(kind string) bool {
	m := s.anyone()
	if m.up == nil {
		return false
	}
	f := s.begin(kind, "", m)
	f.last()
	p, until := m.up, s.now+s.exp(2*time.Second)
	var mislead func()
	mislead = func() {
		if !s.storming || s.now >= until || p.dead {
			p.rightHints()
			f.end()
			return
		}
		peer, up, busy := s.anyone().id, s.rng.IntN(3) == 0, s.rng.IntN(2) == 0
		if s.rng.IntN(2) == 0 {
			peer = p.node.Core().Primary()
		}
		p.post(func() {
			p.node.SetLink(peer, up)
			p.node.SetCongested(busy)
		})
		s.after(s.exp(150*time.Millisecond), mislead)
	}
	mislead()
	return true
}

// rightHints has the host know better again.
func (p *process) rightHints() {
	if p.dead {
		return
	}
	p.post(func() {
		for i := range p.s.replicas {
			p.node.SetLink(pbft.ReplicaID(i), true)
		}
		p.node.SetCongested(false)
	})
}
