package explore

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/parley-bft/parley/pbft"
)

// input is something that happens to one honest replica.
type input struct {
	kind   inputKind
	fact   int   // arrives
	claims []int // claims: facts, those of the honest
	theirs int   // claims: the fact that the traitors claim, or -1

}

type inputKind uint8

const (
	requests inputKind = iota // the clients' requests reach the first primary
	arrives                   // a proposal, certificate or NewView
	torn                      // the same, and a crash when a proposal has left and its records have not reached the disk
	leaves                    // a quorum is seen to suspect, or the view change takes too long
	claims                    // ViewChanges that make a quorum, at the primary of the view
	fetched                   // the blocks that the replica asked for
	crashes                   // crash and restart
)

// node is one honest replica: a real core with its log. It is built from its inputs,
// asked what it became, and thrown away.
type node struct {
	w    *world
	id   pbft.ReplicaID
	core *pbft.Core
	log  map[pbft.RecordKey][]byte

	sent     set      // facts
	chain    []*block // executed
	crashes  int
	proposes bool // the last input made it send a proposal before its records were synced
	tearing  bool // crash as soon as that happens
	bad      string
}

// offends notes what an honest replica must not sign. The first is kept.
func (n *node) offends(format string, args ...any) {
	if !n.w.cfg.AgreementOnly {
		n.failf(format, args...)
	}
}

// failf notes what must not happen. The first is kept.
func (n *node) failf(format string, args ...any) {
	if n.bad == "" {
		n.bad = fmt.Sprintf(format, args...)
	}
}

// newNode starts a replica for the first time.
func newNode(w *world, id pbft.ReplicaID) *node {
	n := &node{w: w, id: id, log: map[pbft.RecordKey][]byte{}}
	n.guard(func() {
		n.start(0)
		if w.cfg.Crashes == 0 || w.primary(0) != id {
			n.submit()
		}
		n.settle()
	})
	return n
}

// guard turns a panic of the core, which is a bug of it, into a violation.
func (n *node) guard(f func()) {
	defer func() {
		if p := recover(); p != nil {
			n.failf("replica %d panics: %v", n.id, p)
		}
	}()
	f()
}

func (n *node) start(executed pbft.Height) {
	cfg := n.w.coreConfig(n.id)
	cfg.Executed = executed
	cfg.Admissible = func(r *pbft.Request) bool {
		return !slices.ContainsFunc(n.chain, func(b *block) bool { return slices.ContainsFunc(b.proposal.Requests, same(r)) })
	}
	cfg.CheckCertificate = n.w.verify[n.id].CheckCertificate
	core, err := pbft.New(cfg, func(yield func(pbft.Record) bool) {
		for _, r := range n.records() {
			if !yield(r) {
				return
			}
		}
	})
	if err != nil {
		n.failf("replica %d does not start: %v", n.id, err)
		return
	}
	n.core = core
	var out pbft.Output
	n.core.Recover(&out)
	n.perform(&out)
}

func same(r *pbft.Request) func(*pbft.Request) bool {
	return func(o *pbft.Request) bool { return o.Digest() == r.Digest() }
}

// records are the log in the order of the keys.
func (n *node) records() []pbft.Record {
	all := make([]pbft.Record, 0, len(n.log))
	for k, v := range n.log {
		all = append(all, pbft.Record{Key: k, Value: v})
	}
	slices.SortFunc(all, func(a, b pbft.Record) int { return bytes.Compare(a.Key.Append(nil), b.Key.Append(nil)) })
	return all
}

// submit gives the replica the requests that it has not executed, like clients do.
func (n *node) submit() {
	for _, r := range n.w.requests {
		var out pbft.Output
		n.core.Submit(r, &out)
		if n.perform(&out); n.bad != "" {
			return
		}
	}
}

// apply lets an input happen.
func (n *node) apply(in *input) {
	n.guard(func() {
		n.proposes, n.tearing = false, in.kind == torn
		switch in.kind {
		case requests:
			n.submit()
		case arrives, torn:
			n.arrive(in.fact)
		case leaves:
			n.leave()
		case claims:
			n.hearClaims(in)
		case fetched:
			n.fetch()
		case crashes:
			n.restart()
		}
		n.tearing = false
		n.settle()
	})
}

