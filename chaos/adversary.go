package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// Adversary sits between the honest node of a traitor and the world. What the
// node sends, hears and answers goes through it, and it may send whatever its own
// keys can sign. All calls come from one goroutine.
type Adversary interface {
	// Send gets what the honest node would send to one recipient, signed. Nothing is
	// sent unless the adversary calls [Puppet.Transmit].
	Send(to pbft.ReplicaID, m pbft.Message)
	// Hear gets a message that arrived, before it is verified. If it returns false
	// the honest node does not get to see it.
	Hear(from pbft.ReplicaID, m pbft.Message) bool
	// Request gets a client's request; if it returns false the node does not get to
	// see it.
	Request(r *pbft.Request) bool
	// Reply gets what the honest node would answer a client; false answers nothing.
	Reply(client crypto.PublicKey, r statemachine.Reply) (statemachine.Reply, bool)
	// Tick is called once in a tick of the host.
	Tick()
}

// ErrStrategy is wrapped by the error of [NewTraitor] for a name that no
// [Strategy] has.
var ErrStrategy = errors.New("unknown strategy")

// Strategy is a way to misbehave.
type Strategy struct {
	// Name is what Options.Strategies call it.
	Name string
	// Catalogue are the entries of the fault catalogue that it plays: B1 to B24 for
	// the strategies, P, V, C, T and K for single attacks.
	Catalogue string
	// Doc says in a line what it does.
	Doc string
	// make gives a new adversary its puppet.
	make func(p *Puppet) Adversary
}

// PuppetHost is where a traitor lives: a simulation or a real process. It is
// called by the goroutine that calls the [Traitor].
type PuppetHost interface {
	// Now is the time since the beginning, Clock the replica's wall clock.
	Now() time.Duration
	Clock() pbft.Time
	// After calls do later, also if the node is down then.
	After(d time.Duration, do func())
	// Transmit sends to one peer. raw is the encoding of m, which the traitor's keys
	// have signed; m is nil for bytes that are no message. While the replica is down
	// nothing is sent.
	Transmit(to pbft.ReplicaID, m pbft.Message, raw []byte)
	// Node is the honest node, for reading; nil while it is down.
	Node() *replica.Node
}

// PuppetConfig is what a traitor is made of: what its replica is made of, and no
// key but its own.
type PuppetConfig struct {
	// Core is as the honest node's; what belongs to one of its lives is not used.
	Core     pbft.Config
	Schedule pbft.Schedule
	Verifier *pbft.Verifier
	Keys     pbft.Keys
	// Tick is the unit of Core.Timeouts.
	Tick time.Duration
	// StatePatience is how long a replica waits for a part of an application's state; 0 is
	// what a server does.
	StatePatience time.Duration
	// Machine makes the application, Limits are those of its execution; for a
	// strategy that runs a second replica.
	Machine func() statemachine.StateMachine
	// MachineOn, if not nil, makes it on a disk, with the state that is there: so do the others.
	MachineOn func(disk *store.MemoryDisk) (statemachine.StateMachine, error)
	Limits    statemachine.Limits
	// Seed decides what the traitor draws.
	Seed uint64
	// Coalition is shared by traitors that act together; nil for one that acts alone.
	Coalition *Coalition
	Host      PuppetHost
}

// Puppet is what an adversary has at hand.
type Puppet struct {
	PuppetConfig
	Self pbft.ReplicaID
	// Rand is the adversary's own randomness.
	Rand *rand.Rand
	// Strategy is what it plays.
	Strategy string
	deeds    map[string]int
	total    int
}

// Traitor is an adversary with its puppet, as a host drives it. It outlives the
// crashes of its node.
type Traitor struct {
	*Puppet
	plays Adversary
	last  pbft.Message // that was to be sent
}

var _ Adversary = (*Traitor)(nil)

