package chaos

import "github.com/parley-bft/parley/pbft"

// smallScope changes little about what it sends, and signs it: one number by one
// (B10), or one value to what it was in an earlier message of the kind (B11).
type smallScope struct {
	honest
	deed   string
	change func(*Puppet, pbft.Message) pbft.Message
}

func newOffByOne(p *Puppet) Adversary { return smallScope{honest{p}, "off by one", (*Puppet).nudged} }

func newSwap(p *Puppet) Adversary {
	return smallScope{honest{p}, "value from before", (*Puppet).swapped}
}

func (a smallScope) Send(to pbft.ReplicaID, m pbft.Message) {
	if a.Rand.IntN(3) == 0 {
		if x := a.change(a.Puppet, m); x != nil {
			a.did(a.deed)
			if a.Rand.IntN(2) == 0 {
				m, x = x, m
			}
			a.Transmit(to, x)
			if a.Rand.IntN(2) == 0 {
				return
			}
		}
	}
	a.Transmit(to, m)
}
