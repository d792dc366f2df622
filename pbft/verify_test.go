package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

func TestVerifyPrePrepare(t *testing.T) {
	k := newKitOf(4)
	start := &k.startAt.Header
	header := func(f func(*Header)) *PrePrepare {
		h := *k.header(start, 0, 1)
		f(&h)
		return k.sign(h.Proposer, &PrePrepare{Block: NewBlock(h, nil)}).(*PrePrepare)
	}
	requests := func(n int) (out []*Request) {
		for i := range n {
			out = append(out, k.request(byte(i), 1, "op"))
		}
		return out
	}
	forged := k.request(7, 1, "op").WithSignature(crypto.Signature{1})
	badSignature := k.propose(start, 0, 1)
	badSignature.Signature[3] ^= 1
	one := k.request(1, 1, "op")
	for _, c := range []struct {
		name string
		m    *PrePrepare
		want Drop
	}{
		{"good", k.propose(start, 0, 1, requests(8)...), NoDrop},
		{"good and empty", k.propose(start, 7, 1), NoDrop},
		{"one request twice", k.propose(start, 0, 1, one, one), NoDrop},
		{"another cluster", header(func(h *Header) { h.Cluster = Digest{1} }), DropCluster},
		{"another epoch", header(func(h *Header) { h.Epoch = 2 }), DropEpoch},
		{"the start block's height", header(func(h *Header) { h.Height = 0 }), DropHeight},
		{"not the primary", header(func(h *Header) { h.Proposer = 2 }), DropNotPrimary},
		{"stranger", header(func(h *Header) { h.Proposer = 9 }), DropNotPrimary},
		{"too many requests", k.propose(start, 0, 1, requests(9)...), DropLimits},
		{"operation too long", k.propose(start, 0, 1, k.request(1, 1, string(make([]byte, 101)))), DropLimits},
		{"signature", badSignature, DropSignature},
		{"a forged request among good ones", k.propose(start, 0, 1, k.request(1, 1, "op"), forged, k.request(2, 1, "op")), DropSignature},
	} {
		got, why := k.v.Verify(3, c.m)
		require.Equal(t, c.want, why, c.name)
		if why == NoDrop {
			require.Equal(t, ReplicaID(3), got.From(), c.name)
			require.Same(t, c.m, got.Message(), c.name)
		} else {
			require.Nil(t, got.Message(), c.name)
		}
	}
	_, why := k.v.Verify(4, k.propose(start, 0, 1))
	require.Equal(t, DropNotMember, why)
	k.Limits.MaxBlockBytes = 200
	k.build()
	_, why = k.v.Verify(3, k.propose(start, 0, 1, requests(2)...))
	require.Equal(t, DropLimits, why)
}

// What the ingress has verified is not verified again, unless the signature is
// another one.
func TestVerifyPrePrepareSkipsKnownRequests(t *testing.T) {
	k := newKitOf(4)
	a, b := k.request(1, 1, "a"), k.request(2, 1, "b")
	k.Known = kitKnown{a.Digest(): a.Signature}
	k.build()
	_, why := k.v.Verify(0, k.propose(&k.startAt.Header, 0, 1, a, b))
	require.Equal(t, NoDrop, why)
	require.Equal(t, 2, k.requests.checked) // the proposer's and b's
	_, why = k.v.Verify(0, k.propose(&k.startAt.Header, 0, 1, a.WithSignature(crypto.Signature{1}), b))
	require.Equal(t, DropSignature, why)
}

