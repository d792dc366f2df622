package real

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/chaos/report"
)

func init() {
	register(&nemesis{name: "traitor", doc: "replicas are led by a traitor with their real keys, one strategy of all at a time", harms: true, lacks: noDaemon, strike: betray})
	register(&nemesis{name: "clock", doc: "the clock of a replica is wrong, or goes wrong", lacks: noDaemon, strike: clock})
}

func noDaemon(r *run) string {
	if r.opts.Daemon == "" {
		return "it takes the test daemon, chaos/real/traitord built with the tag chaos"
	}
	return ""
}

// daemon starts the test daemon in a stopped replica's place.
func (r *run) daemon(v int, args ...string) error {
	return r.launch(v, launch{program: r.opts.Daemon, args: append([]string{"--dir", r.cluster.home(v)}, args...)})
}

// betray lets all that may be faulty betray at once. Which strategies were played is
// drawn like cards: none comes again before all have been.
func betray(ctx context.Context, r *run, rng *rand.Rand) error {
	victims := r.singled
	var ends []func()
	for _, v := range victims {
		n := r.nodes[v]
		n.kill()
		n.set(func() { n.blamed = true })
		strategy := r.strategy(rng)
		// What a traitor's process does to itself is nobody's fault.
		r.excuse(v, "it is a traitor's")
		ends = append(ends, r.fault("traitor", []int{v}, "%s", strategy))
		if err := r.daemon(v, "--strategy", strategy, "--seed", fmt.Sprint(rng.Uint32())); err != nil {
			return err
		}
		n.set(func() {
			if n.process != nil {
				n.state = report.Traitor
			}
		})
		r.sometimes("traitor: " + strategy)
	}
	hold(ctx, rng, 4*time.Second, 12*time.Second)
	for k, v := range victims {
		if !r.nodes[v].stop(5 * time.Second) {
			r.trace("the traitor's %s had to be killed", name(v))
		}
		r.trace("%s", lastLine(r.nodes[v].log))
		r.excuse(v, "")
		ends[k]()
	}
	// What the traitor's own node has on its disk is an honest node's, but it has
	// signed more than that: as it cannot be trusted, its operator replaces the disk.
	for _, v := range victims {
		if rng.IntN(2) == 0 {
			if err := r.startAll(ctx, []int{v}); err != nil {
				return err
			}
		} else if err := r.renew(ctx, v); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) strategy(rng *rand.Rand) string {
	if len(r.deck) == 0 {
		for _, s := range chaos.Strategies() {
			r.deck = append(r.deck, s.Name)
		}
		rng.Shuffle(len(r.deck), func(i, j int) { r.deck[i], r.deck[j] = r.deck[j], r.deck[i] })
	}
	s := r.deck[0]
	r.deck = r.deck[1:]
	return s
}

// clock lets a replica run with a wrong clock for a while.
func clock(ctx context.Context, r *run, rng *rand.Rand) error {
	v := r.victim(rng)
	offset := []time.Duration{
		50 * time.Millisecond, time.Second, 5 * time.Second, 9 * time.Second, 11 * time.Second, 30 * time.Second, 10 * time.Minute, 24 * time.Hour,
	}[rng.IntN(8)]
	if rng.IntN(2) == 0 {
		offset = -offset
	}
	rate := []float64{1, 1, 0, 0.5, 2, 10}[rng.IntN(6)]
	end := r.fault("clock", []int{v}, "%v ahead, at %v times the speed", offset, rate)
	r.nodes[v].kill()
	if err := r.daemon(v, "--clock-offset", offset.String(), "--clock-rate", fmt.Sprint(rate)); err != nil {
		return err
	}
	if r.answers(ctx, v) {
		hold(ctx, rng, 2*time.Second, 8*time.Second)
	}
	r.nodes[v].kill()
	end()
	return r.startAll(ctx, []int{v})
}
