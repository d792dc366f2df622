package replica

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// tracer notes when blocks pass the stages of this replica: the last so many blocks,
// in memory that is allocated once. Its methods are called where things happen, by
// any goroutine, take one short lock and allocate nothing. All of them may be called
// on nil, which notes nothing.
//
// Nothing in the replica reads what is noted here but those who show it.
type tracer struct {
	begin time.Time
	// finished, if not nil, takes each block that has passed all stages that it will.
	finished func(BlockTrace)
	requests requestTraces

	mu       sync.Mutex
	blocks   []BlockTrace // by height modulo their number
	executed pbft.Height  // the highest
	syncs    uint64
	batches  uint64
}

// DefaultTraceBlocks is Config.TraceBlocks when it is not set.
const DefaultTraceBlocks = 4096

// maxTraceBlocks are some 250 MB.
const maxTraceBlocks = 1 << 20

// newTracer returns nil, which is no tracer, if there are to be no blocks.
func newTracer(blocks int, finished func(BlockTrace)) *tracer {
	if blocks <= 0 {
		return nil
	}
	return &tracer{begin: time.Now(), finished: finished, blocks: make([]BlockTrace, blocks)}
}

// now is the time since the tracer began, by the monotonic clock. It is never 0, which
// stands for "not yet".
func (t *tracer) now() time.Duration {
	if t == nil {
		return 0
	}
	return max(time.Since(t.begin), 1)
}

// slot is where the block at a height is noted, if it is.
func (t *tracer) slot(h pbft.Height) *BlockTrace { return &t.blocks[uint64(h)%uint64(len(t.blocks))] }

// of returns the notes of a block, empty ones if there are none. It returns nil if
// there is no room, because that is a later block's, or another block was executed at
// that height. A block that is the core's takes the room of a later one that is only
// what a peer says: of a height that is not bounded before the core says where it is.
// One that was executed is over, though, and takes no room any more.
func (t *tracer) of(at pbft.BlockRef, core bool) *BlockTrace {
	b := t.slot(at.Height)
	sure := b.held || b.Times[StageExecuting] != 0
	switch {
	case b.Height == at.Height && b.block == at.Digest:
		return b
	case b.Height > at.Height && (sure || !core || at.Height <= t.executed), b.Height == at.Height && b.Times[StageExecuting] != 0:
		return nil
	}
	*b = BlockTrace{Height: at.Height, block: at.Digest}
	return b
}

// mark notes that one block has passed a stage.
func (t *tracer) mark(s Stage, ref pbft.BlockRef, at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b := t.of(ref, false); b != nil {
		b.pass(s, at)
	}
}

// markUpTo notes that a block and all its ancestors have passed a stage, as they do
// when a certificate comes, or a Commit leaves. Those below the first that has passed
// it already have too.
func (t *tracer) markUpTo(s Stage, ref pbft.BlockRef, at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.of(ref, false)
	if b == nil || b.Times[s] != 0 {
		return
	}
	b.pass(s, at)
	for h := ref.Height - 1; h > 0; h-- {
		if b = t.slot(h); b.Height != h || b.Times[s] != 0 || b.Times[StageExecuting] != 0 {
			return
		}
		b.pass(s, at)
	}
}

// received notes a request that came from its client at a time.
func (t *tracer) received(r *pbft.Request, at time.Duration) {
	if t != nil {
		t.requests.received(r.Digest(), at)
	}
}

// checked notes requests whose signatures are good.
func (t *tracer) checked(rs []*pbft.Request) {
	if t != nil {
		at := t.now()
		t.requests.each(rs, func(r *requestTrace) { r.checked = at })
	}
}

// offered notes requests that the protocol goroutine takes up.
func (t *tracer) offered(rs []*pbft.Request) {
	if t != nil {
		at := t.now()
		t.requests.each(rs, func(r *requestTrace) { r.offered = at })
	}
}

// held notes blocks that the core takes into the log with a batch: of this replica's own
// proposals that is the beginning.
func (t *tracer) held(b *Batch) {
	if t == nil {
		return
	}
	at := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range b.Records {
		k := &b.Records[i].Key
		if k.Kind != pbft.RecordBlock || b.Records[i].Delete {
			continue
		}
		if n := t.of(pbft.BlockRef{Height: pbft.Height(k.Height), Digest: k.Digest}, true); n != nil {
			n.pass(StageProposal, at)
			n.held = true
		}
	}
}

// verified notes a message of a peer that came at a time and turned out to be good.
func (t *tracer) verified(m pbft.Message, came time.Duration) {
	if t == nil {
		return
	}
	switch m := m.(type) {
	case *pbft.PrePrepare:
		t.proposal(m, came)
	case *pbft.Certificate:
		t.certified(m)
	}
}

// proposal notes a peer's proposal that came at a time and is good. Of two for one height
// that the core has not looked at the later view's is kept; what the core holds stays, or
// any one traitor could blank the notes of everybody.
func (t *tracer) proposal(p *pbft.PrePrepare, came time.Duration) {
	verified := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	ref := p.Ref()
	if old := t.slot(p.Height); old.Height == p.Height && old.block != ref.Digest && (old.held || old.View >= p.View) {
		return
	}
	// One that the core holds already is late news, or this replica's own coming back.
	if b := t.of(ref, false); b != nil && !b.held {
		b.View, b.Proposer = p.View, p.Proposer
		b.pass(StageProposal, came)
		b.pass(StageVerified, verified)
	}
}

// certified notes a certificate, made here or by a peer. It covers the ancestors too.
func (t *tracer) certified(c *pbft.Certificate) {
	if t == nil || c == nil {
		return
	}
	s := StagePrepared
	if c.Phase == pbft.Commit {
		s = StageCommitted
	}
	t.markUpTo(s, c.Ref(), t.now())
}

