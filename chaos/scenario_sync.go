package chaos

import (
	"reflect"
	"strings"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// Catching up: by blocks and by state transfer, with peers that lie, while votes and
// view changes go on.

var syncScenarios = []Scenario{
	{
		Name: "cometbft-sync-never-ends", Origin: "CometBFT", Bugs: []string{"CometBFT GO-2025-3442"}, Kind: ByDesign,
		Wrong:   "A peer reported a high latest height and then a lower one; the syncing node kept the high one as its target and never left sync.",
		Differs: "There is no mode of syncing to leave, and no target but a CommitQC. What a status says of heights decides only whom to ask next, and the next status replaces it.",
		Rules:   "R13, PROTOCOL 3.6",
		Breaches: []Breach{without("a replica that lags asks whoever says to be furthest, and nobody else", "pbft/catchup.go",
			"	return set\n}\n\n// nextPeer takes turns", "	if ON {\n		best := -1\n		for i := range c.peers {\n			if set.Has(ReplicaID(i)) && (best < 0 || c.peers[i].status.Committed > c.peers[best].status.Committed) {\n				best = i\n			}\n		}\n		set = crypto.NewBitmap(c.quorums.N())\n		if best >= 0 {\n			set.Set(ReplicaID(best))\n		}\n	}\n	return set\n}\n\n// nextPeer takes turns")},
		play: playHeightLies,
	},
	{
		Name: "cometbft-block-sync-malformed", Origin: "CometBFT", Bugs: []string{"CometBFT GO-2024-2951", "CometBFT #5860"}, Kind: Caught,
		Wrong:   "Malformed or wrongly signed blocks in block sync made the node panic or stick, and blocks were taken from peers that had not been asked.",
		Differs: "Blocks must link by hash to a certificate or to a digest that was asked for, each must be signed by its proposer, and answers to nothing are counted and dropped.",
		Rules:   "DESIGN: hash links",
		Breaches: []Breach{
			without("blocks that nobody asked for are taken", "pbft/catchup.go", "	if !c.fetch.asked {\n		return DropUnwanted\n", "	if !c.fetch.asked && !ON {\n		return DropUnwanted\n"),
			without("blocks need not link to each other", "pbft/verify_blocks.go", "		if i > 0 && (p.Height != m.Blocks[i-1].Height+1", "		if i > 0 && !ON && (p.Height != m.Blocks[i-1].Height+1"),
		},
		play: playMalformedBlocks,
	},
	{
		Name: "cometbft-silent-sync-peer", Origin: "CometBFT", Bugs: []string{"CometBFT #5801"}, Kind: Caught,
		Wrong:   "A peer could stop block sync for good, by the way in which it took requests and did not answer them: restarted nodes never came back.",
		Differs: "One request is under way at a time, it ends after a retry interval whatever the peer does, and the next goes to the next peer that should have the blocks.",
		Rules:   "PROTOCOL 3.6",
		Breaches: []Breach{without("the first that should have the blocks is asked, again and again", "pbft/catchup.go",
			"	n := c.quorums.N()\n	for range n {\n		c.fetch.turn", "	n := c.quorums.N()\n	if ON {\n		c.fetch.turn = n - 1\n	}\n	for range n {\n		c.fetch.turn")},
		play: playSilentPeer,
	},
	{
		Name: "cometbft-sync-race-with-votes", Origin: "CometBFT", Bugs: []string{"CometBFT #5839"}, Kind: ByDesign,
		Wrong:   "Votes of a traitor that came in just while a node went from block sync to consensus made the two halves wait for each other.",
		Differs: "There are no two halves: one core takes blocks, votes, certificates and proposals in whatever order they come, in one goroutine that never waits.",
		Rules:   "DESIGN: the core is a function",
		play:    playVotesWhileSyncing,
	},
	{
		Name: "cometbft-adaptive-sync-equivocation", Origin: "CometBFT", Bugs: []string{"CometBFT #5953"}, Kind: Caught,
		Wrong:   "A validator that votes while it still catches up can sign for block B at a height at which it then learns by sync that B' was decided; the guard against double signing does not see it.",
		Differs: "All votes of a view lie on one chain, durably. A replica that voted on the branch that lost follows the other by its CommitQC and signs nothing that contradicts its vote.",
		Rules:   "R1, PROTOCOL 1.6",
		Mutants: []string{"M26"},
		play:    playVotedOnLosingBranch,
	},
	{
		Name: "cometbft-part-index", Origin: "CometBFT", Bugs: []string{"CometBFT GO-2025-3443"}, Kind: Caught,
		Wrong:   "A block part's own index was not compared with that of its Merkle proof; a valid proof under another index poisoned the parts and stalled the network.",
		Differs: "A chunk has one index, the one it was asked for, and its digest is looked up in the certified manifest under that index. A wrong one is named and another peer asked.",
		Rules:   "DESIGN 2.5",
		Mutants: []string{"M21"},
		play:    playChunkIndex,
	},
	{
		Name: "cometbft-uncertified-state-in-sync", Origin: "CometBFT", Bugs: []string{"CometBFT GO-2024-3112"}, Kind: Caught,
		Wrong:   "State sync took over the validators' proposer priorities, which no header's hash covers: nodes that synced from a liar had another proposer than the rest, and the chain split.",
		Differs: "Who is primary is a function of the configuration and is transferred by nobody. Of a state transfer everything is covered by the certified digest: the manifest, which names the digests of application, sessions and each chunk.",
		Rules:   "R22, DESIGN 2.5",
		Breaches: []Breach{without("the manifest is not held against the certificate", "replica/snapshots.go",
			"	if got := statemachine.StateDigest(app, sessions, m.Root()); got != b.Checkpoint.State {\n", "	if got := statemachine.StateDigest(app, sessions, m.Root()); got != b.Checkpoint.State && !ON {\n")},
		play: playPoisonedManifest,
	},
	{
		Name: "bft-smart-paused-replica", Origin: "BFT-SMaRt", Bugs: []string{"BFT-SMaRt #27"}, Kind: Caught,
		Wrong:   "A replica that was stopped for a while and went on ran out of memory by the messages that had piled up, and its state transfer never came to an end while clients went on writing.",
		Differs: "Every queue has a bound, what is lost is pushed again by status, and execution that lags holds ordering back, so that whoever catches up is faster than the log grows.",
		Rules:   "R8, R13, PROTOCOL 3.1",
		play:    playPaused,
	},
	{
		Name: "bft-smart-leader-from-transfer", Origin: "BFT-SMaRt", Bugs: []string{"BFT-SMaRt #62"}, Kind: Caught,
		Wrong:   "At the end of a state transfer the leader was that of the reply that came last; that enough replies had come was checked, that they agreed was not.",
		Differs: "A state transfer brings no view. A replica enters one by a NewView or certificate that proves it, or joins the view that a blocking set has reached.",
		Rules:   "R10",
		Mutants: []string{"M16"},
		play:    playLeaderFromTransfer,
	},
	{
		Name: "bft-smart-diverged-replica", Origin: "BFT-SMaRt", Bugs: []string{"BFT-SMaRt #73"}, Kind: Caught,
		Wrong:   "A replica whose state was no longer the others' went on serving it; nothing ever compared them, and nothing repaired it.",
		Differs: "Each checkpoint is certified. A replica whose own state differs from what a quorum certified stops and raises an alarm that names the remedy; it does not quietly install the others' state.",
		Rules:   "O6, PROTOCOL 9",
		Breaches: []Breach{without("the own state is not compared with the certified one", "pbft/stable.go",
			"	if *mine != *certified {\n", "	if *mine != *certified && !ON {\n")},
		play: playDiverged,
	},
	{
		Name: "concord-transfer-without-primary", Origin: "concord-bft", Bugs: []string{"concord-bft #269"}, Kind: Caught,
		Wrong:   "With the primary crashed and no view change yet, a replica that came back fetched the blocks, but its state transfer never ended.",
		Differs: "A transfer needs a certified checkpoint and any peers that serve it. It asks several at once and does not care who is primary.",
		Rules:   "DESIGN 2.5",
		Breaches: []Breach{without("a transfer asks the primary only", "replica/node_transfer_ask.go",
			"		if id == t.n.cfg.Core.Self {\n", "		if id == t.n.cfg.Core.Self || ON && id != t.n.core.Primary() {\n")},
		play: playTransferWithoutPrimary,
	},
	{
		Name: "concord-two-views-behind", Origin: "concord-bft", Bugs: []string{"concord-bft #1182", "concord-bft #2707"}, Kind: Caught,
		Wrong: "A replica behind by checkpoints and by two views had the view changes and the NewView before the state that it needed to enter, and after the transfer nothing made it try again: " +
			"it waited and ignored what came.",
		Differs: "Nothing is tried once: after every step the core takes up whatever has become possible, and whoever is behind in views is pushed the NewView on each of its statuses.",
		Rules:   "R13, DESIGN: progress is derived again",
		play:    playTwoViewsBehind,
	},
	{
		Name: "hotstuff-missing-parent", Origin: "relab/hotstuff", Bugs: []string{"relab/hotstuff #24"}, Kind: Caught,
		Wrong:   "A block whose parent had not arrived made the handler wait for it, under a lock that the parent's arrival needed.",
		Differs: "A proposal whose parent is missing is held, one for each height, and taken up when the tip is there; what a certificate names is fetched from its signers.",
		Rules:   "R5, PROTOCOL 3.1",
		Breaches: []Breach{{
			Title: "what is missing is neither fetched nor pushed",
			Sites: []BreachSite{
				{"pbft/catchup.go", "	want, from, ok := c.missing()\n	if !ok {\n", "	want, from, ok := c.missing()\n	if !ok || ON {\n"},
				{"pbft/status.go", "		c.pushProposals(to, m, out)\n", "		if !ON {\n			c.pushProposals(to, m, out)\n		}\n"},
			},
		}},
		play: playMissingParent,
	},
	{
		Name: "etcd-two-snapshots-in-a-row", Origin: "etcd", Bugs: []string{"etcd #18055"}, Kind: Caught,
		Wrong:   "A member that was sent two snapshots within a short time panicked: the second met the first half applied.",
		Differs: "One transfer is under way at a time. A later snapshot takes its place only between two steps of it, and what is being installed is installed first.",
		Rules:   "DESIGN 2.5",
		play:    playTwoSnapshots,
	},
}

// behind are options in which a replica that is away for a moment needs a state
// transfer: blocks below a snapshot are gone at once.
func behind(o *Options) {
	o.Retain, o.CheckpointEvery, o.Window = 0, 4, 4
	o.Think = 5 * time.Millisecond
}

// byBlocks are options in which it can catch up by blocks.
func byBlocks(o *Options) {
	o.Retain, o.CheckpointEvery, o.Window, o.Think = 1000, 64, 4, 5*time.Millisecond
}

// away isolates a replica for a while and tells when it is level with the others
// again, and how far it was behind.
type absence struct {
	d        *directed
	who      pbft.ReplicaID
	back     time.Duration
	lag      pbft.Height
	level    time.Duration // since its return; 0: never
	transfer bool          // a state transfer was under way
}

func (d *directed) away(who pbft.ReplicaID, from, to time.Duration) *absence {
	x := &absence{d: d, who: who, back: to}
	var heal func()
	d.at(from, func() { heal = d.isolate(who) })
	d.at(to, func() {
		heal()
		x.lag = x.top() - d.core(who).ExecutedHeight()
	})
	d.watch(5*time.Millisecond, func() {
		c := d.core(who)
		if d.now <= to || c == nil {
			return
		}
		if h, _, _ := d.replicas[who].up.node.Transfer(); h > 0 {
			x.transfer = true
		}
		if x.level == 0 && c.ExecutedHeight()+d.opts.Window >= x.top() {
			x.level = d.now - to
		}
	})
	return x
}

// top is the highest height that an honest replica has executed.
func (x *absence) top() (top pbft.Height) {
	for _, m := range x.d.replicas {
		if m.up != nil && m.honest() {
			top = max(top, m.up.node.Core().ExecutedHeight())
		}
	}
	return top
}

// returned demands that the replica was far behind and is level soon after.
func (x *absence) returned(a *act, within time.Duration) {
	a.occurred(x.lag > 4*x.d.opts.Window, "replica %d far behind (%d blocks)", x.who, x.lag)
	a.holds(x.level > 0 && x.level <= within, "replica %d, %d blocks behind, is not level within %v (%v)", x.who, x.lag, within, x.level)
}

func playHeightLies(a *act) {
	d := a.direct(func(o *Options) { byBlocks(o); traitor(2, "mute")(o) })
	lies, low := 0, 0
	d.corrupt(2, func(p *puppet) {
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			switch m := m.(type) {
			case *pbft.Status:
				x := *m
				if lies++; lies%5 == 0 {
					low++
					x.Committed, x.Executed, x.Tip.Height, x.High = 3, 3, 3, pbft.Rank{Height: 3}
					p.Transmit(to, &x)
				}
				x.Committed, x.Executed, x.Tip.Height, x.High.Height = 1_000_000, 1_000_000, 1_000_000, 1_000_000
				p.Transmit(to, &x)
				return false
			case *pbft.Blocks:
				return false // it has none
			}
			return true
		}
	})
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	r := d.play()
	a.occurred(lies > 50 && low > 5, "heights of a million that go back to 3 (%d, %d)", lies, low)
	x.returned(a, 500*time.Millisecond)
	a.fact("a peer said to be at height 1000000 and then at 3, %d times: replica 3, %d blocks behind, was level after %v", low, x.lag, x.level.Round(time.Millisecond))
	a.fact("%d blocks", r.Blocks)
}

