package real

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/parley-bft/parley/chaos/report"
)

// nemesis is a way to do harm.
type nemesis struct {
	name, doc string
	// network is that it concerns the network; otherwise processes and disks. One of
	// either kind is at work at any time.
	network bool
	// harms is that a replica is faulty for the protocol while and perhaps after it:
	// only replicas that are singled out for that are taken.
	harms bool
	// lacks says why it is not possible here, empty if it is.
	lacks func(r *run) string
	// strike does harm and heals it. An error is one of the run, not of the cluster.
	strike func(ctx context.Context, r *run, rng *rand.Rand) error
}

var nemeses []*nemesis

// register is for init functions; the order in the list is by kind and name.
func register(n *nemesis) {
	nemeses = append(nemeses, n)
	slices.SortFunc(nemeses, func(a, b *nemesis) int {
		if a.network != b.network {
			if b.network {
				return -1
			}
			return 1
		}
		if a.name < b.name {
			return -1
		}
		return 1
	})
}

// between draws a duration.
func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)+1))
}

// hold waits while harm is done.
func hold(ctx context.Context, rng *rand.Rand, low, high time.Duration) {
	t := time.NewTimer(between(rng, low, high))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// fault notes the begin of harm; the function that it returns notes its end.
func (r *run) fault(kind string, replicas []int, format string, args ...any) (end func()) {
	detail := fmt.Sprintf(format, args...)
	r.mu.Lock()
	r.faults = append(r.faults, report.Fault{Kind: kind, Begin: r.recorder.now(), Replicas: slices.Clone(replicas), Detail: detail})
	i := len(r.faults) - 1
	r.mu.Unlock()
	r.say("%s %v %s", kind, replicas, detail)
	return func() {
		r.mu.Lock()
		r.faults[i].End = r.recorder.now()
		took := r.faults[i].End - r.faults[i].Begin
		r.mu.Unlock()
		r.trace("%s %v is over after %.2f s", kind, replicas, took.Seconds())
	}
}

// some draws k different replicas, in order.
func (r *run) some(rng *rand.Rand, k int) []int {
	v := rng.Perm(len(r.nodes))[:k]
	slices.Sort(v)
	return v
}

// victim draws one replica, every other time the primary.
func (r *run) victim(rng *rand.Rand) int {
	if p := r.primary(); p >= 0 && rng.IntN(2) == 0 {
		return p
	}
	return rng.IntN(len(r.nodes))
}

// unlucky draws one of those that are singled out to be faulty.
func (r *run) unlucky(rng *rand.Rand) int { return r.singled[rng.IntN(len(r.singled))] }

// rage lets nemeses strike, one after another in an order drawn anew each time that
// all had their turn, until ctx ends.
func (r *run) rage(ctx context.Context, list []*nemesis, rng *rand.Rand) error {
	if len(list) == 0 {
		return nil
	}
	for {
		for _, i := range rng.Perm(len(list)) {
			hold(ctx, rng, 300*time.Millisecond, 1500*time.Millisecond)
			if ctx.Err() != nil {
				return nil
			}
			if err := list[i].strike(ctx, r, rng); err != nil {
				return fmt.Errorf("nemesis %s: %w", list[i].name, err)
			}
		}
	}
}
