package chaos

import (
	"slices"
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// An application that is wrong once, and right again ever after. Its state is another one
// from there on, until the replica finds that out and repairs it.

// lapse is how far a replica is with that.
type lapse uint8

const (
	noLapse  lapse = iota
	lapseDue       // it goes wrong with the next block that has an operation
	lapsed         // it did
)

// wrong runs a block without one of its operations, and gives a result for it that nobody
// else has.
func (c *commanded) wrong(b statemachine.Block) []statemachine.Result {
	c.m.lapsedAt = pbft.Height(b.Height)
	k := int(b.Height) % len(b.Ops)
	b.Ops = slices.Delete(slices.Clone(b.Ops), k, k+1)
	return slices.Insert(c.StateMachine.Apply(b), k, statemachine.OK([]byte("a lapse")))
}

// faultLapse has a replica's application go wrong once. Until its state is right again the
// replica counts among the faulty ones.
func (s *Simulation) faultLapse(kind string) bool {
	m := s.anyone()
	if m.up == nil || m.differs || !s.spare(m) {
		return false
	}
	m.differs, m.found, m.broken, m.lapse = true, false, brokenDiffers, lapseDue
	m.lapses++
	s.strike(kind, differs, m)
	return true
}

// rightAgain ends a lapse.
func (m *member) rightAgain() {
	m.differs, m.found, m.broken, m.lapse = false, false, "", noLapse
	delete(m.s.judge.differ.own, m.up) // what it said then is disowned
	m.over(differs)
}

// lapseOver looks whether a replica that lapsed is right without having found anything out:
// what it went wrong with may be lost, in a crash, or overwritten by later operations
// while it heard of no certificate. All that it states from there on, and that a
// certificate may still come for, is then what the others state.
func (j *judge) lapseOver(p *process) {
	if p == nil || p.lapse != lapsed || p.flipped() || p.node == nil || p.node.Core().Diverged() != nil {
		return
	}
	stated := false
	every := j.s.opts.CheckpointEvery
	next := max(p.lapsedAt, p.node.Core().SnapshotHeight()+1)
	next += (every - next%every) % every // the next snapshot, which is stated when it is written
	if p.executor.Position().Height >= uint64(next) && !slices.ContainsFunc(j.differ.own[p], func(s pbft.CheckpointStatement) bool { return s.Height >= next && p.isSnapshot(s.Height) }) {
		return
	}
	for _, own := range j.differ.own[p] {
		if own.Height < p.lapsedAt || own.Height <= p.node.Core().SnapshotHeight() {
			continue
		}
		if right, ok := j.statements[own.Height]; !ok || right != own {
			return
		}
		stated = true
	}
	if stated {
		j.s.sometimes(seenLapseLost)
		p.rightAgain()
	}
}

// lapseReplaced is called when a replica has installed a state. It may have lagged, and what
// it went wrong with lies below.
func (j *judge) lapseReplaced(p *process, h pbft.Height) {
	if p.lapse != lapsed || p.flipped() || p.node.Core().Diverged() != nil || p.executor.Position().Height != uint64(h) || h < p.lapsedAt {
		return
	}
	app, sessions, err := p.executor.Digests()
	if right, ok := j.states[h]; err == nil && ok && right == stateOf(app, sessions) {
		j.s.sometimes(seenLapseLost)
		p.rightAgain()
	}
}

// lapseHealed is called when a replica that lapsed says that its state is right.
func (j *judge) lapseHealed(p *process) {
	if p.flipped() {
		return // it got over something else, and a scrub will tell
	}
	h := pbft.Height(p.executor.Position().Height)
	app, sessions, err := p.executor.Digests()
	if right, ok := j.states[h]; err != nil || ok && right != stateOf(app, sessions) {
		j.s.violate(Determinism, "replica %d takes its state at %d for healed, and it is not the others'", p.id, h)
	}
	j.s.sometimes(seenLapseHealed)
	p.rightAgain()
}

// canBegin tells whether a replica whose application was wrong once has a state to begin
// with (R24): that of a certified snapshot, or, before there is one, that before the first
// block, once it has found out. Then the log has all blocks; if that state could not be kept
// it says so, and waits.
func (m *member) canBegin() bool {
	core := m.up.node.Core()
	if core.SnapshotHeight() > 0 {
		return true
	}
	_, kept := m.disk.snapshots.State(0)
	return kept && core.Diverged() != nil && core.Oldest() == 1
}

// lapsesHeal demands, when everything is answered and everybody level, that replicas whose
// application was wrong once are right again.
func (s *Simulation) lapsesHeal(bound time.Duration) {
	lapses := 0
	sick := func(m *member) bool {
		s.judge.lapseOver(m.up)
		return m.lapse == lapsed && m.healed && m.up != nil && m.canBegin()
	}
	for _, m := range s.replicas {
		if sick(m) {
			lapses = max(lapses, m.lapses)
		}
	}
	if lapses == 0 || len(s.report.Violations) > 0 {
		return
	}
	// It waits for a state above the divergence, or a while, and longer each time that it
	// diverges again soon after (pbft/divergence.go).
	bound += s.opts.ticks(s.opts.Timeouts.Status) * time.Duration(4+1) << min(lapses, 6)
	if !s.until(s.now+bound, func() bool { return !slices.ContainsFunc(s.replicas, sick) }) {
		return
	}
	if i := slices.IndexFunc(s.replicas, sick); i >= 0 {
		s.violate(Liveness, "the application of replica %d was wrong once, and its state is not healed within %v:\n%s%s", i, bound, s.replicas[i].text(), s.describe())
	}
}
