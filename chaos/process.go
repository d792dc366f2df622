package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
)

// process is one life of a replica: the Node and a host around it whose disk,
// network and executor take virtual time. It implements replica.Host.
type process struct {
	*member
	node     *replica.Node
	verifier *pbft.Verifier
	keys     pbft.Keys
	executor *statemachine.Executor
	dead     bool

	inbox     []func(*replica.Node)
	scheduled bool
	ticking   bool // a tick waits in the inbox

	batches []*replica.Batch // not on the disk yet
	dirty   bool             // records were written and not synced
	writing bool

	jobs      []job
	working   bool
	awaiting  bool          // the state is not there yet: blocks wait for an install
	replayTo  pbft.Height   // then the log is replayed up to here
	waiting   []*pbft.Block // for the install
	snapsDone time.Duration // when the last snapshot will be written
}

var _ replica.Host = (*process)(nil)

// after plans something that happens only if this life goes on.
func (p *process) after(d time.Duration, do func()) {
	p.s.after(d, func() {
		if !p.dead {
			do()
		}
	})
}

// takes draws how long the disk or the processor takes.
func (p *process) takes(mean time.Duration) time.Duration {
	d := mean/2 + p.s.exp(mean/2)
	if p.slow > 1 {
		d *= time.Duration(p.slow)
	}
	return d
}

// post gives the protocol goroutine something to do.
func (p *process) post(e func(*replica.Node)) {
	p.inbox = append(p.inbox, e)
	p.wake()
}

func (p *process) wake() {
	if p.scheduled || p.paused || len(p.inbox) == 0 {
		return
	}
	p.scheduled = true
	p.after(p.takes(20*time.Microsecond), p.run)
}

// run takes up all that is queued, then its effects.
func (p *process) run() {
	p.scheduled = false
	if p.paused {
		return
	}
	events := p.inbox
	p.inbox = nil
	for _, e := range events {
		e(p.node)
	}
	p.node.Flush()
	p.s.judge.observe(p)
}

func (p *process) tick() {
	p.after(p.s.opts.Tick, p.tick)
	if p.ticking {
		return
	}
	p.ticking = true
	p.post(func(n *replica.Node) {
		p.ticking = false
		n.Tick(p.clock())
		if p.traitor != nil {
			p.traitor.Tick()
		}
	})
}

// maxInbox bounds what waits for a paused replica; the transport would stop
// reading.
const maxInbox = 2000

// receive takes a message off the network.
func (p *process) receive(from pbft.ReplicaID, data []byte) {
	if len(p.inbox) < maxInbox {
		p.post(func(n *replica.Node) { p.take(n, from, data) })
	}
}

// take decodes and verifies a message, like the runtime's inboxes.
func (p *process) take(n *replica.Node, from pbft.ReplicaID, data []byte) {
	_, m, err := pbft.Decode(data)
	if err != nil {
		if p.s.replicas[from].honest() {
			p.s.fail("replica %d cannot decode a message of %d: %v", p.id, from, err)
		}
		return
	}
	if p.traitor != nil && !p.traitor.Hear(from, m) {
		return
	}
	why := pbft.NoDrop
	switch m := m.(type) {
	case *pbft.Vote:
		if why = p.verifier.CheckVote(from, m); why == pbft.NoDrop && !p.s.opts.LazyVotes {
			why = p.verifier.VerifyVotes([]*pbft.Vote{m})[0]
		}
		if why == pbft.NoDrop {
			n.Vote(m)
		}
	case *pbft.CheckpointVote:
		if why = p.verifier.CheckCheckpointVote(from, m); why == pbft.NoDrop {
			n.CheckpointVote(m)
		}
	default:
		var v pbft.Verified
		if v, why = p.verifier.Verify(from, m); why == pbft.NoDrop {
			n.Receive(v)
		}
	}
	if why != pbft.NoDrop {
		p.s.judge.refused(p, from, m, why)
	}
}

