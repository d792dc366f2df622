package pbft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/symbolic"
)

// world is a cluster of cores in one goroutine: messages wait in a queue until the
// test delivers, drops or reorders them; logs are maps; the application is a hash
// chain over executed requests. Every message goes through its encoding.
type world struct {
	sym     *symbolic.World
	cluster Digest
	quorums *QuorumSystem
	base    Config
	nodes   []*testNode
	queue   []packet
	now     Time
	starts  uint64                           // of nodes, in all
	trace   func(format string, args ...any) // nil: silent
	// agreed is the first digest that anybody committed at a height.
	agreed map[Height]Digest
	broken []string
	// honest tells which nodes the checks apply to.
	honest func(ReplicaID) bool
	// onSend sees every message that a node signs and sends; nil: nobody does.
	onSend func(from ReplicaID, m Message)
	// onDrop sees votes that a tally does not count; nil: nobody does.
	onDrop func(at ReplicaID, m Message, why Drop)
	// boundary may stop a node in place of performing an Output, and then tells so.
	boundary func(n *testNode, o *Output) (crashed bool)
	// afterTick is called after each tick of everybody; nil: nothing is.
	afterTick func()
}

type packet struct {
	from, to ReplicaID
	data     []byte
	kind     MessageKind
	what     string
}

type testNode struct {
	w        *world
	id       ReplicaID
	cfg      Config
	core     *Core
	tally    *Tally
	points   *CheckpointTally
	verifier *Verifier
	keys     Keys
	log      map[RecordKey][]byte
	up       bool

	state     map[Height]Digest // application state after each height
	order     map[Height]Digest // executed block by height
	times     int               // executed blocks since start
	done      map[Digest]bool   // executed requests
	alarms    []string
	evidence  []*Evidence
	transfers int
	want      *Bundle
	repairs   int
	anew      bool   // it is to begin with the first block
	noApply   bool   // execution is held back
	diverged  bool   // so it is: the state is known to be wrong
	wrongAt   Height // a block whose first execution gives a wrong state; 0 none
	backlog   []*Block
	traitor   *traitor
	skew      time.Duration // of its clock
}

func newWorld(weights []uint64, seed uint64, edit func(*Config)) *world {
	q, err := NewQuorumSystem(weights)
	if err != nil {
		panic(err)
	}
	w := &world{
		sym: symbolic.NewWorld(seed), cluster: crypto.Hash("test", []byte("cluster")), quorums: q,
		agreed: map[Height]Digest{}, now: 1_000_000_000, honest: func(ReplicaID) bool { return true },
	}
	w.base = Config{
		Cluster: w.cluster, Quorums: q, Start: StartBlock(w.cluster, 0), Window: 4, CheckpointEvery: 8, LogMax: 20, Retain: 4,
		MaxNewViews:   2, // so that every test sees what is not kept
		MaxBlockBytes: 4096, MaxBlockRequests: 4, MaxOperationBytes: 1024, MinCheckpointGap: 5 * time.Millisecond, MaxAhead: 10 * time.Second,
		MaxPoolBytes: 1 << 20, MaxPoolPerClient: 64,
		Timeouts: Timeouts{Progress: 20, RequestAge: 60, Heartbeat: 4, Idle: 20, Status: 10, Retry: 2, ReceiptDelay: 2},
	}
	if edit != nil {
		edit(&w.base)
	}
	for id := range q.N() {
		n := &testNode{w: w, id: ReplicaID(id), log: map[RecordKey][]byte{}, state: map[Height]Digest{}, order: map[Height]Digest{}, done: map[Digest]bool{}}
		w.nodes = append(w.nodes, n)
		n.start(false)
	}
	return w
}

func (w *world) n() int { return len(w.nodes) }

func (w *world) printf(format string, args ...any) {
	if w.trace != nil {
		w.trace(format, args...)
	}
}

