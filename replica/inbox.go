package replica

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// inbox decodes and verifies what one peer sends, on a goroutine of its own unless that
// is little work, and hands it to the protocol goroutine. It is bounded in bytes: when it
// is full the transport stops reading from that peer and from nobody else.
type inbox struct {
	from  pbft.ReplicaID
	stage *verifyStage

	mu     sync.Mutex
	room   sync.Cond
	filled sync.Cond
	items  [][]byte
	came   []time.Duration // of each item, for the trace
	bytes  int
	closed bool
	votes  verifiedBatch // that the protocol goroutine is about to take
	// taken is the protocol goroutine's: memory for votes, in turn with that of votes.
	taken verifiedBatch
}

// verifyStage is what all inboxes share.
type verifyStage struct {
	epoch    pbft.Epoch
	self     pbft.ReplicaID
	verifier *pbft.Verifier
	known    knownRequests
	limit    int // bytes waiting from one peer
	// lazy and lazyCP: votes are never verified one by one, since finding the bad ones in
	// an aggregate costs no more than that (see crypto.Scheme). Otherwise votes for blocks
	// are verified on arrival only if they come from a peer that is distrusted: a quorum
	// of the others suffices, and what comes after it need not be verified at all.
	lazy, lazyCP bool
	// distrusted are members of whom a bad vote is known.
	distrusted []atomic.Bool
	workers    chan struct{} // tokens for the extra goroutines of large blocks
	turns      *bundleTurns  // nil where messages come one after another anyway
	metrics    stageCounts
	trace      *tracer // nil notes nothing
	post       func(func(*Node)) bool
	bounds     atomic.Pointer[tallyBounds]
	wg         sync.WaitGroup
}

// stageCounts counts what came, and what of it was of no use.
type stageCounts interface {
	received(k pbft.MessageKind, bytes int)
	malformed(from pbft.ReplicaID)
	dropped(from pbft.ReplicaID, m pbft.Message, why pbft.Drop)
	rejected(requests int) // of a Forward
}

// tallyBounds are the votes and checkpoints of use, as of a moment ago: the others
// need not be verified. What is at or below low is committed here.
type tallyBounds struct {
	view      pbft.View
	low, high pbft.Height
	// stable and snapshot are the heights of the last certified checkpoint and of the last
	// one with a snapshot: every is how far apart those are. One with a snapshot is of use
	// below the stable one too, since the log is bounded by snapshots.
	stable, snapshot, every pbft.Height
}

func boundsOf(c *pbft.Core, every pbft.Height) tallyBounds {
	view, low, high := c.TallyRange()
	return tallyBounds{view, low, high, c.Stable(), c.SnapshotHeight(), every}
}

// advances tells whether a certified checkpoint would be news. Of a late one every peer
// sends its bundle, and to check one takes milliseconds.
func (b *tallyBounds) advances(h pbft.Height) bool {
	return h > b.stable || h > b.snapshot && h%b.every == 0
}

// bound has the stage leave out what is of no use any more.
func (s *verifyStage) bound(now tallyBounds) {
	if b := s.bounds.Load(); b == nil || *b != now {
		fresh := now // which goes to the heap: only when something has changed
		s.bounds.Store(&fresh)
	}
}

// maxVerifyBatch is how many messages are taken up at once.
const maxVerifyBatch = 512

func newInbox(from pbft.ReplicaID, stage *verifyStage) *inbox {
	in := &inbox{from: from, stage: stage}
	in.room.L, in.filled.L = &in.mu, &in.mu
	stage.wg.Add(1)
	go in.run()
	return in
}

