package chaos

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/symbolic"
	"github.com/parley-bft/parley/pbft"
)

// Simulation is one run. It belongs to one goroutine.
type Simulation struct {
	opts     Options
	rng      *rand.Rand
	now      time.Duration
	agenda   agenda
	sym      *symbolic.World
	cluster  pbft.Digest
	quorums  *pbft.QuorumSystem
	schedule pbft.Schedule
	start    *pbft.Block
	replicas []*member
	// coalition is what the traitors share.
	coalition *Coalition
	clients   []*user
	// badClients are dishonest.
	badClients []*badClient
	network    network
	world      World // nil if it is a key-value store, or what the options bring
	keyed      bool  // clients make operations on single keys, whose history is judged
	judge      *judge
	trace      trace
	chronicle  *chronicle // nil unless somebody records the run
	report     Report
	busy       busyness
	storming   bool
	used       bool
}

// NewSimulation makes a simulation. Errors: ErrOptions.
func NewSimulation(o Options) (*Simulation, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if a, ok := ApplicationNamed(o.Application); o.Operation != nil || ok && !a.KeyValue {
		o.Keys = 1
	}
	q, err := pbft.NewQuorumSystem(o.Weights)
	if err != nil {
		return nil, err
	}
	s := &Simulation{
		opts: o, rng: rand.New(rand.NewPCG(o.Seed, 1)), sym: symbolic.NewWorld(o.Seed), quorums: q,
		cluster: crypto.Hash("parley/simulated-cluster", binary.BigEndian.AppendUint64(nil, o.Seed)), schedule: pbft.NewSchedule(o.Weights),
	}
	s.start = pbft.StartBlock(s.cluster, 0)
	s.coalition = NewCoalition()
	s.trace.init(o.Trace)
	s.network.init(s)
	s.world, s.keyed = s.makeWorld()
	s.judge = newJudge(s)
	s.report.Seed, s.report.Faults, s.report.Sometimes = o.Seed, map[string]int{}, map[string]int{}
	s.report.Findings, s.report.First = map[Invariant]int{}, map[Invariant]string{}
	for i := range o.Weights {
		m := newMember(s, pbft.ReplicaID(i))
		if slices.Contains(o.Traitors, m.id) {
			m.plays = o.strategyOf(m.id)
		}
		s.replicas = append(s.replicas, m)
	}
	if o.Laggard > 1 {
		m := s.anyone()
		for !m.honest() {
			m = s.anyone()
		}
		m.slow = o.Laggard
	}
	for i := range o.Clients {
		s.clients = append(s.clients, newUser(s, i))
	}
	for i, name := range o.BadClients {
		s.badClients = append(s.badClients, newBadClient(s, i, name))
	}
	return s, nil
}

// Run makes a simulation and runs it. It panics if the options make no sense.
func Run(o Options) *Report {
	s, err := NewSimulation(o)
	must(err)
	return s.Run()
}

// Run runs the simulation to its end, or to the first violation. It may be called
// once.
func (s *Simulation) Run() *Report {
	if s.used {
		panic("chaos: a Simulation runs once")
	}
	s.used = true
	began := time.Now()
	func() {
		// A panic is a finding like others, and as easy to reproduce.
		defer func() {
			if v := recover(); v != nil {
				s.violate(Health, "panic: %v\n%s", v, debug.Stack())
			}
		}()
		s.run()
	}()
	for _, m := range s.replicas {
		if m.up != nil {
			m.up.sim.Close()
		}
	}
	if s.opts.AboveBound {
		s.judge.account()
	}
	s.finish(time.Since(began))
	return &s.report
}

