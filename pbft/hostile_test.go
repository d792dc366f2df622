package pbft

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

// Traces of what a traitor, a slow network or a crash at a bad moment can do. Each
// of them once broke something.

// inject puts a message of a node whose core is not running on the queue, signed
// with its key.
func (w *world) inject(from, to ReplicaID, m Message) {
	m = Sign(w.cluster, 0, m, w.nodes[from].keys)
	w.queue = append(w.queue, packet{from, to, Encode(0, m), m.Kind(), describeMessage(m)})
}

// TestForgedClaimOfEqualRank: claims are taken before their certificates are
// checked. One that has the rank of the honest ones, another block and a forged
// certificate must not keep a primary from making its NewView.
func TestForgedClaimOfEqualRank(t *testing.T) {
	w := newWorld([]uint64{1, 1, 1, 1}, 1, nil)
	for seq := range uint64(3) {
		w.nodes[1].submit(w.request(1, seq+1, "op"))
		w.run(5, nil)
	}
	require.Positive(t, uint64(w.nodes[1].core.Committed()))
	w.nodes[0].crash() // the traitor: primary of view 0, from now on only this
	w.nodes[1].submit(w.request(1, 10, "late"))
	for range 600 {
		for _, n := range w.nodes[1:] {
			high := n.core.high
			bad := *high
			bad.Block = crypto.Hash("test", []byte("forged"))
			view := n.core.View()
			if n.core.Entered() {
				view++
			}
			claim := Claim{View: view, High: high.Rank(), Block: bad.Block, Phase: bad.Phase}
			w.inject(0, n.id, &ViewChange{SignedClaim: SignedClaim{Claim: claim, Signer: 0}, Certificate: &bad})
		}
		w.tick()
		w.settle(nil)
	}
	for _, n := range w.nodes[1:] {
		require.Zero(t, n.core.PoolLen(), n.core.Describe())
		require.Empty(t, n.alarms)
	}
}

// TestFirstBlockSlowerThanTimeout is delay-over-bound: every view opens quickly,
// since votes for its base are small, but a proposal takes longer than T0 allows.
// The timeout must grow until one gets through (R11).
func TestFirstBlockSlowerThanTimeout(t *testing.T) {
	w := newWorld([]uint64{1, 1, 1, 1}, 1, func(c *Config) { c.Timeouts.RequestAge = 10_000 })
	for _, n := range w.nodes {
		n.submit(w.request(1, 1, "large"))
	}
	const delay = 70 // T0 is 20
	type late struct {
		at int
		p  packet
	}
	var slow []late
	done := func() bool {
		for _, n := range w.nodes {
			if n.core.ExecutedHeight() == 0 {
				return false
			}
		}
		return true
	}
	tick := 0
	for ; tick < 3000 && !done(); tick++ {
		w.settle(func(p packet) bool {
			if p.kind == KindPrePrepare {
				slow = append(slow, late{tick + delay, p})
				return false
			}
			return true
		})
		for len(slow) > 0 && slow[0].at <= tick {
			w.nodes[slow[0].p.to].receive(slow[0].p)
			slow = slow[1:]
		}
		w.tick()
	}
	require.True(t, done(), "nothing commits in %d ticks\n%s", tick, w.describe())
}

// TestUnmutedReplicaCannotBeFramed: a replica that voted on a losing branch and
// votes again a window further up (PROTOCOL 1.6) must not send votes again for
// heights in between, whatever a peer says that it lacks.
func TestUnmutedReplicaCannotBeFramed(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := newWorld([]uint64{1, 1, 1, 1}, 1, func(c *Config) {
			c.CheckpointEvery, c.LogMax = 100, 300
			c.Timeouts = Timeouts{Progress: 1000, RequestAge: 1000, Heartbeat: 4, Idle: 1000, Status: 10, Retry: 2, ReceiptDelay: 900}
		})
		d, a := w.nodes[0], w.nodes[1]
		d.crash()
		lost := Digest{}
		keep := func(p packet) bool {
			if p.from != a.id {
				return true
			}
			_, m, err := Decode(p.data)
			require.NoError(t, err)
			if v, ok := m.(*Vote); ok && v.Block != lost {
				require.Greater(t, v.Height, 1+w.base.Window, "with the vote at height 1 this is a proof against an honest replica")
			}
			return m.Kind() == KindStatus || m.Kind() == KindGetBlocks // nobody hears of the equivocation
		}
		propose := func(to ReplicaID, parent *Block, op string) *Block {
			b := NewBlock(Header{Cluster: w.cluster, Height: parent.Height + 1, Parent: parent.Digest(), Time: w.now}, []*Request{w.request(1, uint64(parent.Height)+1, op)})
			w.inject(d.id, to, &PrePrepare{Block: b})
			return b
		}
		start := w.base.Start
		lost = propose(a.id, start, "x").Digest()
		w.settle(keep)
		require.Equal(t, Height(1), a.core.Tip().Height)
		parent := start
		for range 12 {
			b := parent
			for _, to := range []ReplicaID{1, 2, 3} {
				b = propose(to, parent, "y")
			}
			for _, to := range []ReplicaID{2, 3} {
				for _, phase := range []Phase{Prepare, Commit} {
					w.inject(d.id, to, &Vote{Statement: Statement{Phase: phase, Height: b.Height, Block: b.Digest()}, Signer: d.id})
				}
			}
			w.run(12, keep)
			parent = b
		}
		require.Equal(t, Height(12), a.core.Committed(), w.describe())
		require.Greater(t, a.core.durable.Voted.Height, Height(5), "it never voted again")
		if restart {
			a.crash()
			a.start(false)
		}
		for range 10 {
			w.inject(d.id, a.id, &Status{Entered: true, Open: true})
			w.run(3, keep)
		}
	}
}

