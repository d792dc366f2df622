package chaos

import (
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/chaos/report"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/kv"
)

// What is recorded is the same run, and it is all there.
func TestRecord(t *testing.T) {
	o := Swarm(1)
	o.Storm = 3 * time.Second
	o.Faults = Faults{Crash: 300 * time.Millisecond, Pause: 500 * time.Millisecond}
	lines, page := 0, filepath.Join(t.TempDir(), report.HistoryPageFile)
	plain := Run(o)
	o.Trace = func(string) { lines++ }
	r, run, err := Record(o, func(h *History) error { return h.Draw(page, time.Second) })
	require.NoError(t, err)
	require.Equal(t, plain.Trace, r.Trace, "recording changes the run")
	require.Positive(t, lines)
	html, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(html), "put k")

	require.Equal(t, r.Virtual, run.Duration)
	require.Equal(t, report.Pass, run.Verdict)
	require.Len(t, run.Replicas, len(o.Weights))
	down, top := false, uint64(0)
	for _, x := range run.Replicas {
		last := time.Duration(-1)
		for _, s := range x.Samples {
			require.Greater(t, s.At, last)
			last = s.At
			down = down || s.State == report.Down
			top = max(top, s.Height)
		}
	}
	require.True(t, down, "nobody was ever down")
	require.EqualValues(t, r.Blocks, top)
	ok := 0
	for _, op := range run.Operations {
		if op.Outcome == report.OK {
			ok++
			require.GreaterOrEqual(t, op.End, op.Begin)
		}
	}
	require.Equal(t, r.Operations-r.Unknown, ok)
	kinds := map[string]int{}
	for _, f := range run.Faults {
		kinds[f.Kind]++
		if f.Kind == "pause" {
			require.Len(t, f.Replicas, 1)
			require.Greater(t, f.End, f.Begin)
		}
	}
	require.Equal(t, r.Faults["pause"], kinds["pause"])
}

// Faults have the times and the replicas that they are about.
func TestRecordedFaults(t *testing.T) {
	lasting := map[string]bool{
		"pause": true, "slow replica": true, "wiped disk": true, "partition": true, "partial partition": true, "one-way cut": true,
		"isolated primary": true, "narrow links": true, "clogged links": true, "clock rate": true, "frozen clock": true, "not healed": true,
	}
	seen := map[string]int{}
	for seed := uint64(1); seed <= 4; seed++ {
		o := Swarm(seed)
		o.Storm = min(o.Storm, 3*time.Second)
		r, run, err := Record(o, nil)
		require.NoError(t, err)
		for _, f := range run.Faults {
			require.LessOrEqual(t, f.Begin, f.End)
			require.LessOrEqual(t, f.End, r.Virtual)
			for _, id := range f.Replicas {
				require.Less(t, id, len(o.Weights))
			}
			if lasting[f.Kind] && f.End > f.Begin {
				require.True(t, len(f.Replicas) > 0 || f.Detail != "", "%v is about nobody", f)
				seen[f.Kind]++
			}
		}
		require.Len(t, run.Coverage, len(Situations()))
	}
	require.Greater(t, len(seen), 2, "%v", seen)
}

func TestOptionsAsText(t *testing.T) {
	for seed := uint64(1); seed < 50; seed++ {
		o := Swarm(seed)
		data, err := EncodeOptions(o)
		require.NoError(t, err)
		again, err := DecodeOptions(data)
		require.NoError(t, err)
		require.Equal(t, o, again)
	}
	for _, bad := range []string{``, `{"Seed":1}`, `{"Sed":1}`, `[]`} {
		_, err := DecodeOptions([]byte(bad))
		require.ErrorIs(t, err, ErrOptions, bad)
	}
}

// A history of an application without a model has the bytes and the times of its
// operations.
func TestRecordAnotherApplication(t *testing.T) {
	o := calm()
	o.Machine = func() statemachine.StateMachine { return kv.New(kv.DefaultLimits()) }
	o.Operation = func(_ *rand.Rand, client, n int) []byte {
		return kv.Put([]byte{0xff, byte(client)}, []byte{byte(n)})
	}
	r, run, err := Record(o, func(*History) error { panic("there is nothing to draw") })
	require.NoError(t, err)
	require.NoError(t, r.Err())
	require.Greater(t, r.Operations, 20)
	require.Len(t, run.Operations, r.Operations)
	made := make([]int, o.Clients)
	for _, op := range run.Operations {
		want := o.Operation(nil, op.Client, made[op.Client])
		made[op.Client]++
		require.Equal(t, "0x"+hex.EncodeToString(want), op.New)
		require.Equal(t, report.OK, op.Outcome)
		require.Greater(t, op.End, op.Begin)
		require.NotEmpty(t, op.Value)
	}
	require.Equal(t, r.Operations, Run(o).Operations)
}
