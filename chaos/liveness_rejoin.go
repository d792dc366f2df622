package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// votesAgain demands that replicas that lost their disks come back whole (PROTOCOL
// 14): with everybody level each may vote again within the time that follows from
// the rule, and from then on the cluster can do without others in its place.
func (s *Simulation) votesAgain(healed []pbft.ReplicaID) {
	var lost []pbft.ReplicaID
	for _, id := range healed {
		if s.replicas[id].disk.replaced {
			lost = append(lost, id)
		}
	}
	if len(lost) == 0 || len(s.report.Violations) > 0 {
		return
	}
	began, bound := s.now, s.rejoinPromise(healed)
	if !s.until(began+bound, func() bool { return !slices.ContainsFunc(lost, s.waitsToRejoin) }) {
		return
	}
	if slices.ContainsFunc(lost, s.waitsToRejoin) {
		s.violate(Liveness, "of replicas %v, which lost their disks, some may still not vote %v after everybody was level:\n%s", lost, bound, s.describe())
		return
	}
	s.report.Rejoining = s.now - began
	s.relyOn(lost, healed)
}

func (s *Simulation) waitsToRejoin(id pbft.ReplicaID) bool {
	m := s.replicas[id]
	return m.up == nil || m.rejoining()
}

// rejoinPromise is within which time replicas that lost their disks may vote again,
// once everybody is level. Such a replica waits for a view w > M to open, M being the
// highest view that a quorum of the others says to be in. At most three have to open
// for that: one while its questions are on their way; one that somebody has left for,
// and named, so that M is one above the view that is open; and w.
//
// The others end a reign for it when the reign has lasted 20 progress timeouts; more
// than F weight of them draw the rest along (R12). After a view that opened while it
// waited they do not listen to it for as long, and twice as long after the next, up to
// 2^10 times.
func (s *Simulation) rejoinPromise(healed []pbft.ReplicaID) time.Duration {
	const opens, reign, doublings = 3, 20, 10
	o, t := &s.opts, &s.opts.Timeouts
	paid := 0
	for _, id := range healed {
		if s.waitsToRejoin(id) {
			paid = max(paid, s.paidFor(id, healed))
		}
	}
	// Its status goes to everybody at an interval. It is answered at once, or with the
	// next if the peer has just pushed something to it; and so is that which makes the
	// peer's view one that is shown.
	total := o.ticks(4*t.Status) + 8*o.step()
	for i := range opens {
		total += reign*o.ticks(t.Progress)<<min(paid+i, doublings) + o.ticks(t.Status) + 2*o.step() + s.opening(healed)
	}
	return total
}

// paidFor is how often replicas of more than F weight have doubled the time in which
// they do not listen to one that waits, at most: once for each view that they passed
// through since its disk was lost. They forget it when they are restarted.
func (s *Simulation) paidFor(waiting pbft.ReplicaID, healed []pbft.ReplicaID) int {
	type count struct{ views, weight uint64 }
	var counts []count
	for _, id := range healed {
		if p := s.replicas[id].up; p != nil && !s.waitsToRejoin(id) {
			view, first := p.node.Core().View(), max(s.judge.lives[id].first, s.replicas[waiting].disk.since)
			counts = append(counts, count{uint64(max(view, first)-first) + 1, s.opts.Weights[id]})
		}
	}
	slices.SortFunc(counts, func(a, b count) int { return cmp.Compare(a.views, b.views) })
	weight := uint64(0)
	for _, c := range counts {
		if weight += c.weight; weight > s.quorums.MaxFaulty() {
			return int(c.views)
		}
	}
	return int(s.judge.certified-s.replicas[waiting].disk.since) + 1
}

// relyOn cuts off others than those who came back, as many as the cluster can do
// without, and has everything answered once more. Then the votes of those who came
// back are needed: one that nobody needs would not be missed.
func (s *Simulation) relyOn(back, healed []pbft.ReplicaID) {
	whole := slices.Clone(healed)
	for _, i := range s.rng.Perm(len(healed)) {
		id := healed[i]
		fewer := slices.DeleteFunc(slices.Clone(whole), func(x pbft.ReplicaID) bool { return x == id })
		if slices.Contains(back, id) || !s.isQuorum(fewer) {
			continue
		}
		whole = fewer
		for k := range s.replicas {
			s.network.links[k][id].cut, s.network.links[id][k].cut = 1, 1
		}
	}
	s.note("rely", fmt.Sprint(whole))
	for _, u := range s.clients {
		u.done = false
		u.final()
	}
	bound := s.promise(whole)
	if s.until(s.now+bound, s.answered) && !s.answered() {
		s.violate(Liveness, "with the votes of replicas %v, which lost their disks, operations have no answer within %v:\n%s%s", back, bound, s.waiting(), s.describe())
	}
}

// isQuorum counts by the judge's own rule.
func (s *Simulation) isQuorum(who []pbft.ReplicaID) bool {
	weight, total := uint64(0), uint64(0)
	for _, w := range s.opts.Weights {
		total += w
	}
	for _, id := range who {
		weight += s.opts.Weights[id]
	}
	return weight >= (total+(total-1)/3)/2+1
}
