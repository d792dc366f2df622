package chaos

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

var (
	flagSeed     = flag.Uint64("chaos.seed", 0, "run only this seed, and print its trace")
	flagSeeds    = flag.Int("chaos.seeds", 6, "number of seeds to run")
	flagFrom     = flag.Uint64("chaos.from", 1, "first seed")
	flagFailures = flag.Int("chaos.failures", 1, "stop after so many failing seeds")
	flagTime     = flag.Duration("chaos.time", 12*time.Second, "stop starting new seeds after this time")
)

// TestSeeds runs a few seeds: the spread of hundreds is 'make chaos', from the same first one.
// One that breaks a promise is named with the command that runs it again.
func TestSeeds(t *testing.T) {
	if *flagSeed != 0 {
		o := Swarm(*flagSeed)
		o.Trace = func(line string) { fmt.Fprintln(os.Stdout, line) }
		r := Run(o)
		t.Logf("%+v", o)
		t.Log(r)
		require.NoError(t, r.Err())
		return
	}
	began := time.Now()
	var virtual, slowest time.Duration
	var failed, seeds, operations, blocks, transfers, proofs int
	var slowSeed uint64
	faults, rare := map[string]int{}, map[string]int{}
	for seed := *flagFrom; seed < *flagFrom+uint64(*flagSeeds) && time.Since(began) < *flagTime; seed++ {
		o := Swarm(seed)
		r := Run(o)
		if err := r.Err(); err != nil {
			t.Errorf("%v\n%+v\nreproduce: go test ./chaos -run TestSeeds -chaos.seed=%d", err, o, seed)
			if failed++; failed >= *flagFailures {
				t.FailNow()
			}
		}
		if r.Undecided {
			t.Logf("seed %d: the history was not judged in time", seed)
		}
		seeds++
		virtual += r.Virtual
		if r.Recovery > slowest {
			slowest, slowSeed = r.Recovery, seed
		}
		operations, blocks, transfers, proofs = operations+r.Operations, blocks+r.Blocks, transfers+r.Transfers, proofs+r.Evidence
		for k, n := range r.Faults {
			faults[k] += n
		}
		for k, n := range r.Sometimes {
			rare[k] += n
		}
	}
	real := time.Since(began)
	var text []string
	total := 0
	for _, k := range slices.Sorted(maps.Keys(faults)) {
		text = append(text, fmt.Sprintf("%s %d", k, faults[k]))
		total += faults[k]
	}
	t.Logf("%d seeds in %v: %.1f seeds/s, %.0f virtual seconds (%.0f times real time), %d operations, %d blocks, %d transfers, %d proofs, slowest recovery %v (seed %d)",
		seeds, real.Round(time.Millisecond), float64(seeds)/real.Seconds(), virtual.Seconds(), virtual.Seconds()/real.Seconds(), operations, blocks, transfers, proofs, slowest.Round(time.Millisecond), slowSeed)
	t.Logf("%d faults: %s", total, strings.Join(text, ", "))
	t.Logf("rare situations that did not come about: %q", Missing(rare))
	require.Positive(t, operations)
}

// The same seed gives the same trace, whatever the processors do.
func TestSameSeedSameTrace(t *testing.T) {
	short := func(seed uint64) Options {
		o := Swarm(seed)
		o.Storm = 3 * time.Second
		return o
	}
	for seed := uint64(1); seed <= 4; seed++ {
		first := Run(short(seed))
		procs := runtime.GOMAXPROCS(1)
		second := Run(short(seed))
		runtime.GOMAXPROCS(procs)
		require.Equal(t, first.Trace, second.Trace, "seed %d", seed)
		require.Equal(t, first.Events, second.Events)
		require.NotEqual(t, first.Trace, Run(short(seed+100)).Trace)
	}
}

// Every kind of fault strikes by itself, alone, without breaking a promise.
func TestEachFault(t *testing.T) {
	const often = 300 * time.Millisecond
	for name, set := range map[string]func(f *Faults){
		"crash": func(f *Faults) { f.Crash = often }, "power loss": func(f *Faults) { f.Power = often }, "pause": func(f *Faults) { f.Pause = often },
		"slow replica": func(f *Faults) { f.Slow = often }, "old disk image": func(f *Faults) { f.Restore = often },
		"partition": func(f *Faults) { f.Partition = often }, "partial partition": func(f *Faults) { f.Partial = often },
		"one-way cut": func(f *Faults) { f.OneWay = often }, "flapping link": func(f *Faults) { f.Flap = often },
		"isolated primary": func(f *Faults) { f.Isolate = often }, "clogged links": func(f *Faults) { f.Clog = often },
		"narrow links": func(f *Faults) { f.Narrow = often }, "wiped disk": func(f *Faults) { f.Wipe = often },
		"lost snapshots": func(f *Faults) { f.Snapshots = often }, "disk error": func(f *Faults) { f.IOError = often },
		"full disk": func(f *Faults) { f.Full = often }, "bit rot": func(f *Faults) { f.Rot = often }, "torn log": func(f *Faults) { f.Torn = often },
		"wrong read": func(f *Faults) { f.Misread = often }, "clock jump": func(f *Faults) { f.Clock = often },
		"clock rate": func(f *Faults) { f.Rate = often }, "frozen clock": func(f *Faults) { f.Freeze = often },
		"application panics": func(f *Faults) { f.Panic = often }, "application lags": func(f *Faults) { f.Lag = often },
		"application differs": func(f *Faults) { f.Differ = often }, "application is wrong once": func(f *Faults) { f.Lapse = often }, "wrong hints": func(f *Faults) { f.Hints = often },
		"lost state": func(f *Faults) { f.StateLost = often }, "unreadable state": func(f *Faults) { f.StateRot = often },
		"flipped state": func(f *Faults) { f.StateFlip = often },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(2) {
				o := calm()
				o.Seed, o.Storm, o.CheckpointEvery, o.HealAll = seed, 3*time.Second, 4, seed%2 == 0
				set(&o.Faults)
				o.OnDisk = o.Faults.StateLost+o.Faults.StateRot+o.Faults.StateFlip > 0
				o.Stored = o.OnDisk
				r := Run(o)
				require.NoError(t, r.Err(), "%+v", o)
				require.Positive(t, r.Faults[name], "seed %d", seed)
				require.Positive(t, r.Operations)
			}
		})
	}
	s, err := NewSimulation(calm())
	require.NoError(t, err)
	require.Len(t, s.kinds(), 30, "and no other is without a test")
}

// A promise is kept under each of the conditions, with a traitor and without.
func TestConditions(t *testing.T) {
	require.Len(t, Conditions(), 16)
	for _, c := range Conditions() {
		t.Run(c.Name, func(t *testing.T) {
			for seed := range uint64(2) {
				o := calm()
				o.Seed, o.Storm = seed, 2*time.Second
				if seed == 1 {
					o.Traitors = []pbft.ReplicaID{1}
				}
				c.Apply(&o)
				r := Run(o)
				require.NoError(t, r.Err(), "%+v", o)
				require.Positive(t, r.Promise)
				require.LessOrEqual(t, r.Recovery, r.Promise)
			}
		})
	}
}
