package pbft

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

// These tests flood one honest replica with what a traitor can sign and look at what
// it keeps. (Votes and checkpoint votes: TestTallyMemoryBound,
// TestCheckpointTallyMemoryBound.)

// flood is a world in which one replica's messages come from the test.
type flood struct {
	*world
	traitor ReplicaID
}

func newFlood(traitor ReplicaID, edit func(*Config)) *flood {
	w := newWorld(equalWeights(4), 11, edit)
	w.settle(nil)
	w.tick()
	w.settle(nil)
	w.honest = func(id ReplicaID) bool { return id != traitor }
	w.nodes[traitor].crash()
	return &flood{w, traitor}
}

// inject signs a message with the traitor's keys and delivers it. What the receiver
// sends in return is counted and thrown away.
func (f *flood) inject(to ReplicaID, m Message) (answers int) {
	m = Sign(f.cluster, 0, m, f.nodes[f.traitor].keys)
	f.nodes[to].receive(packet{f.traitor, to, Encode(0, m), m.Kind(), m.Kind().String()})
	answers = len(f.queue)
	f.queue = nil
	return answers
}

func (f *flood) propose(parent BlockRef, view View, salt int) *PrePrepare {
	return &PrePrepare{Block: NewBlock(Header{
		Cluster: f.cluster, Height: parent.Height + 1, View: view, Parent: parent.Digest, Proposer: f.traitor, Time: f.now + Time(salt),
	}, nil)}
}

func TestBoundProposals(t *testing.T) {
	f := newFlood(0, nil)
	n := f.nodes[1]
	start := f.base.Start.Ref()
	tips := []BlockRef{start}
	for h := Height(1); h < 60; h++ {
		var next []BlockRef
		for salt := range 3 {
			p := f.propose(tips[salt%len(tips)], 0, salt)
			f.inject(1, p)
			next = append(next, p.Ref())
		}
		tips = next
	}
	require.LessOrEqual(t, len(n.core.seen), int(2*f.base.Window))
	require.LessOrEqual(t, len(n.core.order), int(f.base.Window), "votes for more than the window")
	require.LessOrEqual(t, len(n.log), int(f.base.Window)+4)
	require.NotZero(t, n.core.counters.Dropped[KindPrePrepare][DropHeight])
	// One proof, however many pairs there are.
	require.Len(t, n.evidence, 1)
	require.Len(t, n.core.evidence, 1)
}

func TestBoundViewChangesAndStatuses(t *testing.T) {
	f := newFlood(3, nil)
	n := f.nodes[1]
	records := len(n.log)
	answers := 0
	for v := View(1); v < 2000; v++ {
		claim := Claim{View: v, Block: f.base.Start.Digest()}
		answers += f.inject(1, &ViewChange{SignedClaim: SignedClaim{Claim: claim, Signer: 3}})
		answers += f.inject(1, &Status{View: v % 2, Committed: Height(v), High: Rank{v, 7}, Stable: Height(v), Suspect: true, Oldest: 1})
	}
	require.Equal(t, View(1999), n.core.peers[3].change.View, "the highest is kept")
	require.Equal(t, View(0), n.core.View(), "one traitor moves nobody")
	require.Len(t, n.log, records, "nothing of it is written")
	require.LessOrEqual(t, answers, 4, "answers to a flood within one tick")
	// Over time: a bounded number for each tick.
	for range 100 {
		n.tick()
		f.queue = nil
		for range 50 {
			answers += f.inject(1, &Status{View: 0, Entered: true, Open: true, Committed: 0, Oldest: 1})
		}
	}
	require.LessOrEqual(t, answers, 4+100*4)
}

// A replica that is ahead answers whoever asks for an old view, but not each time.
func TestBoundAnswers(t *testing.T) {
	f := newFlood(3, nil)
	n := f.nodes[1]
	for _, id := range []ReplicaID{0, 2} {
		f.traitor = id
		f.inject(1, &ViewChange{SignedClaim: SignedClaim{Claim: Claim{View: 5000, Block: f.base.Start.Digest()}, Signer: id}})
	}
	require.Equal(t, View(5000), n.core.View())
	f.traitor = 3
	answers := 0
	for v := View(1); v < 1000; v++ {
		answers += f.inject(1, &ViewChange{SignedClaim: SignedClaim{Claim: Claim{View: v, Block: f.base.Start.Digest()}, Signer: 3}})
	}
	require.Positive(t, answers)
	require.LessOrEqual(t, answers, 2)
}

