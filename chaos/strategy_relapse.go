package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
)

// relapse pretends to crash and to come back with less than it had (B3): it is
// silent for a while, then says that it lost its disk, knows nothing and wants to
// rejoin, and all the time tells those who rejoin of a view that is long past.
type relapse struct {
	honest
	from, to time.Duration // of the present absence
	lives    uint64
}

func newRelapse(p *Puppet) Adversary { return &relapse{honest: honest{p}} }

func (a *relapse) Tick() {
	if now := a.Host.Now(); now > a.to+time.Second {
		a.from = now + time.Duration(a.Rand.Int64N(int64(2*time.Second)))
		a.to = a.from + time.Duration(a.Rand.Int64N(int64(time.Second)))
		a.lives++
	}
}

func (a *relapse) Send(to pbft.ReplicaID, m pbft.Message) {
	now := a.Host.Now()
	s, ok := m.(*pbft.Status)
	switch {
	case now >= a.from && now < a.to:
		a.did("absence")
	case ok && s.Echo != 0:
		lie := *s
		lie.View, lie.NewView, lie.Entered = pbft.View(a.Rand.Uint64N(uint64(s.View)+1)), pbft.Digest{}, lie.View == 0
		a.did("past view for a rejoiner")
		a.Transmit(to, &lie)
	case ok && now < a.to+time.Second:
		a.did("false relapse")
		a.Transmit(to, &pbft.Status{
			Entered: true, Open: true, Tip: a.Core.Start.Ref(), Follower: a.lives%2 == 0, Reply: s.Reply,
			Incarnation: s.Incarnation ^ a.lives, Echo: s.Echo,
		})
	default:
		a.Transmit(to, m)
	}
}