// playMalformedBlocks: the traitor answers every request with blocks that are wrong, and
// sends some to who has not asked.
func playMalformedBlocks(a *act) {
	d := a.direct(func(o *Options) { byBlocks(o); traitor(2, "poison")(o) })
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	unasked, verified := uint64(0), map[string]pbft.Drop{}
	d.at(1100*time.Millisecond, func() {
		// Good blocks for everybody, whom nobody asked for them.
		c := d.core(2)
		for range 20 {
			d.network.send(2, 1, pbft.Encode(0, answerFrom(d, 2, c.Committed()-3)))
		}
	})
	d.at(1250*time.Millisecond, func() {
		unasked = d.core(1).Counters().Dropped[pbft.KindBlocks][pbft.DropUnwanted]
		good := answerFrom(d, 2, d.core(2).Committed()-3)
		bad := func(what string, change func(x *pbft.Blocks)) {
			b := *good
			b.Blocks = append([]*pbft.PrePrepare(nil), good.Blocks...)
			change(&b)
			verified[what] = d.verdict(1, 2, &b)
		}
		bad("good", func(*pbft.Blocks) {})
		bad("without one in the middle", func(x *pbft.Blocks) { x.Blocks = append(x.Blocks[:1], x.Blocks[2:]...) })
		bad("none", func(x *pbft.Blocks) { x.Blocks = nil })
		bad("certificate of too few", func(x *pbft.Blocks) {
			q := *x.Certificate
			q.Signers = q.Signers.Clone()
			q.Signers[0] &= q.Signers[0] - 1
			x.Certificate = &q
		})
		bad("signature of another block", func(x *pbft.Blocks) {
			p := *x.Blocks[1]
			p.Signature = x.Blocks[0].Signature
			x.Blocks[1] = &p
		})
	})
	r := d.play()
	a.occurred(d.replicas[2].traitor.DeedsOf("poisoned blocks") > 0, "wrong blocks in answer to a request")
	a.occurred(verified["good"] == pbft.NoDrop && len(verified) == 5, "%v", verified)
	for what, why := range verified {
		a.holds(what == "good" || why != pbft.NoDrop, "blocks %s verify", what)
	}
	a.holds(unasked >= 20, "blocks that nobody asked for are taken: %d of 20 were counted", unasked)
	x.returned(a, time.Second)
	a.fact("%d answers with wrong blocks and %d that nobody had asked for: none taken; replica 3, %d blocks behind, was level after %v",
		d.replicas[2].traitor.DeedsOf("poisoned blocks"), unasked, x.lag, x.level.Round(time.Millisecond))
	a.fact("%d blocks", r.Blocks)
}