func TestVerifyVotesAndCertificates(t *testing.T) {
	for _, joined := range []bool{false, true} {
		k := newKit(joined, equalWeights(5)...) // quorum 4
		block := kitRef(k.header(&k.startAt.Header, 0, 1))
		st := k.statement(Prepare, 0, nil, block)
		edit := func(f func(*Statement)) Statement {
			s := st
			f(&s)
			return s
		}
		for _, c := range []struct {
			name string
			st   Statement
			want Drop
		}{
			{"good", st, NoDrop},
			{"first view with a NewView", edit(func(s *Statement) { s.NewView = Digest{1} }), DropMalformed},
			{"later view without", edit(func(s *Statement) { s.View = 1 }), DropMalformed},
			{"no phase", edit(func(s *Statement) { s.Phase = 3 }), DropMalformed},
			{"start block in the first view", edit(func(s *Statement) { s.Height, s.Block = 0, k.Start.Digest }), DropHeight},
			{"start block in a later view", edit(func(s *Statement) { s.View, s.NewView, s.Height, s.Block = 1, Digest{1}, 0, k.Start.Digest }), NoDrop},
			{"another block at the start", edit(func(s *Statement) { s.View, s.NewView, s.Height = 1, Digest{1}, 0 }), DropHeight},
		} {
			_, why := k.v.Verify(1, k.vote(1, c.st))
			require.Equal(t, c.want, why, c.name)
			_, why = k.v.Verify(1, k.certificate(c.st, ids(0, 1, 2, 3)...))
			require.Equal(t, c.want, why, c.name)
		}
		_, why := k.v.Verify(2, k.vote(1, st))
		require.Equal(t, DropSignature, why, "sent by another")
		_, why = k.v.Verify(2, k.vote(7, st))
		require.Equal(t, DropNotMember, why)

		bad := k.vote(3, st)
		bad.Signature = k.vote(2, st).Signature
		short := k.vote(3, st)
		short.Signature = short.Signature[:5]
		require.Equal(t, []Drop{NoDrop, DropSignature, NoDrop, DropSignature, DropNotMember},
			k.v.VerifyVotes([]*Vote{k.vote(1, st), bad, k.vote(2, st), short, {Statement: st, Signer: 9}}))

		few := k.certificate(st, ids(0, 1, 2)...) // 2F+1, and no quorum
		require.Error(t, k.v.CheckCertificate(few))
		wrong := k.certificate(st, ids(0, 1, 2, 3)...)
		wrong.Proof[40%len(wrong.Proof)] ^= 1
		_, why = k.v.Verify(0, wrong)
		require.Equal(t, DropSignature, why)
		more := k.certificate(st, ids(0, 1, 2, 3)...)
		more.Signers = setOf(5, 0, 1, 2, 3, 4)
		require.Error(t, k.v.CheckCertificate(more))
		stranger := k.certificate(st, ids(0, 1, 2, 3)...)
		stranger.Signers[0] |= 1 << 6
		require.ErrorContains(t, k.v.CheckCertificate(stranger), "malformed")
		require.NoError(t, k.v.CheckCertificate(k.certificate(st, ids(1, 2, 3, 4)...)))
	}
}

func TestVerifierProvesACertificateOnce(t *testing.T) {
	k := newKitOf(4)
	k.Proven = kitCache{}
	k.build()
	st := k.statement(Prepare, 0, nil, kitRef(k.header(&k.startAt.Header, 0, 1)))
	c := k.certificate(st, ids(0, 1, 2)...)
	for range 3 {
		require.NoError(t, k.v.CheckCertificate(c))
	}
	require.Equal(t, 1, *k.scheme.checks)
	// Anything else about it, and it is another one.
	for _, f := range []func(*Certificate){
		func(c *Certificate) { c.Phase = Commit },
		func(c *Certificate) { c.Block[0] ^= 1 },
		func(c *Certificate) { c.Signers = setOf(4, 1, 2, 3) },
		func(c *Certificate) { c.Proof = append([]byte{1}, c.Proof...) },
	} {
		d := *c
		f(&d)
		require.Error(t, k.v.CheckCertificate(&d))
	}
	own := k.certificate(st, ids(1, 2, 3)...)
	*k.scheme.checks = 0
	require.Equal(t, own, k.v.Own(own).Message())
	require.NoError(t, k.v.CheckCertificate(own))
	require.Zero(t, *k.scheme.checks)
}

func TestAggregate(t *testing.T) {
	for _, joined := range []bool{false, true} {
		k := newKit(joined, equalWeights(4)...)
		st := k.statement(Prepare, 0, nil, kitRef(k.header(&k.startAt.Header, 0, 1)))
		ta := NewTally(k.Quorums, 4)
		var p *Pending
		for _, id := range ids(3, 0, 1) {
			vote := k.vote(id, st)
			if id == 1 {
				vote.Signature = k.vote(2, st).Signature
			}
			p, _ = ta.Add(vote)
		}
		c, culprits := k.v.Aggregate(p)
		require.Nil(t, c)
		require.Equal(t, ids(1), culprits)
		require.Nil(t, ta.Reject(st, culprits))
		p, _ = ta.Add(k.vote(2, st))
		c, culprits = k.v.Aggregate(p)
		require.Empty(t, culprits)
		require.NoError(t, k.v.CheckCertificate(c))

		cp := NewCheckpointTally(k.Quorums)
		var pc *CheckpointPending
		for _, id := range ids(3, 0, 1) {
			v := &CheckpointVote{CheckpointStatement: CheckpointStatement{Height: 9}, Signer: id}
			pc, _ = cp.Add(k.sign(id, v).(*CheckpointVote))
		}
		cc, culprits := k.v.AggregateCheckpoint(pc)
		require.Empty(t, culprits)
		require.NoError(t, k.v.CheckCheckpoint(cc))
		cc.Height = 10
		require.Error(t, k.v.CheckCheckpoint(cc))
	}
}

