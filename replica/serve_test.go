package replica

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// An answer ends at a certified block, respects the limit, and falls back to the
// snapshot below the log.
func TestServeBlocks(t *testing.T) {
	c := newSimCluster(t, 4, 20)
	c.startAll()
	for i := range 30 {
		c.put(fmt.Sprint(i))
	}
	store, core := c.disks[0].store, c.sims[0].Node().Core()
	ask := func(g *pbft.GetBlocks, limit int) pbft.Message {
		s := &Serving{To: 1, Ask: g, Limit: limit, Window: c.core.Window, Oldest: core.Oldest()}
		m, err := s.Blocks(store)
		require.NoError(t, err)
		return m
	}
	linked := func(m pbft.Message) []*pbft.PrePrepare {
		b := m.(*pbft.Blocks).Blocks
		for i := 1; i < len(b); i++ {
			require.Equal(t, b[i-1].Digest(), b[i].Parent)
		}
		return b
	}
	verify := func(m pbft.Message) {
		_, why := c.verifier(1).Verify(0, pbft.Sign(c.cluster, 1, m, pbft.Keys{Self: 0, Signing: c.world.Client(1000), Votes: c.world.Signer(0), Checkpoints: c.world.Signer(0)}))
		require.Equal(t, pbft.NoDrop, why)
	}

	all := ask(&pbft.GetBlocks{From: core.Oldest()}, 1<<20)
	blocks := linked(all)
	require.Equal(t, core.Oldest(), blocks[0].Height)
	require.LessOrEqual(t, len(blocks), int(2*c.core.Window))
	require.Equal(t, blocks[len(blocks)-1].Digest(), all.(*pbft.Blocks).Certificate.Block)
	verify(all)

	few := ask(&pbft.GetBlocks{From: core.Oldest()}, 1)
	require.NotEmpty(t, linked(few), "at least up to the first certificate")
	require.LessOrEqual(t, len(linked(few)), int(c.core.Window)+1)
	verify(few)

	tip := core.CommittedRef()
	one := ask(&pbft.GetBlocks{From: core.Oldest(), Height: tip.Height, Digest: tip.Digest}, 1)
	require.Len(t, linked(one), 1, "the highest block comes first")
	require.Equal(t, tip.Digest, linked(one)[0].Digest())
	more := ask(&pbft.GetBlocks{From: tip.Height - 2, Height: tip.Height, Digest: tip.Digest}, 1<<20)
	require.Len(t, linked(more), 3)

	require.Nil(t, ask(&pbft.GetBlocks{From: tip.Height + 1}, 1<<20))
	require.Nil(t, ask(&pbft.GetBlocks{From: core.Oldest(), Height: 5, Digest: pbft.Digest{1}}, 1<<20))
	_, ok := ask(&pbft.GetBlocks{From: 1}, 1<<20).(*pbft.Bundle)
	require.True(t, ok, "below the log there is the snapshot")
}

// A peer that asks all the time gets its share and no more.
func TestServeLimits(t *testing.T) {
	c := newSimCluster(t, 4, 21)
	c.startAll()
	c.put("a")
	n := c.sims[0].Node()
	before := c.sims[0].Pending(WorkFiles)
	for range 1000 {
		n.serveBlocks(1, &pbft.GetBlocks{From: 1})
	}
	require.Equal(t, n.cfg.Serve.Pending, c.sims[0].Pending(WorkFiles)-before)
	n.serveBlocks(2, &pbft.GetBlocks{From: 1})
	require.Equal(t, n.cfg.Serve.Pending+1, c.sims[0].Pending(WorkFiles)-before, "another peer has its own share")
	answers := 0
	for range 1000 {
		n.serveBlocks(1, &pbft.GetBlocks{From: 1})
		for c.sims[0].Do(WorkFiles) {
			answers++
		}
	}
	require.LessOrEqual(t, answers, n.cfg.Serve.Burst+2)
	require.NotZero(t, n.Counters().ServeLimited)
}

// What a certificate names goes with it, from whichever record it is in, and no
// other NewView.
func TestServeTheNewViewThatIsNamed(t *testing.T) {
	store := NewMemoryStore()
	entered, named := &pbft.NewView{View: 3}, &pbft.NewView{View: 3, Claims: make([]pbft.SignedClaim, 1)}
	value := func(n *pbft.NewView) []byte {
		const header = 1 + 8 // kind and epoch
		return pbft.Encode(0, n)[header:]
	}
	require.NoError(t, store.Write([]pbft.Record{{Key: pbft.RecordKey{Kind: pbft.RecordNewView, Height: 3}, Value: value(entered)}}, true))
	of := func(n *pbft.NewView) *pbft.NewView {
		got, err := newViewOf(store, &pbft.Certificate{Statement: pbft.Statement{View: 3, NewView: n.Digest()}})
		require.NoError(t, err)
		return got
	}
	require.Equal(t, entered.Digest(), of(entered).Digest())
	require.Nil(t, of(named))
	require.NoError(t, store.Write([]pbft.Record{{Key: pbft.RecordKey{Kind: pbft.RecordNewView, Height: 3, Digest: named.Digest()}, Value: value(named)}}, true))
	require.Equal(t, named.Digest(), of(named).Digest())
	require.Equal(t, entered.Digest(), of(entered).Digest())
}
