package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
)

// maxHeld is how many messages a clogged link holds; the rest is lost.
const maxHeld = 4000

// unclog takes away so many of the faults that clog a link. What it held arrives
// now, in order.
func (n *network) unclog(from, to pbft.ReplicaID, faults int) {
	l := &n.links[from][to]
	l.clogged -= faults
	if l.clogged > 0 || len(l.held) == 0 {
		return
	}
	held := l.held
	l.held = nil
	for _, k := range held {
		n.s.after(0, func() { n.arrive(from, to, k) })
	}
}

// faultClog clogs the links of some replicas and lets them go one after another,
// in an order of its own.
func (s *Simulation) faultClog(kind string) bool {
	n := 1 + s.rng.IntN(len(s.replicas)-1)
	for _, i := range s.rng.Perm(len(s.replicas))[:n] {
		who := pbft.ReplicaID(i)
		into := s.rng.IntN(3)
		of := func(from, to pbft.ReplicaID) bool { return into != 0 && to == who || into != 1 && from == who }
		which := [...]string{"what it sends", "what it gets", "both directions"}[into]
		s.after(s.exp(300*time.Millisecond), func() {
			if !s.storming {
				return
			}
			s.network.eachLink(of, func(_, _ pbft.ReplicaID, l *link) { l.clogged++ })
			f := s.strikeLinks(kind, which, s.replicas[who])
			s.whileStorm(s.exp(1500*time.Millisecond), func() {
				s.network.eachLink(of, func(from, to pbft.ReplicaID, _ *link) { s.network.unclog(from, to, 1) })
				f.end()
			})
		})
	}
	return true
}

// faultNarrow takes the bandwidth of a replica's links, or of all.
func (s *Simulation) faultNarrow(kind string) bool {
	who, all := s.anyone().id, s.rng.IntN(3) == 0
	of := func(from, to pbft.ReplicaID) bool { return all || from == who || to == who }
	s.network.eachLink(of, func(_, _ pbft.ReplicaID, l *link) { l.narrow++ })
	detail, slow := "all links", []*member(nil)
	if !all {
		detail, slow = "", append(slow, s.replicas[who])
	}
	f := s.strikeLinks(kind, detail, slow...)
	s.whileStorm(s.exp(2*time.Second), func() {
		s.network.eachLink(of, func(_, _ pbft.ReplicaID, l *link) { l.narrow-- })
		f.end()
	})
	return true
}
