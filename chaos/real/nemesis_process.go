package real

import (
	"context"
	"math/rand/v2"
	"time"
)

func init() {
	register(&nemesis{name: "kill", doc: "kill -9 of one replica, often the primary", strike: func(ctx context.Context, r *run, rng *rand.Rand) error {
		return r.killSome(ctx, rng, []int{r.victim(rng)}, "kill")
	}})
	register(&nemesis{name: "kill-some", doc: "kill -9 of as many replicas as may be faulty", strike: func(ctx context.Context, r *run, rng *rand.Rand) error {
		return r.killSome(ctx, rng, r.some(rng, r.opts.faulty()), "kill-some")
	}})
	register(&nemesis{name: "kill-all", doc: "kill -9 of all replicas at once", strike: func(ctx context.Context, r *run, rng *rand.Rand) error {
		return r.killSome(ctx, rng, r.some(rng, len(r.nodes)), "kill-all")
	}})
	register(&nemesis{name: "pause", doc: "SIGSTOP and SIGCONT of one or more replicas", lacks: noStop, strike: pause})
	register(&nemesis{name: "upgrade", doc: "kill the replicas one by one and start another build in their place, and back", strike: upgrade})
}

// killSome kills replicas and starts them again after a while.
func (r *run) killSome(ctx context.Context, rng *rand.Rand, victims []int, kind string) error {
	end := r.fault(kind, victims, "kill -9")
	defer end()
	r.killAll(victims)
	hold(ctx, rng, 0, 2*time.Second)
	return r.startAll(ctx, victims)
}

func (r *run) killAll(victims []int) {
	done := make(chan struct{})
	for _, v := range victims {
		go func() {
			r.nodes[v].kill()
			done <- struct{}{}
		}()
	}
	for range victims {
		<-done
	}
}

// startAll starts replicas and waits until they answer.
func (r *run) startAll(ctx context.Context, victims []int) error {
	for _, v := range victims {
		if err := r.start(v); err != nil {
			return err
		}
	}
	for _, v := range victims {
		r.answers(ctx, v)
	}
	return nil
}

func noStop(*run) string {
	if sigStop == nil {
		return "this system cannot stop a process where it is"
	}
	return ""
}

// pause stops processes where they are: their peers see no end of the connection.
func pause(ctx context.Context, r *run, rng *rand.Rand) error {
	victims := []int{r.victim(rng)}
	if rng.IntN(3) == 0 {
		victims = r.some(rng, 1+rng.IntN(len(r.nodes)))
	}
	end := r.fault("pause", victims, "SIGSTOP")
	defer end()
	for _, v := range victims {
		r.nodes[v].signal(sigStop)
	}
	hold(ctx, rng, 500*time.Millisecond, 6*time.Second)
	for _, v := range victims {
		r.nodes[v].signal(sigCont)
	}
	return nil
}

// upgrade replaces the program of one replica after another, while they run; the
// old one comes back with the next restart.
func upgrade(ctx context.Context, r *run, rng *rand.Rand) error {
	for _, v := range rng.Perm(len(r.nodes)) {
		if ctx.Err() != nil {
			return nil
		}
		end := r.fault("upgrade", []int{v}, "the program is replaced")
		r.nodes[v].kill()
		if err := r.startWith(v, r.next); err != nil {
			return err
		}
		ok := r.answers(ctx, v)
		end()
		if !ok {
			return nil
		}
		// As whoever does this for real: the next one when this one has caught up.
		r.progressed(ctx, r.opts.Clients, 5*time.Second)
	}
	r.sometimes("all replicas run another build")
	return nil
}
