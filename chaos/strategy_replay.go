package chaos

import "github.com/parley-bft/parley/pbft"

// replay sends messages of the past again, its own and others', to anybody (B8).
type replay struct{ honest }

func newReplay(p *Puppet) Adversary { return replay{honest{p}} }

func (a replay) Send(to pbft.ReplicaID, m pbft.Message) {
	a.Transmit(to, m)
	if a.Rand.IntN(4) == 0 {
		if old := a.oldMessage(a.anyKind()); old != nil {
			a.did("replay")
			a.Transmit(to, old)
		}
	}
}

var allKinds = []pbft.MessageKind{
	pbft.KindPrePrepare, pbft.KindVote, pbft.KindCertificate, pbft.KindCheckpointVote, pbft.KindBundle, pbft.KindViewChange,
	pbft.KindNewView, pbft.KindStatus, pbft.KindHeartbeat, pbft.KindGetBlocks, pbft.KindBlocks, pbft.KindForward, pbft.KindEvidence,
	pbft.KindGetManifest, pbft.KindManifest, pbft.KindGetChunk, pbft.KindChunk,
	pbft.KindGetState, pbft.KindState,
}

func (p *Puppet) anyKind() pbft.MessageKind { return allKinds[p.Rand.IntN(len(allKinds))] }

// oldMessage is a message of a kind that was heard or sent before, nil if there
// was none.
func (p *Puppet) oldMessage(k pbft.MessageKind) pbft.Message {
	old := p.Coalition.lore.old[k]
	if len(old) == 0 {
		return nil
	}
	return old[p.Rand.IntN(len(old))]
}
