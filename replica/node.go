package replica

import (
	"fmt"
	"iter"

	"github.com/parley-bft/parley/pbft"
)

// Node drives a core and everything around it that is part of the protocol. It is
// deterministic: the same events give the same calls of its [Host]. It is not
// safe for concurrent use and has no clock; a tick is an event like others.
//
// Events are taken up at once, their effects collect until [Node.Flush]: one log
// write, one sync and one pass of sends for as many events as there were.
type Node struct {
	cfg      NodeConfig
	host     Host
	core     *pbft.Core
	verifier *pbft.Verifier
	tally    *pbft.Tally
	ctally   *pbft.CheckpointTally
	// signing are the heights of own checkpoint votes that are being signed.
	signing map[pbft.Height]struct{}
	out     pbft.Output
	seq     uint64
	// persisted is the last batch that is durable.
	persisted uint64
	// prunable are batches of the log writer with the snapshots that they name.
	prunable []prunable
	// still is the batch after which the core hears that the host stands still; 0 none.
	still    uint64
	now      pbft.Time
	ticks    uint64
	transfer transfer
	serving  []servingPeer
	failed   bool
	counters NodeCounters
	// split is the first checkpoint since the last certificate for which none can exist, 0
	// if there is none.
	split pbft.Height
}

// NodeCounters count what the core does not see.
type NodeCounters struct {
	// Votes and CheckpointVotes that a tally did not take, by reason.
	Votes           [pbft.Drops]uint64
	CheckpointVotes [pbft.Drops]uint64
	// Requests that were refused before the core saw them.
	Inadmissible uint64
	// Serve counts what peers asked for and did not get because they ask too much.
	ServeLimited uint64
	// PoisonedChunks, LateChunks and ChunkTimeouts are of state transfers.
	PoisonedChunks uint64
	ChunkTimeouts  uint64
	UnwantedChunks uint64
	BadManifests   uint64
	Transfers      uint64
	Batches        uint64
	Records        uint64
}

// NodeConfig is what a [Node] is made of.
type NodeConfig struct {
	Core     pbft.Config
	Verifier *pbft.Verifier
	// Log yields all records of the log (see pbft.New).
	Log iter.Seq[pbft.Record]
	// Statements are checkpoints that execution passed during the replay, which began with
	// the state at Base.
	Statements []pbft.CheckpointStatement
	Base       pbft.Height
	// Install is set if no local snapshot is usable and the log does not reach back
	// to the beginning: the snapshot of this bundle, which is the log's own
	// RecordSnapshot, is to be transferred before anything is executed.
	Install *pbft.Bundle
	// Damaged: the host cannot read what its disk has of the state, and has executed nothing; the core
	// takes it that all up to Core.Executed, the height of the last certified snapshot, was.
	Damaged bool
	// Transfer tunes state transfers; zero fields get defaults.
	Transfer TransferConfig
	// CheckManifest tells whether data is the manifest that the bundle's state
	// digest covers, and how many chunks it names. A pure function.
	CheckManifest func(b *pbft.Bundle, data []byte) (chunks int, err error)
	// PartChunks, if not nil, tells of how many of the first chunks the executor's part of
	// a snapshot consists, by its manifest and its first chunk, which were checked: only
	// those are transferred, the first chunk before the others, and
	// Host.Install gets the application's state from peers part by part. If it cannot, it
	// reports ErrWhole, and all chunks are transferred.
	PartChunks func(manifest, first []byte) int
	// Serve bounds what one peer may ask for.
	Serve ServeConfig
}