// put blocks while the inbox is full.
func (in *inbox) put(raw []byte) {
	if pbft.KindOf(raw) == pbft.KindVote && !in.stage.votesChecked(in.from) && in.putVote(raw) {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for in.bytes > 0 && in.bytes+len(raw) > in.stage.limit && !in.closed {
		in.room.Wait()
	}
	if in.closed {
		return
	}
	in.items = append(in.items, raw)
	in.came = append(in.came, in.stage.trace.now())
	in.bytes += len(raw)
	in.filled.Signal()
}

// putVote passes a vote that is not to be verified to the protocol goroutine: what is
// left to do costs less than to wake the inbox's own goroutine, and half of all
// messages are votes. It refuses when many wait already, so that the vote takes the way
// that is bounded.
func (in *inbox) putVote(raw []byte) bool {
	in.mu.Lock()
	before := len(in.votes.votes)
	if in.closed || before >= maxVerifyBatch {
		in.mu.Unlock()
		return false
	}
	in.stage.decode(in.from, raw, &in.votes)
	first := before == 0 && len(in.votes.votes) > 0
	in.mu.Unlock()
	if first {
		in.stage.post(in.deliverVotes)
	}
	return true
}

// deliverVotes gives the node all that putVote has put aside since it asked for this.
func (in *inbox) deliverVotes(n *Node) {
	in.mu.Lock()
	in.votes, in.taken = in.taken, in.votes
	in.mu.Unlock()
	in.taken.deliver(n)
	in.taken.clear()
}

func (in *inbox) take(buf [][]byte, came []time.Duration) ([][]byte, []time.Duration) {
	clear(buf)
	buf, came = buf[:0], came[:0]
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.items) == 0 && !in.closed {
		in.filled.Wait()
	}
	if in.closed {
		return nil, nil
	}
	n := min(len(in.items), maxVerifyBatch)
	buf = append(buf, in.items[:n]...)
	rest := copy(in.items, in.items[n:])
	clear(in.items[rest:])
	in.items = in.items[:rest]
	came = append(came, in.came[:n]...)
	in.came = in.came[:copy(in.came, in.came[n:])]
	return buf, came
}

// release gives back the room of a batch once the protocol goroutine has it.
func (in *inbox) release(bytes int) {
	in.mu.Lock()
	in.bytes -= bytes
	in.mu.Unlock()
	in.room.Broadcast()
}

func (in *inbox) close() {
	in.mu.Lock()
	in.closed = true
	in.items, in.came = nil, nil
	in.mu.Unlock()
	in.room.Broadcast()
	in.filled.Broadcast()
}

// run keeps one batch with the protocol goroutine at a time: what comes meanwhile
// makes the next one larger, and so cheaper.
func (in *inbox) run() {
	defer in.stage.wg.Done()
	taken := make(chan struct{}, 1)
	var buf [][]byte
	var came []time.Duration
	for {
		if buf, came = in.take(buf, came); buf == nil {
			return
		}
		bytes := 0
		for _, raw := range buf {
			bytes += len(raw)
		}
		for at := 0; at < len(buf); {
			end := at + untilBundle(buf[at:])
			b := in.stage.verify(in.from, buf[at:end], came[at:end])
			at = end
			if b.empty() {
				continue
			}
			if !in.stage.post(func(n *Node) { b.deliver(n); in.stage.delivered(&b); taken <- struct{}{} }) {
				return
			}
			<-taken
		}
		in.release(bytes)
	}
}

// untilBundle is how many of the messages to verify together: a bundle goes alone. While a good
// one is on its way others like it are dropped (bundleTurns), so the way must be short: the
// peer could have sent a good one and with it what takes seconds to verify.
func untilBundle(raws [][]byte) int {
	for i, raw := range raws {
		if pbft.KindOf(raw) == pbft.KindBundle {
			return max(i, 1)
		}
	}
	return len(raws)
}

// verifiedBatch is what came out of a batch.
type verifiedBatch struct {
	messages []pbft.Verified
	votes    []*pbft.Vote
	cvotes   []*pbft.CheckpointVote
}

func (b *verifiedBatch) empty() bool {
	return len(b.messages) == 0 && len(b.votes) == 0 && len(b.cvotes) == 0
}

