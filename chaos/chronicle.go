package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parley-bft/parley/chaos/report"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

// chronicle is what a simulation that is recorded tells of itself: each fault when it
// begins and ends, at the place in the code where it does, and what becomes of each
// replica. It draws no random numbers and plans no events. The simulations that
// nobody records have none, and tell nothing.
type chronicle struct {
	s        *Simulation
	faults   []report.Fault
	ongoing  []*ongoing
	samples  [][]report.Sample
	evidence []report.Evidence
}

func newChronicle(s *Simulation) *chronicle {
	return &chronicle{s: s, samples: make([][]report.Sample, len(s.replicas))}
}

// ongoing is a fault that lasts until all of its parts are over, one for each replica
// that it struck. nil is one of a simulation that is not recorded.
type ongoing struct {
	c      *chronicle
	number int
	parts  int
	links  bool // it is about links
}

// aspect is what a fault does to a replica for as long as it lasts.
type aspect int

const (
	down      aspect = iota
	paused           // it does nothing
	slowed           // disk and execution
	lagging          // execution
	misclocks        // its clock runs at another rate
	diskFails
	rots       // what is stored is damaged
	lostLog    // until it has rejoined
	lostState  // its application's, or a part of that
	willPanic  // at the next block
	differs    // its state is another one
	numAspects // how many there are
)

// begin tells of a fault that has happened now, and returns nil if nobody listens.
func (s *Simulation) begin(kind, detail string, who ...*member) *ongoing {
	c := s.chronicle
	if c == nil {
		return nil
	}
	f := report.Fault{Kind: kind, Begin: s.now, End: s.now, Detail: detail}
	for _, m := range who {
		f.Replicas = append(f.Replicas, int(m.id))
	}
	slices.Sort(f.Replicas)
	c.faults = append(c.faults, f)
	return &ongoing{c: c, number: len(c.faults) - 1}
}

// strike tells of a fault that does something to replicas until that is over with
// each.
func (s *Simulation) strike(kind string, a aspect, who ...*member) *ongoing {
	f := s.begin(kind, "", who...)
	for _, m := range who {
		m.suffers(a, f)
	}
	return f
}

// ruin tells of a fault that lasts to the end of the run.
func (s *Simulation) ruin(kind, detail string, who ...*member) {
	s.begin(kind, detail, who...).last()
}

// strikeLinks tells of a fault of links. Its end is told by end, or comes with the
// end of the storm.
func (s *Simulation) strikeLinks(kind, detail string, who ...*member) *ongoing {
	f := s.begin(kind, detail, who...)
	if f.last(); f != nil {
		f.links = true
	}
	return f
}

// last adds a part.
func (f *ongoing) last() {
	if f == nil {
		return
	}
	if f.parts++; f.parts == 1 {
		f.c.ongoing = append(f.c.ongoing, f)
	}
}

// end tells that a part is over.
func (f *ongoing) end() {
	if f == nil || f.parts == 0 {
		return
	}
	if f.parts--; f.parts == 0 {
		f.c.faults[f.number].End = f.c.s.now
		f.c.ongoing = slices.DeleteFunc(f.c.ongoing, func(x *ongoing) bool { return x == f })
	}
}

// suffers notes that a fault does something to the replica from now on.
func (m *member) suffers(a aspect, f *ongoing) {
	if f != nil {
		f.last()
		m.sufferings[a] = append(m.sufferings[a], f)
	}
}

// over tells that the replica suffers from nothing of a kind any more.
func (m *member) over(a aspect) {
	for _, f := range m.sufferings[a] {
		f.end()
	}
	m.sufferings[a] = nil
}

// turns tells that what the replica suffers from has another effect now.
func (m *member) turns(from, to aspect) {
	m.sufferings[to] = append(m.sufferings[to], m.sufferings[from]...)
	m.sufferings[from] = nil
}

// linksHealed tells that all links are good again.
func (c *chronicle) linksHealed() {
	if c == nil {
		return
	}
	for _, f := range slices.Clone(c.ongoing) {
		if f.links {
			f.parts = 1
			f.end()
		}
	}
}

// sampleEvery is how often a replica's height is noted if nothing else changes.
const sampleEvery = 50 * time.Millisecond

// tell notes what has become of the replica, if it matters.
func (m *member) tell() {
	if c := m.s.chronicle; c != nil {
		c.sample(m, false)
	}
}

func (c *chronicle) sample(m *member, always bool) {
	samples := c.samples[m.id]
	x := report.Sample{At: c.s.now, State: report.Up}
	n := len(samples)
	if n > 0 {
		x.View, x.Height = samples[n-1].View, samples[n-1].Height
	}
	if m.up == nil {
		x.State = report.Down
	} else {
		core := m.up.node.Core()
		x.View, x.Height = uint64(core.View()), uint64(core.Committed())
		switch {
		case m.paused:
			x.State = report.Paused
		case m.plays != "":
			x.State = report.Traitor
		case core.IsFollower():
			x.State = report.Follower
		}
	}
	if n > 0 {
		last := samples[n-1]
		if !always && x.State == last.State && x.View == last.View && (x.Height == last.Height || x.At-last.At < sampleEvery) {
			return
		}
		if last.At == x.At { // what it was in between took no time
			samples = samples[:n-1]
		}
	}
	c.samples[m.id] = append(samples, x)
}

// proof notes the first proof against a replica.
func (c *chronicle) proof(finder pbft.ReplicaID, e *pbft.Evidence) {
	if c != nil {
		c.evidence = append(c.evidence, report.Evidence{At: c.s.now, Finder: int(finder), Culprit: int(e.Culprit), Offence: e.Offence.String()})
	}
}

// close ends what goes on: with the run.
func (c *chronicle) close() {
	for _, m := range c.s.replicas {
		c.sample(m, true)
	}
	for _, f := range c.ongoing {
		c.faults[f.number].End = c.s.now
	}
	c.ongoing = nil
}

// groups names the replicas of each side of a partition.
func (s *Simulation) groups(side crypto.Bitmap, but ...pbft.ReplicaID) string {
	var in, out []string
	for _, m := range s.replicas {
		switch name := fmt.Sprint(m.id); {
		case slices.Contains(but, m.id):
		case side.Has(m.id):
			in = append(in, name)
		default:
			out = append(out, name)
		}
	}
	return strings.Join(in, ",") + " | " + strings.Join(out, ",")
}
