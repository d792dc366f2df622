package chaos

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// starve works with a quorum only and leaves the others in the dark, who are too
// few to depose it (B21, P05). With rotate, whom it excludes changes with every
// checkpoint, so that somebody is always catching up (P06).
type starve struct {
	honest
	rotate bool
	dark   crypto.Bitmap
	turn   pbft.Height
}

func newStarve(p *Puppet) Adversary { return &starve{honest: honest{p}} }

func newHalfDark(p *Puppet) Adversary { return &starve{honest: honest{p}, rotate: true} }

func (a *starve) victims() crypto.Bitmap {
	turn := pbft.Height(1)
	if c := a.core(); a.rotate && c != nil {
		turn += c.Committed() / a.Core.CheckpointEvery
	}
	if turn == a.turn {
		return a.dark
	}
	a.turn, a.dark = turn, crypto.NewBitmap(a.Core.Quorums.N())
	for _, i := range a.Rand.Perm(a.Core.Quorums.N()) {
		id := pbft.ReplicaID(i)
		if a.Coalition.has(id) {
			continue
		}
		if a.Core.Quorums.WeightOf(a.dark)+a.Core.Quorums.Weight(id) <= a.Core.Quorums.MaxFaulty() {
			a.dark.Set(id)
		}
	}
	return a.dark
}

func (a *starve) Send(to pbft.ReplicaID, m pbft.Message) {
	if a.victims().Has(to) {
		a.did("left in the dark")
		return
	}
	a.Transmit(to, m)
}