func TestVerifyBundle(t *testing.T) {
	k := newKitOf(4)
	chain := k.chain(&k.startAt.Header, 0, 1, 5)
	bundle := func(f func(*Bundle)) *Bundle {
		b := &Bundle{
			Checkpoint: k.checkpointCertificate(CheckpointStatement{Height: 3, Block: chain[2].Digest()}, ids(0, 1, 2)...),
			Header:     chain[2],
			Commit:     k.certificate(k.statement(Commit, 0, nil, kitRef(&chain[4])), ids(1, 2, 3)...),
			Links:      chain[3:5],
		}
		f(b)
		return b
	}
	for _, c := range []struct {
		name string
		m    *Bundle
		want Drop
	}{
		{"good", bundle(func(*Bundle) {}), NoDrop},
		{"committed itself", bundle(func(b *Bundle) {
			b.Commit, b.Links = k.certificate(k.statement(Commit, 0, nil, kitRef(&chain[2])), ids(1, 2, 3)...), nil
		}), NoDrop},
		{"another header", bundle(func(b *Bundle) { b.Header = chain[1] }), DropMalformed},
		{"another epoch", bundle(func(b *Bundle) { b.Header.Epoch = 2 }), DropEpoch},
		{"another cluster", bundle(func(b *Bundle) { b.Header.Cluster = Digest{} }), DropCluster},
		{"a link missing", bundle(func(b *Bundle) { b.Links = chain[4:5] }), DropMalformed},
		{"a PrepareQC", bundle(func(b *Bundle) {
			b.Commit = k.certificate(k.statement(Prepare, 0, nil, kitRef(&chain[4])), ids(1, 2, 3)...)
		}), DropMalformed},
		{"no CommitQC", bundle(func(b *Bundle) { b.Commit = nil }), DropMalformed},
		{"checkpoint of too few", bundle(func(b *Bundle) {
			b.Checkpoint = k.checkpointCertificate(b.Checkpoint.CheckpointStatement, ids(0, 1)...)
		}), DropMalformed},
		{"checkpoint of another state", bundle(func(b *Bundle) { b.Checkpoint.State = Digest{1} }), DropSignature},
		{"commit not signed", bundle(func(b *Bundle) { b.Commit.Proof[0] ^= 1 }), DropSignature},
	} {
		_, why := k.v.Verify(1, c.m)
		require.Equal(t, c.want, why, c.name)
		require.Equal(t, c.want == NoDrop, k.v.CheckBundle(c.m) == nil, c.name)
	}
}

func TestVerifyViewChange(t *testing.T) {
	k := newKitOf(4)
	chain := k.chain(&k.startAt.Header, 0, 1, 2)
	high := k.certificate(k.statement(Prepare, 0, nil, kitRef(&chain[1])), ids(0, 1, 2)...)
	lower := k.certificate(k.statement(Prepare, 0, nil, kitRef(&chain[0])), ids(0, 1, 2)...)
	unproven := *high
	unproven.Proof = []byte("nothing")
	change := func(f func(*ViewChange)) *ViewChange {
		m := *k.viewChange(1, 2, high)
		f(&m)
		return &m
	}
	for _, c := range []struct {
		name string
		m    *ViewChange
		want Drop
	}{
		{"good", k.viewChange(1, 2, high), NoDrop},
		{"good from the start block", k.viewChange(1, 2, nil), NoDrop},
		{"the proof is looked at by who uses it", k.viewChange(1, 2, &unproven), NoDrop},
		{"stranger", k.viewChange(4, 2, high), DropNotMember},
		{"view 0", k.viewChange(1, 0, nil), DropClaim},
		{"claim without certificate", change(func(m *ViewChange) { m.Certificate = nil }), DropClaim},
		{"certificate of another rank", change(func(m *ViewChange) { m.Certificate = lower }), DropClaim},
		{"certificate beside a start claim", change(func(m *ViewChange) { m.SignedClaim = k.claimOf(1, 2, nil) }), DropClaim},
		{"certificate of another phase", change(func(m *ViewChange) {
			m.Certificate = k.certificate(k.statement(Commit, 0, nil, kitRef(&chain[1])), ids(0, 1, 2)...)
		}), DropClaim},
		{"certificate of too few", change(func(m *ViewChange) { m.Certificate = k.certificate(high.Statement, ids(0, 1)...) }), DropMalformed},
		{"changed after it was signed", change(func(m *ViewChange) { m.Stable++ }), DropSignature},
		{"signed by somebody else", change(func(m *ViewChange) { m.Signer = 2 }), DropSignature},
	} {
		_, why := k.v.Verify(1, c.m)
		require.Equal(t, c.want, why, c.name)
	}
}

