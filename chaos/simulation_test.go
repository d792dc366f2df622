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
)

var (
	flagSeed     = flag.Uint64("chaos.seed", 0, "run only this seed, and print its trace")
	flagSeeds    = flag.Int("chaos.seeds", 60, "number of seeds to run")
	flagFrom     = flag.Uint64("chaos.from", 1, "first seed")
	flagFailures = flag.Int("chaos.failures", 1, "stop after so many failing seeds")
	flagTime     = flag.Duration("chaos.time", 12*time.Second, "stop starting new seeds after this time")
)

// TestSeeds runs a spread of seeds. One that breaks a promise is named with the
// command that runs it again.
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
	faults := map[string]int{}
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
	require.Positive(t, operations)
}

// The same seed gives the same trace, whatever the processors do.
func TestSameSeedSameTrace(t *testing.T) {
	short := func(seed uint64) Options {
		o := Swarm(seed)
		o.Storm = 3 * time.Second
		return o
	}
	for seed := uint64(1); seed <= 3; seed++ {
		first := Run(short(seed))
		procs := runtime.GOMAXPROCS(1)
		second := Run(short(seed))
		runtime.GOMAXPROCS(procs)
		require.Equal(t, first.Trace, second.Trace, "seed %d", seed)
		require.Equal(t, first.Events, second.Events)
		require.NotEqual(t, first.Trace, Run(short(seed+100)).Trace)
	}
}