// clear empties the batch and keeps its memory.
func (b *verifiedBatch) clear() {
	clear(b.messages)
	clear(b.votes)
	clear(b.cvotes)
	b.messages, b.votes, b.cvotes = b.messages[:0], b.votes[:0], b.cvotes[:0]
}

func (b *verifiedBatch) deliver(n *Node) {
	for _, m := range b.messages {
		n.Receive(m)
	}
	for _, v := range b.votes {
		n.Vote(v)
	}
	for _, v := range b.cvotes {
		n.CheckpointVote(v)
	}
}

// verify decodes and checks messages of one peer, the signatures of votes
// together. When each came is for the trace, nil if there is none.
func (s *verifyStage) verify(from pbft.ReplicaID, raws [][]byte, came []time.Duration) (out verifiedBatch) {
	for i, raw := range raws {
		good := len(out.messages)
		s.decode(from, raw, &out)
		if len(out.messages) > good && i < len(came) {
			s.trace.verified(out.messages[good].Message(), came[i])
		}
	}
	s.signatures(from, &out)
	return out
}

// decode adds a message to those that are good, as check does.
func (s *verifyStage) decode(from pbft.ReplicaID, raw []byte, out *verifiedBatch) {
	epoch, m, err := pbft.Decode(raw)
	if err != nil {
		s.metrics.malformed(from)
		return
	}
	s.metrics.received(m.Kind(), len(raw))
	s.check(from, epoch, m, out)
}

// check adds a message to those that are good; of votes all but the signature is
// checked.
func (s *verifyStage) check(from pbft.ReplicaID, epoch pbft.Epoch, m pbft.Message, out *verifiedBatch) {
	if epoch != s.epoch {
		s.metrics.dropped(from, m, pbft.DropEpoch)
		return
	}
	switch m := m.(type) {
	case *pbft.Vote:
		if why := s.checkVote(from, m); why != pbft.NoDrop {
			s.metrics.dropped(from, m, why)
		} else {
			out.votes = append(out.votes, m)
		}
		return
	case *pbft.CheckpointVote:
		if why := s.verifier.CheckCheckpointVote(from, m); why != pbft.NoDrop {
			s.metrics.dropped(from, m, why)
		} else {
			out.cvotes = append(out.cvotes, m)
		}
		return
	case *pbft.PrePrepare:
		if why := s.checkPosition(m); why != pbft.NoDrop {
			s.metrics.dropped(from, m, why)
			return
		}
		s.share(from, m)
	case *pbft.Bundle:
		if b := s.bounds.Load(); b != nil && !b.advances(m.Height()) {
			s.metrics.dropped(from, m, pbft.DropDuplicate)
			return
		}
	}
	v, why := s.verified(from, m)
	if why != pbft.NoDrop {
		s.metrics.dropped(from, m, why)
		return
	}
	if n := v.Rejected(); n > 0 {
		s.metrics.rejected(n)
	}
	s.learn(v.Message())
	out.messages = append(out.messages, v)
}

func (s *verifyStage) verified(from pbft.ReplicaID, m pbft.Message) (v pbft.Verified, why pbft.Drop) {
	b, isBundle := m.(*pbft.Bundle)
	if !isBundle || s.turns == nil {
		return s.verifier.Verify(from, m)
	}
	why = s.turns.check(from, &b.Checkpoint.CheckpointStatement, func() pbft.Drop {
		if now := s.bounds.Load(); now != nil && !now.advances(b.Height()) {
			return pbft.DropDuplicate // meanwhile
		}
		v, why = s.verifier.Verify(from, m)
		return why
	})
	return v, why
}

// committed tells whether a block is committed here, as of a moment ago. Of a checkpoint
// above, this replica's own certificate is not enough: a bundle has the commit beside it,
// and names a snapshot to transfer.
func (s *verifyStage) committed(h pbft.Height) bool {
	now := s.bounds.Load()
	return now != nil && h <= now.low
}