func TestVerifyNewView(t *testing.T) {
	k := newKitOf(4)
	high := k.certificate(k.statement(Prepare, 0, nil, kitRef(k.header(&k.startAt.Header, 0, 1))), ids(0, 1, 2)...)
	make3 := func(f func(*NewView)) *NewView {
		nv := &NewView{View: 2, Certificate: high, Claims: []SignedClaim{k.claimOf(0, 2, nil), k.claimOf(1, 2, high), k.claimOf(3, 2, nil)}}
		f(nv)
		return k.sign(k.primary(2), nv).(*NewView)
	}
	unproven := *high
	unproven.Proof = make([]byte, len(high.Proof))
	byOther := k.newView(3, nil)
	for _, c := range []struct {
		name string
		m    *NewView
		want Drop
	}{
		{"good", make3(func(*NewView) {}), NoDrop},
		{"structure", make3(func(n *NewView) { n.Certificate = nil }), DropBase},
		{"not the primary", make3(func(n *NewView) { n.Signature = byOther.Signature }), DropSignature},
		{"claim not signed", make3(func(n *NewView) { n.Claims[2].Stable++ }), DropSignature},
		{"certificate not proven", make3(func(n *NewView) { n.Certificate = &unproven }), DropSignature},
	} {
		_, why := k.v.Verify(1, c.m)
		require.Equal(t, c.want, why, c.name)
	}
}

func TestVerifyBlocks(t *testing.T) {
	k := newKitOf(4)
	b1 := k.propose(&k.startAt.Header, 0, 1)
	b2 := k.propose(&b1.Header, 0, 1, k.request(1, 1, "op"))
	b3 := k.propose(&b2.Header, 0, 1)
	forged := k.propose(&b1.Header, 0, 1, k.request(1, 1, "op").WithSignature(crypto.Signature{1}))
	cert := func(p *PrePrepare) *Certificate {
		return k.certificate(k.statement(Commit, 0, nil, p.Ref()), ids(0, 1, 2)...)
	}
	unsigned := *b2
	unsigned.Signature = crypto.Signature{}
	for _, c := range []struct {
		name string
		m    *Blocks
		want Drop
	}{
		{"by digest", &Blocks{Blocks: []*PrePrepare{b1, b2}}, NoDrop},
		{"certified", &Blocks{Blocks: []*PrePrepare{b1, b2, b3}, Certificate: cert(b3)}, NoDrop},
		{"none", &Blocks{Certificate: cert(b3)}, DropMalformed},
		{"a gap", &Blocks{Blocks: []*PrePrepare{b1, b3}, Certificate: cert(b3)}, DropParent},
		{"not linked", &Blocks{Blocks: []*PrePrepare{k.propose(&k.startAt.Header, 4, 9), b2}, Certificate: cert(b2)}, DropParent},
		{"descending", &Blocks{Blocks: []*PrePrepare{b2, b1}}, DropParent},
		{"certificate of another block", &Blocks{Blocks: []*PrePrepare{b1, b2}, Certificate: cert(b3)}, DropParent},
		{"certificate not proven", &Blocks{Blocks: []*PrePrepare{b1}, Certificate: &Certificate{Statement: cert(b1).Statement, Signers: setOf(4, 0, 1, 2)}}, DropSignature},
		{"proposal not signed", &Blocks{Blocks: []*PrePrepare{b1, &unsigned}}, DropSignature},
		{"forged request", &Blocks{Blocks: []*PrePrepare{b1, forged}}, DropSignature},
		{"a quorum vouches for the requests", &Blocks{Blocks: []*PrePrepare{b1, forged}, Certificate: cert(forged)}, NoDrop},
	} {
		got, why := k.v.Verify(1, c.m)
		require.Equal(t, c.want, why, c.name)
		if why == NoDrop {
			require.Equal(t, c.m.Blocks, got.Message().(*Blocks).Blocks, c.name)
		}
	}

	good := k.newView(2, nil, k.claimOf(0, 2, nil), k.claimOf(1, 2, nil), k.claimOf(3, 2, nil))
	bad := *good
	bad.Signature = crypto.Signature{}
	got, why := k.v.Verify(1, &Blocks{Blocks: []*PrePrepare{b1}, NewViews: []*NewView{&bad, good}})
	require.Equal(t, NoDrop, why)
	require.Equal(t, []*NewView{good}, got.Message().(*Blocks).NewViews)
	var many []*NewView
	for range maxSpannedClaims {
		many = append(many, good)
	}
	got, why = k.v.Verify(1, &Blocks{Blocks: []*PrePrepare{b1}, NewViews: many})
	require.Equal(t, NoDrop, why)
	require.Len(t, got.Message().(*Blocks).NewViews, maxSpannedClaims/3)
}

