package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

func TestSignIsTheSendersOnly(t *testing.T) {
	k := newKitOf(4)
	block := NewBlock(*k.header(&k.startAt.Header, 0, 1), nil)
	me := block.Proposer
	other := (me + 1) % 4
	nv := &NewView{View: 3, Claims: []SignedClaim{k.claimOf(0, 3, nil)}}
	unsigned := []Message{
		&PrePrepare{Block: block},
		&Vote{Statement: k.statement(Prepare, 0, nil, block.Ref()), Signer: me},
		&Vote{Statement: k.statement(Commit, 0, nil, block.Ref()), Signer: me},
		&CheckpointVote{CheckpointStatement: CheckpointStatement{Height: 1}, Signer: me},
		&ViewChange{SignedClaim: SignedClaim{Claim: Claim{View: 1, Block: k.Start.Digest}, Signer: me}},
		nv,
		&Blocks{Blocks: []*PrePrepare{{Block: block}}, NewViews: []*NewView{nv}},
	}
	for _, m := range unsigned {
		before := Encode(k.Epoch, m)
		signed := Sign(k.Cluster, k.Epoch, m, k.as(me))
		after := Encode(k.Epoch, signed)
		require.NotEqual(t, before, after, "%v", m.Kind())
		require.Equal(t, before, Encode(k.Epoch, m), "%v was changed in place", m.Kind())
		require.Equal(t, after, Encode(k.Epoch, Sign(k.Cluster, k.Epoch, m, k.as(me))), "%v: not deterministic", m.Kind())
		require.Same(t, signed, Sign(k.Cluster, k.Epoch, signed, k.as(me)), "%v: signed twice", m.Kind())
		if m.Kind() != KindNewView && m.Kind() != KindBlocks {
			require.Same(t, m, Sign(k.Cluster, k.Epoch, m, k.as(other)), "%v: signed by somebody else", m.Kind())
		}
	}
	require.Same(t, block, Sign(k.Cluster, k.Epoch, unsigned[0], k.as(me)).(*PrePrepare).Block)
	status := &Status{}
	require.Same(t, status, Sign(k.Cluster, k.Epoch, status, k.as(me)))
}

// Every kind of signature is bound to its kind, cluster and epoch.
func TestSignaturesAreBoundToTheirContext(t *testing.T) {
	k := newKitOf(4)
	block := k.propose(&k.startAt.Header, 0, 1)
	vote := k.vote(1, k.statement(Prepare, 0, nil, block.Ref()))
	_, why := k.v.Verify(1, vote)
	require.Equal(t, NoDrop, why)
	asCommit := *vote
	asCommit.Phase = Commit
	_, why = k.v.Verify(1, &asCommit)
	require.Equal(t, DropSignature, why)

	for _, m := range []Message{block, vote, k.viewChange(1, 2, nil), k.newView(1, nil, k.claimOf(0, 1, nil), k.claimOf(1, 1, nil), k.claimOf(2, 1, nil))} {
		_, why := k.v.Verify(1, m)
		require.Equal(t, NoDrop, why, "%v", m.Kind())
		for _, change := range []func(*VerifierConfig){
			func(c *VerifierConfig) { c.Cluster = crypto.Hash("another") },
			func(c *VerifierConfig) { c.Epoch = 5 }, // the same primaries: 4 members
		} {
			cfg := k.VerifierConfig
			change(&cfg)
			_, why := NewVerifier(cfg).Verify(1, m)
			require.NotEqual(t, NoDrop, why, "%v", m.Kind())
		}
	}
}
