package chaos

import (
	"math"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// rogue has no honest node to hide behind: it makes messages of every kind by
// their grammar, from what it has heard, signs them, and changes a part of them a
// little.
type rogue struct{ honest }

// roguePerTick is how many messages it makes in a tick.
const roguePerTick = 3

func newRogue(p *Puppet) Adversary { return rogue{honest{p}} }

func (a rogue) Send(pbft.ReplicaID, pbft.Message) {}

func (a rogue) Tick() {
	for range roguePerTick {
		m := a.message(a.anyKind())
		if m == nil {
			continue
		}
		var x pbft.Message
		switch a.Rand.IntN(4) {
		case 0:
			x = a.nudged(m)
		case 1:
			x = a.swapped(m)
		}
		if x != nil {
			m = x
		}
		a.did("rogue " + m.Kind().String())
		if a.Rand.IntN(2) == 0 {
			a.Broadcast(m)
		} else {
			a.Transmit(pbft.ReplicaID(a.Rand.IntN(a.Core.Quorums.N())), m)
		}
	}
}

func one[T any](a rogue, s []T) (x T, ok bool) {
	if len(s) == 0 {
		return x, false
	}
	return s[a.Rand.IntN(len(s))], true
}

func (a rogue) anyRef() pbft.BlockRef {
	if ref, ok := one(a, a.Coalition.lore.refs); ok {
		return ref
	}
	return a.Core.Start.Ref()
}

func (a rogue) anyDigest() pbft.Digest {
	if a.Rand.IntN(3) == 0 {
		return crypto.Hash("chaos/rogue", []byte{byte(a.Rand.IntN(4))})
	}
	return a.anyRef().Digest
}

func (a rogue) anyHeight() pbft.Height {
	if a.Rand.IntN(20) == 0 {
		return pbft.Height(math.MaxUint64) >> a.Rand.IntN(64)
	}
	return a.anyRef().Height + pbft.Height(a.Rand.IntN(3))
}

// message makes one of a kind, nil if it knows too little yet.
func (a rogue) message(k pbft.MessageKind) pbft.Message {
	l, r, v := &a.Coalition.lore, a.Rand, a.view()
	switch k {
	case pbft.KindVote:
		return a.anyVote(v)
	case pbft.KindPrePrepare:
		ref := a.anyRef()
		var rs []*pbft.Request
		for range r.IntN(3) {
			if q, ok := one(a, l.requests); ok {
				rs = append(rs, q)
			}
		}
		h := pbft.Header{
			Cluster: a.Core.Cluster, Epoch: a.Core.Epoch, Height: ref.Height + 1, View: v, Parent: ref.Digest, Proposer: a.Self,
			Time: a.Host.Clock(), Checkpoint: r.IntN(4) == 0,
		}
		return &pbft.PrePrepare{Block: pbft.NewBlock(h, rs)}
	case pbft.KindCertificate:
		if c, ok := one(a, l.certs); ok {
			return c
		}
	case pbft.KindCheckpointVote:
		ref := a.anyRef()
		return &pbft.CheckpointVote{CheckpointStatement: pbft.CheckpointStatement{Height: ref.Height, Block: ref.Digest, State: a.anyDigest()}, Signer: a.Self}
	case pbft.KindBundle:
		if b, ok := one(a, l.bundles); ok {
			if r.IntN(2) == 0 {
				return a.forgedBundle(b)
			}
			return b
		}
	case pbft.KindViewChange:
		if r.IntN(3) == 0 {
			return a.forgedClaim(v + 1)
		}
		return a.lowClaim(v + pbft.View(r.IntN(3)))
	case pbft.KindNewView:
		if view, ok := one(a, l.views); ok {
			if n := a.anotherNewView(view); n != nil {
				return n
			}
		}
	case pbft.KindStatus:
		h := a.anyHeight()
		return &pbft.Status{
			View: v + pbft.View(r.IntN(2)), Entered: r.IntN(2) == 0, Open: r.IntN(2) == 0, NewView: a.anyDigest(), Tip: a.anyRef(),
			High: pbft.Rank{View: v, Height: h}, Committed: h, Executed: h, Stable: a.anyHeight(), Snapshot: a.anyHeight(), Oldest: a.anyHeight(),
			Suspect: r.IntN(2) == 0, Follower: r.IntN(4) == 0, Reply: r.IntN(2) == 0, Incarnation: uint64(r.IntN(3)), Echo: uint64(r.IntN(3)),
		}
	case pbft.KindHeartbeat:
		return &pbft.Heartbeat{View: v, Tip: a.anyRef(), High: pbft.Rank{View: v, Height: a.anyHeight()}}
	case pbft.KindGetBlocks:
		if r.IntN(2) == 0 {
			return &pbft.GetBlocks{From: a.anyHeight()}
		}
		ref := a.anyRef()
		return &pbft.GetBlocks{From: a.anyHeight(), Height: ref.Height, Digest: ref.Digest}
	case pbft.KindBlocks:
		return a.blocks()
	case pbft.KindForward:
		f := &pbft.Forward{}
		for range 1 + r.IntN(4) {
			if q, ok := one(a, l.requests); ok {
				f.Requests = append(f.Requests, q)
			}
		}
		return f
	case pbft.KindEvidence:
		return a.evidence()
	case pbft.KindGetManifest:
		return &pbft.GetManifest{Height: a.anyHeight()}
	case pbft.KindManifest:
		return &pbft.Manifest{Height: a.anyHeight(), Data: make([]byte, r.IntN(200))}
	case pbft.KindGetChunk:
		return &pbft.GetChunk{Height: a.anyHeight(), Index: uint32(r.IntN(4))}
	case pbft.KindChunk:
		return &pbft.Chunk{Height: a.anyHeight(), Index: uint32(r.IntN(4)), Data: make([]byte, r.IntN(200))}
	case pbft.KindGetState:
		return &pbft.GetState{ID: r.Uint64N(4), Request: make([]byte, r.IntN(200))}
	case pbft.KindState:
		return &pbft.State{ID: r.Uint64N(4), Data: make([]byte, r.IntN(200))}
	}
	return nil
}

func (a rogue) blocks() pbft.Message {
	l, m := &a.Coalition.lore, &pbft.Blocks{}
	for range 1 + a.Rand.IntN(3) {
		if b, ok := one(a, l.blocks); ok {
			m.Blocks = append(m.Blocks, b)
		}
	}
	if c, ok := one(a, l.certs); ok && a.Rand.IntN(2) == 0 {
		m.Certificate = c
	}
	if n, ok := one(a, l.newViews); ok && a.Rand.IntN(2) == 0 {
		m.NewViews = append(m.NewViews, n)
	}
	if len(m.Blocks) == 0 {
		return nil
	}
	return m
}

func (a rogue) evidence() pbft.Message {
	l := &a.Coalition.lore
	v, ok := one(a, l.votes)
	w, _ := one(a, l.votes)
	if !ok {
		return nil
	}
	var headers []pbft.Header
	for _, b := range l.blocks {
		headers = append(headers, b.Header)
	}
	return conflicting(v, w, headers)
}