// TestSuspicionOfOneViewIsNotCarriedOver: what was due in a view that has just been
// left must not be held against the next primary.
func TestSuspicionOfOneViewIsNotCarriedOver(t *testing.T) {
	w := newWorld([]uint64{1, 1, 1, 1}, 1, nil)
	w.run(5, nil)
	w.nodes[0].crash()
	for _, n := range w.nodes[1:] {
		n.submit(w.request(1, 1, "op"))
	}
	w.run(300, nil)
	for _, n := range w.nodes[1:] {
		require.Equal(t, View(1), n.core.View(), n.core.Describe())
		require.Zero(t, n.core.PoolLen())
	}
}

// TestFailedViewsDoNotPileUpBlocks: views that open, propose and never commit
// anything new must not make the store grow (R8).
func TestFailedViewsDoNotPileUpBlocks(t *testing.T) {
	w := newWorld([]uint64{1, 1, 1, 1}, 1, nil)
	for _, n := range w.nodes {
		for seq := range uint64(16) {
			n.submit(w.request(1, seq+1, "op"))
		}
	}
	// Prepares for anything above the base are lost: no such height is certified.
	keep := func(p packet) bool {
		_, m, err := Decode(p.data)
		require.NoError(t, err)
		v, ok := m.(*Vote)
		return !ok || v.Height == 0
	}
	for range 100 {
		w.run(40, keep)
		for _, n := range w.nodes {
			require.LessOrEqual(t, Height(len(n.core.order)), 2*n.cfg.Window)
		}
	}
	require.Greater(t, w.nodes[0].core.View(), View(8))
	w.run(2000, nil)
	for _, n := range w.nodes {
		require.Zero(t, n.core.PoolLen(), n.core.Describe())
	}
}

// TestLosingBranchProvesThePrimary: a replica that was shown another block than the
// quorum learns it when that is committed, and holds both signatures then.
func TestLosingBranchProvesThePrimary(t *testing.T) {
	w := newWorld([]uint64{1, 1, 1, 1}, 1, nil)
	d, a := w.nodes[0], w.nodes[1]
	d.crash()
	propose := func(to ReplicaID, op string) Statement {
		b := NewBlock(Header{Cluster: w.cluster, Height: 1, Parent: w.base.Start.Digest(), Time: w.now}, []*Request{w.request(1, 1, op)})
		w.inject(d.id, to, &PrePrepare{Block: b})
		return Statement{Height: 1, Block: b.Digest()}
	}
	propose(a.id, "x")
	for _, to := range []ReplicaID{2, 3} {
		s := propose(to, "y")
		for _, s.Phase = range []Phase{Prepare, Commit} {
			w.inject(d.id, to, &Vote{Statement: s, Signer: d.id})
		}
	}
	w.run(20, nil)
	for _, n := range w.nodes[1:] {
		require.Len(t, n.evidence, 1, n.core.Describe())
		require.Equal(t, TwoProposals, n.evidence[0].Offence)
		require.Equal(t, d.id, n.evidence[0].Culprit)
		require.NoError(t, CheckEvidence(n.verifier, n.evidence[0]))
		require.Positive(t, uint64(n.core.View()), "the view must end")
	}
}