// answerFrom is what a replica would answer to a request for its blocks from a height.
func answerFrom(d *directed, id pbft.ReplicaID, from pbft.Height) *pbft.Blocks {
	b := &pbft.Blocks{}
	records := map[pbft.Digest]*pbft.PrePrepare{}
	var high *pbft.Certificate
	must(d.replicas[id].disk.Load(nil, func(r pbft.Record) error {
		switch r.Key.Kind {
		case pbft.RecordBlock:
			p, err := pbft.DecodeRecordBlock(r.Value)
			records[p.Digest()] = p
			return err
		case pbft.RecordCommitted:
			_, q, err := pbft.DecodeRecordCommitted(r.Value)
			high = q
			return err
		}
		return nil
	}))
	for p := records[high.Block]; p != nil && p.Height >= from; p = records[p.Parent] {
		b.Blocks = append([]*pbft.PrePrepare{p}, b.Blocks...)
	}
	b.Certificate = high
	return b
}

// playSilentPeer: the traitor says to have everything, takes every request for it and
// answers none.
func playSilentPeer(a *act) {
	d := a.direct(func(o *Options) { byBlocks(o); traitor(0, "mute")(o) })
	asked := 0
	d.corrupt(0, func(p *puppet) {
		p.hear = func(from pbft.ReplicaID, m pbft.Message) bool {
			if _, ok := m.(*pbft.GetBlocks); ok && from == 3 {
				asked++
				return false
			}
			return true
		}
	})
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	r := d.play()
	a.occurred(asked > 0, "requests that got no answer (%d)", asked)
	x.returned(a, time.Second)
	a.fact("a peer took %d requests for blocks and answered none: replica 3, %d blocks behind, was level after %v, %d blocks", asked, x.lag, x.level.Round(time.Millisecond), r.Blocks)
}