// NewNode returns a node over the log in cfg. Call [Node.Start] once.
func NewNode(cfg NodeConfig, host Host) (*Node, error) {
	if cfg.Verifier == nil {
		return nil, fmt.Errorf("replica: NodeConfig.Verifier is nil: make one with pbft.NewVerifier")
	}
	if cfg.CheckManifest == nil {
		return nil, fmt.Errorf("replica: NodeConfig.CheckManifest is nil: give replica.CheckManifest")
	}
	cfg.Transfer = cfg.Transfer.withDefaults()
	cfg.Serve = cfg.Serve.withDefaults()
	cfg.Core.Admissible = func(r *pbft.Request) bool { return host.Admissible(r) == pbft.NoDrop }
	core, err := pbft.New(cfg.Core, cfg.Log)
	if err != nil {
		return nil, err
	}
	cfg.Log = nil
	n := &Node{
		cfg: cfg, host: host, core: core, verifier: cfg.Verifier,
		tally:   pbft.NewTally(cfg.Core.Quorums, cfg.Core.Window),
		ctally:  pbft.NewCheckpointTally(cfg.Core.Quorums),
		signing: make(map[pbft.Height]struct{}),
		serving: make([]servingPeer, cfg.Core.Quorums.N()),
	}
	for i := range n.serving {
		n.serving[i].tokens = cfg.Serve.Burst
	}
	n.transfer.init(n)
	return n, nil
}

// Start does what the log left to be done. Call it once, before any event; now is
// the wall clock. (Without it, a block proposed before the first tick would be of
// 1970, and the deadlines of its requests too far off.)
func (n *Node) Start(now pbft.Time) {
	n.now = now
	n.core.Recover(&n.out)
	n.core.Tick(now, &n.out)
	switch {
	case n.cfg.Damaged:
		n.startDamaged()
	case n.cfg.Install == nil:
		// Before a divergence, if there was one, ends with it.
		n.core.Rebuilt(n.cfg.Base, n.cfg.Statements, &n.out)
	}
	n.cfg.Statements = nil
	n.Flush()
	if b := n.cfg.Install; b != nil {
		n.cfg.Install = nil
		n.transfer.want(b)
	}
}

// Core gives access for reading: positions, counters, Describe.
func (n *Node) Core() *pbft.Core { return n.core }

// Counters returns the counters; the caller must not change them.
func (n *Node) Counters() *NodeCounters { return &n.counters }

// Fail makes the node stop taking part: nothing is persisted or sent any more.
// The host calls it when the log failed.
func (n *Node) Fail() { n.failed = true }

// Receive takes a verified message from a peer.
func (n *Node) Receive(v pbft.Verified) {
	if n.failed {
		return
	}
	switch m := v.Message().(type) {
	case *pbft.Vote:
		n.Vote(m)
	case *pbft.CheckpointVote:
		n.CheckpointVote(m)
	case *pbft.GetBlocks:
		n.serveBlocks(v.From(), m)
	case *pbft.GetManifest:
		n.serveFile(v.From(), m)
	case *pbft.GetChunk:
		n.serveFile(v.From(), m)
	case *pbft.GetState:
		n.serveFile(v.From(), m)
	case *pbft.State:
		n.host.Answered(v.From(), m)
	case *pbft.Manifest:
		n.transfer.onManifest(v.From(), m)
	case *pbft.Chunk:
		n.transfer.onChunk(v.From(), m)
	case *pbft.Certificate:
		n.tally.Certified(m.Statement)
		n.core.Step(v, &n.out)
	case *pbft.Bundle:
		n.core.Step(v, &n.out)
		if n.core.StableBundle() == m {
			n.ctally.Certified(m.Checkpoint.CheckpointStatement)
		}
	default:
		n.core.Step(v, &n.out)
	}
}

// Vote takes a vote of a peer, checked with Verifier.CheckVote; see also
// Host.Distrust.
func (n *Node) Vote(v *pbft.Vote) {
	p, why := n.tally.Add(v)
	if why != pbft.NoDrop {
		n.counters.Votes[why]++
	}
	if p != nil {
		n.host.Aggregate(p)
	}
}

// CheckpointVote is the same for checkpoints.
func (n *Node) CheckpointVote(v *pbft.CheckpointVote) {
	p, why := n.ctally.Add(v)
	if why != pbft.NoDrop {
		n.counters.CheckpointVotes[why]++
	}
	if p != nil {
		n.host.AggregateCheckpoint(p)
	}
}

