package main

import (
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// traitor stands between a replica and its messengers. The replica itself is an
// honest one; what it says is changed for each recipient and signed again, with the
// traitor's own keys, so that no lie can be told from the truth by its signature.
type traitor struct {
	camp  *camp
	keys  pbft.Keys
	self  int
	faces [generals]string
	carry func(to pbft.ReplicaID, raw []byte)
	// twins are the blocks that a recipient was shown in place of the replica's own.
	twins map[twinKey]pbft.Digest
}

type twinKey struct {
	to    pbft.ReplicaID
	block pbft.Digest
}

func newTraitor(c *camp, self int, faces [generals]string, carry func(pbft.ReplicaID, []byte)) *traitor {
	return &traitor{camp: c, keys: c.signing(self), self: self, faces: faces, carry: carry, twins: make(map[twinKey]pbft.Digest)}
}

// send takes a message that the replica sends (replica.SimConfig.Send).
func (t *traitor) send(to pbft.ReplicaID, raw []byte) {
	epoch, m, err := pbft.Decode(raw)
	if err != nil {
		t.carry(to, raw)
		return
	}
	if m = t.lie(to, m); m != nil {
		t.carry(to, pbft.Encode(epoch, pbft.Sign(t.camp.roster.ID, epoch, m, t.keys)))
	}
}

// lie returns what the traitor says in place of m, nil to say nothing.
func (t *traitor) lie(to pbft.ReplicaID, m pbft.Message) pbft.Message {
	switch m := m.(type) {
	case *pbft.PrePrepare:
		return t.proposal(to, m)
	case *pbft.Vote:
		return t.vote(to, m)
	case *pbft.Blocks:
		return nil // it would show the true block
	}
	return m
}

// proposal gives each recipient the order that is meant for him, in a block of the
// same height.
func (t *traitor) proposal(to pbft.ReplicaID, m *pbft.PrePrepare) pbft.Message {
	face := t.faces[to]
	if face == silence {
		return nil
	}
	header := m.Header
	if twin, ok := t.twins[twinKey{to, header.Parent}]; ok {
		header.Parent = twin
	}
	requests := m.Requests
	if len(requests) > 0 && string(requests[0].Ops[0]) != face {
		requests = []*pbft.Request{t.camp.order(t.self, face, requests[0].Deadline)}
	}
	block := pbft.NewBlock(header, requests)
	if block.Digest() == m.Digest() {
		return m
	}
	t.twins[twinKey{to, m.Digest()}] = block.Digest()
	return &pbft.PrePrepare{Block: block} // Sign signs it
}

// vote is for what the recipient believes, whatever that is: a commander supports
// each of his orders. A lieutenant votes to everybody for another block, none of
// which exists.
func (t *traitor) vote(to pbft.ReplicaID, v *pbft.Vote) pbft.Message {
	if v.Signer != t.keys.Self {
		return v
	}
	lie := &pbft.Vote{Statement: v.Statement, Signer: v.Signer}
	if twin, ok := t.twins[twinKey{to, v.Block}]; ok {
		lie.Block = twin
	} else if t.self != t.camp.commander {
		lie.Block = crypto.Hash("example/lie", v.Block[:], []byte{byte(to)})
	}
	return lie
}