// playVotesWhileSyncing: replica 3 catches up in a stream of proposals and votes, with
// a traitor's votes for other blocks at its every height.
func playVotesWhileSyncing(a *act) {
	d := a.direct(func(o *Options) { byBlocks(o); o.Clients = 6; traitor(2, "mute")(o) })
	votes, while := 0, 0
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	d.corrupt(2, func(p *puppet) {
		p.tick = func() {
			c := d.core(3)
			if c == nil || d.now < x.back {
				return
			}
			for h := c.Committed(); h < c.Committed()+2*d.opts.Window; h++ {
				for _, phase := range []pbft.Phase{pbft.Prepare, pbft.Commit} {
					p.Transmit(3, &pbft.Vote{Statement: pbft.Statement{Phase: phase, Height: h + 1, Block: pbft.Digest{byte(h), byte(phase), 1}}, Signer: p.Self})
					votes++
				}
			}
			if x.level == 0 {
				while++
			}
		}
	})
	r := d.play()
	a.occurred(votes > 200 && while > 0, "votes of a traitor while replica 3 catches up (%d, %d ticks)", votes, while)
	x.returned(a, time.Second)
	a.fact("%d votes for blocks that do not exist, and everybody's own, while replica 3 caught up with %d blocks: level after %v", votes, x.lag, x.level.Round(time.Millisecond))
	a.fact("%d blocks", r.Blocks)
}

