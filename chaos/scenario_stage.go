package chaos

import (
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// directed is a simulation in which a scenario decides what arrives, and when.
type directed struct {
	*Simulation
	a *act
}

// quiet are options of a small cluster on a good network without faults. Snapshots
// are frequent, and a view change takes a fraction of a second.
func quiet() Options {
	return Options{
		Seed: 1, Weights: equalWeights(4), Clients: 3, Keys: 3, Think: 20 * time.Millisecond, Retry: 300 * time.Millisecond, Life: 5 * time.Minute,
		Storm: 3 * time.Second, HealAll: true,
		Window: 4, CheckpointEvery: 8, Retain: 8, MaxBlockRequests: 8,
		Timeouts: pbft.Timeouts{Progress: 20, RequestAge: 100, Heartbeat: 10, Idle: 50, Status: 10, Retry: 3, ReceiptDelay: 2},
		Tick:     10 * time.Millisecond, Disk: 100 * time.Microsecond, Apply: 20 * time.Microsecond,
		Network: Network{Delay: time.Millisecond},
	}
}

// direct makes a simulation from quiet options that a scenario has changed.
func (a *act) direct(change func(o *Options)) *directed {
	o := quiet()
	if change != nil {
		change(&o)
	}
	if a.calm {
		o.Network, o.Faults, o.Traitors, o.Strategies, o.BadClients = quiet().Network, Faults{}, nil, nil, nil
		o.Timeouts.RotateEvery = 0
	}
	s, err := NewSimulation(o)
	must(err)
	return &directed{Simulation: s, a: a}
}

// traitor makes a replica a traitor in quiet options. One for a single scenario is made
// with [directed.corrupt], whatever the name of the strategy.
func traitor(id pbft.ReplicaID, strategy string) func(o *Options) {
	return func(o *Options) {
		o.Traitors = append(o.Traitors, id)
		for len(o.Strategies) < len(o.Weights) {
			o.Strategies = append(o.Strategies, "")
		}
		o.Strategies[id] = strategy
	}
}

// puppet is an adversary made for one scenario. What it leaves out it does
// honestly.
type puppet struct {
	honest
	send func(to pbft.ReplicaID, m pbft.Message) bool // false: not this one
	hear func(from pbft.ReplicaID, m pbft.Message) bool
	tick func()
	// silent: it answers no client.
	silent bool
}

func (p *puppet) Reply(_ crypto.PublicKey, r statemachine.Reply) (statemachine.Reply, bool) {
	return r, !p.silent
}

func (p *puppet) Send(to pbft.ReplicaID, m pbft.Message) {
	if p.send == nil || p.send(to, m) {
		p.Transmit(to, m)
	}
}

func (p *puppet) Hear(from pbft.ReplicaID, m pbft.Message) bool {
	return p.hear == nil || p.hear(from, m)
}

func (p *puppet) Tick() {
	if p.tick != nil {
		p.tick()
	}
}

// corrupt gives a traitor its adversary, before anything happens. make gets the
// puppet with nothing overridden.
func (d *directed) corrupt(id pbft.ReplicaID, make func(p *puppet)) {
	if d.a.calm {
		return
	}
	d.after(0, func() {
		t := d.replicas[id].traitor
		p := &puppet{honest: honest{t.Puppet}}
		make(p)
		t.plays = p
	})
}

// hold has f decide about each message until the storm ends: true holds it until
// then.
func (d *directed) hold(f func(from, to pbft.ReplicaID, m pbft.Message) bool) {
	if d.a.calm {
		return
	}
	d.network.plan.decide = func(_ *plan, _ *network, from, to pbft.ReplicaID, m pbft.Message) float64 {
		if f(from, to, m) {
			return float64(d.opts.Storm+time.Hour) / float64(time.Millisecond)
		}
		return 0
	}
}

// watch calls f after every step of virtual time, until the storm ends.
func (d *directed) watch(step time.Duration, f func()) {
	if d.a.calm {
		return
	}
	var again func()
	again = func() {
		if d.storming {
			f()
			d.after(step, again)
		}
	}
	d.after(0, again)
}

// at calls f at a time of the storm.
func (d *directed) at(t time.Duration, f func()) {
	if !d.a.calm {
		d.after(t, f)
	}
}

// core is that of a replica, nil while it is down.
func (d *directed) core(id pbft.ReplicaID) *pbft.Core {
	if p := d.replicas[id].up; p != nil {
		return p.node.Core()
	}
	return nil
}

// verdict is what a replica's own verifier says to a message.
func (d *directed) verdict(at, from pbft.ReplicaID, m pbft.Message) pbft.Drop {
	_, why := d.replicas[at].up.verifier.Verify(from, m)
	return why
}

// dropped is how many messages a replica's verification has refused in this life.
func (d *directed) dropped(at pbft.ReplicaID) uint64 {
	if p := d.replicas[at].up; p != nil {
		st := p.sim.Stats()
		return st.Dropped + st.Malformed + st.WrongEpoch
	}
	return 0
}

// isolate cuts all links of a replica until the returned function is called.
func (d *directed) isolate(id pbft.ReplicaID) (heal func()) {
	cut := func(n int) {
		d.network.eachLink(func(from, to pbft.ReplicaID) bool { return from == id || to == id }, func(_, _ pbft.ReplicaID, l *link) { l.cut += n })
	}
	cut(1)
	return func() { cut(-1) }
}

// restart crashes a replica, lets f look at its disk, and starts it again.
func (d *directed) restart(id pbft.ReplicaID, f func(m *member)) {
	m := d.replicas[id]
	m.crash()
	if f != nil {
		f(m)
	}
	d.after(20*time.Millisecond, func() {
		if m.up == nil {
			m.boot()
		}
	})
}

// play runs the simulation to its end and takes over what the judge says.
func (d *directed) play() *Report {
	r := d.Run()
	d.a.judged(r)
	return r
}

// deeds is how often a traitor has done something that no honest replica does.
func (d *directed) deeds(id pbft.ReplicaID) int {
	if t := d.replicas[id].traitor; t != nil {
		return t.Deeds()
	}
	return 0
}

// viewOf is the view that a message speaks of, if it does.
func viewOf(m pbft.Message) (v pbft.View, ok bool) {
	switch m := m.(type) {
	case *pbft.PrePrepare:
		return m.View, true
	case *pbft.Vote:
		return m.View, true
	case *pbft.Certificate:
		return m.View, true
	case *pbft.ViewChange:
		return m.View, true
	case *pbft.NewView:
		return m.View, true
	case *pbft.Status:
		return m.View, true
	case *pbft.Heartbeat:
		return m.View, true
	}
	return 0, false
}