// Aggregated takes the result of a Host.Aggregate: a certificate, or the culprits.
func (n *Node) Aggregated(p *pbft.Pending, c *pbft.Certificate, culprits []pbft.ReplicaID) {
	if n.failed {
		return
	}
	if c == nil {
		n.counters.Votes[pbft.DropSignature] += uint64(len(culprits))
		for _, id := range culprits {
			n.host.Distrust(id)
		}
		if again := n.tally.Reject(p.Statement, culprits); again != nil {
			n.host.Aggregate(again)
		}
		return
	}
	n.tally.Certified(c.Statement)
	n.core.Step(n.verifier.Own(c), &n.out)
}

// AggregatedCheckpoint takes the result of a Host.AggregateCheckpoint.
func (n *Node) AggregatedCheckpoint(p *pbft.CheckpointPending, c *pbft.CheckpointCertificate, culprits []pbft.ReplicaID) {
	if n.failed {
		return
	}
	if c == nil {
		n.counters.CheckpointVotes[pbft.DropSignature] += uint64(len(culprits))
		if again := n.ctally.Reject(p.Statement, culprits); again != nil {
			n.host.AggregateCheckpoint(again)
		}
		return
	}
	n.ctally.Certified(c.CheckpointStatement)
	n.core.CheckpointCertified(c, &n.out)
}

// Offer takes requests of clients, whose signatures were checked.
func (n *Node) Offer(requests []*pbft.Request) {
	admissible := make([]*pbft.Request, 0, len(requests))
	for _, r := range requests {
		why := pbft.DropFollower
		if !n.failed {
			if why = n.host.Admissible(r); why == pbft.NoDrop {
				admissible = append(admissible, r)
				continue
			}
			n.counters.Inadmissible++
		}
		n.host.Refused(r, why)
	}
	if len(admissible) > 0 {
		n.core.SubmitAll(admissible, &n.out, n.host.Refused)
	}
}

// Tick is one unit of time; now is the wall clock.
func (n *Node) Tick(now pbft.Time) {
	if n.failed {
		return
	}
	n.now = now
	n.ticks++
	n.core.Tick(now, &n.out)
	n.transfer.tick()
	n.refillServing()
}

// prunable is a stable snapshot that the records of a batch name.
type prunable struct {
	batch    uint64
	snapshot pbft.Height
}

// Persisted reports that the batch seq and all before it are written, durable if
// anything waited for that, and released; own are its messages to this replica itself.
func (n *Node) Persisted(seq uint64, own []pbft.Message) {
	if n.failed {
		return
	}
	n.persisted = max(n.persisted, seq)
	for len(n.prunable) > 0 && n.prunable[0].batch <= seq {
		n.host.Prune(n.prunable[0].snapshot)
		n.prunable = n.prunable[1:]
	}
	n.settleStill()
	n.Own(own...)
}

// Own takes messages of this replica itself that were released.
func (n *Node) Own(own ...pbft.Message) {
	if n.failed {
		return
	}
	for _, m := range own {
		switch m := m.(type) {
		case *pbft.Vote:
			n.Vote(m)
		case *pbft.CheckpointVote:
			delete(n.signing, m.Height)
			n.CheckpointVote(m)
		default:
			n.core.Step(n.verifier.Own(m), &n.out)
		}
	}
}

// Executed reports that all blocks up to h were executed.
func (n *Node) Executed(h pbft.Height) {
	if n.failed || h <= n.core.ExecutedHeight() {
		return
	}
	for at := n.core.ExecutedHeight() + 1; at <= h; at++ {
		n.core.Executed(at, &n.out)
	}
}

// Checkpointed reports this replica's own statement for a checkpoint; for one with
// a snapshot only after the snapshot is durable.
func (n *Node) Checkpointed(s pbft.CheckpointStatement) {
	if !n.failed {
		n.core.Checkpointed(s, &n.out)
	}
}

