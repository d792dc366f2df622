package chaos

import (
	"flag"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

var flagPlots = flag.Uint64("chaos.plots", 1, "number of seeds to run for each strategy")

// plot are options in which a traitor plays a strategy under few other faults.
// Snapshots and catching up are frequent, and the primary changes.
func plot(seed uint64, strategy string) Options {
	o := Swarm(seed)
	o.Faults = Faults{Crash: 3 * time.Second, Partition: 4 * time.Second, Wipe: 0}
	o.Storm, o.Bound, o.HealAll = 3*time.Second, 30*time.Second, true
	o.Clients, o.Weights = min(o.Clients, 3), equalWeights(4)
	if seed%3 == 0 {
		o.Weights = equalWeights(7)
	}
	o.Network.Loss = 0
	o.BadClients = nil
	if aboutParts(strategy) {
		// One that was away for a moment needs a state.
		o.Stored, o.CheckpointEvery, o.Retain, o.Think = true, 4, 0, 20*time.Millisecond
		o.Faults.Partition, o.Faults.Isolate = time.Second, time.Second
	}
	o.Traitors, o.Strategies = nil, make([]string, len(o.Weights))
	q, err := pbft.NewQuorumSystem(o.Weights)
	must(err)
	left := q.MaxFaulty()
	for i, w := range o.Weights {
		if w <= left {
			left -= w
			o.Traitors = append(o.Traitors, pbft.ReplicaID(i))
			o.Strategies[i] = strategy
		}
	}
	return o
}

// Every strategy does its deed, and nothing breaks: the judge finds no fault and
// every client is answered.
func TestStrategies(t *testing.T) {
	require.Len(t, Strategies(), 46)
	seen := map[string]bool{}
	for i, st := range Strategies() {
		require.False(t, seen[st.Name], st.Name)
		seen[st.Name] = true
		t.Run(st.Name, func(t *testing.T) {
			deeds := 0
			for seed := uint64(1); seed <= *flagPlots || deeds == 0 && seed < 20; seed++ {
				o := plot(100_000*uint64(i+1)+seed, st.Name)
				s, err := NewSimulation(o)
				require.NoError(t, err)
				r := s.Run()
				require.NoError(t, r.Err(), "%s: %+v", st.Name, o)
				for _, x := range s.Traitors() {
					deeds += x.Deeds()
				}
				t.Log(r)
			}
			require.Positive(t, deeds)
			t.Logf("%d deeds", deeds)
		})
	}
}

// Every bad client does its deed and harms nobody else.
func TestBadClients(t *testing.T) {
	require.Len(t, BadClients(), 14)
	for i, kind := range BadClients() {
		t.Run(kind.Name, func(t *testing.T) {
			deeds := 0
			for seed := range *flagPlots {
				o := plot(10_000_000+100_000*uint64(i)+seed, "mute")
				o.Storm = 1500 * time.Millisecond
				if seed%2 == 0 {
					o.Traitors, o.Strategies = nil, nil
				}
				o.BadClients = []string{kind.Name, kind.Name}
				s, err := NewSimulation(o)
				require.NoError(t, err)
				r := s.Run()
				require.NoError(t, r.Err(), "%s: %+v", kind.Name, o)
				for _, b := range s.badClients {
					deeds += b.deeds // in a storm that is short and bad one may get to nothing
				}
				t.Log(r)
			}
			require.Positive(t, deeds)
		})
	}
}
