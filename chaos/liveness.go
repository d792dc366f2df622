package chaos

import (
	"slices"
	"time"

	"github.com/parley-bft/parley/pbft"
)

// promise is within which time after the storm every operation must be answered,
// and then everybody level, if the replicas named are whole and connected from now
// on. It follows from the rules of the protocol (R9 to R12), the timeouts and what
// the network, disks and processors take at most from now on.
//
// With k failed views so far a view change may take T(k) = T0 * min(2^k, 8) *
// 2^floor(k / length of a rotation). Views change until one has a primary that is
// whole, and a T(k) that is long enough to open it; one with a primary that is not
// may also open and be left only when progress, silence or age tell.
func (s *Simulation) promise(healed []pbft.ReplicaID) time.Duration {
	o, t := &s.opts, &s.opts.Timeouts
	ticks, step, apply := o.ticks, o.step(), 21*o.Apply/2

	// What a replica that was away has to fetch and execute, with answers that get
	// lost because a peer keeps silent; half of the window is the least that an answer
	// brings. Who is whole answers, so a transfer waits in vain for the others only.
	lag := s.lag(healed)
	fetch := time.Duration(lag/max(o.Window/2, 1)+1)*(2*step+ticks(2*t.Retry)) + time.Duration(lag)*apply
	silent := len(s.replicas)
	for _, id := range healed {
		if !s.waitsToRejoin(id) {
			silent--
		}
	}
	transfer := time.Duration(silent+1)*ticks(2*transferDeadline) + time.Duration(s.chunks())*(2*step+21*o.Disk/4)

	if s.replicas[0].parted {
		// Before the chunks that only a state without parts needs: each level of the tree is
		// asked for once more for each peer that keeps silent, or is late, and in the end
		// nobody may have the parts any more.
		transfer += time.Duration(silent+1)*ticks(2*statePatience) + treeLevels*(2*step+21*o.Disk/4+apply)
	}

	total := ticks(t.Status) + 2*step + fetch + transfer + s.opening(healed)
	// One more view may be left because its primary seemed to idle, on links and disks
	// that are slow: not again before a rotation of views has passed (pbft/slow.go).
	total += s.opening(healed)
	// Each operation, also the one that was open when the storm ended, which is due to
	// be sent again within four pauses. The first attempt of another goes to one
	// replica, perhaps a useless one, the second to all.
	one, first := 8*step+apply+o.Retry+o.Think, 3*o.Retry
	if len(o.BadClients) > 0 {
		// The room for requests is full of theirs now and then: it has to be asked again,
		// and the primary has to take clients in turn before it is suspected.
		one += 3*o.Retry + ticks(t.RequestAge)
	} else {
		// Before it there is one of each other client at most, at worst in a block each,
		// and an empty block for the receipts.
		one += time.Duration(2*o.Clients) * (3*step + apply)
	}
	if s.viewsGoOn(healed) {
		// It is passed on at half of its age, and finds useless primaries again.
		one += ticks(t.RequestAge)
		for k := range s.uselessRun(healed) {
			T := s.timeout(k)
			one += T + s.tenure(T)
		}
	}
	return total + first + (finalOperations+1)*one
}

// viewsGoOn tells whether a view that is open under a primary that is whole may be
// left, though everything goes well: by plan, or for a replica that waits to rejoin,
// or says so. Without that nobody has a reason to, and F traitors have no say (R12).
func (s *Simulation) viewsGoOn(healed []pbft.ReplicaID) bool {
	broken := func(m *member) bool { return m.broken != "" }
	return s.opts.Timeouts.RotateEvery > 0 || len(s.opts.Traitors) > 0 || slices.ContainsFunc(healed, s.waitsToRejoin) || slices.ContainsFunc(s.replicas, broken)
}

// ticks is that many units of the timeouts.
func (o *Options) ticks(n int) time.Duration { return time.Duration(n) * o.Tick }

// step is how long a message takes at most, with what its recipient does before it
// sends the next: takes draws at most 21/2 of the mean.
func (o *Options) step() time.Duration {
	return o.delayBound() + 21*o.Disk/2 + 21*50*time.Microsecond + time.Millisecond
}

// opening is how long views change at most until one is open whose primary is among
// these.
func (s *Simulation) opening(healed []pbft.ReplicaID) time.Duration {
	o, t := &s.opts, &s.opts.Timeouts
	// k at the beginning, and how many views in a row may have a useless primary.
	k := 0
	for _, id := range healed {
		if p := s.replicas[id].up; p != nil {
			k = max(k, p.node.Core().FailedViews())
		}
	}
	k = min(k, s.failures())
	// A view opens with: ViewChange, NewView, the base asked for and fetched, Prepare,
	// Commit; then the first new block, proposed, prepared and committed. What lies
	// below the base is fetched whatever happens to views.
	open := 10*o.step() + o.ticks(6*t.Retry)
	total := time.Duration(0)
	for left := s.uselessRun(healed) + 1; left > 0; k++ {
		T := s.timeout(k)
		total += T + s.tenure(T)
		if T >= open {
			left--
		}
	}
	return total
}

// How long an answer of a state transfer may take, in ticks: a chunk, and a part of an
// application's state.
const (
	transferDeadline = 50
	statePatience    = 160
)

// treeLevels is how deep the trees of the applications here are, at most, with values that
// are asked for by themselves.
const treeLevels = 6

// timeout is R11.
func (s *Simulation) timeout(k int) time.Duration {
	return s.opts.Tick * time.Duration(s.opts.Timeouts.Progress) << min(k, 3) << min(k/s.schedule.Len(), 24)
}

// failures is how many views in a row can have failed by now: each cost a replica the
// timeout of R11 by its own clock, which runs twice as fast at most.
func (s *Simulation) failures() int {
	k := 0
	for left := 2 * s.now; left >= s.timeout(k); k++ {
		left -= s.timeout(k)
	}
	return k
}

// tenure is how long a primary that does nothing useful stays in a view that it
// opened: until a quorum suspects it.
func (s *Simulation) tenure(timeout time.Duration) time.Duration {
	t := &s.opts.Timeouts
	return max(timeout, s.opts.Tick*time.Duration(max(t.Idle, t.RequestAge))) + s.opts.Tick*time.Duration(2*t.Status)
}

// uselessRun is how many views in a row have a primary that is not among these.
func (s *Simulation) uselessRun(healed []pbft.ReplicaID) int {
	good := make([]bool, len(s.replicas))
	for _, id := range healed {
		good[id] = !s.replicas[id].rejoining()
	}
	longest, run := 0, 0
	for v := range pbft.View(2 * s.schedule.Len()) {
		if run++; good[s.schedule.Primary(0, v)] {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}

// lag is how many blocks the last of these replicas is behind the first.
func (s *Simulation) lag(healed []pbft.ReplicaID) pbft.Height {
	low, high := ^pbft.Height(0), pbft.Height(0)
	for _, id := range healed {
		if p := s.replicas[id].up; p != nil {
			c := p.node.Core()
			low, high = min(low, c.ExecutedHeight()), max(high, c.Committed(), c.Tip().Height)
		} else {
			low = 0
		}
	}
	return max(high, low) - low
}

// chunks is how many chunks the largest snapshot has.
func (s *Simulation) chunks() int {
	n := 0
	for _, m := range s.replicas {
		n = max(n, m.disk.snapshots.Chunks())
	}
	return n
}