// Gather has the core, as primary, cut only full blocks until Cut; see [pbft.Core.Gather].
func (n *Node) Gather() { n.core.Gather() }

// Refresh has the core make a checkpoint; see [pbft.Core.Refresh].
func (n *Node) Refresh() {
	if !n.failed {
		n.core.Refresh(&n.out)
	}
}

// Cut has the core propose what waits.
func (n *Node) Cut() {
	if !n.failed {
		n.core.Cut(&n.out)
	}
}

// committing are the blocks that the next Flush has executed.
func (n *Node) committing() []*pbft.Block { return n.out.Execute }

// SetProgressTimeout gives the core the timeout that measured round trips suggest.
func (n *Node) SetProgressTimeout(ticks int) { n.core.SetProgressTimeout(ticks) }

// SetLink tells whether there is a link to a peer.
func (n *Node) SetLink(to pbft.ReplicaID, up bool) { n.core.SetLink(to, up) }

// SetCongested tells whether blocks take longer than they have to.
func (n *Node) SetCongested(yes bool) { n.core.SetCongested(yes) }

// maxRounds bounds how often Flush takes up what its own effects caused. Evidence
// leads to at most one round more.
const maxRounds = 4

// Flush performs the effects of everything since the last Flush.
func (n *Node) Flush() {
	if n.failed {
		n.out.Reset()
		return
	}
	for range maxRounds {
		n.tally.Advance(n.core.TallyRange())
		n.ctally.Advance(n.core.SnapshotHeight(), n.core.ExecutedHeight()+2*n.cfg.Core.Window)
		if !n.accuse() {
			break
		}
	}
	out := &n.out
	out.Durable = n.signOnce(out.Durable)
	n.reportSplit()
	if out.Empty() {
		return
	}
	if len(out.Records) > 0 || len(out.Durable) > 0 {
		n.seq++
		n.counters.Batches++
		n.counters.Records += uint64(len(out.Records))
		b := newBatch(n.seq, out)
		b.Snapshot = n.stableSnapshot()
		n.host.Persist(b)
	}
	for _, e := range out.Send {
		n.host.Send(e.To, e.Message)
	}
	if len(out.Execute) > 0 {
		n.host.Execute(append([]*pbft.Block(nil), out.Execute...))
	}
	for _, b := range out.Stable {
		n.host.Stable(b)
	}
	for _, e := range out.Evidence {
		n.host.Evidence(e)
	}
	n.reportDivergence(out)
	if out.Anew {
		n.host.BeginAnew()
	}
	for _, r := range out.Displaced {
		n.host.Refused(r, pbft.DropDisplaced)
	}
	if k := len(out.Fetch); k > 0 {
		n.transfer.want(out.Fetch[k-1].Bundle)
	}
	out.Reset()
}

// stableSnapshot is the height of the snapshot that the records of this output make
// stable, 0 if none. What is older goes when the batch seq is durable.
func (n *Node) stableSnapshot() pbft.Height {
	var h pbft.Height
	for _, b := range n.out.Stable {
		if n.core.IsSnapshot(b.Height()) {
			h = max(h, b.Height())
		}
	}
	if h > 0 {
		n.prunable = append(n.prunable, prunable{n.seq, h})
	}
	return h
}

// accuse gives the core the conflicts that the tallies came across. The votes in
// them may be unverified, so the proof is checked like anybody's.
func (n *Node) accuse() bool {
	found := append(n.tally.Evidence(), n.ctally.Evidence()...)
	for _, e := range found {
		v, why := n.verifier.Verify(n.cfg.Core.Self, e)
		if why != pbft.NoDrop {
			n.counters.Votes[why]++
			n.host.Distrust(e.Culprit)
			continue
		}
		n.core.Step(v, &n.out)
	}
	return len(found) > 0
}

// Persistent tells whether everything that was given to Host.Persist is durable.
func (n *Node) Persistent() bool { return n.persisted == n.seq }
