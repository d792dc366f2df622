package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
)

// stage is the simulation as a traitor sees it.
type stage struct{ m *member }

var _ PuppetHost = stage{}

func (h stage) Now() time.Duration { return h.m.s.now }

func (h stage) Clock() pbft.Time { return h.m.clock() }

func (h stage) After(d time.Duration, do func()) { h.m.s.after(d, do) }

func (h stage) Transmit(to pbft.ReplicaID, m pbft.Message, raw []byte) {
	if h.m.up == nil || h.m.paused {
		return
	}
	if m != nil {
		h.m.s.judge.watch.learn(m)
	}
	h.m.s.network.send(h.m.id, to, raw)
}

func (h stage) Node() *replica.Node {
	if h.m.up == nil {
		return nil
	}
	return h.m.up.node
}

// corrupt gives a member's node to the adversary that it plays, at its first
// start.
func (m *member) corrupt(p *process, core pbft.Config, verifier *pbft.Verifier) {
	if m.plays == "" || m.traitor != nil {
		return
	}
	o := &m.s.opts
	cfg := PuppetConfig{
		Core: core, Schedule: m.s.schedule, Verifier: verifier, Keys: p.keys, Tick: o.Tick,
		StatePatience: o.ticks(statePatience), Machine: m.s.machine, Limits: limits(), Seed: o.Seed, Coalition: m.s.coalition, Host: stage{m},
	}
	if m.s.onDisk() {
		cfg.MachineOn = m.s.machineOn
	}
	t, err := NewTraitor(m.plays, cfg)
	must(err)
	m.traitor = t
}

// Traitors returns the traitors of a simulation that has begun, by their replica.
func (s *Simulation) Traitors() []*Traitor {
	var ts []*Traitor
	for _, m := range s.replicas {
		if m.traitor != nil {
			ts = append(ts, m.traitor)
		}
	}
	return ts
}