// delivered notes that the node has taken a batch.
func (s *verifyStage) delivered(b *verifiedBatch) {
	if s.turns == nil {
		return
	}
	for i := range b.messages {
		if b.messages[i].Message().Kind() == pbft.KindBundle {
			s.turns.taken()
			return
		}
	}
}

// distrust makes a member's votes be verified on arrival, for as long as this process
// runs: nobody but the member itself can have sent the bad one.
func (s *verifyStage) distrust(member pbft.ReplicaID) { s.distrusted[member].Store(true) }

// votesChecked tells whether the votes of a peer are verified on arrival. What comes
// under the own name always is: the verifier takes own votes in a tally for good.
func (s *verifyStage) votesChecked(from pbft.ReplicaID) bool {
	return !s.lazy && (from == s.self || s.distrusted[from].Load())
}

// signatures leaves out votes whose signature is bad, where each has to have a good
// one.
func (s *verifyStage) signatures(from pbft.ReplicaID, out *verifiedBatch) {
	if s.votesChecked(from) {
		out.votes = keepGood(s, from, out.votes, s.verifier.VerifyVotes)
	}
	if !s.lazyCP {
		out.cvotes = keepGood(s, from, out.cvotes, s.verifier.VerifyCheckpointVotes)
	}
}

func keepGood[V pbft.Message](s *verifyStage, from pbft.ReplicaID, votes []V, check func([]V) []pbft.Drop) []V {
	if len(votes) == 0 {
		return votes
	}
	good := votes[:0]
	for i, why := range check(votes) {
		if why == pbft.NoDrop {
			good = append(good, votes[i])
		} else {
			s.metrics.dropped(from, votes[i], why)
		}
	}
	return good
}

// checkVote leaves out votes that a tally would drop: their signatures are most of
// what a lagging or repeating peer costs.
func (s *verifyStage) checkVote(from pbft.ReplicaID, v *pbft.Vote) pbft.Drop {
	if b := s.bounds.Load(); b != nil {
		switch {
		case v.View < b.view:
			return pbft.DropOldView
		case v.Height < b.low || v.Height > b.high:
			return pbft.DropHeight
		}
	}
	return s.verifier.CheckVote(from, v)
}

func (s *verifyStage) checkPosition(p *pbft.PrePrepare) pbft.Drop {
	if b := s.bounds.Load(); b != nil && (p.Height+1 < b.low || p.Height > b.high) {
		return pbft.DropHeight
	}
	return pbft.NoDrop
}

// learn remembers requests whose signatures were checked just now, so that they
// are not checked again in a block or when another replica passes them on.
func (s *verifyStage) learn(m pbft.Message) {
	switch m := m.(type) {
	case *pbft.Forward:
		for _, r := range m.Requests {
			s.known.add(r)
		}
	case *pbft.PrePrepare:
		for _, r := range m.Requests {
			s.known.add(r)
		}
	}
}

// shareAbove is how many unknown requests make it worth to spread them.
const shareAbove = 128

// share has several goroutines verify the requests of a large block; those that
// are good are known afterwards. It trusts nobody: only a block that comes from
// its own proposer is worth it, and the tokens are the pool's.
func (s *verifyStage) share(from pbft.ReplicaID, p *pbft.PrePrepare) {
	if from != p.Proposer || len(p.Requests) < 2*shareAbove || cap(s.workers) < 2 {
		return
	}
	var wg sync.WaitGroup
	for part := p.Requests; len(part) > 0; {
		n := min(len(part), shareAbove)
		chunk := part[:n]
		part = part[n:]
		s.workers <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-s.workers; wg.Done() }()
			for i, ok := range s.verifier.VerifyRequests(chunk) {
				if ok {
					s.known.add(chunk[i])
				}
			}
		}()
	}
	wg.Wait()
}

func workerTokens(n int) chan struct{} {
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return make(chan struct{}, n)
}