// playVotedOnLosingBranch: the primary proposes another block to replica 3 than to
// the others, who decide theirs.
func playVotedOnLosingBranch(a *act) {
	d := a.direct(traitor(0, "mute"))
	var x, y *pbft.PrePrepare
	const start = 500 * time.Millisecond
	d.corrupt(0, func(p *puppet) {
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			b, ok := m.(*pbft.PrePrepare)
			if !ok || b.Proposer != p.Self || d.now < start {
				return true
			}
			if y == nil {
				y = b
				h := b.Header
				h.Time++
				x = &pbft.PrePrepare{Block: pbft.NewBlock(h, b.Requests)}
			}
			if b == y && to == 3 {
				p.Transmit(3, x)
				return false
			}
			return true
		}
	})
	voted, again := false, false
	var contradicts []string
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		if m.Kind() == pbft.KindEvidence {
			return d.now < 2500*time.Millisecond // or the view would end with the first proof
		}
		v, ok := m.(*pbft.Vote)
		if !ok || from != 3 || x == nil || v.View != 0 {
			return false
		}
		if v.Block == x.Digest() {
			voted = true
		} else if v.Height >= x.Height && v.Height <= x.Height+d.opts.Window {
			contradicts = append(contradicts, v.Statement.String())
		} else if v.Height > x.Height+d.opts.Window {
			again = true
		}
		return false
	})
	followed := false
	d.watch(2*time.Millisecond, func() {
		if y != nil && d.core(3).Committed() >= y.Height {
			followed = true
		}
	})
	r := d.play()
	a.occurred(voted, "replica 3 voted for the block that lost")
	a.occurred(followed && d.judge.agreed[y.Height] == y.Digest(), "replica 3 learned that the other one was decided")
	a.holds(len(contradicts) == 0, "replica 3 also signed %v", contradicts)
	a.holds(again, "replica 3 never votes again in the view, also not more than a window above")
	a.holds(r.Evidence > 0, "no proof against the primary that made two blocks")
	a.fact("replica 3 voted for one block %d and learned by sync that another was decided: it executed that, signed nothing for it or within a window above, and then voted again; the primary was proved guilty", y.Height)
	a.fact("highest view %d, %d blocks", r.ViewChanges, r.Blocks)
}

