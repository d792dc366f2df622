package chaos

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// doubleVote votes for two blocks at a height (B5): for what the others vote for,
// and to each of them for something else besides, a block that exists if it has
// heard of one.
type doubleVote struct{ honest }

func newDoubleVote(p *Puppet) Adversary { return doubleVote{honest{p}} }

func (a doubleVote) Send(to pbft.ReplicaID, m pbft.Message) {
	v, ok := m.(*pbft.Vote)
	if !ok {
		a.Transmit(to, m)
		return
	}
	second := &pbft.Vote{Statement: v.Statement, Signer: a.Self}
	second.Block = crypto.Hash("chaos/second", v.Block[:], []byte{byte(to)})
	for _, ref := range a.Coalition.lore.refs {
		if ref.Height == v.Height && ref.Digest != v.Block {
			second.Block = ref.Digest
		}
	}
	a.did("second vote")
	if a.Rand.IntN(2) == 0 {
		a.Transmit(to, m)
		a.Transmit(to, second)
	} else {
		a.Transmit(to, second)
		a.Transmit(to, m)
	}
}
