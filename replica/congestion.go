package replica

import (
	"time"

	"github.com/parley-bft/parley/pbft"
)

// congestion watches how long the blocks of this replica take while it is the primary,
// from the proposal to the execution. When that is much longer than it has to be, the
// cluster is given more than it can do, and its clients must share (pbft.Core.SetCongested).
//
// How long it has to be is the least that was seen, which the blocks of a quiet moment
// show, for instance the empty ones that receipts ask for. It is forgotten by and by:
// half of it in an hour, since disks and networks change.
type congestion struct {
	pending []proposedAt // ascending
	seen    pbft.Height  // all up to here were noted
	least   time.Duration
	usual   time.Duration
	last    time.Time // of the last block that was executed
	now     bool
}

type proposedAt struct {
	height pbft.Height
	at     time.Time
}

const (
	// congestedFrom and congestedUntil are how many times longer than the least.
	congestedFrom  = 3
	congestedUntil = 2
	// forgetsIn is when the least that was seen counts twice as much.
	forgetsIn = time.Hour
)

// note takes in where the node stands now.
func (g *congestion) note(now time.Time, primary bool, tip, executed pbft.Height) {
	if !primary {
		// What it measured says nothing of another's blocks, nor of its own in a later reign.
		g.now, g.usual = false, g.least
		g.pending, g.seen = g.pending[:0], tip
		return
	}
	for h := max(g.seen, executed) + 1; h <= tip; h++ {
		g.pending = append(g.pending, proposedAt{h, now})
	}
	g.seen = max(g.seen, tip)
	done := 0
	for done < len(g.pending) && g.pending[done].height <= executed {
		g.took(now, now.Sub(g.pending[done].at))
		done++
	}
	g.pending = g.pending[:copy(g.pending, g.pending[done:])]
}

func (g *congestion) took(now time.Time, d time.Duration) {
	if g.least > 0 {
		quiet := min(now.Sub(g.last), forgetsIn)
		g.least += time.Duration(float64(g.least) * float64(quiet) / float64(forgetsIn))
	}
	g.last = now
	if g.least == 0 || d < g.least {
		g.least = max(d, 1)
	}
	g.usual += (d - g.usual) / 8
	switch {
	case g.usual > congestedFrom*g.least:
		g.now = true
	case g.usual < congestedUntil*g.least:
		g.now = false
	}
}