func TestBoundPool(t *testing.T) {
	f := newFlood(3, func(c *Config) { c.MaxPoolBytes, c.MaxPoolPerClient = 20_000, 16 })
	n := f.nodes[1]
	size := 0
	for client := range uint64(40) {
		for seq := range uint64(30) {
			r := f.request(client, seq+1, fmt.Sprintf("%d/%d", client, seq))
			size = r.Size()
			f.inject(1, &Forward{Requests: []*Request{r, r}})
		}
	}
	require.LessOrEqual(t, n.core.pool.bytes, 20_000)
	require.Greater(t, n.core.pool.bytes, 20_000-size, "the room is used")
	for _, k := range n.core.pool.clients {
		require.LessOrEqual(t, k.held, 16)
	}
	require.NotZero(t, n.core.counters.DroppedRequest[DropClientFull])
	require.NotZero(t, n.core.counters.DroppedRequest[DropPoolFull])
	require.Len(t, n.core.pool.byDigest, n.core.PoolLen())
	require.Len(t, n.core.pool.bySeq, n.core.PoolLen())
	// One request of a client and number: another one of the same number is refused.
	require.Equal(t, DropConflict, n.core.pool.add(f.request(0, 1, "other"), 0))
	// What is forwarded leaves with the step.
	require.Empty(t, n.core.timers.forward)
	// Too large for a block.
	big := make([]byte, f.base.MaxOperationBytes+1)
	require.Equal(t, DropLimits, n.submit(f.request(99, 1, string(big))))
	f.nodes[1].core.chain.tip().Time = 100
	require.Equal(t, DropExpired, n.submit(f.requestUntil(99, 2, "late", 99)))
}

// A Forward to the primary is cut at its size limit, also when many requests come at
// once; what a peer relays by age is one message, with a bounded part of it for each
// client.
func TestBoundForward(t *testing.T) {
	f := newFlood(3, func(c *Config) {
		c.MaxPoolBytes, c.MaxPoolPerClient, c.MaxOperationBytes, c.MaxBlockBytes = 16<<20, 1<<16, 60_000, 1<<17
	})
	n := f.nodes[1]
	for i := range uint64(50) {
		n.submit(f.request(1+i%25, 1+i/25, string(make([]byte, 50_000))))
	}
	for seq := range uint64(10) {
		n.submit(f.request(1, 10+seq, string(make([]byte, 50_000))))
	}
	f.queue = nil
	var out Output
	for range f.base.Timeouts.RequestAge / 2 {
		out.Reset()
		n.core.Tick(f.now, &out)
	}
	size, messages := 0, 0
	of := map[crypto.PublicKey]int{}
	for _, e := range out.Send {
		if m, ok := e.Message.(*Forward); ok {
			messages++
			for _, r := range m.Requests {
				size += r.Size()
				of[r.Client] += r.Size()
			}
		}
	}
	require.Equal(t, 1, messages)
	require.LessOrEqual(t, size, maxForwardBytes)
	require.Greater(t, size, maxForwardBytes/2)
	for _, bytes := range of {
		require.LessOrEqual(t, bytes, maxRelayedPerClient)
	}
}

func TestBoundBlocks(t *testing.T) {
	f := newFlood(0, nil)
	n := f.nodes[1]
	// Unasked: nothing is kept.
	at := f.base.Start.Ref()
	var blocks []*PrePrepare
	for range 200 {
		p := f.propose(at, 0, 0)
		blocks = append(blocks, Sign(f.cluster, 0, p, f.nodes[0].keys).(*PrePrepare))
		at = p.Ref()
	}
	f.inject(1, &Blocks{Blocks: blocks})
	require.Empty(t, n.core.order)
	require.NotZero(t, n.core.counters.Dropped[KindBlocks][DropUnwanted])
	// Asked for a block, with more of its ancestors than can ever be needed.
	n.core.fetch.asked, n.core.fetch.want = true, GetBlocks{From: 1, Height: at.Height, Digest: at.Digest}
	f.inject(1, &Blocks{Blocks: blocks})
	require.LessOrEqual(t, len(n.core.order), int(n.core.maxHeld()))
	require.NotZero(t, n.core.counters.Dropped[KindBlocks][DropBound])
}

