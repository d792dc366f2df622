package chaos

import (
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// chameleon rewrites what the honest node sends, recipient by recipient: it
// equivocates, votes for whatever it has heard of, hides certificates in view
// changes, opens views twice, keeps somebody in the dark, poisons state transfers
// and lies to clients.
type chameleon struct {
	honest
	dark pbft.ReplicaID
}

func newChameleon(p *Puppet) Adversary {
	return &chameleon{honest: honest{p}, dark: pbft.ReplicaID(p.Rand.IntN(p.Core.Quorums.N()))}
}

func (t *chameleon) Send(to pbft.ReplicaID, m pbft.Message) {
	if to == t.dark && t.Rand.IntN(4) > 0 {
		t.did("in the dark")
		return
	}
	for _, x := range t.rewrite(m) {
		if x != m {
			t.did("rewritten")
		}
		t.Transmit(to, x)
	}
}

// rewrite decides what one recipient gets in place of m.
func (t *chameleon) rewrite(m pbft.Message) []pbft.Message {
	r := t.Rand
	switch m := m.(type) {
	case *pbft.Vote:
		switch r.IntN(6) {
		case 0:
			return nil
		case 1:
			return []pbft.Message{m, t.anyVote(m.View)}
		case 2:
			return []pbft.Message{t.anyVote(m.View)}
		case 3:
			return []pbft.Message{t.badShare(m)}
		}
	case *pbft.PrePrepare:
		if m.Proposer == t.Self && r.IntN(2) == 0 {
			return []pbft.Message{t.anotherBlock(m)}
		}
	case *pbft.ViewChange:
		if r.IntN(2) == 0 {
			return []pbft.Message{t.lowClaim(m.View)}
		}
	case *pbft.NewView:
		if n := t.anotherNewView(m.View); n != nil && r.IntN(2) == 0 {
			return []pbft.Message{n, t.anyVote(m.View)}
		}
	case *pbft.Status:
		s := *m
		switch r.IntN(4) {
		case 0:
			s.View += pbft.View(r.IntN(3))
		case 1:
			s.Suspect = !s.Suspect
		case 2:
			s.Committed, s.Oldest = s.Committed+pbft.Height(r.IntN(20)), pbft.Height(r.IntN(30))
		default:
			return []pbft.Message{m}
		}
		return []pbft.Message{&s}
	case *pbft.CheckpointVote:
		if r.IntN(3) == 0 {
			return []pbft.Message{t.wrongCheckpoint(m)}
		}
	case *pbft.Chunk:
		if len(m.Data) > 0 && r.IntN(2) == 0 {
			return []pbft.Message{&pbft.Chunk{Height: m.Height, Index: m.Index, Data: t.flipped(m.Data)}}
		}
	case *pbft.Manifest:
		if len(m.Data) > 0 && r.IntN(2) == 0 {
			return []pbft.Message{&pbft.Manifest{Height: m.Height, Data: t.flipped(m.Data)}}
		}
	}
	if certs := t.Coalition.lore.certs; r.IntN(12) == 0 && len(certs) > 0 {
		return []pbft.Message{m, certs[r.IntN(len(certs))]}
	}
	return []pbft.Message{m}
}

func (t *chameleon) Reply(_ crypto.PublicKey, r statemachine.Reply) (statemachine.Reply, bool) {
	switch t.Rand.IntN(3) {
	case 0:
		r.Status, r.Results = statemachine.Expired, nil
		t.did("lie to a client")
	case 1:
		r.Status, r.Results = statemachine.Executed, []statemachine.Result{statemachine.OK([]byte("lie"))}
		t.did("lie to a client")
	}
	return r, true
}

// What follows makes messages that several strategies use. What is made anew is
// unsigned: Transmit signs.

// anyVote votes for anything that was heard of, under any NewView.
func (p *Puppet) anyVote(v pbft.View) pbft.Message {
	r, l := p.Rand, &p.Coalition.lore
	if len(l.refs) == 0 {
		return &pbft.Heartbeat{}
	}
	ref := l.refs[r.IntN(len(l.refs))]
	s := pbft.Statement{Phase: pbft.Phase(1 + r.IntN(2)), View: v + pbft.View(r.IntN(2)), Height: ref.Height, Block: ref.Digest}
	if r.IntN(4) == 0 && s.View > 0 {
		s.View--
	}
	if nv := l.newViewDigests(s.View); len(nv) > 0 {
		s.NewView = nv[r.IntN(len(nv))]
	}
	return &pbft.Vote{Statement: s, Signer: p.Self}
}

// badShare is a vote whose signature is wrong in one bit.
func (p *Puppet) badShare(m *pbft.Vote) *pbft.Vote {
	bad := *m
	bad.Signature = p.flipped(m.Signature)
	return &bad
}

// flipped is a copy of data with one bit changed; data must not be empty.
func (p *Puppet) flipped(data []byte) []byte {
	bad := append([]byte(nil), data...)
	bad[p.Rand.IntN(len(bad))] ^= 1 << p.Rand.IntN(8)
	return bad
}

// anotherBlock is a proposal for the same height that differs in something.
func (p *Puppet) anotherBlock(m *pbft.PrePrepare) *pbft.PrePrepare {
	r, refs := p.Rand, p.Coalition.lore.refs
	h := m.Header
	requests := append([]*pbft.Request(nil), m.Requests...)
	r.Shuffle(len(requests), func(i, k int) { requests[i], requests[k] = requests[k], requests[i] })
	h.Time += pbft.Time(r.IntN(3)) * pbft.Time(time.Millisecond)
	switch r.IntN(7) {
	case 0:
		h.Checkpoint = !h.Checkpoint
	case 1:
		requests = nil
	case 2:
		if len(refs) > 0 { // on some other parent
			ref := refs[r.IntN(len(refs))]
			h.Parent, h.Height = ref.Digest, ref.Height+1
		}
	case 3:
		requests = append(requests, requests...) // each twice
	}
	return &pbft.PrePrepare{Block: pbft.NewBlock(h, requests)}
}

// lowClaim is a claim that hides the highest certificate.
func (p *Puppet) lowClaim(v pbft.View) *pbft.ViewChange {
	certs := p.Coalition.lore.certs
	low := &pbft.ViewChange{SignedClaim: pbft.SignedClaim{
		Claim: pbft.Claim{View: v, High: pbft.Rank{Height: p.Core.Start.Height}, Block: p.Core.Start.Digest()}, Signer: p.Self,
	}}
	if len(certs) > 0 && p.Rand.IntN(2) == 0 {
		if q := certs[p.Rand.IntN(len(certs))]; q.View < v {
			low.High, low.Block, low.Phase, low.Certificate = q.Rank(), q.Block, q.Phase, q
		}
	}
	return low
}

// anotherNewView opens a view from another set of claims, nil if none are known.
func (p *Puppet) anotherNewView(v pbft.View) *pbft.NewView {
	l := &p.Coalition.lore
	var claims []pbft.SignedClaim
	for i := range p.Core.Quorums.N() {
		if c, ok := l.claims[v][pbft.ReplicaID(i)]; ok && p.Rand.IntN(4) > 0 {
			claims = append(claims, c.SignedClaim)
		}
	}
	return p.newViewOf(v, claims)
}

// newViewOf is the NewView that rests on these claims, nil if they have no base.
func (p *Puppet) newViewOf(v pbft.View, claims []pbft.SignedClaim) *pbft.NewView {
	top, ok := pbft.ChooseBase(claims)
	if !ok {
		return nil
	}
	n := &pbft.NewView{View: v, Claims: claims}
	for _, q := range p.Coalition.lore.certs {
		if top.Phase != 0 && q.Rank() == top.High && q.Block == top.Block {
			n.Certificate = q
		}
	}
	return n
}

// wrongCheckpoint says of a checkpoint what is not so.
func (p *Puppet) wrongCheckpoint(m *pbft.CheckpointVote) *pbft.CheckpointVote {
	bad := *m
	bad.State, bad.Signature = crypto.Hash("chaos/lie", []byte{byte(p.Rand.IntN(3))}), nil
	return &bad
}
