package real

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/parley-bft/parley/replica"
)

// What an application keeps in the folder state is worth no more than time: a replica
// without it, or with a damaged one, keeps its log and its vote.

func init() {
	register(&nemesis{name: "lose-state", doc: "a replica's state is gone from its disk, its log is not", lacks: noState, strike: loseState})
	register(&nemesis{name: "rot-state", doc: "bytes in the files of a replica's state change, or go, its log is whole", harms: true, lacks: noState, strike: rotState})
}

func noState(r *run) string {
	if r.opts.Application != kvStore {
		return "it takes an application whose state is on the disk: " + kvStore
	}
	return ""
}

// state is the folder of a replica's state.
func (c *cluster) state(i int) string { return filepath.Join(c.disks[i].data(), replica.StateDir) }

// loseState deletes a replica's state. It makes it anew.
func loseState(ctx context.Context, r *run, rng *rand.Rand) error {
	v := r.victim(rng)
	r.nodes[v].kill()
	end := r.fault("lose-state", []int{v}, "its state is deleted")
	defer end()
	if _, err := replica.DiscardState(r.cluster.disks[v].data()); err != nil {
		return err
	}
	if err := r.startAll(ctx, []int{v}); err != nil {
		return err
	}
	r.votes(ctx, v)
	return nil
}

// rotState damages a file of a replica's state while it does not run. Then it may start
// or refuse to, find out and heal itself, or end and say what to do. What it must not do
// is to lose its vote, or to contradict itself; so nobody may have proof against it. Its
// operator does as it says, or finds out with a scrub what it has not met.
func rotState(ctx context.Context, r *run, rng *rand.Rand) error {
	v := r.unlucky(rng)
	n := r.nodes[v]
	n.kill()
	what, err := damage(r.cluster.state(v), rng)
	if err != nil {
		return err
	}
	end := r.fault("rot-state", []int{v}, "%s", what)
	defer end()
	n.set(func() { n.rotten = true })
	r.excuse(v, "its state is damaged")
	if err := r.start(v); err != nil {
		return err
	}
	if r.answers(ctx, v) {
		hold(ctx, rng, 2*time.Second, 6*time.Second)
	}
	ended := !n.running()
	if ended {
		r.sometimes("a replica ends because its state is damaged")
		r.trace("%s ended: %s", name(v), lastLine(n.log))
	} else {
		r.sometimes("a replica runs with a damaged state")
		n.kill()
	}
	switch damaged := scrubState(r.cluster.state(v)); {
	case damaged != "" || ended:
		r.trace("the state of %s is discarded: %s", name(v), damaged)
		r.sometimes("a damaged state is discarded")
		if _, err := replica.DiscardState(r.cluster.disks[v].data()); err != nil {
			return err
		}
	default:
		r.sometimes("a state that was damaged is whole again")
	}
	r.excuse(v, "")
	if err := r.startAll(ctx, []int{v}); err != nil {
		return err
	}
	r.votes(ctx, v)
	return nil
}

// votes demands that a replica that kept its log has kept its vote.
func (r *run) votes(ctx context.Context, v int) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if s, err := r.nodes[v].status(ctx); err == nil && s.Follower {
		r.broken("availability", "%s, whose log is whole, does not vote", name(v))
	}
}
