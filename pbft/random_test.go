package pbft

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// schedule is a random schedule over a world: the weather of the network, and
// requests. What else happens in a round is up to the test.
type schedule struct {
	t    *testing.T
	rng  *rand.Rand
	w    *world
	loss float64
	cut  func(packet) bool // which packets arrive; nil: all
	seq  uint64
}

// runSchedules runs a schedule for each seed from 1 to seeds, or only one of them with a
// trace, and says how to see the first that failed again.
func runSchedules(t *testing.T, flag string, seeds int, only uint64, run func(t *testing.T, seed uint64, trace bool)) {
	if only != 0 {
		run(t, only, true)
		return
	}
	for i := range seeds {
		seed := uint64(i) + 1
		ok := false
		func() {
			defer func() { // also when the schedule ends the test, or panics
				if !ok || t.Failed() {
					t.Logf("reproduce: go test ./pbft -run %s -%s.seed=%d", t.Name(), flag, seed)
				}
			}()
			run(t, seed, false)
			ok = true
		}()
		if t.Failed() {
			return
		}
	}
}

// newSchedule makes a world of one of some sizes; stream keeps the random numbers of
// different tests apart.
func newSchedule(t *testing.T, seed, stream uint64, trace bool, sizes [][]uint64, edit func(*rand.Rand, *Config)) *schedule {
	rng := rand.New(rand.NewPCG(seed, stream))
	w := newWorld(sizes[rng.IntN(len(sizes))], seed, func(c *Config) {
		if edit != nil {
			edit(rng, c)
		}
	})
	if trace {
		w.trace = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	}
	return &schedule{t: t, rng: rng, w: w}
}

func (s *schedule) anyone() *testNode { return s.w.nodes[s.rng.IntN(s.w.n())] }

// weather changes the network if the die shows 0 to 2: one replica cut off, one
// direction of one link cut, everything whole again.
func (s *schedule) weather(die int) {
	switch die {
	case 0:
		a := s.anyone().id
		s.cut = func(p packet) bool { return p.from != a && p.to != a }
	case 1:
		a, b := s.anyone().id, s.anyone().id
		s.cut = func(p packet) bool { return p.from != a || p.to != b }
	case 2:
		s.cut = nil
	}
}

// request makes the next request of a client.
func (s *schedule) request(client uint64) *Request {
	s.seq++
	return s.w.request(client, s.seq, fmt.Sprintf("op %d", s.seq))
}

// submit hands up to most requests of a client to random replicas that are up.
func (s *schedule) submit(client uint64, most int) {
	for range s.rng.IntN(most + 1) {
		r := s.request(client)
		for _, n := range s.w.nodes {
			if n.up && s.rng.IntN(2) == 0 {
				n.submit(r)
			}
		}
	}
}

// blow lets a round of the storm pass; nothing may break in it.
func (s *schedule) blow() {
	s.w.storm(s.rng, 300, s.loss, s.cut)
	require.Empty(s.t, s.w.broken)
}

// settled demands what must hold of each replica in the end.
func (s *schedule) settled(nodes []*testNode) {
	require.Empty(s.t, s.w.broken)
	for _, n := range nodes {
		require.Empty(s.t, n.alarms)
		require.Positive(s.t, uint64(n.core.ExecutedHeight()), "replica %d executed nothing\n%s", n.id, s.w.describe())
		require.Equal(s.t, 0, n.core.PoolLen(), "replica %d still has requests\n%s", n.id, s.w.describe())
	}
}

func (w *world) describe() string {
	s := ""
	for _, n := range w.nodes {
		s += n.core.Describe()
	}
	return s
}
