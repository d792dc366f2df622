package chaos

import (
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// mute says nothing to anybody (B1).
type mute struct{ honest }

func newMute(p *Puppet) Adversary { return mute{honest{p}} }

func (a mute) Send(pbft.ReplicaID, pbft.Message) { a.did("silence") }

func (a mute) Reply(_ crypto.PublicKey, r statemachine.Reply) (statemachine.Reply, bool) {
	return r, false
}

// aloof says nothing to some, and everything to the others; whom it does not talk
// to changes now and then (B2).
type aloof struct {
	honest
	shunned crypto.Bitmap
	until   time.Duration
}

func newAloof(p *Puppet) Adversary {
	return &aloof{honest: honest{p}, shunned: crypto.NewBitmap(p.Core.Quorums.N())}
}

func (a *aloof) Tick() {
	if a.Host.Now() < a.until {
		return
	}
	a.until = a.Host.Now() + time.Second + time.Duration(a.Rand.Int64N(int64(3*time.Second)))
	a.shunned = crypto.NewBitmap(a.Core.Quorums.N())
	for _, i := range a.Rand.Perm(a.Core.Quorums.N())[:1+a.Rand.IntN(a.Core.Quorums.N()/2)] {
		a.shunned.Set(pbft.ReplicaID(i))
	}
}

func (a *aloof) Send(to pbft.ReplicaID, m pbft.Message) {
	if a.shunned.Has(to) {
		a.did("silence")
		return
	}
	a.Transmit(to, m)
}
