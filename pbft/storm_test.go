package pbft

import (
	"flag"
	"fmt"
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
func TestStorm(t *testing.T) {
	if *stormSeed != 0 {
		runStorm(t, *stormSeed, true)
		return
	}
	for seed := range *stormSeeds {
		runStorm(t, uint64(seed)+1, false)
		if t.Failed() {
			t.Logf("reproduce: go test ./pbft -run TestStorm -storm.seed=%d", seed+1)
			return
		}
	}
}

func runStorm(t *testing.T, seed uint64, trace bool) {
	rng := rand.New(rand.NewPCG(seed, 7))
	sizes := [][]uint64{{1, 1, 1, 1}, {1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}, {3, 1, 2, 2, 1, 2}}
	weights := sizes[rng.IntN(len(sizes))]
	w := newWorld(weights, seed, func(c *Config) {
		c.Timeouts.RotateEvery = rng.IntN(3)
		if rng.IntN(3) == 0 {
			c.CheckpointEvery, c.LogMax, c.Retain = 4, 12, 0
		}
	})
	if trace {
		w.trace = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	}
	loss := []float64{0, 0.01, 0.1, 0.3}[rng.IntN(4)]
	var cut func(packet) bool
	seq := uint64(0)
	for round := range 40 {
		switch rng.IntN(8) {
		case 0:
			a := ReplicaID(rng.IntN(w.n()))
			cut = func(p packet) bool { return p.from != a && p.to != a }
		case 1:
			a, b := ReplicaID(rng.IntN(w.n())), ReplicaID(rng.IntN(w.n()))
			cut = func(p packet) bool { return p.from != a || p.to != b }
		case 2:
			cut = nil
		case 3:
			n := w.nodes[rng.IntN(w.n())]
			n.crash()
		case 4:
			n := w.nodes[rng.IntN(w.n())]
			n.noApply = !n.noApply
		}
		for _, n := range w.nodes {
			if !n.up && rng.IntN(3) == 0 {
				n.start(false)
			}
		}
		for range rng.IntN(6) {
			seq++
			r := w.request(uint64(round%3), seq, fmt.Sprintf("op %d", seq))
			for _, n := range w.nodes {
				if n.up && rng.IntN(2) == 0 {
					n.submit(r)
				}
			}
		}
		w.storm(rng, 300, loss, cut)
		require.Empty(t, w.broken, "seed %d", seed)
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
	seq++
	last := w.request(9, seq, "last")
	for _, n := range w.nodes {
		n.submit(last)
	}
	w.run(1200, nil)
	require.Empty(t, w.broken, "seed %d", seed)
	top := w.nodes[0].core.Committed()
	for _, n := range w.nodes {
		require.Empty(t, n.alarms, "seed %d", seed)
		require.Empty(t, n.evidence, "seed %d: an honest replica is accused", seed)
		require.Equal(t, top, n.core.Committed(), "seed %d: replica %d lags\n%s", seed, n.id, w.describe())
		require.Equal(t, top, n.core.ExecutedHeight(), "seed %d", seed)
		require.Equal(t, 0, n.core.PoolLen(), "seed %d: replica %d still has requests\n%s", seed, n.id, w.describe())
		require.Equal(t, w.nodes[0].state[top], n.state[top], "seed %d", seed)
		require.Equal(t, top, n.core.Stable(), "seed %d: the end is not certified\n%s", seed, w.describe())
	}
	require.Positive(t, uint64(top))
}

func (w *world) describe() string {
	s := ""
	for _, n := range w.nodes {
		s += n.core.Describe()
	}
	return s
}