func TestBoundEvidence(t *testing.T) {
	f := newFlood(0, nil)
	n := f.nodes[1]
	keys := f.nodes[0].keys
	for h := range Height(30) {
		parent := BlockRef{h, crypto.Hash("parent", []byte{byte(h)})}
		a := Sign(f.cluster, 0, f.propose(parent, 4, 1), keys).(*PrePrepare)
		b := Sign(f.cluster, 0, f.propose(parent, 4, 2), keys).(*PrePrepare)
		f.inject(1, ProveTwoProposals(a, b))
		f.inject(1, ProveConflictingVotes(
			Sign(f.cluster, 0, &Vote{Statement: Statement{Phase: Prepare, Height: h + 1, Block: a.Digest()}}, keys).(*Vote),
			Sign(f.cluster, 0, &Vote{Statement: Statement{Phase: Prepare, Height: h + 1, Block: b.Digest()}}, keys).(*Vote), nil))
		f.inject(1, ProveTwoCheckpoints(
			Sign(f.cluster, 0, &CheckpointVote{CheckpointStatement: CheckpointStatement{Height: h + 1, Block: a.Digest()}}, keys).(*CheckpointVote),
			Sign(f.cluster, 0, &CheckpointVote{CheckpointStatement: CheckpointStatement{Height: h + 1, Block: b.Digest()}}, keys).(*CheckpointVote)))
	}
	// One for each culprit and offence: at most 6 times the members.
	require.Len(t, n.core.evidence, 3)
	require.Len(t, n.evidence, 3)
	kept := 0
	for k := range n.log {
		if k.Kind == RecordEvidence {
			kept++
		}
	}
	require.Equal(t, 3, kept)
}

// A proof goes a few times more to a replica that never shows that it has it.
func TestBoundEvidenceRepeated(t *testing.T) {
	f := newFlood(0, nil)
	n := f.nodes[1]
	keys := f.nodes[0].keys
	parent := BlockRef{0, crypto.Hash("parent")}
	f.inject(1, ProveTwoProposals(Sign(f.cluster, 0, f.propose(parent, 4, 1), keys).(*PrePrepare), Sign(f.cluster, 0, f.propose(parent, 4, 2), keys).(*PrePrepare)))
	require.Len(t, n.core.evidence, 1)
	sent := [4]int{}
	for range 200 {
		var out Output
		n.core.Tick(f.now, &out)
		for _, from := range []ReplicaID{0, 3} {
			v, why := n.verifier.Verify(from, &Status{Entered: true, Open: true})
			require.Equal(t, NoDrop, why)
			n.core.Step(v, &out)
		}
		for _, e := range out.Send {
			if e.Message.Kind() == KindEvidence {
				sent[e.To]++
			}
		}
	}
	require.Equal(t, [4]int{3: maxProofPushes}, sent, "and none to the culprit")
}

// A certificate for heights far away, which only more than F traitors can make, is
// kept as one certificate and nothing else.
func TestBoundFarCertificates(t *testing.T) {
	f := newFlood(3, nil)
	n := f.nodes[1]
	scheme := n.verifier.cfg.Votes
	for i := range 200 {
		st := Statement{Phase: Commit, Height: Height(1000 + i), Block: crypto.Hash("far", []byte{byte(i)})}
		q := &Certificate{Statement: st, Signers: setOf(4, 0, 2, 3)}
		var shares []crypto.Share
		for _, id := range q.Signers.IDs() {
			v := Sign(f.cluster, 0, &Vote{Statement: st, Signer: id}, f.nodes[id].keys).(*Vote)
			shares = append(shares, crypto.Share{Signer: id, Signature: v.Signature})
		}
		q.Proof, _ = scheme.Aggregate(shares)
		f.inject(1, q)
	}
	require.Equal(t, Height(1199), n.core.High().Height)
	require.Empty(t, n.core.order)
	require.Empty(t, n.core.kept)
	require.LessOrEqual(t, len(n.log), 4)
}

// In a long life with many views what is kept in memory and in the log depends on the
// parameters and not on how long it lasted.
func TestBoundLongLife(t *testing.T) {
	w := newWorld(equalWeights(4), 5, func(c *Config) {
		c.Window, c.CheckpointEvery, c.LogMax, c.Retain, c.MaxBlockRequests = 4, 4, 12, 8, 1
		c.Timeouts.RotateEvery = 1
	})
	measure := func() (chain, kept, newViews, log int) {
		for _, n := range w.nodes {
			c := n.core
			chain, kept = max(chain, len(c.chain.links)), max(kept, len(c.kept))
			newViews, log = max(newViews, len(c.storedNVs)), max(log, len(n.log))
		}
		return chain, kept, newViews, log
	}
	live := func(requests int) {
		for i := range requests {
			r := w.request(uint64(i%7), uint64(w.now)+uint64(i), "op")
			w.nodes[i%4].submit(r)
			w.settle(nil)
			if i%8 == 0 {
				w.tick()
			}
		}
		w.run(20, nil)
	}
	live(60)
	chain, kept, newViews, log := measure()
	live(240)
	require.Empty(t, w.broken)
	require.Greater(t, w.nodes[0].core.Committed(), Height(250))
	require.Greater(t, w.nodes[0].core.View(), View(40))
	chain2, kept2, newViews2, log2 := measure()
	slack := int(w.base.CheckpointEvery + w.base.Window)
	require.LessOrEqual(t, chain2, chain+slack)
	require.LessOrEqual(t, kept2, kept+slack)
	require.LessOrEqual(t, newViews2, newViews+slack)
	require.LessOrEqual(t, log2, log+4*slack)
	for _, n := range w.nodes {
		require.LessOrEqual(t, len(n.core.statements), int(w.base.LogMax))
		require.Empty(t, n.core.order)
	}
}

