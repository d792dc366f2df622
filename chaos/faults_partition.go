package chaos

import (
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

// cutFor cuts links, given by a predicate, for a while.
func (s *Simulation) cutFor(d time.Duration, cut func(from, to pbft.ReplicaID) bool) {
	s.network.eachLink(cut, func(_, _ pbft.ReplicaID, l *link) { l.cut++ })
	s.whileStorm(d, func() { s.network.eachLink(cut, func(_, _ pbft.ReplicaID, l *link) { l.cut-- }) })
}

// half draws about half of the replicas.
func (s *Simulation) half() crypto.Bitmap {
	side := crypto.NewBitmap(len(s.replicas))
	for _, i := range s.rng.Perm(len(s.replicas))[:len(s.replicas)/2] {
		side.Set(pbft.ReplicaID(i))
	}
	return side
}

func (s *Simulation) faultPartition() bool {
	side := crypto.NewBitmap(len(s.replicas))
	if s.rng.IntN(2) == 0 {
		side.Set(s.anyone().id)
	} else {
		side = s.half()
	}
	s.cutFor(s.exp(2*time.Second), func(from, to pbft.ReplicaID) bool { return side.Has(from) != side.Has(to) })
	return true
}

// faultPartial parts two groups and leaves replicas that both can reach.
func (s *Simulation) faultPartial() bool {
	side, bridge := s.half(), s.anyone().id
	s.cutFor(s.exp(2*time.Second), func(from, to pbft.ReplicaID) bool {
		return from != bridge && to != bridge && side.Has(from) != side.Has(to)
	})
	return true
}

func (s *Simulation) faultOneWay() bool {
	a, b := s.anyone().id, s.anyone().id
	if a == b {
		return false
	}
	s.cutFor(s.exp(3*time.Second), func(from, to pbft.ReplicaID) bool { return from == a && to == b })
	return true
}

// faultFlap cuts a replica's links again and again, each time for a moment.
func (s *Simulation) faultFlap() bool {
	who, until := s.anyone().id, s.now+s.exp(3*time.Second)
	both := s.rng.IntN(2) == 0
	var flap func()
	flap = func() {
		if !s.storming || s.now >= until {
			return
		}
		d := s.exp(80 * time.Millisecond)
		s.cutFor(d, func(from, to pbft.ReplicaID) bool { return from == who || both && to == who })
		s.after(d+s.exp(80*time.Millisecond), flap)
	}
	flap()
	return true
}

// faultIsolate cuts off whoever is primary now.
func (s *Simulation) faultIsolate() bool {
	who := s.network.primary()
	s.cutFor(s.exp(2*time.Second), func(from, to pbft.ReplicaID) bool { return from == who || to == who })
	return true
}
