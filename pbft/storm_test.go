package pbft

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	stormSeeds = flag.Int("storm.seeds", 40, "number of random schedules")
	stormSeed  = flag.Uint64("storm.seed", 0, "run only this seed, with a trace")
)

// TestStorm runs random schedules: loss, reordering, duplication, partitions,
// crashes with restart, held-back execution. Then everything is healed and every
// request must be executed everywhere within a bounded time.
func TestStorm(t *testing.T) { runSchedules(t, "storm", *stormSeeds, *stormSeed, runStorm) }

func runStorm(t *testing.T, seed uint64, trace bool) {
	sizes := [][]uint64{{1, 1, 1, 1}, {1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, {3, 1, 2, 2, 1, 2}}
	s := newSchedule(t, seed, 7, trace, sizes, func(rng *rand.Rand, c *Config) {
		c.Timeouts.RotateEvery = rng.IntN(3)
		if rng.IntN(3) == 0 {
			c.CheckpointEvery, c.LogMax, c.Retain = 4, 12, 0
		}
	})
	w, rng := s.w, s.rng
	s.loss = []float64{0, 0.01, 0.1, 0.3}[rng.IntN(4)]
	for round := range 40 {
		die := rng.IntN(8)
		s.weather(die)
		switch die {
		case 3:
			s.anyone().crash()
		case 4:
			n := s.anyone()
			n.noApply = !n.noApply
		}
		for _, n := range w.nodes {
			if !n.up && rng.IntN(3) == 0 {
				n.start(false)
			}
		}
		s.submit(uint64(round%3), 5)
		s.blow()
	}
	// The calm: everybody up and connected.
	for _, n := range w.nodes {
		n.noApply = false
		if !n.up {
			n.start(false)
		}
		var out Output
		n.execute(&out)
		n.perform(&out)
	}
	last := s.request(9)
	for _, n := range w.nodes {
		n.submit(last)
	}
	w.run(1200, nil)
	s.settled(w.nodes)
	top := w.nodes[0].core.Committed()
	for _, n := range w.nodes {
		require.Empty(t, n.evidence, "an honest replica is accused")
		require.Equal(t, top, n.core.Committed(), "replica %d lags\n%s", n.id, w.describe())
		require.Equal(t, top, n.core.ExecutedHeight())
		require.Equal(t, w.nodes[0].state[top], n.state[top])
		require.Equal(t, top, n.core.Stable(), "the end is not certified\n%s", w.describe())
	}
}
