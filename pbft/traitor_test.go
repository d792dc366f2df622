package pbft

import (
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

var (
	traitorSeeds = flag.Int("traitor.seeds", 40, "number of random schedules with traitors")
	traitorSeed  = flag.Uint64("traitor.seed", 0, "run only this seed, with a trace")
)

// traitor rewrites what an otherwise honest node sends, with its own key: it
// equivocates, votes for whatever it has heard of, hides certificates in view
// changes, opens a view twice, keeps some replicas in the dark, replays.
type traitor struct {
	rng  *rand.Rand
	node *testNode
	// heard are statements, claims and certificates that it saw, to choose from.
	refs    []BlockRef
	newView map[View][]Digest
	certs   []*Certificate
	claims  map[View]map[ReplicaID]SignedClaim
	blocks  []*PrePrepare
	dark    ReplicaID
}

func newTraitor(n *testNode, rng *rand.Rand) *traitor {
	return &traitor{rng: rng, node: n, newView: map[View][]Digest{0: {{}}}, claims: map[View]map[ReplicaID]SignedClaim{}, dark: ReplicaID(rng.IntN(n.w.n0()))}
}

func keepLast[T any](s []T, x T, n int) []T {
	s = append(s, x)
	if len(s) > n {
		s = s[1:]
	}
	return s
}

// hear learns from any message, its own too.
func (t *traitor) hear(m Message) {
	switch m := m.(type) {
	case *Vote:
		t.refs = keepLast(t.refs, m.Ref(), 24)
	case *PrePrepare:
		t.refs = keepLast(t.refs, m.Ref(), 24)
		t.blocks = keepLast(t.blocks, m, 24)
	case *Certificate:
		t.certs = keepLast(t.certs, m, 24)
	case *NewView:
		d := m.Digest()
		t.newView[m.View] = keepLast(t.newView[m.View], d, 3)
		for _, c := range m.Claims {
			t.claim(c)
		}
		if m.Certificate != nil {
			t.certs = keepLast(t.certs, m.Certificate, 24)
		}
	case *ViewChange:
		t.claim(m.SignedClaim)
		if m.Certificate != nil {
			t.certs = keepLast(t.certs, m.Certificate, 24)
		}
	case *Blocks:
		if m.Certificate != nil {
			t.certs = keepLast(t.certs, m.Certificate, 24)
		}
	}
}

func (t *traitor) claim(c SignedClaim) {
	if t.claims[c.View] == nil {
		t.claims[c.View] = map[ReplicaID]SignedClaim{}
	}
	t.claims[c.View][c.Signer] = c
}

// rewrite decides what one recipient gets in place of m.
func (t *traitor) rewrite(to ReplicaID, m Message) []Message {
	r := t.rng
	if to == t.dark && r.IntN(4) > 0 {
		return nil
	}
	switch m := m.(type) {
	case *Vote:
		switch r.IntN(5) {
		case 0:
			return nil
		case 1:
			return []Message{m, t.anyVote(m.View)}
		case 2:
			return []Message{t.anyVote(m.View)}
		}
	case *PrePrepare:
		if m.Proposer == t.node.id && r.IntN(2) == 0 {
			return []Message{t.otherBlock(m)}
		}
	case *ViewChange:
		if r.IntN(2) == 0 {
			return []Message{t.lowClaim(m)}
		}
	case *NewView:
		if n := t.otherNewView(m); n != nil && r.IntN(2) == 0 {
			return []Message{n, t.anyVote(m.View)}
		}
	case *Status:
		s := *m
		switch r.IntN(4) {
		case 0:
			s.View += View(r.IntN(3))
		case 1:
			s.Suspect = !s.Suspect
		case 2:
			s.Committed, s.Oldest = s.Committed+Height(r.IntN(20)), Height(r.IntN(30))
		}
		return []Message{&s}
	case *CheckpointVote:
		if r.IntN(3) == 0 {
			bad := *m
			bad.State = crypto.Hash("lie", []byte{byte(r.IntN(3))})
			bad.Signature = nil
			return []Message{&bad}
		}
	}
	if r.IntN(12) == 0 && len(t.certs) > 0 {
		return []Message{m, t.certs[r.IntN(len(t.certs))]}
	}
	return []Message{m}
}

// anyVote votes for anything it has heard of, with any NewView digest it knows.
func (t *traitor) anyVote(v View) Message {
	r := t.rng
	if len(t.refs) == 0 {
		return &Heartbeat{}
	}
	ref := t.refs[r.IntN(len(t.refs))]
	s := Statement{Phase: Phase(1 + r.IntN(2)), View: v + View(r.IntN(2)), Height: ref.Height, Block: ref.Digest}
	if r.IntN(4) == 0 && s.View > 0 {
		s.View--
	}
	if nv := t.newView[s.View]; len(nv) > 0 {
		s.NewView = nv[r.IntN(len(nv))]
	}
	return &Vote{Statement: s, Signer: t.node.id}
}

func (t *traitor) otherBlock(p *PrePrepare) Message {
	h := p.Header
	requests := append([]*Request(nil), p.Requests...)
	if len(requests) > 1 {
		t.rng.Shuffle(len(requests), func(i, j int) { requests[i], requests[j] = requests[j], requests[i] })
	}
	h.Time += Time(t.rng.IntN(3)) * Time(time.Millisecond)
	switch t.rng.IntN(6) {
	case 0:
		h.Checkpoint = !h.Checkpoint
	case 1:
		requests = nil
	case 2:
		if len(t.refs) > 0 { // on some other parent
			ref := t.refs[t.rng.IntN(len(t.refs))]
			h.Parent, h.Height = ref.Digest, ref.Height+1
		}
	}
	b := &PrePrepare{Block: NewBlock(h, requests)}
	t.refs = keepLast(t.refs, b.Ref(), 24)
	return b
}

// lowClaim hides its highest certificate.
func (t *traitor) lowClaim(m *ViewChange) Message {
	low := &ViewChange{SignedClaim: SignedClaim{Claim: Claim{View: m.View, Block: t.node.cfg.Start.Digest()}, Signer: t.node.id}}
	if len(t.certs) > 0 && t.rng.IntN(2) == 0 {
		if q := t.certs[t.rng.IntN(len(t.certs))]; q.View < m.View {
			low.High, low.Block, low.Phase, low.Certificate = q.Rank(), q.Block, q.Phase, q
		}
	}
	return low
}

// otherNewView opens the view a second time, from another set of claims.
func (t *traitor) otherNewView(m *NewView) Message {
	var claims []SignedClaim
	for id := range t.node.w.n0() {
		if c, ok := t.claims[m.View][ReplicaID(id)]; ok && t.rng.IntN(4) > 0 {
			claims = append(claims, c)
		}
	}
	top, ok := ChooseBase(claims)
	if !ok {
		return nil
	}
	n := &NewView{View: m.View, Claims: claims}
	for _, q := range t.certs {
		if top.Phase != 0 && q.Rank() == top.High && q.Block == top.Block {
			n.Certificate = q
		}
	}
	t.newView[m.View] = keepLast(t.newView[m.View], n.Digest(), 3)
	return n
}

// TestTraitors runs random schedules with as many traitors as the cluster
// tolerates. Nothing may break, and when the network heals the honest replicas
// must execute everything, whatever the traitors go on doing.
func TestTraitors(t *testing.T) { runSchedules(t, "traitor", *traitorSeeds, *traitorSeed, runTraitors) }

func runTraitors(t *testing.T, seed uint64, trace bool) {
	sizes := [][]uint64{{1, 1, 1, 1}, {1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, {2, 1, 2, 2, 1, 2}}
	s := newSchedule(t, seed, 11, trace, sizes, nil)
	w, rng := s.w, s.rng
	guilty := crypto.NewBitmap(w.n())
	for _, id := range rng.Perm(w.n()) {
		with := guilty.Clone()
		with.Set(ReplicaID(id))
		if w.quorums.WeightOf(with) <= w.quorums.MaxFaulty() {
			guilty = with
		}
	}
	w.honest = func(id ReplicaID) bool { return !guilty.Has(id) }
	guilty.Each(func(id ReplicaID) { w.nodes[id].traitor = newTraitor(w.nodes[id], rng) })
	var honest []*testNode
	for _, n := range w.nodes {
		if w.honest(n.id) {
			honest = append(honest, n)
		}
	}
	s.loss = []float64{0, 0.02, 0.15}[rng.IntN(3)]
	for round := range 30 {
		die := rng.IntN(6)
		s.weather(die)
		if die == 3 {
			n := s.anyone()
			n.crash()
			n.start(false)
		}
		s.submit(uint64(round%3), 4)
		s.blow()
		w.checkEvidence(t)
	}
	last := s.request(9)
	for _, n := range honest {
		n.submit(last)
	}
	for range 300 {
		w.run(20, nil)
		if !slices.ContainsFunc(honest, func(n *testNode) bool { return n.core.PoolLen() > 0 || n.core.ExecutedHeight() == 0 }) {
			break
		}
	}
	w.checkEvidence(t)
	s.settled(honest)
}

// checkEvidence demands that every proof that verifies names a traitor.
func (w *world) checkEvidence(t *testing.T) {
	for _, n := range w.nodes {
		for _, e := range n.evidence {
			require.False(t, w.honest(e.Culprit), "%v", e)
		}
	}
}