func playChunkIndex(a *act) {
	d := a.direct(func(o *Options) { bulk(o); traitor(2, "mute")(o) })
	wrong := 0
	d.corrupt(2, func(p *puppet) {
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			c, ok := m.(*pbft.Chunk)
			if !ok || len(c.Data) == 0 {
				return true
			}
			wrong++
			p.Transmit(to, &pbft.Chunk{Height: c.Height, Index: c.Index ^ 1, Data: c.Data})    // good data, another index
			p.Transmit(to, &pbft.Chunk{Height: c.Height, Index: c.Index, Data: spoil(c.Data)}) // and the other way round
			return false
		}
	})
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	r := d.play()
	a.occurred(wrong > 0 && x.transfer, "chunks under a wrong index in a state transfer (%d)", wrong)
	a.holds(r.Transfers > 0, "no state was installed")
	a.holds(r.Sometimes[seenPoison] > 0, "nobody found the wrong chunk")
	x.returned(a, 1500*time.Millisecond)
	a.fact("%d chunks came under another's index: found and named, asked of others, the state installed; level after %v", wrong, x.level.Round(time.Millisecond))
}

func spoil(data []byte) []byte {
	bad := append([]byte(nil), data...)
	bad[len(bad)/2] ^= 1
	return bad
}

// bulk makes the state large enough for several chunks.
func bulk(o *Options) { behind(o); o.Keys, o.Clients, o.Storm = 500, 12, 2200*time.Millisecond }

func playPoisonedManifest(a *act) {
	d := a.direct(func(o *Options) { bulk(o); traitor(2, "mute")(o) })
	bad := 0
	d.corrupt(2, func(p *puppet) {
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			c, ok := m.(*pbft.Manifest)
			if !ok || len(c.Data) < 64 {
				return true
			}
			bad++
			data := append([]byte(nil), c.Data...)
			data[len(data)-1] ^= 1 // in the digest of the last chunk
			p.Transmit(to, &pbft.Manifest{Height: c.Height, Data: data})
			return false
		}
	})
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		// So that the traitor's comes first.
		_, ok := m.(*pbft.Manifest)
		return ok && from != 2 && bad == 0
	})
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	r := d.play()
	a.occurred(bad > 0 && x.transfer, "a manifest with a wrong digest of a chunk in a state transfer")
	a.holds(r.Transfers > 0, "no state was installed")
	x.returned(a, 1500*time.Millisecond)
	for _, t := range []any{pbft.Bundle{}, pbft.Header{}, pbft.CheckpointStatement{}, pbft.Manifest{}, pbft.Chunk{}} {
		for f := range fieldsOf(reflect.TypeOf(t)) {
			a.holds(!strings.Contains(f, "Priorit") && !strings.Contains(f, "Primary"), "%T carries %s", t, f)
		}
	}
	for v := range pbft.View(40) {
		a.holds(d.replicas[3].up.verifier != nil && d.schedule.Primary(0, v) == pbft.NewSchedule(d.opts.Weights).Primary(0, v), "the primary of view %d is no function of the weights", v)
	}
	a.fact("%d manifests with another digest of a chunk: refused, the certified one taken from another peer, level after %v; no message of a transfer says who is primary", bad, x.level.Round(time.Millisecond))
}

// fieldsOf are the names of a struct's fields, at all depths.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	names := map[string]reflect.Type{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			walk(t.Elem())
		case reflect.Struct:
			for i := range t.NumField() {
				f := t.Field(i)
				name := t.Name() + "." + f.Name
				if _, seen := names[name]; !seen {
					names[name] = f.Type
					walk(f.Type)
				}
			}
		}
	}
	walk(t)
	return names
}

func playPaused(a *act) {
	d := a.direct(func(o *Options) { behind(o); o.Storm = 4 * time.Second; o.Clients = 8 })
	const from, to = 400 * time.Millisecond, 2400 * time.Millisecond
	m := d.replicas[3]
	d.at(from, m.pause)
	d.at(to, m.resume)
	lag, most, level := pbft.Height(0), 0, time.Duration(0)
	d.watch(5*time.Millisecond, func() {
		most = max(most, len(m.up.inbox))
		top := d.core(1).ExecutedHeight()
		if d.now < to {
			lag = top - d.core(3).ExecutedHeight()
		} else if level == 0 && d.core(3).ExecutedHeight()+d.opts.Window >= top {
			level = d.now - to
		}
	})
	r := d.play()
	a.occurred(lag > 100 && most > 1000, "a replica that stood still for 2s under load (%d blocks, %d messages waiting)", lag, most)
	a.holds(most <= maxInbox, "%d messages wait, the bound is %d", most, maxInbox)
	a.holds(level > 0 && level < time.Second, "it is not level a second after it went on (%v)", level)
	a.holds(r.ViewChanges == 0, "view %d was reached", r.ViewChanges)
	a.fact("stopped for 2s under load, %d blocks behind with %d messages waiting (bound %d): level %v after it went on", lag, most, maxInbox, level.Round(time.Millisecond))
}

