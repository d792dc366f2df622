package chaos

import (
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// turncoat changes what it plays every few seconds, and is honest in between
// (P19): what made one strategy suspicious is forgotten when the next begins.
type turncoat struct {
	*Puppet
	plays Adversary
	all   []Adversary
	until time.Duration
}

// turns are what a turncoat turns to. Those with a second replica of their own are
// not among them.
var turns = []func(*Puppet) Adversary{
	newChameleon, newAloof, newRelapse, newEquivocate, newDoubleVote, newReplay, newCrossContext, newOffByOne, newSwap, newBadShare, newHide,
	newForge, newWrongBase, newTwoNewViews, newHuge, newSlow, newStarve, newHalfDark, newPoison, newFalseParts, newStaleParts, newNoParts, newLateParts, newFrameParts, newLie, newWrongCheckpoint, newDuplicates, newHole, newFork,
}

func newTurncoat(p *Puppet) Adversary {
	a := &turncoat{Puppet: p, plays: honest{p}}
	for _, f := range turns {
		a.all = append(a.all, f(p))
	}
	return a
}

func (a *turncoat) Tick() {
	if now := a.Host.Now(); now >= a.until {
		a.until = now + 200*time.Millisecond + time.Duration(a.Rand.Int64N(int64(2*time.Second)))
		if _, good := a.plays.(honest); good {
			a.plays = a.all[a.Rand.IntN(len(a.all))]
		} else {
			a.plays = honest{a.Puppet}
		}
	}
	a.plays.Tick()
}

func (a *turncoat) Send(to pbft.ReplicaID, m pbft.Message) { a.plays.Send(to, m) }

func (a *turncoat) Hear(from pbft.ReplicaID, m pbft.Message) bool { return a.plays.Hear(from, m) }

func (a *turncoat) Request(r *pbft.Request) bool { return a.plays.Request(r) }

func (a *turncoat) Reply(c crypto.PublicKey, r statemachine.Reply) (statemachine.Reply, bool) {
	return a.plays.Reply(c, r)
}
