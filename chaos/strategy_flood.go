package chaos

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// flood sends much of everything that costs the receiver something (B24): votes
// for heights and views to come, requests for blocks and chunks, statuses that ask
// to be helped, requests of others, certificates to verify.
type flood struct{ honest }

// floodPerTick is how many messages it sends to each peer in a tick.
const floodPerTick = 4

func newFlood(p *Puppet) Adversary { return flood{honest{p}} }

func (a flood) Tick() {
	for i := range a.Core.Quorums.N() {
		to := pbft.ReplicaID(i)
		if to == a.Self || a.Coalition.has(to) {
			continue
		}
		for range floodPerTick {
			a.did("flood")
			a.Transmit(to, a.drop())
		}
	}
}

// drop is one drop of the flood.
func (a flood) drop() pbft.Message {
	l, r := &a.Coalition.lore, a.Rand
	var at pbft.Height
	if c := a.core(); c != nil {
		at = c.Committed()
	}
	d := crypto.Hash("chaos/flood", []byte{byte(r.Uint32()), byte(r.Uint32())})
	switch r.IntN(9) {
	case 0, 1:
		s := pbft.Statement{Phase: pbft.Phase(1 + r.IntN(2)), View: a.view() + pbft.View(r.IntN(3)), Height: at + 1 + pbft.Height(r.Uint64N(2*uint64(a.Core.Window)+2)), Block: d}
		if nv := l.newViewDigests(s.View); len(nv) > 0 {
			s.NewView = nv[0]
		} else {
			s.NewView = d
		}
		return &pbft.Vote{Statement: s, Signer: a.Self}
	case 2:
		return &pbft.GetBlocks{From: pbft.Height(r.Uint64N(uint64(at) + 1))}
	case 3:
		return &pbft.GetBlocks{Height: at + 1, Digest: d}
	case 4:
		return &pbft.GetChunk{Height: at / a.Core.CheckpointEvery * a.Core.CheckpointEvery, Index: uint32(r.IntN(8))}
	case 5:
		return &pbft.Status{View: a.view(), Entered: true, Tip: a.Core.Start.Ref(), Incarnation: uint64(r.Uint32())}
	case 6:
		return &pbft.CheckpointVote{CheckpointStatement: pbft.CheckpointStatement{Height: at + pbft.Height(r.IntN(100)), Block: d}, Signer: a.Self}
	case 7:
		if len(l.requests) > 0 {
			return &pbft.Forward{Requests: l.requests}
		}
	case 8:
		if len(l.certs) > 0 {
			return l.certs[r.IntN(len(l.certs))]
		}
	}
	return &pbft.GetManifest{Height: at / a.Core.CheckpointEvery * a.Core.CheckpointEvery}
}