// TestPowerFailure stops everybody at once, again and again, each time in the middle
// of a write: any part of the last records may be on disk. The cluster must come
// back and nobody may have contradicted itself.
func TestPowerFailure(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 3))
		w := newWorld([]uint64{1, 1, 1, 1}, seed, func(c *Config) {
			c.CheckpointEvery, c.LogMax, c.Retain = 4, 12, 0
			c.Timeouts.RotateEvery = rng.IntN(3)
		})
		votes, calm := map[string]Digest{}, false
		watch := func(p packet) bool {
			_, m, err := Decode(p.data)
			require.NoError(t, err)
			switch m := m.(type) {
			case *Vote:
				key := fmt.Sprint(m.Signer, m.View, m.Height)
				if old, ok := votes[key]; ok {
					require.Equal(t, old, m.Block, "seed %d: %v of replica %d", seed, m.Statement, m.Signer)
				}
				votes[key] = m.Block
			case *PrePrepare:
				key := fmt.Sprint("proposal", m.Proposer, m.View, m.Height)
				if old, ok := votes[key]; ok {
					require.Equal(t, old, m.Digest(), "seed %d: two proposals of replica %d in view %d at height %d", seed, m.Proposer, m.View, m.Height)
				}
				votes[key] = m.Digest()
			case *ViewChange:
				require.Less(t, m.High.View, m.View, "seed %d: replica %d", seed, m.Signer)
			}
			return calm || rng.IntN(20) > 0
		}
		seq := uint64(0)
		for range 12 {
			for range 3 {
				seq++
				w.nodes[rng.IntN(4)].submit(w.request(1, seq, "op"))
			}
			w.storm(rng, 40+rng.IntN(200), 0.05, watch)
			w.boundary = func(n *testNode, o *Output) bool {
				for _, e := range o.Send { // may leave at any time, before anything is on disk too
					n.send(e, false)
				}
				n.write(o.Records[:rng.IntN(len(o.Records)+1)])
				n.crash()
				return true
			}
			w.storm(rng, 100, 0, watch)
			w.boundary = nil
			for _, n := range w.nodes {
				n.crash()
			}
			for _, n := range w.nodes {
				n.start(false)
			}
			require.Empty(t, w.broken, "seed %d", seed)
			if rng.IntN(2) == 0 {
				w.queue = nil
			}
		}
		for _, n := range w.nodes {
			n.submit(w.request(2, 1, "last"))
		}
		calm = true
		w.run(1500, watch)
		require.Empty(t, w.broken, "seed %d", seed)
		for _, n := range w.nodes {
			require.Zero(t, n.core.PoolLen(), "seed %d\n%s", seed, w.describe())
			require.Empty(t, n.alarms)
			require.Empty(t, n.evidence)
		}
	}
}

// TestFirstProposalWaitsForTheDisk: before the first record of a new log is on disk,
// a crash would leave nothing that bars this replica from proposing another block
// for the same height (R6).
func TestFirstProposalWaitsForTheDisk(t *testing.T) {
	w := newWorld([]uint64{1, 1, 1, 1}, 1, nil)
	n := w.nodes[0]
	core, err := New(n.cfg, func(func(Record) bool) {})
	require.NoError(t, err)
	proposals := func(envelopes []Envelope) (k int) {
		for _, e := range envelopes {
			if e.Message.Kind() == KindPrePrepare {
				k++
			}
		}
		return k
	}
	var out Output
	core.Recover(&out)
	core.Submit(w.request(1, 1, "op"), &out)
	require.Equal(t, Height(1), core.Tip().Height)
	require.Zero(t, proposals(out.Send))
	require.Equal(t, 1, proposals(out.Durable))
	// A peer that lacks it is sent a copy, which waits as well. The disk is slow, power
	// fails before the first write is done, and the replica proposes another block: so
	// it happened in a simulation.
	var copies Output
	status, drop := n.verifier.Verify(1, &Status{Entered: true, Open: true})
	require.Equal(t, NoDrop, drop)
	core.Step(status, &copies)
	require.Zero(t, proposals(copies.Send))
	require.Equal(t, 1, proposals(copies.Durable))
	// Its own status comes back: what was written so far is on disk.
	own := out.Durable
	out = Output{}
	for _, e := range own {
		if e.Message.Kind() == KindStatus {
			core.Step(n.verifier.Own(e.Message), &out)
		}
	}
	for seq := range uint64(4) {
		core.Submit(w.request(1, seq+2, "op"), &out)
	}
	require.Equal(t, 1, proposals(out.Send))
	require.Zero(t, proposals(out.Durable))
}
