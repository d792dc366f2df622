package chaos

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/chaos/report"
)

// state is what a replica was at some time.
func state(run *report.Run, id int, at time.Duration) report.State {
	samples := run.Replicas[id].Samples
	i, found := slices.BinarySearchFunc(samples, at, func(s report.Sample, at time.Duration) int { return int(s.At - at) })
	if !found {
		i--
	}
	return samples[i].State
}

// Every kind of fault tells when it begins and ends, and of whom it is: as often as
// it is counted, and at the times at which the replicas show it.
func TestEveryFaultTells(t *testing.T) {
	shows := map[string]report.State{
		"crash": report.Down, "crash at a boundary": report.Down, "power loss": report.Down, "lost snapshots": report.Down, "pause": report.Paused,
	}
	moments := []string{"clock jump", "bit rot", "wrong read", "old disk image"}
	kinds := (&Simulation{}).kinds()
	require.Equal(t, reflect.TypeFor[Faults]().NumField(), len(kinds))
	for i, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			o := calm()
			o.Seed, o.Storm = 2, 6*time.Second
			field := slices.IndexFunc(kinds, func(x faultKind) bool { return x.name == k.name })
			require.Equal(t, i, field)
			only(&o.Faults, k.name)
			r, run, err := Record(o, nil)
			require.NoError(t, err)
			require.NoError(t, r.Err())
			told, lasted := map[string]int{}, 0
			for _, f := range run.Faults {
				told[f.Kind]++
				require.LessOrEqual(t, f.Begin, f.End)
				require.LessOrEqual(t, f.End, r.Virtual)
				require.True(t, len(f.Replicas) > 0 || f.Detail != "", "%v is about nobody", f)
				if f.End > f.Begin {
					lasted++
				}
				want, ok := shows[f.Kind]
				for _, id := range f.Replicas {
					if !ok {
						break
					}
					require.Equal(t, want, state(run, id, f.Begin), "replica %d when %v begins", id, f)
					if len(f.Replicas) == 1 && f.End < r.Virtual && f.End > f.Begin {
						require.Equal(t, want, state(run, id, f.End-1), "replica %d before %v ends", id, f)
						require.NotEqual(t, want, state(run, id, f.End), "replica %d when %v ends", id, f)
					}
				}
			}
			require.Positive(t, r.Faults[k.name])
			require.True(t, lasted > 0 || slices.Contains(moments, k.name), "%v", run.Faults)
			for kind, n := range r.Faults {
				switch kind {
				case "crash": // those that are to come at a boundary tell when they come
					require.LessOrEqual(t, told[kind], n)
				case "clogged links": // one replica after another
					require.Positive(t, told[kind])
				default:
					require.Equal(t, n, told[kind], kind)
				}
			}
		})
	}
}

// only sets one kind of fault.
func only(f *Faults, kind string) {
	v := reflect.ValueOf(f).Elem()
	for i := range v.NumField() {
		v.Field(i).SetInt(int64(700 * time.Millisecond))
		s := &Simulation{}
		s.opts.Faults = *f
		if slices.ContainsFunc(s.kinds(), func(k faultKind) bool { return k.name == kind && k.mean > 0 }) {
			return
		}
		v.Field(i).SetInt(0)
	}
	panic("no field for " + kind)
}