// durable notes that batches of the log are on the disk, by one write, which was synced
// if synced. With a vote of this replica's own is what it rests on: of a Prepare the
// block, of a Commit the certificate.
func (t *tracer) durable(batches []*Batch, synced bool) {
	if t == nil {
		return
	}
	if synced {
		t.mu.Lock()
		t.syncs++
		t.batches += uint64(len(batches))
		t.mu.Unlock()
	}
	at := t.now()
	for _, b := range batches {
		t.votes(b, StageBlockDurable, StagePreparedDurable, at)
	}
}

// released notes that the envelopes of a batch were given to the transport.
func (t *tracer) released(b *Batch) {
	if t != nil {
		t.votes(b, StagePrepareSent, StageCommitSent, t.now())
	}
}

func (t *tracer) votes(b *Batch, prepare, commit Stage, at time.Duration) {
	for i := range b.Durable {
		v, ok := b.Durable[i].Message.(*pbft.Vote)
		switch {
		case !ok || b.Durable[i].To != pbft.Everyone:
		case v.Phase == pbft.Commit:
			t.markUpTo(commit, v.Ref(), at)
		default:
			t.mark(prepare, v.Ref(), at)
		}
	}
}

// executing notes that the execution of a block begins, and what the block holds.
func (t *tracer) executing(b *pbft.Block) {
	if t == nil {
		return
	}
	at := t.now()
	var first requestTrace
	if len(b.Requests) > 0 {
		first = t.requests.of(b.Requests[0].Digest())
	}
	ops := 0
	for _, r := range b.Requests {
		ops += len(r.Ops)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.of(b.Ref(), true)
	if n == nil || n.Times[StageExecuting] != 0 {
		return
	}
	n.View, n.Proposer, n.Requests, n.Operations, n.Bytes = b.View, b.Proposer, len(b.Requests), ops, b.Size()
	n.Syncs, n.Batches = t.syncs, t.batches
	n.pass(StageReceived, first.received)
	n.pass(StageChecked, first.checked)
	n.pass(StageOffered, first.offered)
	n.pass(StageExecuting, at)
}

// ran notes that a block was executed.
func (t *tracer) ran(h pbft.Height) {
	if t == nil {
		return
	}
	at := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if b := t.slot(h); b.Height == h {
		b.pass(StageExecuted, at)
		t.executed = max(t.executed, h)
	}
}

// queued notes that the reply to the first request of a block is about to be put into
// the queues of its client's sessions. Before, because they may be quicker.
func (t *tracer) queued(h pbft.Height) {
	if t == nil {
		return
	}
	at := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if b := t.slot(h); b.Height == h {
		b.pass(StageReplyQueued, at)
	}
}

// delivered ends the notes of a block whose first request nobody waits for here.
func (t *tracer) delivered(h pbft.Height) {
	if t != nil {
		t.finish(h, func(b *BlockTrace) bool { return b.Times[StageReplyQueued] == 0 })
	}
}

// written notes replies that were given to a client's stream.
func (t *tracer) written(entries []replyEntry) {
	if t == nil {
		return
	}
	for i := range entries {
		if h := entries[i].traced; h != 0 {
			at := t.now()
			t.finish(h, func(b *BlockTrace) bool {
				b.pass(StageReplyWritten, at)
				return true
			})
		}
	}
}

// finish passes on a block, once, if last says that nothing more will come.
func (t *tracer) finish(h pbft.Height, last func(*BlockTrace) bool) {
	t.mu.Lock()
	b := t.slot(h)
	if b.Height != h || !last(b) || b.finished {
		t.mu.Unlock()
		return
	}
	b.finished = true
	whole := *b
	t.mu.Unlock()
	if t.finished != nil {
		t.finished(whole)
	}
}

// last returns up to n of the blocks that were executed last, in ascending order.
func (t *tracer) last(n int) []BlockTrace {
	t.mu.Lock()
	top := t.executed
	t.mu.Unlock()
	n = int(min(uint64(n), uint64(len(t.blocks)), uint64(top)))
	found := make([]BlockTrace, 0, n)
	for h := top - pbft.Height(n) + 1; h <= top; h++ {
		t.mu.Lock() // for one at a time: those who note must not wait for those who look
		if b := t.slot(h); b.Height == h && b.Times[StageExecuted] != 0 {
			found = append(found, *b)
		}
		t.mu.Unlock()
	}
	return found
}

// requestTraces are the last requests that came from clients, whichever block they will
// be in: one for each slot, the newest wins. So under very many requests at once the
// first of a block may be missing.
type requestTraces struct {
	mu    sync.Mutex
	slots [1 << 14]requestTrace
}

type requestTrace struct {
	key                        uint64 // of the digest
	received, checked, offered time.Duration
}

func requestKey(d pbft.Digest) uint64 { return binary.LittleEndian.Uint64(d[:8]) }

func (q *requestTraces) slot(key uint64) *requestTrace { return &q.slots[key%uint64(len(q.slots))] }

// received keeps the first time of a request that was offered already: its client asks
// again.
func (q *requestTraces) received(d pbft.Digest, at time.Duration) {
	key := requestKey(d)
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.slot(key); r.key != key || r.offered == 0 {
		*r = requestTrace{key: key, received: at}
	}
}

func (q *requestTraces) each(rs []*pbft.Request, do func(*requestTrace)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range rs {
		key := requestKey(r.Digest())
		if r := q.slot(key); r.key == key {
			do(r)
		}
	}
}

func (q *requestTraces) of(d pbft.Digest) requestTrace {
	key := requestKey(d)
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.slot(key); r.key == key {
		return *r
	}
	return requestTrace{}
}
