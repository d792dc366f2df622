package chaos

import (
	"bytes"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// A state that is transferred part by part, with peers that lie about its parts.

var partsScenarios = []Scenario{
	{
		Name: "grovedb-false-parts", Origin: "GroveDB, Polkadot SDK", Bugs: []string{"grovedb #695", "polkadot-sdk #12945"}, Kind: Caught,
		Wrong:   "A malformed chunk was taken off the list of what is missing before it was looked at, so a sync could end without it; an answer that is empty in one place and not in another made the sync panic.",
		Differs: "Each part has the digest that its parent has for it, up to the certified one. What is not right counts as not answered: it is asked of somebody else, and its sender of nothing any more. An answer in another's name counts as none.",
		Rules:   "R22, DESIGN 2.5",
		Mutants: []string{"M38", "M40"},
		play:    playFalseParts,
	},
	{
		Name: "geth-state-before-its-parts", Origin: "go-ethereum", Bugs: []string{"go-ethereum #28587"}, Kind: Caught,
		Wrong:   "A snap sync was taken for complete, and the node executed blocks, while nodes of the tree on the disk were not those of the state.",
		Differs: "Nothing is executed, answered or served from a state before its digest is the certified one, and the snapshot made of it has the certified root. What was begun and not ended, by a crash or because nobody has the parts any more, is no state.",
		Rules:   "R22, R24, DESIGN 2.5",
		Mutants: []string{"M39"},
		play:    func(a *act) { playHalfAState(a); playPartsLost(a) },
	},
	{
		Name: "geth-healing-never-ends", Origin: "go-ethereum", Bugs: []string{"go-ethereum #25865"}, Kind: Caught,
		Wrong:   "The state went on changing while it was healed. Peers had pruned what was asked for, each move to a later state began at the root again, and with slow peers that never ended.",
		Differs: "The state that is asked for is one of a checkpoint, and peers keep the last heights. A peer that is late has another one asked beside it after an eighth of its time, one that keeps silent is asked last; and what came stays.",
		Rules:   "DESIGN 2.5",
		Breaches: []Breach{without("nobody else is asked for what is late", "statemachine/store/descent_peers.go",
			"func (t *try) late() bool { return t.ticks >= lateTicks<<t.slow }\n", "func (t *try) late() bool { return t.ticks >= lateTicks<<t.slow && !ON }\n")},
		play: playLateParts,
	},
	{
		Name: "geth-crafted-state-request", Origin: "go-ethereum", Bugs: []string{"go-ethereum CVE-2021-41173"}, Kind: Caught,
		Wrong:   "A request for nodes of the state tree that no honest node makes crashed whoever was asked.",
		Differs: "A request is decoded strictly, every turn that it takes in the tree is looked at before it is taken, and what it may cost is bounded. What makes no sense is answered with nothing.",
		Rules:   "DESIGN: bounds on everything that a peer sends",
		Breaches: []Breach{without("a request may go on below a leaf", "statemachine/store/sync_serve.go",
			"		if c == nil || c.leaf {\n", "		if c == nil || c.leaf && !ON {\n")},
		play: playCraftedStateRequest,
	},
}

// inParts are options in which a replica that is away for a moment gets its state part by
// part, in more than one request, from peers that have what is above it when it is there.
func inParts(o *Options) {
	bulk(o)
	o.Stored, o.CheckpointEvery, o.Retain = true, 32, 32
}

// first is who is asked for the first part, the root.
const first = pbft.ReplicaID(0)

// transferredInParts demands that a state was installed in this way, and no other.
func transferredInParts(a *act, r *Report) {
	a.holds(r.Transfers > 0 && r.Sometimes[seenParts] > 0, "no state was installed part by part (%d transfers)", r.Transfers)
	a.holds(r.Sometimes[seenPartsFailed] == 0, "a state could not be had part by part")
}

// playFalseParts has a traitor answer for itself, and another one in the name of others.
func playFalseParts(a *act) {
	for _, strategy := range []string{"falseparts", "frameparts"} {
		d := a.direct(func(o *Options) { inParts(o); traitor(first, strategy)(o) })
		x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
		r := d.play()
		lies := d.deeds(first)
		a.occurred(lies > 0 && x.transfer, "%s in a state transfer (%d)", strategy, lies)
		transferredInParts(a, r)
		named := r.Sometimes[seenFalsePart]
		if strategy == "falseparts" {
			a.holds(named > 0, "nobody found the false part")
		} else {
			a.holds(named == 0, "what came in another's name counted (%d times)", named)
		}
		x.returned(a, 1500*time.Millisecond)
		a.fact("%s: %d lies, %d times a liar was named, and the state of other peers installed; level after %v", strategy, lies, named, x.level.Round(time.Millisecond))
	}
}

// playHalfAState crashes a replica that lost its disk while its state is half there,
// several times. All the while a traitor asks it for the state that it is getting.
func playHalfAState(a *act) {
	d := a.direct(func(o *Options) { inParts(o); o.Storm = 2 * time.Second; traitor(first, "mute")(o) })
	const victim = pbft.ReplicaID(3)
	asked, served, crashes, waited := 0, 0, 0, 0
	d.corrupt(first, func(p *puppet) {
		number := uint64(1) << 40
		p.hear = func(from pbft.ReplicaID, m pbft.Message) bool {
			switch m := m.(type) {
			case *pbft.GetState:
				if from == victim {
					asked++
					number++
					p.Transmit(victim, &pbft.GetState{ID: number, Request: m.Request})
				}
			case *pbft.State:
				if from == victim && len(m.Data) > 0 {
					served++
				}
			}
			return true
		}
	})
	d.at(600*time.Millisecond, func() { d.restart(victim, (*member).wipe) })
	d.watch(time.Millisecond, func() {
		p := d.replicas[victim].up
		if p == nil || !p.sim.Waits() {
			waited = 0
			return
		}
		if waited++; waited > 2+crashes && crashes < 3 {
			crashes++
			waited = 0
			d.restart(victim, nil)
		}
	})
	level := time.Duration(0)
	d.watch(5*time.Millisecond, func() {
		if c := d.core(victim); c != nil && crashes > 0 && level == 0 && c.ExecutedHeight() > 0 && c.ExecutedHeight()+d.opts.Window >= d.core(1).ExecutedHeight() {
			level = d.now
		}
	})
	r := d.play()
	a.occurred(crashes == 3 && asked > 3, "crashes while a state is half there (%d, asked for it %d times)", crashes, asked)
	a.holds(served == 0, "a replica serves a state that is half there (%d times)", served)
	transferredInParts(a, r)
	a.holds(level > 0, "replica %d does not come back", victim)
	a.fact("a replica that lost its disk crashed %d times while its state was half there, and was asked for it %d times meanwhile: it served nothing, executed nothing, and was level at %v", crashes, asked, level.Round(time.Millisecond))
	a.fact("%d blocks", r.Blocks)
}

// playPartsLost has a replica that lags get the root of a state, and then nothing more for
// so long that nobody has that state any more.
func playPartsLost(a *act) {
	d := a.direct(func(o *Options) {
		inParts(o)
		o.Clients, o.Think, o.Storm = 4, 20*time.Millisecond, 5*time.Second
	})
	const victim = pbft.ReplicaID(3)
	x := d.away(victim, 300*time.Millisecond, 2300*time.Millisecond)
	came, lost := 0, 0
	d.hold(func(_, to pbft.ReplicaID, m pbft.Message) bool {
		s, ok := m.(*pbft.State)
		if !ok || to != victim || len(s.Data) == 0 {
			return false
		}
		came++
		if came == 1 || d.now > x.back+2*time.Second {
			return false
		}
		lost++
		return true
	})
	r := d.play()
	a.occurred(lost > 2 && r.Sometimes[seenPartsFailed] > 0 && x.lag > d.opts.Window, "a state of which only the root came (%d answers lost, %d blocks behind)", lost, x.lag)
	a.holds(r.Transfers > 0, "no state was installed")
	a.holds(x.level > 0, "replica %d, %d blocks behind, does not come back", victim, x.lag)
	a.fact("of another state the root came and nothing else, %d answers were lost until nobody had it any more: it was given up, nothing was executed on it, and the replica came back by a later state after %v", lost, x.level.Round(time.Millisecond))
}

// playLateParts has one traitor of two answer just in time, and the other keep parts back,
// while clients go on changing the state.
func playLateParts(a *act) {
	d := a.direct(func(o *Options) {
		inParts(o)
		o.Weights, o.Retain, o.Storm = equalWeights(7), 100, 3*time.Second
		traitor(first, "lateparts")(o)
		traitor(first+1, "noparts")(o)
	})
	x := d.away(6, 300*time.Millisecond, 1300*time.Millisecond)
	r := d.play()
	late, none := d.deeds(first), d.deeds(first+1)
	a.occurred(late > 0 && none > 0 && x.transfer, "parts that come late (%d) and not at all (%d) in a state transfer", late, none)
	transferredInParts(a, r)
	x.returned(a, 1200*time.Millisecond)
	a.fact("%d parts came just before the time was over and %d not at all, while the state changed: installed part by part, level after %v", late, none, x.level.Round(time.Millisecond))
}

// playCraftedStateRequest asks for parts of the state that there are not, by requests
// that are well formed to some degree.
func playCraftedStateRequest(a *act) {
	d := a.direct(func(o *Options) { inParts(o); traitor(2, "mute")(o) })
	var model []byte // an honest request, to go by
	sent, answered, number := 0, 0, uint64(1)<<40
	d.corrupt(2, func(p *puppet) {
		p.hear = func(from pbft.ReplicaID, m pbft.Message) bool {
			switch m := m.(type) {
			case *pbft.GetState:
				if from == 3 && len(m.Request) > len(model) {
					model = bytes.Clone(m.Request)
				}
			case *pbft.State:
				if m.ID > 1<<40 {
					answered++
				}
			}
			return true
		}
		p.tick = func() {
			if model == nil {
				return
			}
			for range 4 {
				for to := range pbft.ReplicaID(2) {
					number++
					sent++
					p.Transmit(to, &pbft.GetState{ID: number, Request: p.crafted(model)})
				}
			}
		}
	})
	x := d.away(3, 300*time.Millisecond, 1300*time.Millisecond)
	r := d.play()
	a.occurred(sent > 100 && answered > 0 && x.transfer, "crafted requests for parts of a state (%d, %d answered)", sent, answered)
	transferredInParts(a, r)
	x.returned(a, 1500*time.Millisecond)
	a.fact("%d requests for parts of the state that there are not, %d of them answered and the others more than one peer may ask: nobody stopped, and the replica that needed its state was level after %v", sent, answered, x.level.Round(time.Millisecond))
}

// crafted is an honest request for parts of a state, changed: deeper than the tree is,
// with turns that there are not, cut off, or of any other form.
func (p *Puppet) crafted(model []byte) []byte {
	r := p.Rand
	switch r.IntN(5) {
	case 0:
		return model[:r.IntN(len(model)+1)]
	case 1:
		return append(bytes.Clone(model), p.noise(1+r.IntN(40))...)
	case 2: // another height
		bad := bytes.Clone(model)
		bad[1+r.IntN(8)] ^= 1 << r.IntN(8)
		return bad
	case 3: // one way, far down
		bad := append(bytes.Clone(model[:partsBegin]), 0, 0, 0, 1, byte(r.IntN(2)), byte(1+r.IntN(64)))
		for range bad[len(bad)-1] {
			bad = append(bad, byte(r.IntN(16)))
		}
		return bad
	}
	return p.flipped(model)
}
