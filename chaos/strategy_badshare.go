package chaos

import "github.com/parley-bft/parley/pbft"

// badShare votes with signatures that are wrong, so that whoever joins them to a
// certificate must find out which (B12): a bit flipped, of another length, or of
// another statement.
type badShare struct{ honest }

func newBadShare(p *Puppet) Adversary { return badShare{honest{p}} }

func (a badShare) Send(to pbft.ReplicaID, m pbft.Message) {
	switch v := m.(type) {
	case *pbft.Vote:
		bad := *v
		bad.Signature = a.spoiled(v.Signature)
		m = &bad
	case *pbft.CheckpointVote:
		bad := *v
		bad.Signature = a.spoiled(v.Signature)
		m = &bad
	}
	a.Transmit(to, m)
}

func (a badShare) spoiled(sig []byte) []byte {
	if len(sig) == 0 {
		return []byte{1}
	}
	a.did("bad share")
	switch a.Rand.IntN(4) {
	case 0:
		return sig[:1+a.Rand.IntN(len(sig))/2]
	case 1:
		return append(append([]byte(nil), sig...), 0)
	case 2:
		if old, ok := a.oldMessage(pbft.KindVote).(*pbft.Vote); ok && len(old.Signature) > 0 {
			return old.Signature
		}
	}
	return a.flipped(sig)
}
