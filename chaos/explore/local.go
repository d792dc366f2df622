package explore

import (
	"fmt"

	"github.com/parley-bft/parley/pbft"
)

// role is what honest replicas share that may be exchanged: the table of local states.
// A primary of a view in question has a role of its own.
type role struct {
	w      *world
	id     pbft.ReplicaID // whose name the cores bear
	locals []*local
	known  map[fingerprint]int32
	sets   map[string]int32 // sets of facts sent, numbered

	spare   *node // a node in local state spareOf, or nil
	spareOf int32
}

// local is a local state: the first list of inputs that was found to lead to it, what
// others can see of it, and where further inputs lead.
type local struct {
	from  int32 // the local state before the last input; -1: none
	input int32

	view    pbft.View
	entered bool
	open    bool
	crashes int
	sent    set
	sentID  int32
	chain   []*block
	want    *block // asked for
	holds   uint64 // blocks on its disk
	shows   []int  // votes whose certificates it passes on to whoever lacks them
	waits   bool   // a primary that waits for claims
	bad     string

	known set     // facts whose arrival was tried
	moves []move  // where those lead that change something
	other []other // where other inputs lead
}

type move struct {
	fact     int32
	input    int32
	to       int32
	tearable bool // a proposal leaves before its records are synced
}

type other struct {
	input    int32
	to       int32 // none: nothing changes
	tearable bool
}

const none = -1

func newRole(w *world, id pbft.ReplicaID) *role {
	return &role{w: w, id: id, known: map[fingerprint]int32{}, sets: map[string]int32{}}
}

// first makes the local state of a replica that has just started.
func (r *role) first() { r.take(newNode(r.w, r.id), none, none) }

// build makes the node of a local state anew, from its inputs.
func (r *role) build(l int32) *node {
	var path []int32
	for at := l; r.locals[at].from != none; at = r.locals[at].from {
		path = append(path, r.locals[at].input)
	}
	n := newNode(r.w, r.id)
	for i := len(path) - 1; i >= 0; i-- {
		n.apply(&r.w.inputs[path[i]])
	}
	return n
}

// follow returns where an input leads from a local state, or none if nothing changes.
// It is what every transition of the search is made of.
func (r *role) follow(from int32, in int32) int32 {
	l := r.locals[from]
	for _, o := range l.other {
		if o.input == in {
			return o.to
		}
	}
	to, tearable := r.try(from, in)
	l.other = append(l.other, other{in, to, tearable})
	return to
}

// learn tries the arrival of a fact, once.
func (r *role) learn(from int32, f int) {
	l := r.locals[from]
	l.known.add(f)
	in := r.w.input(input{kind: arrives, fact: f})
	if to, tearable := r.try(from, in); to != none {
		l.moves = append(l.moves, move{int32(f), in, to, tearable})
	}
}

// try lets an input happen to a real core.
func (r *role) try(from, in int32) (to int32, tearable bool) {
	if r.locals[from].bad != "" {
		return none, false
	}
	n := r.spare
	if n == nil || r.spareOf != from {
		n = r.build(from)
	}
	r.spare = nil
	n.apply(&r.w.inputs[in])
	r.w.tried++
	if n.bad == "" {
		n.equivocates()
	}
	if n.bad == "" {
		r.compare(r.locals[from], n)
	}
	if r.held(from, n, &r.w.inputs[in]) {
		return none, false
	}
	if to = r.take(n, from, in); to == from {
		to = none
		r.spare, r.spareOf = n, from // it has not become another
	}
	return to, n.proposes
}

// held tells whether an input is a proposal that came too early and was only put aside.
// It may as well arrive later.
func (r *role) held(from int32, n *node, in *input) bool {
	return n.bad == "" && !r.w.cfg.Early && in.kind == arrives && r.w.facts[in.fact].kind == proposed &&
		string(n.sent.key(nil)) == string(r.locals[from].sent.key(nil))
}

// compare checks that nothing goes back.
func (r *role) compare(before *local, n *node) {
	if n.core.View() < before.view {
		n.offends("replica %d goes back from view %d to %d", n.id, before.view, n.core.View())
	}
	if len(n.chain) < len(before.chain) || int(n.core.Committed()) != len(n.chain) {
		n.offends("replica %d goes back from height %d to %d", n.id, len(before.chain), n.core.Committed())
	}
}

// take finds the local state of a node, or makes it.
func (r *role) take(n *node, from, in int32) int32 {
	var fp fingerprint
	if n.bad == "" {
		fp = n.fingerprintOf()
	} else {
		copy(fp[:], fmt.Sprintf("bad %d", len(r.locals)))
	}
	if l, ok := r.known[fp]; ok {
		return l
	}
	l := &local{from: from, input: in, sent: n.sent, chain: n.chain, crashes: n.crashes, bad: n.bad}
	if n.core != nil && n.bad == "" {
		l.view, l.entered, l.open = n.core.View(), n.core.Entered(), n.core.Open()
		l.want, l.shows = n.wanted(), n.shown()
		l.waits = !l.entered && r.w.primary(l.view) == r.id
	}
	for _, b := range r.w.blocks {
		if _, ok := n.log[pbft.RecordKey{Kind: pbft.RecordBlock, Height: uint64(b.proposal.Height), Digest: b.proposal.Digest()}]; ok {
			l.holds |= 1 << b.index
		}
	}
	k := string(l.sent.key(nil))
	id, ok := r.sets[k]
	if !ok {
		id = int32(len(r.sets))
		r.sets[k] = id
	}
	l.sentID = id
	r.locals = append(r.locals, l)
	r.known[fp] = int32(len(r.locals) - 1)
	return int32(len(r.locals) - 1)
}

// input numbers an input.
func (w *world) input(in input) int32 {
	key := fmt.Sprint(in.kind, in.fact, in.theirs, in.claims)
	if i, ok := w.inputOf[key]; ok {
		return i
	}
	w.inputs = append(w.inputs, in)
	w.inputOf[key] = int32(len(w.inputs) - 1)
	return int32(len(w.inputs) - 1)
}