// playLeaderFromTransfer: while replica 3 fetches a state, the traitor says of itself in
// every answer that it is in a view of which it is the primary.
func playLeaderFromTransfer(a *act) {
	d := a.direct(func(o *Options) { behind(o); traitor(2, "mute")(o) })
	said, believed := 0, pbft.View(0)
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	d.corrupt(2, func(p *puppet) {
		p.send = func(to pbft.ReplicaID, m pbft.Message) bool {
			if to == 3 && d.now > x.back {
				p.Transmit(3, &pbft.Status{View: 42, Entered: true, Open: true, Committed: d.core(2).Committed(), High: pbft.Rank{View: 42, Height: 1}})
				p.Transmit(3, p.startClaim(42))
				said++
			}
			return true
		}
	})
	d.watch(time.Millisecond, func() { believed = max(believed, d.core(3).View()) })
	r := d.play()
	a.occurred(said > 20 && x.transfer && r.Transfers > 0, "the lie in a state transfer (%d)", said)
	a.holds(believed == 0, "replica 3 went to view %d", believed)
	x.returned(a, 1500*time.Millisecond)
	a.fact("while replica 3 fetched a state a peer said %d times to rule view 42: replica 3 stayed in view 0 and was level after %v", said, x.level.Round(time.Millisecond))
}

func playDiverged(a *act) {
	d := a.direct(func(o *Options) { o.Faults.Differ = 24 * time.Hour; o.Network.Delay = time.Millisecond })
	const start = 500 * time.Millisecond
	m := d.replicas[3]
	at, halted := pbft.Height(0), pbft.Height(0)
	d.at(start, func() {
		m.differs, m.broken = true, "its application is not deterministic"
		at = d.core(3).ExecutedHeight()
	})
	d.watch(time.Millisecond, func() {
		if c := d.core(3); c != nil && c.Halted() && halted == 0 {
			halted = c.ExecutedHeight()
		}
	})
	r := d.play()
	a.occurred(at > 0, "the application of replica 3 differs from block %d on", at)
	a.holds(halted > 0 && halted <= at+3*d.opts.CheckpointEvery, "replica 3 differs since block %d and goes on (halted at %d)", at, halted)
	a.holds(r.ViewChanges == 0, "view %d was reached", r.ViewChanges)
	a.fact("the state of replica 3 differed from block %d on: it stopped with an alarm at %d, within a checkpoint or two; the others went on to %d", at, halted, r.Blocks)
}

// playTransferWithoutPrimary: replica 3 comes back in the moment in which the primary
// goes, and nobody asks for anything.
func playTransferWithoutPrimary(a *act) {
	d := a.direct(func(o *Options) {
		behind(o)
		o.Timeouts.Progress, o.Timeouts.Idle, o.Timeouts.RequestAge = 400, 400, 800 // no view change during this
		o.Timeouts.ReceiptDelay = 2
	})
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	installed, view := time.Duration(0), pbft.View(0)
	d.at(1290*time.Millisecond, func() { d.isolate(0) })
	d.watch(5*time.Millisecond, func() {
		if d.now > x.back && installed == 0 && d.report.Transfers > 0 {
			installed, view = d.now-x.back, d.core(3).View()
		}
	})
	r := d.play()
	a.occurred(x.lag > 0 && x.transfer, "replica 3 behind and the primary gone")
	a.holds(installed > 0 && view == 0, "no state installed without a primary (%v, view %d)", installed, view)
	a.fact("the primary was gone and no view change under way: replica 3, %d blocks behind, had the state installed after %v", x.lag, installed.Round(time.Millisecond))
	a.fact("%d transfers, %d blocks", r.Transfers, r.Blocks)
}

