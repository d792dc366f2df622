package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/parley-bft/parley/chaos/report"
	"github.com/parley-bft/parley/pbft"
)

// recorder watches a simulation from outside: whenever something is traced it
// looks at what has changed. It draws no random numbers and plans no events.
type recorder struct {
	s        *Simulation
	replicas []recorded
	links    [][]load
	counts   map[string]int // faults by kind
	faults   []report.Fault
	open     []openFault
	calm     bool
	accused  map[pbft.ReplicaID]bool
	evidence []report.Evidence
}

// recorded is what was seen of one replica.
type recorded struct {
	samples []report.Sample
	harm    harm
	gained  harm // at this moment, since
	since   time.Duration
}

// harm is what is wrong with a replica, as bits.
type harm uint16

const (
	harmDown harm = 1 << iota
	harmPaused
	harmSlow
	harmLag
	harmRate
	harmDisk
	harmRot
	harmBroken
	harmPanic
	harmDiffer
)

func (m *member) harm() harm {
	var h harm
	for i, wrong := range []bool{m.up == nil, m.paused, m.slow > 1, m.lag > 1, m.rate != 1, m.disk.failing, m.rotten, m.broken != "", m.panics, m.differs} {
		if wrong {
			h |= 1 << i
		}
	}
	return h
}

// load is how many faults are on a link, by what they do.
type load struct{ cut, clogged, narrow int }

// openFault is one that goes on: until each replica has been without these harms,
// and none of the links has as many faults as it had with this one.
type openFault struct {
	number  int
	mask    harm
	waits   []int // replicas
	links   map[[2]int]load
	forGood bool
}

// recordEvery is how often a replica's height is noted if nothing else changes.
const recordEvery = 50 * time.Millisecond

func (w *recorder) begin(s *Simulation) {
	w.s, w.counts, w.accused = s, map[string]int{}, map[pbft.ReplicaID]bool{}
	w.replicas = make([]recorded, len(s.replicas))
	for range s.replicas {
		w.links = append(w.links, make([]load, len(s.replicas)))
	}
	for i, m := range s.replicas {
		w.replicas[i].harm = m.harm() | harmDown // it starts as nobody's fault
	}
}

// look takes up what has changed.
func (w *recorder) look(line string) {
	if w.s == nil {
		return
	}
	for i, m := range w.s.replicas {
		w.sample(&w.replicas[i], m, false)
		r, h := &w.replicas[i], m.harm()
		if r.since != w.s.now {
			r.gained, r.since = 0, w.s.now
		}
		r.gained |= h &^ r.harm
		r.harm = h
	}
	heavier, clogged := w.lookAtLinks()
	w.close()
	for _, kind := range slices.Sorted(maps.Keys(w.s.report.Faults)) {
		if n := w.s.report.Faults[kind]; n > w.counts[kind] {
			w.counts[kind] = n
			if kind != clogging { // it comes to one replica after another, later
				w.fault(kind, heavier)
			}
		}
	}
	if len(clogged) > 0 {
		w.fault(clogging, clogged)
	}
	if !w.s.storming && !w.calm && strings.Contains(line, " calm ") {
		w.calm = true
		w.leftBehind()
	}
	for _, m := range w.s.replicas {
		if w.s.judge.offenders[m.id] && !w.accused[m.id] {
			w.accused[m.id] = true
			w.evidence = append(w.evidence, report.Evidence{At: w.s.now, Finder: -1, Culprit: int(m.id), Offence: "the first proof against it"})
		}
	}
}

const clogging = "clogged links"

// lookAtLinks returns the links that a fault has come upon, and those that one
// holds now.
func (w *recorder) lookAtLinks() (heavier, clogged map[[2]int]load) {
	heavier, clogged = map[[2]int]load{}, map[[2]int]load{}
	for i := range w.links {
		for k := range w.links[i] {
			l := &w.s.network.links[i][k]
			now, before := load{l.cut, l.clogged, l.narrow}, w.links[i][k]
			if now == before || i == k {
				continue
			}
			switch {
			case now.cut > before.cut:
				heavier[[2]int{i, k}] = load{cut: now.cut}
			case now.narrow > before.narrow:
				heavier[[2]int{i, k}] = load{narrow: now.narrow}
			case now.clogged > before.clogged:
				clogged[[2]int{i, k}] = load{clogged: now.clogged}
			}
			w.links[i][k] = now
		}
	}
	return heavier, clogged
}