func (w *world) fail(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// request makes a signed request of one client with one operation.
func (w *world) request(client, seq uint64, op string) *Request {
	return w.requestUntil(client, seq, op, ^Time(0)>>1)
}

func (w *world) requestUntil(client, seq uint64, op string, deadline Time) *Request {
	key := w.sym.Client(client)
	r := NewRequest(key.Public(), seq, 1, deadline, [][]byte{[]byte(op)})
	ctx := crypto.Context{Kind: crypto.KindRequest, Cluster: w.cluster}
	d := r.Digest()
	sig, _ := crypto.SignatureOf(key.Sign(ctx, d[:]))
	return r.WithSignature(sig)
}

// start brings a node up from its log, like a process that was started.
func (n *testNode) start(follower bool) {
	w := n.w
	scheme, err := w.sym.Scheme(w.n0(), false)
	if err != nil {
		panic(err)
	}
	n.cfg = w.base
	n.cfg.Self = n.id
	n.cfg.Follower = follower
	w.starts++
	n.cfg.Incarnation = w.starts
	keys := make([]crypto.PublicKey, w.n0())
	for i := range keys {
		keys[i] = w.sym.Client(1_000_000 + uint64(i)).Public()
	}
	n.verifier = NewVerifier(VerifierConfig{
		Self: n.id, Cluster: w.cluster, Start: n.cfg.Start.Ref(), Quorums: w.quorums, Schedule: NewSchedule(w.quorums.Weights()),
		Votes: scheme, Checkpoints: scheme, SigningKeys: keys, Requests: w.sym,
		Limits: Limits{MaxBlockBytes: n.cfg.MaxBlockBytes, MaxBlockRequests: n.cfg.MaxBlockRequests, MaxOperationBytes: n.cfg.MaxOperationBytes, Window: n.cfg.Window},
	})
	n.cfg.Admissible = func(r *Request) bool { return !n.done[r.Digest()] }
	n.cfg.CheckCertificate = n.verifier.CheckCertificate
	signer := w.sym.Signer(n.id)
	n.keys = Keys{Self: n.id, Signing: w.sym.Client(1_000_000 + uint64(n.id)), Votes: signer, Checkpoints: signer}
	// Like the host: replay the committed blocks.
	n.cfg.Executed = n.replay()
	core, err := New(n.cfg, n.records())
	if err != nil {
		panic(fmt.Sprintf("replica %d: %v", n.id, err))
	}
	n.core = core
	n.diverged = core.Diverged() != nil
	n.tally = NewTally(w.quorums, n.cfg.Window)
	n.points = NewCheckpointTally(w.quorums)
	n.up, n.want, n.anew, n.backlog = true, nil, false, nil
	var out Output
	n.core.Recover(&out)
	if n.diverged {
		base, statements := n.rerun(core.Diverged().Agreed)
		n.core.Rebuilt(base, statements, &out)
	}
	n.perform(&out)
}

// rerun executes the log again from the last height at or below one whose state is there
// and which the log reaches, and returns that and what it came to.
func (n *testNode) rerun(from Height) (base Height, statements []CheckpointStatement) {
	low := max(n.core.chain.low(), from)
	for base = low; base > 0 && n.state[base] == (Digest{}); base-- {
	}
	for h := base + 1; h <= n.core.ExecutedHeight(); h++ {
		l := n.core.chain.at(h)
		v, ok := n.log[RecordKey{Kind: RecordBlock, Height: uint64(h), Digest: l.digest}]
		if !ok {
			panic(fmt.Sprintf("replica %d: block %d is not in the log, to be executed again from %d", n.id, h, base))
		}
		p, err := DecodeRecordBlock(v)
		if err != nil {
			panic(err)
		}
		n.apply(p.Block)
		if n.core.IsCheckpoint(&p.Header) {
			statements = append(statements, n.statement(&p.Header))
		}
	}
	return base, statements
}

func (w *world) n0() int { return w.quorums.N() }

func (n *testNode) records() func(yield func(Record) bool) {
	keys := slices.SortedFunc(maps.Keys(n.log), func(a, b RecordKey) int { return bytes.Compare(a.Append(nil), b.Append(nil)) })
	return func(yield func(Record) bool) {
		for _, k := range keys {
			if !yield(Record{Key: k, Value: n.log[k]}) {
				return
			}
		}
	}
}

// replay returns the height up to which the application's state is restored. The
// states are kept as if snapshots and replay had made them anew.
func (n *testNode) replay() Height {
	v, ok := n.log[RecordKey{Kind: RecordCommitted}]
	if !ok {
		n.state[0] = Digest{}
		return 0
	}
	ref, _, err := DecodeRecordCommitted(v)
	if err != nil {
		panic(err)
	}
	// Execute again what is in the log above what was executed before the crash.
	for h := Height(1); h <= ref.Height; h++ {
		if _, done := n.state[h]; done {
			continue
		}
		cv, ok := n.log[RecordKey{Kind: RecordChain, Height: uint64(h)}]
		if !ok {
			continue
		}
		cr, err := DecodeRecordChain(cv)
		if err != nil {
			panic(err)
		}
		bv, ok := n.log[RecordKey{Kind: RecordBlock, Height: uint64(h), Digest: cr.Digest}]
		if !ok {
			continue
		}
		p, err := DecodeRecordBlock(bv)
		if err != nil {
			panic(err)
		}
		n.apply(p.Block)
	}
	return ref.Height
}

// apply executes a block.
func (n *testNode) apply(b *Block) {
	prev, ok := n.state[b.Height-1]
	if !ok {
		panic(fmt.Sprintf("replica %d executes %d without the state below", n.id, b.Height))
	}
	d := prev
	for _, r := range b.Requests {
		rd := r.Digest()
		n.done[rd] = true
		d = crypto.Hash("state", d[:], rd[:])
	}
	if n.wrongAt == b.Height {
		n.wrongAt, d = 0, crypto.Hash("wrong", d[:])
	}
	n.state[b.Height] = d
	n.order[b.Height] = b.Digest()
	n.times++
	if !n.w.honest(n.id) {
		return
	}
	if first, ok := n.w.agreed[b.Height]; !ok {
		n.w.agreed[b.Height] = b.Digest()
	} else if first != b.Digest() {
		n.w.fail("replica %d executes %v at %d, another replica %v", n.id, b.Digest(), b.Height, first)
	}
}

func (n *testNode) statement(h *Header) CheckpointStatement {
	var buf [8]byte
	binary.BigEndian.PutUint64(buf[:], uint64(h.Height))
	st := n.state[h.Height]
	return CheckpointStatement{Height: h.Height, Block: h.Digest(), State: crypto.Hash("snap", st[:]), Results: crypto.Hash("results", buf[:])}
}

func (n *testNode) write(records []Record) {
	for _, r := range records {
		if r.Delete {
			delete(n.log, r.Key)
		} else {
			n.log[r.Key] = r.Value
		}
	}
}

// perform does what an Output asks for, in its order, until nothing is left.
func (n *testNode) perform(out *Output) {
	for !out.Empty() && n.up {
		o := *out
		*out = Output{}
		if n.w.boundary != nil && n.w.boundary(n, &o) {
			return
		}
		n.write(o.Records)
		for _, e := range o.Send {
			n.send(e, false)
		}
		var own []Message
		for _, e := range o.Durable {
			if m := n.send(e, true); m != nil {
				own = append(own, m)
			}
		}
		for _, a := range o.Alarms {
			n.alarms = append(n.alarms, a.Reason)
			n.w.printf("%d ALARM %s", n.id, a.Reason)
		}
		for _, d := range o.Healed {
			n.w.printf("%d healed %d", n.id, d.Height())
		}
		if n.diverged = n.core.Diverged() != nil; n.diverged && len(o.Alarms) > 0 {
			n.core.StandsStill(out)
		}
		n.evidence = append(n.evidence, o.Evidence...)
		for _, e := range o.Evidence {
			n.w.printf("%d %v", n.id, e)
		}
		n.backlog = append(n.backlog, o.Execute...)
		if !n.noApply && !n.diverged {
			n.execute(out)
		}
		for _, f := range o.Fetch {
			n.want = f.Bundle
		}
		n.anew = n.anew || o.Anew
		for _, m := range own {
			n.take(n.id, m, n.verifier.Own(m), out)
		}
		n.advance()
	}
}

func (n *testNode) execute(out *Output) {
	for len(n.backlog) > 0 && n.core.Diverged() == nil {
		b := n.backlog[0]
		n.backlog = n.backlog[1:]
		n.apply(b)
		n.w.printf("%d executes %v", n.id, b)
		n.core.Executed(b.Height, out)
		if n.core.IsCheckpoint(&b.Header) {
			n.core.Checkpointed(n.statement(&b.Header), out)
		}
	}
}

// transfer ends a state transfer: the state comes from a node that has it.
func (n *testNode) transfer() bool {
	b := n.want
	if b == nil || !n.up {
		return false
	}
	n.want = nil
	for _, m := range n.w.nodes {
		if st, ok := m.state[b.Height()]; ok && m.id != n.id {
			if crypto.Hash("snap", st[:]) != b.Checkpoint.State {
				continue
			}
			if b.Height() <= n.core.ExecutedHeight() && n.diverged {
				n.state[b.Height()] = st
				n.repairs++
				n.w.printf("%d repairs from %v", n.id, b.Ref())
				_, statements := n.rerun(b.Height())
				var out Output
				n.core.Rebuilt(b.Height(), statements, &out)
				n.perform(&out)
				return true
			}
			if b.Height() <= n.core.ExecutedHeight() {
				var out Output
				n.core.TransferFailed(b, &out)
				n.perform(&out)
				return false
			}
			n.backlog = slices.DeleteFunc(n.backlog, func(x *Block) bool { return x.Height <= b.Height() })
			n.state[b.Height()] = st
			n.done = maps.Clone(m.done)
			n.transfers++
			var out Output
			n.core.Installed(b, &out)
			n.w.printf("%d installs %v", n.id, b.Ref())
			n.perform(&out)
			return true
		}
	}
	return false
}

// begin executes the log again from its first block.
func (n *testNode) begin() {
	n.anew = false
	n.repairs++
	n.w.printf("%d begins anew", n.id)
	n.state[0] = Digest{}
	_, statements := n.rerun(0)
	var out Output
	n.core.Rebuilt(0, statements, &out)
	n.perform(&out)
}

func (n *testNode) advance() {
	if !n.up {
		return
	}
	n.tally.Advance(n.core.TallyRange())
	n.points.Advance(n.core.SnapshotHeight(), n.core.ExecutedHeight()+2*n.cfg.Window)
	var out Output
	for _, e := range n.tally.Evidence() {
		n.core.Witness(e, &out)
	}
	for _, e := range n.points.Evidence() {
		n.core.Witness(e, &out)
	}
	if !out.Empty() {
		n.perform(&out)
	}
}

// send puts the copies of an envelope on the queue, and returns the node's own.
func (n *testNode) send(e Envelope, toSelf bool) Message {
	m := Sign(n.w.cluster, 0, e.Message, n.keys)
	data := Encode(0, m)
	if n.traitor != nil {
		n.traitor.hear(m)
	}
	if n.w.onSend != nil {
		n.w.onSend(n.id, m)
	}
	for to := range n.w.n0() {
		id := ReplicaID(to)
		if n.traitor != nil && id != n.id && (e.To == Everyone || e.To == id) {
			for _, x := range n.traitor.rewrite(id, m) {
				x = Sign(n.w.cluster, 0, x, n.keys)
				n.w.queue = append(n.w.queue, packet{n.id, id, Encode(0, x), x.Kind(), describeMessage(x)})
			}
			continue
		}
		if id != n.id && (e.To == Everyone || e.To == id) {
			n.w.queue = append(n.w.queue, packet{n.id, id, data, m.Kind(), describeMessage(m)})
		}
	}
	if toSelf && (e.To == Everyone || e.To == n.id) {
		return m
	}
	return nil
}

// receive takes a packet.
func (n *testNode) receive(p packet) {
	if !n.up {
		return
	}
	_, m, err := Decode(p.data)
	if err != nil {
		n.w.fail("replica %d cannot decode %s of %d: %v", n.id, p.what, p.from, err)
		return
	}
	if n.traitor != nil {
		n.traitor.hear(m)
	}
	var out Output
	switch m := m.(type) {
	case *Vote:
		if n.verifier.CheckVote(p.from, m) == NoDrop && n.verifier.VerifyVotes([]*Vote{m})[0] == NoDrop {
			n.take(p.from, m, Verified{}, &out)
		}
	case *CheckpointVote:
		if n.verifier.CheckCheckpointVote(p.from, m) == NoDrop && n.verifier.VerifyCheckpointVotes([]*CheckpointVote{m})[0] == NoDrop {
			n.take(p.from, m, Verified{}, &out)
		}
	case *GetBlocks:
		if answer := n.serve(m); answer != nil {
			n.send(Envelope{p.from, answer}, false)
		}
	default:
		v, why := n.verifier.Verify(p.from, m)
		if why != NoDrop {
			n.w.printf("%d refuses %s: %v", n.id, p.what, why)
			return
		}
		n.take(p.from, m, v, &out)
	}
	n.perform(&out)
	n.advance()
}

// take hands a checked message to the tallies or the core.
func (n *testNode) take(_ ReplicaID, m Message, v Verified, out *Output) {
	switch m := m.(type) {
	case *Vote:
		pending, why := n.tally.Add(m)
		n.dropped(m, why)
		if pending != nil {
			q, culprits := n.verifier.Aggregate(pending)
			if len(culprits) > 0 {
				n.w.fail("culprits %v in verified votes", culprits)
				return
			}
			n.tally.Certified(pending.Statement)
			n.core.Step(n.verifier.Own(q), out)
		}
	case *CheckpointVote:
		pending, why := n.points.Add(m)
		n.dropped(m, why)
		if pending != nil {
			q, culprits := n.verifier.AggregateCheckpoint(pending)
			if len(culprits) > 0 {
				n.w.fail("culprits %v in verified checkpoint votes", culprits)
				return
			}
			n.points.Certified(pending.Statement)
			n.core.CheckpointCertified(q, out)
		}
	default:
		n.core.Step(v, out)
	}
}

func (n *testNode) dropped(m Message, why Drop) {
	if why != NoDrop && n.w.onDrop != nil {
		n.w.onDrop(n.id, m, why)
	}
}

// serve answers GetBlocks like the node above the core does.
func (n *testNode) serve(g *GetBlocks) Message {
	block := func(ref BlockRef) *PrePrepare {
		if p := n.core.Uncommitted(ref.Digest); p != nil {
			return p
		}
		if v, ok := n.log[RecordKey{Kind: RecordBlock, Height: uint64(ref.Height), Digest: ref.Digest}]; ok {
			p, err := DecodeRecordBlock(v)
			if err != nil {
				panic(err)
			}
			return p
		}
		return nil
	}
	if !g.Digest.IsZero() {
		var blocks []*PrePrepare
		for at := (BlockRef{g.Height, g.Digest}); at.Height >= g.From && len(blocks) < 32; {
			p := block(at)
			if p == nil {
				break
			}
			blocks = append(blocks, p)
			at = BlockRef{at.Height - 1, p.Parent}
		}
		if len(blocks) == 0 {
			return nil
		}
		slices.Reverse(blocks)
		return &Blocks{Blocks: blocks}
	}
	if g.From < n.core.Oldest() {
		if b := n.core.SnapshotBundle(); b != nil {
			return b
		}
		return nil
	}
	var cert *Certificate
	for h := g.From; h <= n.core.Committed() && cert == nil; h++ {
		if v, ok := n.log[RecordKey{Kind: RecordCommit, Height: uint64(h)}]; ok {
			cert, _ = DecodeRecordCertificate(v)
		}
	}
	if cert == nil {
		if v, ok := n.log[RecordKey{Kind: RecordCommitted}]; ok {
			_, cert, _ = DecodeRecordCommitted(v)
		}
	}
	if cert == nil {
		return nil
	}
	m := &Blocks{Certificate: cert}
	for h := g.From; h <= cert.Height; h++ {
		v, ok := n.log[RecordKey{Kind: RecordChain, Height: uint64(h)}]
		if !ok {
			return nil
		}
		ref, _ := DecodeRecordChain(v)
		p := block(ref)
		if p == nil {
			return nil
		}
		m.Blocks = append(m.Blocks, p)
	}
	if len(m.Blocks) == 0 {
		return nil
	}
	return m
}

// crash stops a node; what is on its disk stays.
func (n *testNode) crash() {
	n.up = false
	n.want = nil
}

// wipe stops a node and empties its disk.
func (n *testNode) wipe() {
	n.crash()
	n.log = map[RecordKey][]byte{}
	n.state = map[Height]Digest{0: {}}
	n.order = map[Height]Digest{}
	n.done = map[Digest]bool{}
}

func (n *testNode) submit(r *Request) Drop {
	var out Output
	d := n.core.Submit(r, &out)
	n.perform(&out)
	n.advance()
	return d
}

func (n *testNode) tick() {
	if !n.up {
		return
	}
	var out Output
	n.core.Tick(n.w.now.Add(n.skew), &out)
	n.perform(&out)
	n.advance()
	if n.want != nil {
		n.transfer()
	}
	if n.anew && n.up {
		n.begin()
	}
}

// tick advances time for everybody.
func (w *world) tick() {
	w.now += Time(10 * time.Millisecond)
	for _, n := range w.nodes {
		n.tick()
	}
	if w.afterTick != nil {
		w.afterTick()
	}
}

// deliver takes the i-th packet off the queue and hands it over.
func (w *world) deliver(i int) {
	p := w.queue[i]
	w.queue = append(w.queue[:i], w.queue[i+1:]...)
	w.printf("%d->%d %s", p.from, p.to, p.what)
	w.nodes[p.to].receive(p)
}

// settle delivers everything, in order, until the queue is empty. keep decides
// which packets arrive; nil: all.
func (w *world) settle(keep func(packet) bool) {
	for steps := 0; len(w.queue) > 0; steps++ {
		if steps > 20000 {
			if len(w.broken) == 0 {
				w.fail("the messages never end")
			}
			w.queue = nil
			return
		}
		if keep != nil && !keep(w.queue[0]) {
			w.queue = w.queue[1:]
			continue
		}
		w.deliver(0)
	}
}

// run lets time pass with everything delivered at once.
func (w *world) run(ticks int, keep func(packet) bool) {
	w.settle(keep)
	for range ticks {
		w.tick()
		w.settle(keep)
	}
}

// storm delivers at random: reordering, losing, duplicating.
func (w *world) storm(rng *rand.Rand, steps int, loss float64, keep func(packet) bool) {
	for range steps {
		if len(w.queue) == 0 || rng.IntN(40) == 0 {
			w.tick()
			continue
		}
		i := rng.IntN(min(len(w.queue), 30))
		p := w.queue[i]
		if rng.Float64() < loss || keep != nil && !keep(p) {
			w.queue = append(w.queue[:i], w.queue[i+1:]...)
			continue
		}
		if rng.IntN(50) == 0 {
			w.queue = append(w.queue, p)
		}
		w.deliver(i)
	}
}

func describeMessage(m Message) string {
	if s, ok := m.(fmt.Stringer); ok {
		return s.String()
	}
	switch m := m.(type) {
	case *Status:
		return fmt.Sprintf("Status view:%d entered:%t open:%t high:%v committed:%d executed:%d stable:%d suspect:%t", m.View, m.Entered, m.Open, m.High, m.Committed, m.Executed, m.Stable, m.Suspect)
	case *GetBlocks:
		return fmt.Sprintf("GetBlocks from:%d %d:%v", m.From, m.Height, m.Digest)
	case *Blocks:
		return fmt.Sprintf("Blocks %d", len(m.Blocks))
	}
	return m.Kind().String()
}
