package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
	"github.com/parley-bft/parley/statemachine"
)

// field is one scene while it is played.
type field struct {
	camp  *camp
	scene scene
	tell  func(string)
	rand  *rand.Rand
	now   time.Time

	sims    [generals]*replica.Sim
	orders  [generals]*order
	letters []letter
	end     outcome
	heard   map[string]bool
	err     error
}

// letter is a message under way.
type letter struct {
	from, to pbft.ReplicaID
	raw      []byte
}

const (
	tick = 10 * time.Millisecond // of block time
	// patience is how many ticks a scene may take, and aftermath how many go on after
	// everybody has obeyed: nobody must change his mind, and proofs get around.
	patience  = 20_000
	aftermath = 100
)

// play plays one scene. The order that a loyal commander gives is to attack.
func (c *camp) play(s scene, seed uint64, tell func(string)) (outcome, error) {
	f := &field{
		camp: c, scene: s, tell: tell, rand: rand.New(rand.NewPCG(seed, 0)), now: time.Unix(1_000_000_000, 0),
		heard: make(map[string]bool),
	}
	for i := range generals {
		if err := f.enter(i); err != nil {
			return outcome{}, err
		}
	}
	deadline := pbft.TimeOf(f.now.Add(time.Minute))
	if s.traitor == c.commander {
		f.say(fmt.Sprintf("%s commands, and is the traitor", names[c.commander]))
	} else {
		f.say(fmt.Sprintf("%s commands and decides to %s", names[c.commander], attack))
	}
	f.sims[c.commander].Offer([]*pbft.Request{c.order(c.commander, attack, deadline)})
	if s.traitor != nobody && s.traitor != c.commander {
		// The lie of the lieutenant: an order in the commander's name.
		forged := c.order(c.commander, retreat, deadline).WithSignature(c.order(s.traitor, retreat, deadline).Signature)
		f.say(fmt.Sprintf("%s, the traitor, forges an order to %s", names[s.traitor], retreat))
		for i := range generals {
			f.carry(letter{pbft.ReplicaID(s.traitor), pbft.ReplicaID(i), pbft.Encode(crypto.FirstEpoch, &pbft.Forward{Requests: []*pbft.Request{forged}})})
		}
	}
	for left := aftermath; left > 0; {
		if f.obeyed() {
			left--
		}
		if f.day(); f.err != nil {
			return f.end, f.err
		}
		if f.now.After(time.Unix(1_000_000_000, 0).Add(patience * tick)) {
			return f.end, fmt.Errorf("%w in time: %v", errBroken, f.end.obeyed)
		}
	}
	for i, sim := range f.sims {
		if i != s.traitor {
			f.end.deposed = max(f.end.deposed, int(sim.Node().Core().View()))
		}
	}
	return f.end, s.judge(&f.end, c.commander, attack)
}

// enter puts general i in the field.
func (f *field) enter(i int) error {
	send := func(to pbft.ReplicaID, raw []byte) { f.carry(letter{pbft.ReplicaID(i), to, raw}) }
	if i == f.scene.traitor {
		send = newTraitor(f.camp, i, f.scene.faces, send).send
	}
	cfg, application := f.camp.general(i, send)
	cfg.Executed = func(b *pbft.Block, _ []statemachine.Reply) { f.executed(i, b) }
	cfg.Evidence = func(e *pbft.Evidence) { f.proven(i, e) }
	cfg.Alarm = func(a pbft.Alarm) {
		if i != f.scene.traitor {
			f.fail(fmt.Errorf("general %s raises the alarm: %s", names[i], a.Reason))
		}
	}
	sim, err := replica.NewSim(cfg)
	if err != nil {
		return err
	}
	f.sims[i], f.orders[i] = sim, application
	sim.Start(pbft.TimeOf(f.now))
	return nil
}

func (f *field) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *field) carry(l letter) {
	if l.from != l.to {
		f.letters = append(f.letters, l)
	}
}

// day delivers all letters, and those that they cause, and lets one tick pass.
func (f *field) day() {
	f.settle()
	for len(f.letters) > 0 && f.err == nil {
		f.deliver()
		f.settle()
	}
	f.now = f.now.Add(tick)
	for _, sim := range f.sims {
		sim.Tick(pbft.TimeOf(f.now))
	}
}

func (f *field) settle() {
	for i, sim := range f.sims {
		sim.Settle()
		if err := sim.Err(); err != nil && i != f.scene.traitor {
			f.fail(fmt.Errorf("general %s: %w", names[i], err))
		}
	}
}

// deliver hands over one letter: of a pair of generals chosen by lot the oldest.
func (f *field) deliver() {
	l := f.letters[f.rand.IntN(len(f.letters))]
	first := slices.IndexFunc(f.letters, func(x letter) bool { return x.from == l.from && x.to == l.to })
	l = f.letters[first]
	f.letters = slices.Delete(f.letters, first, first+1)
	f.tellOf(l)
	f.sims[l.to].Receive(l.from, l.raw)
}

// tellOf tells of the letters that matter: those in which somebody gives an order,
// or passes one on, and the votes of a lieutenant who is the traitor.
func (f *field) tellOf(l letter) {
	_, m, err := pbft.Decode(l.raw)
	if err != nil {
		return
	}
	switch m := m.(type) {
	case *pbft.Vote:
		if int(m.Signer) == f.scene.traitor && f.scene.traitor != f.camp.commander {
			f.say(fmt.Sprintf("%s votes, to each for another block that does not exist", names[m.Signer]))
		}
	case *pbft.PrePrepare:
		if len(m.Requests) == 0 {
			return
		}
		orders := make([]string, len(m.Requests))
		for i, r := range m.Requests {
			orders[i] = string(r.Ops[0])
		}
		text := strings.Join(orders, ", then ")
		if m.Proposer == l.from {
			f.say(fmt.Sprintf("%s to %s: %s!", names[l.from], names[l.to], text))
		} else {
			f.say(fmt.Sprintf("%s to %s: %s says %s", names[l.from], names[l.to], names[m.Proposer], text))
		}
	}
}

// say tells something once.
func (f *field) say(line string) {
	if !f.heard[line] {
		f.heard[line] = true
		f.tell(line)
	}
}

// executed is called when general i has executed a block.
func (f *field) executed(i int, b *pbft.Block) {
	given := f.orders[i].given
	switch before := f.end.obeyed[i]; {
	case i == f.scene.traitor:
	case before != silence && before != given:
		f.fail(fmt.Errorf("general %s has changed his mind from %s to %s", names[i], before, given))
	case before == silence && given != silence:
		f.end.obeyed[i] = given
		f.say(fmt.Sprintf("%s obeys the order of block %d: %s", names[i], b.Height, given))
	}
}

// proven is called when general i holds a proof of somebody's treason.
func (f *field) proven(i int, e *pbft.Evidence) {
	culprit := int(e.Culprit)
	if i == f.scene.traitor {
		return
	}
	f.say(fmt.Sprintf("%s has proof against %s: %v", names[i], names[culprit], e.Offence))
	if !slices.Contains(f.end.proven, culprit) {
		f.end.proven = append(f.end.proven, culprit)
	}
}

// obeyed tells whether every loyal general obeys some order.
func (f *field) obeyed() bool {
	for i, given := range f.end.obeyed {
		if i != f.scene.traitor && given == silence {
			return false
		}
	}
	return true
}