func (s *Simulation) run() {
	for _, m := range s.replicas {
		if m.slow > 1 {
			s.strike("slow from the start", slowed, m)
		}
	}
	for _, m := range s.replicas {
		m.boot()
	}
	for _, u := range s.clients {
		s.after(s.exp(s.opts.Think), u.next)
	}
	for _, b := range s.badClients {
		b.start()
	}
	s.storming = true
	s.startFaults()
	if !s.until(s.opts.Storm, nil) {
		return
	}
	s.storming = false
	healed := s.heal()
	s.note("calm", fmt.Sprint(healed))
	for _, u := range s.clients {
		u.final()
	}
	calm := s.now
	bound := s.opts.Bound
	if bound == 0 {
		bound = s.promise(healed)
	}
	s.report.Promise = bound
	if !s.until(calm+bound, func() bool { return s.answered() }) {
		return
	}
	if !s.answered() {
		s.violate(Liveness, "operations have no answer %v after the storm:\n%s%s", bound, s.waiting(), s.describe())
		return
	}
	s.report.Recovery = s.now - calm
	ended := s.now
	if !s.until(ended+bound, func() bool { return s.level(healed) }) {
		return
	}
	if !s.level(healed) {
		s.violate(Liveness, "healed replicas do not reach the same height within %v:\n%s", bound, s.describe())
		return
	}
	s.scrubsFlipped()
	s.foundOut(bound)
	s.lapsesHeal(bound)
	s.statesHeal(bound)
	s.votesAgain(healed)
}

// until runs events up to a time, or until done says so. It tells whether nothing
// was violated.
func (s *Simulation) until(end time.Duration, done func() bool) bool {
	for n := 0; s.agenda.due(end); n++ {
		if done != nil && n%16 == 0 && done() {
			return true
		}
		at, e := s.agenda.next()
		s.busy.count(s, at)
		s.now = at
		s.happen(&e)
		s.report.Events++
		if len(s.report.Violations) > 0 {
			return false
		}
	}
	if done == nil {
		s.now = end
	}
	return true
}

func (s *Simulation) after(d time.Duration, do func()) { s.agenda.add(s.now+d, do) }

// exp draws from the exponential distribution.
func (s *Simulation) exp(mean time.Duration) time.Duration {
	return time.Duration(min(s.rng.ExpFloat64(), 20) * float64(mean))
}

// clock is the virtual wall clock: no replica's, but the one that they differ from.
func (s *Simulation) clock() pbft.Time { return pbft.Time(1_700_000_000_000_000_000).Add(s.now) }

func (s *Simulation) fail(format string, args ...any) { s.violate(Health, format, args...) }

func (s *Simulation) note(what, text string) { s.trace.event(s.now, what, -1, -1, []byte(text), text) }

// answered tells whether every client has had its last answer.
func (s *Simulation) answered() bool {
	for _, u := range s.clients {
		if !u.done {
			return false
		}
	}
	return true
}

func (s *Simulation) waiting() string {
	text := ""
	for _, u := range s.clients {
		if u.open != nil {
			text += fmt.Sprintf("  client %d waits for %v since %v\n", u.id, u.open.request, u.open.since)
		}
	}
	return text
}

// level tells whether these replicas have all executed what any of them committed.
func (s *Simulation) level(who []pbft.ReplicaID) bool {
	var top pbft.Height
	for _, id := range who {
		if p := s.replicas[id].up; p != nil {
			top = max(top, p.node.Core().Committed())
		}
	}
	for _, id := range who {
		p := s.replicas[id].up
		if p == nil || p.node.Core().ExecutedHeight() < top {
			return false
		}
	}
	return true
}

func (s *Simulation) describe() string {
	text := ""
	for _, m := range s.replicas {
		switch {
		case m.up == nil:
			text += fmt.Sprintf("replica %d is down\n", m.id)
		case !m.honest():
			text += fmt.Sprintf("replica %d is a traitor\n", m.id)
		default:
			h, got, total := m.up.node.Transfer()
			text += fmt.Sprintf("%stransfer:%d %d/%d paused:%t\n", m.up.node.Core().Describe(), h, got, total, m.paused)
		}
	}
	return text
}

// judgeTimeout bounds how long the history of one key is judged, in real time.
const judgeTimeout = 5 * time.Second

func (s *Simulation) finish(real time.Duration) {
	r := &s.report
	r.Real, r.Virtual = real, s.now
	r.Blocks = len(s.judge.agreed)
	r.Trace = s.trace.sum()
	r.Operations, r.Unknown = s.judge.history.Len()
	s.deeds()
	if !s.keyed || len(r.Violations) > 0 {
		return
	}
	switch err := s.judge.history.Check(judgeTimeout); {
	case errors.Is(err, ErrUndecided):
		r.Undecided = true
	case err != nil:
		s.violate(Linearizability, "%v", err)
	}
}
