package chaos

import (
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
			"			if have := c.ahead(); have.Count() > 0 {\n", "			have := c.ahead()\n			if ON {\n				best := -1\n				for i := range c.peers {\n					if have.Has(ReplicaID(i)) && (best < 0 || c.peers[i].status.Committed > c.peers[best].status.Committed) {\n						best = i\n					}\n				}\n				have = crypto.NewBitmap(c.quorums.N())\n				if best >= 0 {\n					have.Set(ReplicaID(best))\n				}\n			}\n			if have.Count() > 0 {\n")},
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
		Breaches: []Breach{without("the manifest is not held against the certificate", "replica/manifest.go",
			"	if got := statemachine.StateDigest(m.app, m.sessions, m.Root()); got != b.Checkpoint.State {\n", "	if got := statemachine.StateDigest(m.app, m.sessions, m.Root()); got != b.Checkpoint.State && !ON {\n")},
		play: playPoisonedManifest,
	},
	{
		Name: "bft-smart-paused-replica", Origin: "BFT-SMaRt", Bugs: []string{"BFT-SMaRt #27"}, Kind: Caught,
		Wrong:   "A replica that was stopped for a while and went on ran out of memory by the messages that had piled up, and its state transfer never came to an end while clients went on writing.",
		Differs: "Every queue has a bound, what is lost is pushed again by status, and execution that lags holds ordering back, so that whoever catches up is faster than the log grows.",
		Rules:   "R8, R13, PROTOCOL 3.1",
		Breaches: []Breach{without("what waits for a replica that stands still has no bound", "chaos/process.go",
			"	if len(p.inbox) < maxInbox {\n", "	if len(p.inbox) < maxInbox || ON {\n")},
		play: playPaused,
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
		Differs: "Each checkpoint is certified. A replica whose own state differs from what a quorum certified raises an alarm, answers nobody, gets the certified state, and is back. It never signs a second statement for a height, though it knows the right one then.",
		Rules:   "R23, R24, O6",
		Mutants: []string{"M37"},
		Breaches: []Breach{without("the own state is not compared with the certified one", "pbft/divergence.go",
			"	if *mine == *certified {\n", "	if *mine == *certified || ON {\n")},
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
		Breaches: []Breach{without("who is behind in views is not sent the NewView again", "pbft/viewchange.go",
			"func (c *Core) sendView(to ReplicaID, out *Output) {\n", "func (c *Core) sendView(to ReplicaID, out *Output) {\n	if ON {\n		return\n	}\n")},
		play: playTwoViewsBehind,
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
		Breaches: []Breach{without("a later snapshot does not take the place of the one that is on its way", "replica/node_transfer.go",
			"	case transferManifest, transferChunks, transferPausing:\n", "	case transferManifest, transferChunks, transferPausing:\n		if ON {\n			return\n		}\n")},
		play: playTwoSnapshots,
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

// bulk makes the state large enough for several chunks.
func bulk(o *Options) { behind(o); o.Keys, o.Clients, o.Storm = 500, 12, 2200*time.Millisecond }