func (n *node) step(v pbft.Verified) {
	var out pbft.Output
	n.core.Step(v, &out)
	n.perform(&out)
}

func (n *node) arrive(f int) {
	if v, why := n.w.arrival(f); why == pbft.NoDrop {
		n.step(v)
	}
}

// leave shows the replica what a quorum suspects, or that a quorum is in its view or
// above and nothing comes of it.
func (n *node) leave() {
	view, open := n.core.View(), n.core.Open()
	weight := n.w.quorums.Weight(n.id)
	for k := 0; weight < n.w.quorums.QuorumWeight() && k < n.w.n-1; k++ {
		from := n.w.other(n.id, k)
		weight += n.w.quorums.Weight(from)
		v, why := n.w.verify[n.id].Verify(from, &pbft.Status{View: view, Entered: true, Open: true, Suspect: open, Tip: n.w.start.Ref(), Incarnation: 1})
		if why == pbft.NoDrop {
			n.step(v)
		}
	}
	if !open {
		n.core.SetProgressTimeout(1)
		for k := 0; k < 64 && n.core.View() == view; k++ {
			n.tick()
		}
		n.core.SetProgressTimeout(never)
	}
}

// hearClaims delivers ViewChanges: of the traitors first, so that a forged one is the
// first that the primary looks at.
func (n *node) hearClaims(in *input) {
	k := 0
	next := func(traitor bool) (pbft.ReplicaID, bool) {
		for ; k < n.w.n; k++ {
			if id := pbft.ReplicaID(k); id != n.id && n.w.traitor[id] == traitor {
				k++
				return id, true
			}
		}
		return 0, false
	}
	if in.theirs >= 0 {
		for id, ok := next(true); ok; id, ok = next(true) {
			n.hear(id, in.theirs)
		}
	}
	k = 0
	for _, f := range in.claims {
		if id, ok := next(false); ok {
			n.hear(id, f)
		}
	}
}

func (n *node) hear(from pbft.ReplicaID, f int) {
	if v, why := n.w.verify[n.id].Verify(from, n.w.viewChange(n.w.facts[f].claim, from)); why == pbft.NoDrop {
		n.step(v)
	}
}

// fetch answers what the replica asked for.
func (n *node) fetch() {
	b := n.wanted()
	if b == nil {
		return
	}
	m := &pbft.Blocks{}
	for ; b != nil && b.proposal.Height > n.core.Committed(); b = b.parent {
		m.Blocks = append(m.Blocks, b.proposal)
	}
	slices.Reverse(m.Blocks)
	if v, why := n.w.verify[n.id].Verify(n.w.other(n.id, 0), m); why == pbft.NoDrop {
		n.step(v)
	}
}

// restart is a crash, after which only what is on disk is left, and a new start.
func (n *node) restart() {
	n.crashes++
	switch n.w.cfg.flaw {
	case forgetsVote:
		delete(n.log, pbft.RecordKey{Kind: pbft.RecordState})
	case forgetsHigh:
		delete(n.log, pbft.RecordKey{Kind: pbft.RecordHigh})
	}
	n.start(pbft.Height(len(n.chain)))
	if n.bad == "" {
		n.submit()
	}
}

func (n *node) tick() {
	var out pbft.Output
	n.core.Tick(clock, &out)
	n.perform(&out)
}

// settle lets pass the time that repeats a ViewChange, in case there is more to claim,
// and suspects the primary if there is anything to suspect it for.
func (n *node) settle() {
	if n.bad != "" {
		return
	}
	if view := n.core.View(); !n.core.Entered() {
		for range 5 {
			n.tick()
		}
	} else if n.core.Open() && view < n.w.cfg.lastView() && !n.sent.has(n.w.suspectedFact(view)) {
		n.core.SetProgressTimeout(1)
		for k := 0; k < 32 && !n.core.Suspecting(); k++ {
			n.tick()
		}
		n.core.SetProgressTimeout(never)
	}
}