// NewTraitor makes a traitor that plays the strategy of a name. Errors:
// ErrStrategy.
func NewTraitor(strategy string, cfg PuppetConfig) (*Traitor, error) {
	st, ok := StrategyNamed(strategy)
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrStrategy, strategy)
	}
	if cfg.Coalition == nil {
		cfg.Coalition = NewCoalition()
	}
	p := &Puppet{
		PuppetConfig: cfg, Self: cfg.Keys.Self, Strategy: strategy, deeds: map[string]int{},
		Rand: rand.New(rand.NewPCG(cfg.Seed, 100+uint64(cfg.Keys.Self))),
	}
	cfg.Coalition.join(p)
	return &Traitor{Puppet: p, plays: st.make(p)}, nil
}

// StrategyNamed returns the strategy of a name.
func StrategyNamed(name string) (Strategy, bool) {
	for _, s := range Strategies() {
		if s.Name == name {
			return s, true
		}
	}
	return Strategy{}, false
}

// Send implements Adversary.
func (t *Traitor) Send(to pbft.ReplicaID, m pbft.Message) {
	if m != t.last { // and not the same to the next recipient
		t.last = m
		t.Coalition.lore.learn(m)
	}
	t.plays.Send(to, m)
}

// Hear implements Adversary.
func (t *Traitor) Hear(from pbft.ReplicaID, m pbft.Message) bool {
	t.Coalition.lore.learn(m)
	return t.plays.Hear(from, m)
}

// Request implements Adversary.
func (t *Traitor) Request(r *pbft.Request) bool {
	t.Coalition.lore.heardRequests([]*pbft.Request{r})
	return t.plays.Request(r)
}

// Reply implements Adversary.
func (t *Traitor) Reply(client crypto.PublicKey, r statemachine.Reply) (statemachine.Reply, bool) {
	return t.plays.Reply(client, r)
}

// Tick implements Adversary.
func (t *Traitor) Tick() { t.plays.Tick() }

// Transmit signs what the puppet's own keys can sign, and sends it to a peer.
func (p *Puppet) Transmit(to pbft.ReplicaID, m pbft.Message) {
	if to == p.Self {
		return
	}
	m = pbft.Sign(p.Core.Cluster, p.Core.Epoch, m, p.Keys)
	switch m.(type) {
	case *pbft.PrePrepare, *pbft.NewView:
		p.Coalition.lore.learn(m)
	}
	p.Host.Transmit(to, m, pbft.Encode(p.Core.Epoch, m))
}

// TransmitRaw sends bytes to a peer.
func (p *Puppet) TransmitRaw(to pbft.ReplicaID, raw []byte) {
	if to != p.Self {
		p.Host.Transmit(to, nil, raw)
	}
}

// Broadcast transmits to all peers.
func (p *Puppet) Broadcast(m pbft.Message) {
	for i := range p.Core.Quorums.N() {
		p.Transmit(pbft.ReplicaID(i), m)
	}
}

// core is the honest node's core, nil while it is down.
func (p *Puppet) core() *pbft.Core {
	if n := p.Host.Node(); n != nil {
		return n.Core()
	}
	return nil
}

// view is the honest node's, 0 while it is down.
func (p *Puppet) view() pbft.View {
	if c := p.core(); c != nil {
		return c.View()
	}
	return 0
}

// did counts a deed: something that an honest replica would not have done.
func (p *Puppet) did(what string) {
	p.deeds[what]++
	p.total++
}

// Deeds is how often the traitor did what an honest replica would not have done.
func (p *Puppet) Deeds() int { return p.total }

// DeedsOf is the same for one kind of deed.
func (p *Puppet) DeedsOf(what string) int { return p.deeds[what] }

// EachDeed calls f for every kind of deed, in no particular order.
func (p *Puppet) EachDeed(f func(what string, times int)) {
	for what, n := range p.deeds {
		f(what, n)
	}
}

// honest passes everything on. Strategies embed it and override what they do
// differently.
type honest struct{ *Puppet }

func (h honest) Send(to pbft.ReplicaID, m pbft.Message) { h.Transmit(to, m) }

func (honest) Hear(pbft.ReplicaID, pbft.Message) bool { return true }

func (honest) Request(*pbft.Request) bool { return true }

func (honest) Reply(_ crypto.PublicKey, r statemachine.Reply) (statemachine.Reply, bool) {
	return r, true
}

func (honest) Tick() {}