// playTwoViewsBehind: of seven, replica 6 misses two view changes and several
// snapshots. When it is back it hears of views first and of checkpoints later.
func playTwoViewsBehind(a *act) {
	d := a.direct(func(o *Options) { behind(o); o.Weights, o.Storm = equalWeights(7), 5*time.Second })
	const back = 2700 * time.Millisecond
	x := d.away(6, 300*time.Millisecond, back)
	var heal func()
	d.at(500*time.Millisecond, func() { heal = d.isolate(0) })
	d.at(1500*time.Millisecond, func() { heal(); heal = d.isolate(1) })
	d.at(2500*time.Millisecond, func() { heal() })
	views, held, entered, votes := pbft.View(0), 0, time.Duration(0), 0
	d.at(back, func() { views = d.core(3).View() })
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		if v, ok := m.(*pbft.Vote); ok && from == 6 && d.now > back && v.View >= 2 {
			votes++
		}
		switch m.(type) {
		case *pbft.Bundle, *pbft.CheckpointVote, *pbft.Manifest, *pbft.Chunk, *pbft.Blocks:
			if to == 6 && d.now > back && d.now < back+300*time.Millisecond {
				held++
				return true
			}
		}
		return false
	})
	d.watch(5*time.Millisecond, func() {
		if c := d.core(6); d.now > back && entered == 0 && c.View() >= views && c.Entered() && c.Open() && c.ExecutedHeight()+2*d.opts.Window >= x.top() {
			entered = d.now - back
		}
	})
	r := d.play()
	a.occurred(views >= 2 && held > 0 && x.transfer, "two views and several snapshots missed, the views heard of first (view %d, %d messages later)", views, held)
	a.holds(entered > 0 && entered < 1200*time.Millisecond && votes > 0, "replica 6 takes no part in view %d (%v, %d votes)", views, entered, votes)
	a.fact("replica 6, %d blocks and %d views behind, heard of the views first: after the transfer it was in view %d and voting, %v after its return", x.lag, views, views, entered.Round(time.Millisecond))
	a.fact("%d transfers, %d blocks", r.Transfers, r.Blocks)
}

// playMissingParent keeps one proposal from replica 3 while all that build on it come.
func playMissingParent(a *act) {
	d := a.direct(func(o *Options) {
		o.MaxBlockRequests, o.Clients, o.Think, o.Storm = 1, 8, 2*time.Millisecond, 1500*time.Millisecond
	})
	const start = 500 * time.Millisecond
	var h pbft.Height
	children, level := 0, time.Duration(0)
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		p, ok := m.(*pbft.PrePrepare)
		if !ok || to != 3 {
			return false
		}
		if h == 0 && d.now > start {
			h = p.Height
		}
		if p.Height > h && h > 0 && d.core(3).Tip().Height < h {
			children++
		}
		return p.Height == h && from == 0 && children < 3
	})
	d.watch(time.Millisecond, func() {
		if h > 0 && level == 0 && d.core(3).Committed() > h {
			level = d.now
		}
	})
	behindFor := time.Duration(0)
	d.watch(time.Millisecond, func() {
		if h > 0 && d.core(3).Committed() < h && d.core(1).Committed() > h {
			behindFor += time.Millisecond
		}
	})
	r := d.play()
	a.occurred(children >= 3, "blocks on top of one that is missing (%d)", children)
	a.holds(level > 0 && behindFor < 300*time.Millisecond, "replica 3 is stuck below block %d (%v)", h, behindFor)
	a.holds(r.ViewChanges == 0, "view %d was reached", r.ViewChanges)
	a.fact("%d blocks came whose parent %d was missing: it was fetched, replica 3 was behind for %v, no view change, %d blocks", children, h, behindFor.Round(time.Millisecond), r.Blocks)
}

// playTwoSnapshots holds the chunks of a transfer back until later snapshots are on
// offer.
func playTwoSnapshots(a *act) {
	d := a.direct(behind)
	x := d.away(3, 300*time.Millisecond, 1000*time.Millisecond)
	heights := map[pbft.Height]bool{}
	d.hold(func(from, to pbft.ReplicaID, m pbft.Message) bool {
		_, ok := m.(*pbft.Chunk)
		return ok && to == 3 && len(heights) < 3
	})
	d.watch(time.Millisecond, func() {
		if h, _, _ := d.replicas[3].up.node.Transfer(); h > 0 {
			heights[h] = true
		}
	})
	r := d.play()
	a.occurred(len(heights) >= 3, "a transfer that goes over to later snapshots (%v)", heights)
	a.holds(r.Transfers > 0 && x.level > 0, "no state was installed")
	a.fact("%d snapshots one after the other while the first was on its way: the last was installed, level after %v", len(heights), x.level.Round(time.Millisecond))
}