// request takes a client's request, like the runtime's client port.
func (p *process) request(r *pbft.Request) {
	if len(p.inbox) >= maxInbox {
		return
	}
	p.post(func(n *replica.Node) {
		if !p.verifier.VerifyRequests([]*pbft.Request{r})[0] {
			p.s.fail("replica %d refuses a client's good request %v", p.id, r)
			return
		}
		if reply, ok := p.executor.Lookup(r.Client, r.Seq, r.Digest()); ok {
			p.answer(reply)
			return
		}
		n.Offer([]*pbft.Request{r})
	})
}

func (p *process) answer(r statemachine.Reply) {
	for _, u := range p.s.clients {
		if u.key.Public() == r.Client {
			say := true
			if p.traitor != nil {
				r, say = p.traitor.Reply(r.Client, r)
			}
			if say {
				p.s.network.reply(p.id, u, r)
			}
		}
	}
}

// Persist implements replica.Host.
func (p *process) Persist(b *replica.Batch) {
	p.batches = append(p.batches, b)
	p.write()
}

// write makes what is queued durable, all of it with one sync.
func (p *process) write() {
	if p.writing || len(p.batches) == 0 {
		return
	}
	p.writing = true
	group := len(p.batches)
	wait := false
	for _, b := range p.batches {
		wait = wait || len(b.Durable) > 0
	}
	d := time.Duration(0)
	if wait {
		d = p.takes(p.s.opts.Disk)
	}
	p.after(d, func() { p.written(group, wait) })
}

func (p *process) written(group int, wait bool) {
	if p.reach(beforeWrite) {
		return
	}
	var records []pbft.Record
	for _, b := range p.batches[:group] {
		records = append(records, b.Records...)
	}
	sync := wait && (p.dirty || len(records) > 0)
	if len(records) > 0 || sync {
		must(p.disk.Write(records, sync))
		p.dirty = !sync
	}
	if sync && p.disk.follower {
		for _, r := range records {
			if r.Key.Kind == pbft.RecordRejoin && !r.Delete {
				p.disk.follower = false
			}
		}
	}
	done := p.batches[:group]
	p.batches = append([]*replica.Batch(nil), p.batches[group:]...)
	p.writing = false
	p.s.trace.event(p.s.now, "sync", int(p.id), -1, []byte{byte(group), byte(len(records))}, "")
	if p.reach(afterSync) {
		return
	}
	for _, b := range done {
		left := -1
		if p.armed == duringRelease && len(b.Durable) > 0 {
			left = p.s.rng.IntN(len(b.Durable)*len(p.s.replicas) + 1)
		}
		var own []pbft.Message
		for _, e := range b.Durable {
			m := pbft.Sign(p.s.cluster, 0, e.Message, p.keys)
			if e.To != p.id {
				left = p.transmit(e.To, m, left)
			}
			if e.To == pbft.Everyone || e.To == p.id {
				own = append(own, m)
			}
		}
		if len(b.Durable) > 0 && (p.reach(duringRelease) || p.reach(afterRelease)) {
			return
		}
		p.post(func(n *replica.Node) { n.Persisted(b.Seq, own) })
	}
	p.write()
}

// Send implements replica.Host.
func (p *process) Send(to pbft.ReplicaID, m pbft.Message) {
	p.transmit(to, pbft.Sign(p.s.cluster, 0, m, p.keys), -1)
}

// transmit gives a signed message to the network, for at most left recipients
// (negative: all). It returns what is left of left.
func (p *process) transmit(to pbft.ReplicaID, m pbft.Message, left int) int {
	p.s.judge.sent(p, m)
	var data []byte
	for i := range p.s.replicas {
		id := pbft.ReplicaID(i)
		if id == p.id || to != pbft.Everyone && to != id {
			continue
		}
		if left == 0 {
			return 0
		}
		left--
		if p.traitor != nil {
			p.traitor.Send(id, m)
			continue
		}
		if data == nil {
			data = pbft.Encode(0, m)
		}
		p.s.network.send(p.id, id, data)
	}
	return left
}
