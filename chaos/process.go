package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
)

// process is one life of a replica: a replica.Sim whose work takes virtual time.
type process struct {
	*member
	sim      *replica.Sim
	node     *replica.Node
	verifier *pbft.Verifier
	keys     pbft.Keys
	executor *statemachine.Executor
	started  bool // it takes part
	dead     bool
	dying    bool // it reached the point where it is to crash
	left     int  // how many recipients a message still reaches; negative: all

	inbox     []letter
	spare     []letter
	scheduled bool
	ticking   bool   // a tick waits in the inbox
	ticks     func() // timePasses
	working   [replica.Works]bool

	// What was seen last, to count what is rare.
	failedViews           int
	windowFull, following bool
	resumes               bool
	newView               *pbft.NewView // that the judge has looked at
}

// letter is what waits for the protocol goroutine: a message, or something else.
type letter struct {
	do   func()
	k    *packet
	from pbft.ReplicaID
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
func (p *process) post(e func()) {
	p.inbox = append(p.inbox, letter{do: e})
	p.wake()
}

// wake has the replica go on with all that waits.
func (p *process) wake() {
	if p.paused {
		return
	}
	if !p.scheduled && len(p.inbox) > 0 {
		p.scheduled = true
		p.s.agenda.plan(p.s.now+p.takes(20*time.Microsecond), event{life: p, work: eventRun})
	}
	p.work()
}

// run takes up all that is queued, then its effects.
func (p *process) run() {
	p.scheduled = false
	if p.paused {
		return
	}
	letters := p.inbox
	p.inbox = p.spare[:0]
	p.sim.Together(func() {
		for i := range letters {
			if l := &letters[i]; l.do != nil {
				l.do()
			} else {
				p.take(l.from, l.k)
			}
		}
	})
	clear(letters)
	p.spare = letters
	p.stepped()
}

// stepped looks after the replica when it has done something.
func (p *process) stepped() {
	if p.dying {
		p.crash()
		p.s.planRestart(p.member)
		return
	}
	if err := p.sim.Err(); err != nil {
		p.failed(err)
		return
	}
	p.goesOn()
	p.seesStep()
	p.tell()
	p.s.judge.observe(p)
	p.work()
}

// work begins the next piece of work of each kind.
func (p *process) work() {
	for w := range replica.Works {
		n := p.sim.Pending(w)
		if n == 0 || p.working[w] || p.paused {
			continue
		}
		p.working[w] = true
		p.s.agenda.plan(p.s.now+p.lasts(w, n), event{life: p, work: int8(w), n: int32(n)})
	}
}

// lasts is how long the next piece of work takes. Of the disk's, n batches are
// written with one sync.
func (p *process) lasts(w replica.Work, n int) time.Duration {
	o := &p.s.opts
	switch w {
	case replica.WorkDisk:
		if !p.sim.Synced(n) {
			return 0
		}
		return p.takes(o.Disk)
	case replica.WorkExecute:
		return p.takes(o.Apply) * time.Duration(max(p.lag, 1))
	case replica.WorkSnapshot:
		return p.takes(3 * o.Disk)
	case replica.WorkState:
		return p.takes(2 * o.Disk)
	case replica.WorkFiles:
		return p.takes(o.Disk / 4)
	case replica.WorkTransfer:
		return p.takes(o.Disk / 2)
	}
	return p.takes(50 * time.Microsecond)
}

func (p *process) done(w replica.Work, n int) {
	p.working[w] = false
	if p.paused {
		return // it begins again when the replica goes on
	}
	if w == replica.WorkDisk {
		p.s.trace.event(p.s.now, "sync", int(p.id), -1, []byte{byte(n)}, "")
		p.write(n)
	} else {
		p.sim.Do(w)
	}
	p.stepped()
}

func (p *process) write(n int) {
	p.left = -1
	if p.armed == duringRelease && p.sim.Synced(n) {
		p.left = p.s.rng.IntN(2 * len(p.s.replicas))
	}
	p.disk.states = p.disk.states[:0]
	p.sim.Write(n)
	p.disk.states = p.disk.states[:0]
	p.left = -1
}

// tick tells the replica the time, after what waits for it already. One that is
// still waiting makes up for those that come meanwhile.
func (p *process) tick() {
	p.s.agenda.plan(p.s.now+p.tickLength(), event{life: p, work: eventTick})
	if p.ticking {
		return
	}
	p.ticking = true
	p.inbox = append(p.inbox, letter{do: p.ticks})
	if p.scheduled || p.paused {
		return
	}
	p.run()
}

func (p *process) timePasses() {
	p.ticking = false
	p.sim.Tick(p.clock())
	if p.traitor != nil {
		p.traitor.Tick()
	}
}

// maxInbox bounds what waits for a paused replica; the transport would stop
// reading.
const maxInbox = 2000

// receive takes a message off the network.
func (p *process) receive(from pbft.ReplicaID, k *packet) {
	if len(p.inbox) < maxInbox {
		p.inbox = append(p.inbox, letter{k: k, from: from})
		p.wake()
	}
}

// take has the replica verify a message and act on it.
func (p *process) take(from pbft.ReplicaID, k *packet) {
	m, err := k.message()
	if err != nil {
		if p.s.replicas[from].honest() {
			p.s.violate(Framing, "replica %d cannot decode a message of %d: %v", p.id, from, err)
		}
		p.sim.Receive(from, k.raw) // which counts it
		return
	}
	if p.traitor != nil && !p.traitor.Hear(from, m) {
		return
	}
	p.sim.Take(from, k.epoch, m)
}

// request takes a client's request, like the runtime's client port.
func (p *process) request(r *pbft.Request) {
	if len(p.inbox) >= maxInbox || p.traitor != nil && !p.traitor.Request(r) {
		return
	}
	p.post(func() {
		if !p.verifier.VerifyRequests([]*pbft.Request{r})[0] {
			if p.s.awaits(r) {
				p.s.violate(Framing, "replica %d refuses a client's good request %v", p.id, r)
			}
			return
		}
		if reply, ok := p.sim.Lookup(r); ok {
			p.s.sometimes(seenDuplicate)
			p.answer(reply)
			return
		}
		p.sim.Offer([]*pbft.Request{r})
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