// A replica that lags all the time, by less than its peers retain, never needs a state
// transfer: it executes their blocks, late. Each certified snapshot that it hears of lies
// above what it has committed, and a later one is there before it gets to that. Its log
// is pruned all the same.
func TestBoundLagging(t *testing.T) {
	w := newWorld(equalWeights(4), 5, boundedLog)
	late := w.nodes[3]
	const lag = 9 // more than two snapshot intervals
	keep := func(p packet) bool {
		switch {
		case p.to != late.id:
			return true
		case p.kind == KindBlocks:
			return w.nodes[0].core.Committed() > late.core.Committed()+lag
		}
		return p.kind != KindPrePrepare && p.kind != KindVote
	}
	longest := 0
	for i := range 400 {
		w.nodes[i%3].submit(w.request(uint64(i%7), uint64(w.now)+uint64(i), "op"))
		w.run(2, keep)
		longest = max(longest, len(late.core.chain.links))
	}
	require.Empty(t, w.broken)
	require.Zero(t, late.transfers)
	require.Greater(t, late.core.Committed(), Height(350))
	require.LessOrEqual(t, longest, longestLog(&w.base))
}

// How long the log gets of a replica that catches up by blocks, and hears of no snapshot
// meanwhile: what peers retain is there twice, below its own snapshot and above it, and so
// is what the log may run ahead of a snapshot, its own and the peers'.
func TestBoundCatchUp(t *testing.T) {
	w := newWorld(equalWeights(4), 5, boundedLog)
	late, first := w.nodes[3], w.nodes[0]
	live := func(until Height, keep func(packet) bool) {
		for i := 0; first.core.Committed() < until; i++ {
			require.Less(t, i, 100)
			w.nodes[i%3].submit(w.request(uint64(i%7), uint64(w.now), "op"))
			w.run(1, keep)
		}
	}
	noSnapshots := func(to func(ReplicaID) bool) func(packet) bool {
		return func(p packet) bool { return !to(p.to) || p.kind != KindCheckpointVote && p.kind != KindBundle }
	}
	live(20, nil)
	w.run(2, nil)
	require.Equal(t, Height(20), late.core.SnapshotHeight())
	require.Equal(t, Height(4), late.core.chain.low())
	// Snapshots are certified, and it does not hear of them: it stands still.
	live(32, noSnapshots(func(id ReplicaID) bool { return id == late.id }))
	require.Equal(t, Height(32), late.core.Committed())
	// The others go on without it, as far as they can still serve it. Then they hear of no
	// snapshot either, and stand still themselves.
	live(48, func(p packet) bool { return p.to != late.id })
	w.run(2, func(p packet) bool { return p.to != late.id })
	require.Equal(t, Height(48), first.core.SnapshotHeight())
	live(60, func(p packet) bool { return p.to != late.id && p.kind != KindCheckpointVote && p.kind != KindBundle })
	require.Equal(t, Height(33), first.core.Oldest())
	// It catches up.
	w.run(20, noSnapshots(func(ReplicaID) bool { return true }))
	require.Equal(t, Height(60), late.core.Committed())
	require.Zero(t, late.transfers)
	require.Equal(t, longestLog(&w.base), len(late.core.chain.links))
	w.run(20, nil)
	require.Equal(t, Height(60), late.core.SnapshotHeight())
	require.LessOrEqual(t, len(late.core.chain.links), int(w.base.Retain)+1)
	require.Empty(t, w.broken)
}

func boundedLog(c *Config) {
	c.Window, c.CheckpointEvery, c.LogMax, c.Retain, c.MaxBlockRequests = 2, 4, 12, 16, 1
}

// longestLog is how many links of the chain are kept at most.
func longestLog(c *Config) int { return int(2*c.LogMax+2*c.Retain) + 1 }
