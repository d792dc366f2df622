package replica

import (
	"slices"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// gather decides for how long a primary with nothing in flight waits before it cuts the
// next block.
//
// Clients that wait for an answer before they ask again fall into two groups otherwise:
// while the block of one is in flight the operations of the other arrive, and are
// proposed in the very moment in which the first group is answered and is about to ask
// again. Every block then has half of the operations that it could have, and one of few
// costs nearly as much as one of many. So the primary pauses after a commit, until as
// many operations wait as there were lately, in flight and waiting together: no longer
// than two blocks take, and only if those that are missing usually come within that time.
// (What a block of all saves is one of two blocks, and each costs about the same.)
// That shows only while it is tried, which is done now and then.
//
// It belongs to the protocol goroutine and is told the time.
type gather struct {
	fresh int // operations of blocks that were committed since the last step

	// How long a block takes, on average, and the one that is being timed.
	took  time.Duration
	timed pbft.Height // 0: none
	began time.Time

	// totals are how many operations there were, answered then and waiting, at the last
	// commits; next is the place of the next.
	totals [gatherTotals]int
	next   int

	// The pause after a commit, if there is one: how many waited when it began, how many
	// are to, how many did when that was last seen, and when it is over (zero: none).
	from, want, have int
	until            time.Time

	// on: there are pauses, since they pay or that is to be found out. The sums are over
	// the pauses since then, older ones counting less: what was missing and what of it came.
	on                  bool
	pauses              int
	sumMissing, sumCame float64
	// rest are the blocks until it is tried again, and restNext those of the time after.
	rest, restNext int

	holds    bool // the core was told to gather
	counters gatherCounters
}

// gatherCounters count the pauses in which something waited.
type gatherCounters struct {
	filled uint64 // what was missing came
	vain   uint64 // it did not
}

const (
	gatherTotals = 8
	// A pause is no longer than so many blocks take, within limits. Where clients have
	// connections of their own, their answers and their next operations take as long as a
	// block does.
	gatherBlocks = 2
	gatherMin    = 200 * time.Microsecond
	gatherMax    = 10 * time.Millisecond
	// gatherWorth is the share of what is missing that must come within the pause. Of
	// operations that come at their own pace it is two thirds, or less: those of the pause,
	// where those of a block more are missing.
	gatherWorth = 0.8
	// gatherTrial is after how many pauses it is judged whether they pay.
	gatherTrial = 2 * gatherTotals
	// gatherFade is by how much the pauses before count less with each new one.
	gatherFade = 1 - 1.0/gatherTotals
	// gatherRestMin is for how many blocks there are no pauses after they did not pay; each
	// time in a row twice as many.
	gatherRestMin = 128
	gatherRestMax = 2048
	// gatherPart of what there is to gather is not waited for.
	gatherPart = 32
)

// gatherView is what gather wants to know of the core.
type gatherView struct {
	tip, committed pbft.Height
	waiting        int // operations in the pool
}

func (v *gatherView) inFlight() bool { return v.tip > v.committed }

// committed takes a block whose clients are about to be answered.
func (g *gather) committed(b *pbft.Block) {
	for _, r := range b.Requests {
		g.fresh += len(r.Ops)
	}
}

// step takes in where the primary stands after the events up to now. It tells whether
// blocks that are not full are to be held back.
func (g *gather) step(now time.Time, at gatherView) (hold bool) {
	g.time(now, at)
	if g.pausing() {
		late := !now.Before(g.until)
		if !late {
			g.have = at.waiting
		}
		if late || g.have >= g.want || at.inFlight() {
			g.settle(at)
		}
	}
	if g.fresh > 0 {
		g.answered(now, at)
	}
	return g.on && (at.inFlight() || g.pausing())
}

func (g *gather) pausing() bool { return !g.until.IsZero() }

// answered takes in a commit. It begins a pause, if there is to be one.
func (g *gather) answered(now time.Time, at gatherView) {
	g.totals[g.next] = g.fresh + at.waiting
	g.next = (g.next + 1) % gatherTotals
	g.fresh = 0
	if !g.on {
		if g.rest--; g.rest <= 0 {
			// What comes during the next block is held until that is committed.
			g.on, g.pauses, g.sumMissing, g.sumCame = true, 0, 0, 0
		}
		return
	}
	if at.inFlight() || g.pausing() {
		return
	}
	// Not the highest: clients leave, and an answer of others may be followed by the next
	// operation before the block commits here, so that both were counted.
	totals := g.totals
	slices.Sort(totals[:])
	g.want = totals[gatherTotals/4] - totals[gatherTotals/4]/gatherPart
	if g.from, g.have = at.waiting, at.waiting; g.have < g.want {
		g.until = now.Add(min(max(gatherBlocks*g.took, gatherMin), gatherMax))
	}
}

// settle ends the pause, and judges whether pauses pay.
func (g *gather) settle(at gatherView) {
	g.until = time.Time{}
	if at.inFlight() {
		return // so much came that a full block was cut
	}
	switch {
	case g.have >= g.want:
		g.counters.filled++
	case g.have > 0:
		g.counters.vain++
	}
	if g.pauses++; g.pauses <= gatherTotals {
		return // what they were to bring is of the time before
	}
	g.sumMissing = g.sumMissing*gatherFade + float64(g.want-g.from)
	g.sumCame = g.sumCame*gatherFade + float64(max(0, min(g.have, g.want)-g.from))
	if g.pauses < gatherTrial {
		return
	}
	if g.sumCame >= gatherWorth*g.sumMissing {
		g.restNext = gatherRestMin
		return
	}
	g.on, g.rest = false, max(g.restNext, gatherRestMin)
	g.restNext = min(2*g.rest, gatherRestMax)
}

// time measures how long blocks take, one at a time.
func (g *gather) time(now time.Time, at gatherView) {
	if g.timed > 0 && at.committed >= g.timed {
		g.took += (now.Sub(g.began) - g.took) / 8
		g.timed = 0
	}
	if g.timed == 0 && at.inFlight() {
		g.timed, g.began = at.tip, now
	}
}

// gatherMore lets the core wait for company for what it has, or ends that. It returns
// for how long at most the loop may sleep, 0 if for any time.
func (s *Server) gatherMore(now time.Time) time.Duration {
	g, c := &s.gather, s.node.Core()
	if c.Primary() != s.self {
		*g = gather{counters: g.counters}
		return 0
	}
	for _, b := range s.node.committing() {
		g.committed(b)
	}
	at := gatherView{c.Tip().Height, c.Committed(), c.Waiting()}
	hold := g.step(now, at)
	switch {
	case hold:
		s.node.Gather()
	case g.holds:
		s.node.Cut()
	}
	g.holds = hold
	if hold && g.pausing() && at.waiting > 0 {
		return max(g.until.Sub(now), 1)
	}
	return 0
}
