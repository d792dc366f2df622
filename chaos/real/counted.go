package real

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// manyKills kills and restarts until so many restarts were made. After each round
// operations must complete again.
func (r *run) manyKills(ctx context.Context, rng *rand.Rand) error {
	r.setGoal(r.opts.Kills)
	for r.counted < r.goal && ctx.Err() == nil {
		var victims []int
		switch k := rng.IntN(10); {
		case k < 5:
			victims = []int{r.victim(rng)}
		case k < 7:
			victims = r.some(rng, r.opts.faulty())
		case k < 8:
			victims = r.some(rng, 2+rng.IntN(len(r.nodes)-2))
		default:
			victims = r.some(rng, len(r.nodes))
		}
		end := r.fault("kill", victims, "kill -9")
		r.killAll(victims)
		hold(ctx, rng, 0, 50*time.Millisecond)
		if err := r.startAll(ctx, victims); err != nil {
			return err
		}
		end()
		r.count(len(victims))
		if !r.goesOn(ctx, rng) {
			return nil
		}
	}
	return nil
}

// manyPowerCuts cuts the power of everybody, so many times.
func (r *run) manyPowerCuts(ctx context.Context, rng *rand.Rand) error {
	if why := noPower(r); why != "" {
		return fmt.Errorf("%w: %s", ErrImpossible, why)
	}
	r.setGoal(r.opts.PowerCuts)
	for r.counted < r.goal && ctx.Err() == nil {
		if err := r.powerCut(ctx, nil, r.some(rng, len(r.nodes)), "power-all"); err != nil {
			return err
		}
		r.count(1)
		if !r.goesOn(ctx, rng) {
			return nil
		}
	}
	return nil
}

func (r *run) setGoal(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.goal = n
}

func (r *run) count(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counted += n
}

// goesOn waits for some operations, now and then for many.
func (r *run) goesOn(ctx context.Context, rng *rand.Rand) bool {
	more := 1 + rng.IntN(3*r.opts.Clients)
	if rng.IntN(5) == 0 {
		more *= 10
	}
	if r.progressed(ctx, more, r.opts.Patience) {
		return true
	}
	if ctx.Err() == nil {
		for i := range r.nodes {
			r.describe(i)
		}
		r.fatal("progress", "no %d operations complete within %v", more, r.opts.Patience)
	}
	return false
}