func TestVerifyForward(t *testing.T) {
	k := newKitOf(4)
	a, b := k.request(1, 1, "a"), k.request(2, 1, "b")
	forged := k.request(3, 1, "c").WithSignature(crypto.Signature{1})
	long := k.request(3, 1, string(make([]byte, 101)))
	m := &Forward{Requests: []*Request{a, forged, b, long}}
	got, why := k.v.Verify(2, m)
	require.Equal(t, NoDrop, why)
	require.Equal(t, []*Request{a, b}, got.Message().(*Forward).Requests)
	require.Equal(t, 2, got.Rejected())
	require.Len(t, m.Requests, 4)
	_, why = k.v.Verify(2, &Forward{Requests: []*Request{forged}})
	require.Equal(t, DropSignature, why)
	require.Equal(t, []bool{true, false, true, false}, k.v.VerifyRequests(m.Requests))
}

func TestVerifyWhatNeedsNoSignature(t *testing.T) {
	k := newKitOf(4)
	for _, m := range []Message{&Status{}, &GetBlocks{}, &GetManifest{}, &Manifest{}, &GetChunk{}, &Chunk{}, &GetState{}, &State{}} {
		_, why := k.v.Verify(1, m)
		require.Equal(t, NoDrop, why, "%v", m.Kind())
		_, why = k.v.Verify(9, m)
		require.Equal(t, DropNotMember, why, "%v", m.Kind())
	}
	_, why := k.v.Verify(k.primary(3), &Heartbeat{View: 3})
	require.Equal(t, NoDrop, why)
	_, why = k.v.Verify(k.primary(4), &Heartbeat{View: 3})
	require.Equal(t, DropNotPrimary, why)
	_, why = k.v.Verify(1, nil)
	require.Equal(t, DropMalformed, why)
}

func TestOwnIsForOneself(t *testing.T) {
	k := newKitOf(4)
	k.Self = 1
	k.build()
	block := NewBlock(*k.header(&k.startAt.Header, 0, 1), nil) // by the primary of view 0 in epoch 1: replica 1
	require.Equal(t, ReplicaID(1), k.v.Own(&PrePrepare{Block: block}).From())
	require.Equal(t, ReplicaID(1), k.v.Own(&Vote{Signer: 1}).From())
	require.NotPanics(t, func() { k.v.Own(&Status{}) })
	for _, m := range []Message{
		&Vote{Signer: 2}, &CheckpointVote{Signer: 0}, &ViewChange{SignedClaim: SignedClaim{Signer: 3}},
		&NewView{View: 1}, &Heartbeat{View: 1}, &PrePrepare{Block: NewBlock(Header{Proposer: 3}, nil)},
	} {
		require.Panics(t, func() { k.v.Own(m) }, "%v", m.Kind())
	}
}

func TestNewVerifierWantsAllParts(t *testing.T) {
	k := newKitOf(4)
	for _, f := range []func(*VerifierConfig){
		func(c *VerifierConfig) { c.Quorums = nil },
		func(c *VerifierConfig) { c.Votes = nil },
		func(c *VerifierConfig) { c.Requests = nil },
		func(c *VerifierConfig) { c.Schedule = Schedule{} },
		func(c *VerifierConfig) { c.SigningKeys = c.SigningKeys[1:] },
	} {
		cfg := k.VerifierConfig
		f(&cfg)
		require.Panics(t, func() { NewVerifier(cfg) })
	}
}