// sample notes the replica's state if it matters, or if it must be noted.
func (w *recorder) sample(r *recorded, m *member, always bool) {
	x := report.Sample{At: w.s.now, State: report.Up}
	n := len(r.samples)
	if n > 0 {
		x.View, x.Height = r.samples[n-1].View, r.samples[n-1].Height
	}
	if m.up == nil {
		x.State = report.Down
	} else {
		c := m.up.node.Core()
		x.View, x.Height = uint64(c.View()), uint64(c.Committed())
		switch {
		case m.paused:
			x.State = report.Paused
		case slices.Contains(w.s.opts.Traitors, m.id):
			x.State = report.Traitor
		case c.IsFollower():
			x.State = report.Follower
		}
	}
	if n > 0 {
		last := r.samples[n-1]
		if !always && x.State == last.State && x.View == last.View && (x.Height == last.Height || x.At-last.At < recordEvery) {
			return
		}
		if last.At == x.At { // what it was in between took no time
			r.samples = r.samples[:n-1]
		}
	}
	r.samples = append(r.samples, x)
}

// fault notes one that was injected now. It was done to whom something has just
// gone wrong with, and lasts until that is over.
func (w *recorder) fault(kind string, links map[[2]int]load) {
	f := report.Fault{Kind: kind, Begin: w.s.now, End: w.s.now}
	o := openFault{number: len(w.faults)}
	if len(links) > 0 {
		o.links = links
		f.Replicas, f.Detail = w.parties(links)
	} else {
		for i := range w.replicas {
			if gained := w.replicas[i].gained; gained != 0 {
				f.Replicas, o.waits = append(f.Replicas, i), append(o.waits, i)
				o.mask |= gained
				w.replicas[i].gained = 0
			}
		}
	}
	if len(links) > 0 || len(f.Replicas) > 0 {
		w.open = append(w.open, o)
	}
	w.faults = append(w.faults, f)
}

// parties says between whom links are bad: a replica that is at all of them, or
// two, or groups.
func (w *recorder) parties(links map[[2]int]load) (who []int, detail string) {
	apart := map[string][]string{} // replicas by whom they do not reach
	for i := range w.replicas {
		all, from := true, ""
		for k := range w.replicas {
			_, out := links[[2]int{i, k}]
			_, in := links[[2]int{k, i}]
			if out || in {
				from += fmt.Sprint(k, " ")
			}
		}
		for l := range links {
			all = all && (l[0] == i || l[1] == i)
		}
		if all {
			who = append(who, i)
		}
		apart[from] = append(apart[from], fmt.Sprint(i))
	}
	if len(links) == 1 {
		for l := range links {
			return who, fmt.Sprintf("%d to %d", l[0], l[1])
		}
	}
	if len(who) == 0 {
		var groups []string
		for _, from := range slices.Sorted(maps.Keys(apart)) {
			groups = append(groups, strings.Join(apart[from], ","))
		}
		slices.Sort(groups)
		detail = strings.Join(groups, " | ")
	}
	return who, detail
}

// close ends the faults that are over.
func (w *recorder) close() {
	for i := range w.open {
		o := &w.open[i]
		o.waits = slices.DeleteFunc(o.waits, func(id int) bool { return w.replicas[id].harm&o.mask == 0 })
	}
	w.open = slices.DeleteFunc(w.open, func(o openFault) bool {
		if o.forGood || len(o.waits) > 0 {
			return false
		}
		for l, level := range o.links {
			now := w.links[l[0]][l[1]]
			if level.cut > 0 && now.cut >= level.cut || level.clogged > 0 && now.clogged >= level.clogged || level.narrow > 0 && now.narrow >= level.narrow {
				return false
			}
		}
		w.faults[o.number].End = w.s.now
		return true
	})
}

// leftBehind notes who stays cut off when the storm is over.
func (w *recorder) leftBehind() {
	f := report.Fault{Kind: "not healed", Begin: w.s.now, End: w.s.now, Detail: "cut off for good"}
	for i, m := range w.s.replicas {
		if !m.healed && m.plays == "" {
			f.Replicas = append(f.Replicas, i)
		}
	}
	if len(f.Replicas) > 0 {
		w.open = append(w.open, openFault{number: len(w.faults), forGood: true})
		w.faults = append(w.faults, f)
	}
}

// end closes the record: what goes on ends with the run.
func (w *recorder) end(at time.Duration) {
	for i, m := range w.s.replicas {
		w.sample(&w.replicas[i], m, true)
	}
	for _, o := range w.open {
		w.faults[o.number].End = at
	}
	w.open = nil
}
