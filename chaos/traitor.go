package chaos

import (
	"math/rand/v2"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// traitor rewrites what an otherwise honest node sends, recipient by recipient and
// with its own keys: it equivocates, votes for whatever it has heard of, hides
// certificates in view changes, opens views twice, keeps somebody in the dark,
// poisons state transfers and lies to clients.
type traitor struct {
	m    *member
	rng  *rand.Rand
	dark pbft.ReplicaID
	// What it has heard, the newest last.
	refs     []pbft.BlockRef
	certs    []*pbft.Certificate
	newViews map[pbft.View][]pbft.Digest
	claims   map[pbft.View]map[pbft.ReplicaID]pbft.SignedClaim
}

func newTraitor(m *member) *traitor {
	rng := rand.New(rand.NewPCG(m.s.opts.Seed, 100+uint64(m.id)))
	return &traitor{
		m: m, rng: rng, dark: pbft.ReplicaID(rng.IntN(len(m.s.opts.Weights))),
		newViews: map[pbft.View][]pbft.Digest{0: {{}}}, claims: map[pbft.View]map[pbft.ReplicaID]pbft.SignedClaim{},
	}
}

// remember appends to what was heard and forgets the oldest.
func remember[T any](s []T, x T, n int) []T {
	if s = append(s, x); len(s) > n {
		s = s[1:]
	}
	return s
}

func (t *traitor) hearCertificate(c *pbft.Certificate) {
	if c != nil {
		t.certs = remember(t.certs, c, 24)
	}
}

func (t *traitor) hearClaim(c pbft.SignedClaim) {
	if t.claims[c.View] == nil {
		t.claims[c.View] = map[pbft.ReplicaID]pbft.SignedClaim{}
	}
	t.claims[c.View][c.Signer] = c
}

// hear learns from any message.
func (t *traitor) hear(m pbft.Message) {
	switch m := m.(type) {
	case *pbft.Vote:
		t.refs = remember(t.refs, m.Ref(), 24)
	case *pbft.PrePrepare:
		t.refs = remember(t.refs, m.Ref(), 24)
	case *pbft.Certificate:
		t.hearCertificate(m)
	case *pbft.NewView:
		t.newViews[m.View] = remember(t.newViews[m.View], m.Digest(), 3)
		for _, c := range m.Claims {
			t.hearClaim(c)
		}
		t.hearCertificate(m.Certificate)
	case *pbft.ViewChange:
		t.hearClaim(m.SignedClaim)
		t.hearCertificate(m.Certificate)
	case *pbft.Blocks:
		t.hearCertificate(m.Certificate)
	}
}

// rewrite decides what one recipient gets in place of m. What it makes anew is
// unsigned: the caller signs.
func (t *traitor) rewrite(to pbft.ReplicaID, m pbft.Message) []pbft.Message {
	r := t.rng
	if to == t.dark && r.IntN(4) > 0 {
		return nil
	}
	t.hear(m)
	switch m := m.(type) {
	case *pbft.Vote:
		switch r.IntN(6) {
		case 0:
			return nil
		case 1:
			return []pbft.Message{m, t.vote(m.View)}
		case 2:
			return []pbft.Message{t.vote(m.View)}
		case 3:
			bad := *m
			bad.Signature = append([]byte(nil), m.Signature...)
			bad.Signature[r.IntN(len(bad.Signature))] ^= 1
			return []pbft.Message{&bad}
		}
	case *pbft.PrePrepare:
		if m.Proposer == t.m.id && r.IntN(2) == 0 {
			return []pbft.Message{t.block(m)}
		}
	case *pbft.ViewChange:
		if r.IntN(2) == 0 {
			return []pbft.Message{t.lowClaim(m)}
		}
	case *pbft.NewView:
		if n := t.newView(m); n != nil && r.IntN(2) == 0 {
			return []pbft.Message{n, t.vote(m.View)}
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
		}
		return []pbft.Message{&s}
	case *pbft.CheckpointVote:
		if r.IntN(3) == 0 {
			bad := *m
			bad.State, bad.Signature = crypto.Hash("chaos/lie", []byte{byte(r.IntN(3))}), nil
			return []pbft.Message{&bad}
		}
	case *pbft.Chunk:
		if len(m.Data) > 0 && r.IntN(2) == 0 {
			bad := *m
			bad.Data = append([]byte(nil), m.Data...)
			bad.Data[r.IntN(len(bad.Data))] ^= 1
			return []pbft.Message{&bad}
		}
	case *pbft.Manifest:
		if len(m.Data) > 0 && r.IntN(2) == 0 {
			bad := *m
			bad.Data = append([]byte(nil), m.Data...)
			bad.Data[r.IntN(len(bad.Data))] ^= 1
			return []pbft.Message{&bad}
		}
	}
	if r.IntN(12) == 0 && len(t.certs) > 0 {
		return []pbft.Message{m, t.certs[r.IntN(len(t.certs))]}
	}
	return []pbft.Message{m}
}

// vote votes for anything it has heard of, with any NewView digest it knows.
func (t *traitor) vote(v pbft.View) pbft.Message {
	r := t.rng
	if len(t.refs) == 0 {
		return &pbft.Heartbeat{}
	}
	ref := t.refs[r.IntN(len(t.refs))]
	s := pbft.Statement{Phase: pbft.Phase(1 + r.IntN(2)), View: v + pbft.View(r.IntN(2)), Height: ref.Height, Block: ref.Digest}
	if r.IntN(4) == 0 && s.View > 0 {
		s.View--
	}
	if nv := t.newViews[s.View]; len(nv) > 0 {
		s.NewView = nv[r.IntN(len(nv))]
	}
	return &pbft.Vote{Statement: s, Signer: t.m.id}
}

// block proposes something else.
func (t *traitor) block(p *pbft.PrePrepare) pbft.Message {
	h := p.Header
	requests := append([]*pbft.Request(nil), p.Requests...)
	t.rng.Shuffle(len(requests), func(i, k int) { requests[i], requests[k] = requests[k], requests[i] })
	h.Time += pbft.Time(t.rng.IntN(3)) * pbft.Time(time.Millisecond)
	switch t.rng.IntN(7) {
	case 0:
		h.Checkpoint = !h.Checkpoint
	case 1:
		requests = nil
	case 2:
		if len(t.refs) > 0 { // on some other parent
			ref := t.refs[t.rng.IntN(len(t.refs))]
			h.Parent, h.Height = ref.Digest, ref.Height+1
		}
	case 3:
		requests = append(requests, requests...) // each twice
	}
	b := &pbft.PrePrepare{Block: pbft.NewBlock(h, requests)}
	t.refs = remember(t.refs, b.Ref(), 24)
	return b
}

// lowClaim hides its highest certificate.
func (t *traitor) lowClaim(m *pbft.ViewChange) pbft.Message {
	low := &pbft.ViewChange{SignedClaim: pbft.SignedClaim{Claim: pbft.Claim{View: m.View, Block: t.m.s.start.Digest()}, Signer: t.m.id}}
	if len(t.certs) > 0 && t.rng.IntN(2) == 0 {
		if q := t.certs[t.rng.IntN(len(t.certs))]; q.View < m.View {
			low.High, low.Block, low.Phase, low.Certificate = q.Rank(), q.Block, q.Phase, q
		}
	}
	return low
}

// newView opens the view a second time, from another set of claims.
func (t *traitor) newView(m *pbft.NewView) pbft.Message {
	var claims []pbft.SignedClaim
	for i := range t.m.s.replicas {
		if c, ok := t.claims[m.View][pbft.ReplicaID(i)]; ok && t.rng.IntN(4) > 0 {
			claims = append(claims, c)
		}
	}
	top, ok := pbft.ChooseBase(claims)
	if !ok {
		return nil
	}
	n := &pbft.NewView{View: m.View, Claims: claims}
	for _, q := range t.certs {
		if top.Phase != 0 && q.Rank() == top.High && q.Block == top.Block {
			n.Certificate = q
		}
	}
	t.newViews[m.View] = remember(t.newViews[m.View], n.Digest(), 3)
	return n
}

// lie answers a client with something else, now and then.
func (t *traitor) lie(r statemachine.Reply) statemachine.Reply {
	switch t.rng.IntN(3) {
	case 0:
		r.Status, r.Results = statemachine.Expired, nil
	case 1:
		r.Status, r.Results = statemachine.Executed, []statemachine.Result{statemachine.OK([]byte("lie"))}
	}
	return r
}
