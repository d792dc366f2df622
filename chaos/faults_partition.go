package chaos

import (
	"fmt"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// eachLink calls do for the links that a predicate names.
func (n *network) eachLink(of func(from, to pbft.ReplicaID) bool, do func(from, to pbft.ReplicaID, l *link)) {
	for i := range n.links {
		for k := range n.links[i] {
			if i != k && of(pbft.ReplicaID(i), pbft.ReplicaID(k)) {
				do(pbft.ReplicaID(i), pbft.ReplicaID(k), &n.links[i][k])
			}
		}
	}
}

// cutFor cuts links, given by a predicate, for a while. f is the fault that ends then;
// nil if it goes on.
func (s *Simulation) cutFor(d time.Duration, f *ongoing, cut func(from, to pbft.ReplicaID) bool) {
	s.network.eachLink(cut, func(_, _ pbft.ReplicaID, l *link) { l.cut++ })
	s.whileStorm(d, func() {
		s.network.eachLink(cut, func(_, _ pbft.ReplicaID, l *link) { l.cut-- })
		f.end()
	})
}

// half draws about half of the replicas.
func (s *Simulation) half() crypto.Bitmap {
	side := crypto.NewBitmap(len(s.replicas))
	for _, i := range s.rng.Perm(len(s.replicas))[:len(s.replicas)/2] {
		side.Set(pbft.ReplicaID(i))
	}
	return side
}

func (s *Simulation) faultPartition(kind string) bool {
	side := crypto.NewBitmap(len(s.replicas))
	var f *ongoing
	if s.rng.IntN(2) == 0 {
		m := s.anyone()
		side.Set(m.id)
		f = s.strikeLinks(kind, "", m)
	} else {
		side = s.half()
		f = s.strikeLinks(kind, s.groups(side))
	}
	s.cutFor(s.exp(2*time.Second), f, func(from, to pbft.ReplicaID) bool { return side.Has(from) != side.Has(to) })
	return true
}

// faultPartial parts two groups and leaves replicas that both can reach.
func (s *Simulation) faultPartial(kind string) bool {
	side, bridge := s.half(), s.anyone().id
	f := s.strikeLinks(kind, fmt.Sprintf("%s, %d sees both", s.groups(side, bridge), bridge))
	s.cutFor(s.exp(2*time.Second), f, func(from, to pbft.ReplicaID) bool {
		return from != bridge && to != bridge && side.Has(from) != side.Has(to)
	})
	return true
}

func (s *Simulation) faultOneWay(kind string) bool {
	a, b := s.anyone().id, s.anyone().id
	if a == b {
		return false
	}
	f := s.strikeLinks(kind, fmt.Sprintf("%d to %d", a, b), s.replicas[a], s.replicas[b])
	s.cutFor(s.exp(3*time.Second), f, func(from, to pbft.ReplicaID) bool { return from == a && to == b })
	return true
}

// faultFlap cuts a replica's links again and again, each time for a moment.
func (s *Simulation) faultFlap(kind string) bool {
	who, until := s.anyone().id, s.now+s.exp(3*time.Second)
	both := s.rng.IntN(2) == 0
	which := "what it sends"
	if both {
		which = "both directions"
	}
	f := s.strikeLinks(kind, which, s.replicas[who])
	var flap func()
	flap = func() {
		if !s.storming || s.now >= until {
			return
		}
		d := s.exp(80 * time.Millisecond)
		next := d + s.exp(80*time.Millisecond)
		var ends *ongoing
		if s.now+next >= until {
			ends = f
		}
		s.cutFor(d, ends, func(from, to pbft.ReplicaID) bool { return from == who || both && to == who })
		s.after(next, flap)
	}
	flap()
	return true
}

// faultIsolate cuts off whoever is primary now.
func (s *Simulation) faultIsolate(kind string) bool {
	who := s.network.primary()
	f := s.strikeLinks(kind, "", s.replicas[who])
	s.cutFor(s.exp(2*time.Second), f, func(from, to pbft.ReplicaID) bool { return from == who || to == who })
	return true
}
