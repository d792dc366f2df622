package chaos

import "github.com/parley-bft/parley/pbft"

// storm asks for one view change after the other (B19, V12, V13): it suspects
// every primary, says to be in views ahead of the others, and repeats it.
type storm struct {
	honest
	ticks int
	ahead pbft.View
}

func newStorm(p *Puppet) Adversary { return &storm{honest: honest{p}} }

func (a *storm) Send(to pbft.ReplicaID, m pbft.Message) {
	if s, ok := m.(*pbft.Status); ok {
		x := *s
		x.Suspect = true
		if a.Rand.IntN(2) == 0 {
			x.View, x.Entered, x.Open = s.View+1+a.ahead, false, false
		}
		a.did("suspicion")
		m = &x
	}
	a.Transmit(to, m)
}

func (a *storm) Tick() {
	if a.ticks++; a.ticks%10 != 0 {
		return
	}
	if a.ahead++; a.ahead > 20 {
		a.ahead = 0
	}
	a.did("ViewChange without need")
	a.Broadcast(a.startClaim(a.view() + 1 + a.ahead))
}
