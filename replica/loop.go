package replica

import (
	"time"

	"github.com/parley-bft/parley/pbft"
)

// loop is the protocol goroutine: all that is queued and the ticks that are due,
// then their effects.
func (s *Server) loop() {
	defer close(s.loopDone)
	pace := newPacer(s.cfg.Tick, s.cfg.Timeouts)
	ticker := time.NewTicker(s.cfg.Tick)
	defer ticker.Stop()
	cut := time.NewTimer(0)
	defer cut.Stop()
	var events []func(*Node)
	for ok := true; ok; {
		var rang time.Time
		select {
		case <-s.events.ready:
		case rang = <-ticker.C:
		case <-cut.C:
		}
		due := pace.due(time.Now(), rang)
		if pace.slow {
			s.tick(due) // they are of the time before these events
		}
		events, ok = s.events.tryAll(events)
		for _, event := range events {
			event(s.node)
		}
		if !pace.slow {
			// Last: what has arrived may be what a timeout waits for, and an overloaded
			// replica must not suspect the primary for being late itself.
			s.tick(due)
		}
		// Before Flush, so that what is cut goes with what was committed.
		if pause := s.gatherMore(time.Now()); pause > 0 {
			cut.Reset(pause)
		} else {
			cut.Stop()
		}
		s.node.Flush()
		s.bound()
		s.share()
		if due > 0 {
			s.publish()
		}
		if every, change := pace.settle(time.Now(), s.node.position(), due); change {
			ticker.Reset(every)
		}
	}
}

// tick tells the node that n ticks have passed. Once in a second the progress timeout
// follows the round trips.
func (s *Server) tick(n int) {
	if n == 0 {
		return
	}
	now := pbft.TimeOf(s.cfg.Now())
	for range n {
		s.node.Tick(now)
	}
	if s.ticks += n; s.ticks >= max(1, int(time.Second/s.cfg.Tick)) {
		s.ticks = 0
		if timeout := s.progressTimeout(); timeout > 0 {
			s.node.SetProgressTimeout(timeout)
		}
	}
}

// share tells the node whether the clients have to share the blocks.
func (s *Server) share() {
	core := s.node.Core()
	before := s.congestion.now
	s.congestion.note(time.Now(), core.Primary() == s.self && core.Open(), core.Tip().Height, core.ExecutedHeight())
	if s.congestion.now != before {
		s.node.SetCongested(s.congestion.now)
	}
}

// bound tells the verification of messages which votes are of use.
func (s *Server) bound() {
	s.stage.bound(boundsOf(s.node.Core(), s.node.cfg.Core.CheckpointEvery))
}

// pacer says when ticks are due. Normally each has its own wakeup, and one that the
// loop comes too late for is left out: an overloaded replica's timeouts get longer,
// not shorter. In a replica at rest, to which nothing has happened for a while,
// nearly all work would be waking up, so there a few ticks share a wakeup. An event
// brings those forward that have passed before it, so no timeout gets shorter, and
// what a replica at rest does by itself (a heartbeat, a status, suspecting a primary
// that fell silent) is late by less than a batch of ticks.
type pacer struct {
	tick  time.Duration
	batch int // ticks of one wakeup at rest

	slow  bool
	at    time.Time // up to which ticks were done; at rest only
	seen  position
	quiet int // ticks since the position changed

	skipped bool // the last tick was left out
}

// restAfter is for how many ticks nothing must have happened.
const restAfter = 100

// newPacer makes batches so short that they are a small part of every timeout that
// runs in a replica at rest.
func newPacer(tick time.Duration, t pbft.Timeouts) *pacer {
	return &pacer{tick: tick, batch: max(1, min(t.Heartbeat/2, t.Idle/10, t.Status/10))}
}

// due returns how many ticks are to be done now; rang is when the ticker did, zero if
// it did not.
func (p *pacer) due(now, rang time.Time) int {
	if !p.slow {
		if rang.IsZero() {
			return 0
		}
		// Never two in a row: a flood must not stop the time.
		p.skipped = now.Sub(rang) > p.tick && !p.skipped
		if p.skipped {
			return 0
		}
		return 1
	}
	// To the nearest tick: what is ahead of the clock by half of one is caught up.
	n := int((now.Sub(p.at) + p.tick/2) / p.tick)
	if n > p.batch {
		p.at = now
		return p.batch
	}
	n = max(n, 0)
	p.at = p.at.Add(time.Duration(n) * p.tick)
	return n
}

// settle takes in where the node stands after the ticks that were due. It returns the
// interval of the ticker if that is to change.
func (p *pacer) settle(now time.Time, at position, due int) (every time.Duration, change bool) {
	if at != p.seen || !at.atRest() {
		p.seen, p.quiet = at, 0
	} else {
		p.quiet = min(p.quiet+due, restAfter)
	}
	slow := p.batch > 1 && p.quiet >= restAfter
	if slow == p.slow {
		return 0, false
	}
	p.slow, p.at = slow, now
	if slow {
		return time.Duration(p.batch) * p.tick, true
	}
	return p.tick, true
}

// atRest tells whether nothing is under way that timeouts watch.
func (p *position) atRest() bool {
	return p.open && !p.suspects && !p.follower && p.pool == 0 && p.transfer == 0 &&
		p.tip <= p.committed && p.committed == p.executed
}
