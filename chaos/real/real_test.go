package real

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/chaos/report"
	"github.com/parley-bft/parley/statemachine/store"
)

var testFolder string

func TestMain(m *testing.M) {
	var err error
	if testFolder, err = os.MkdirTemp("", "parley-real-test-"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(testFolder)
		os.Exit(code)
	}))
}

// build makes the command once for all tests; where nothing has changed that takes
// a moment.
var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(testFolder, "parley")
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, module+"/cmd/parley").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func program(t *testing.T) string {
	t.Helper()
	path, err := build()
	require.NoError(t, err)
	return path
}

// said is where a run tells of itself, for the log of a test that fails.
type said struct{ t *testing.T }

func (s said) Write(b []byte) (int, error) {
	s.t.Log(strings.TrimRight(string(b), "\n"))
	return len(b), nil
}

// TestRun runs real processes on loopback under faults for a few seconds.
func TestRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	out, err := Run(t.Context(), Options{
		Program: program(t), Dir: dir, Duration: 3 * time.Second, Seed: 1, Loopback: true, Again: "again", Out: said{t},
		Nemeses: []string{"kill", "kill-all", "partition", "reset", "delay", "full"},
	})
	require.NoError(t, err)
	require.NoError(t, out.Err())
	require.Equal(t, report.Pass, out.Verdict)
	require.Positive(t, out.Acknowledged)
	require.NotEmpty(t, out.Faults)
	require.Contains(t, strings.Join(out.Notes, "\n"), "full is left out")
	for _, f := range []string{report.PageFile, report.HistoryFile, report.MetricsFile, report.TraceFile, "cluster/replica-0/log.txt"} {
		info, err := os.Stat(filepath.Join(dir, f))
		require.NoError(t, err)
		require.Positive(t, info.Size(), f)
	}
	_, err = os.Stat(filepath.Join(dir, "cluster", "replica-0", "disk"))
	require.ErrorIs(t, err, os.ErrNotExist, "the data of a run that passed is of no use")
	loaded, err := report.Load(dir)
	require.NoError(t, err)
	require.Len(t, loaded.Operations, len(out.Operations))
}

// With its state on the disk a replica loses it, or finds it damaged, and comes back with
// the vote that it had.
func TestRunOnDisk(t *testing.T) {
	out, err := Run(t.Context(), Options{
		Program: program(t), Dir: filepath.Join(t.TempDir(), "run"), Application: kvStore, Duration: 4 * time.Second, Seed: 1, Loopback: true, Out: said{t},
		Nemeses: []string{"rot-state", "lose-state", "kill"},
	})
	require.NoError(t, err)
	require.NoError(t, out.Err())
	require.Positive(t, out.Acknowledged)
	require.NotEmpty(t, out.Faults)
	for _, f := range out.Faults {
		require.Contains(t, []string{"rot-state", "lose-state", "kill"}, f.Kind)
	}
	require.NotEmpty(t, noState(&run{opts: Options{}.withDefaults()}), "there is no state on the disk")
}

// Damage to a state is found wherever it is.
func TestScrubState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	require.Empty(t, scrubState(dir), "one that is new is whole")
	cfg := store.DefaultConfig()
	cfg.Dir = dir
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	for i := range 2000 {
		s.Block().Set(fmt.Append(nil, "key ", i), fmt.Append(nil, "value ", i))
	}
	require.NoError(t, s.Commit(1))
	_, err = s.Digest()
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.Empty(t, scrubState(dir))
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if i := bytes.Index(data, []byte("value 1234")); i >= 0 {
			data[i] ^= 1
			return os.WriteFile(path, data, 0o600)
		}
		return err
	}))
	require.NotEmpty(t, scrubState(dir))
}

// TestKills restarts until the number is reached.
func TestKills(t *testing.T) {
	out, err := Run(t.Context(), Options{Program: program(t), Dir: filepath.Join(t.TempDir(), "run"), Kills: 8, Seed: 2, Loopback: true, Out: said{t}})
	require.NoError(t, err)
	require.NoError(t, out.Err())
	require.GreaterOrEqual(t, out.Restarts, 8)
}

// A replica that ends by itself is found.
// A run in which none of the faults that it is for can be done has not passed.
func TestNothingPossible(t *testing.T) {
	for _, o := range []Options{{PowerCuts: 3}, {Nemeses: []string{"power", "full"}}} {
		o.Program, o.Dir, o.Duration, o.Loopback, o.Out = program(t), filepath.Join(t.TempDir(), "run"), time.Second, true, said{t}
		out, err := Run(t.Context(), o)
		require.ErrorIs(t, err, ErrImpossible)
		require.Nil(t, out)
	}
}

func TestRunFindsAReplicaThatEnds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	real := program(t)
	// The program of one replica gives up after a while, and says so.
	quitter := filepath.Join(t.TempDir(), "quitter")
	script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *replica-2*) echo oh no >&2; exit 3;; esac\nexec %s \"$@\"\n", real)
	require.NoError(t, os.WriteFile(quitter, []byte(script), 0o700))
	out, err := Run(t.Context(), Options{
		Program: quitter, Dir: dir, Duration: time.Second, Seed: 3, Loopback: true, Nemeses: []string{"none"}, Patience: 5 * time.Second, Next: real, Out: said{t},
	})
	require.NoError(t, err)
	require.ErrorIs(t, out.Err(), ErrBroken)
	require.Equal(t, "ended", out.Violations[0].Invariant)
	require.Contains(t, out.Violations[0].Text, "oh no")
	_, err = os.Stat(filepath.Join(dir, "cluster", "replica-0", "disk", "data"))
	require.NoError(t, err, "the data of a run that failed is evidence")
}

func TestRunThatCannotStart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := Run(ctx, Options{Program: "/bin/false", Dir: t.TempDir(), Loopback: true, Patience: time.Second})
	require.ErrorContains(t, err, "does not serve clients")
	_, err = Run(ctx, Options{Program: "/does/not/exist", Dir: t.TempDir(), Loopback: true, Next: "x"})
	require.ErrorContains(t, err, "no such file")
}

// judged makes a run with a history and what a store has, and no processes.
func judged(t *testing.T) *run {
	folder, err := report.Create(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, folder.Close()) })
	return &run{opts: Options{Out: said{t}}.withDefaults(), folder: folder, recorder: newRecorder(), coverage: map[string]uint64{}}
}

func (r *run) invariants() (names []string) {
	for _, v := range r.violations {
		names = append(names, v.Invariant)
	}
	return names
}

func TestCompareFindsWhatIsWrong(t *testing.T) {
	write := func(r *run, key string) int {
		return r.recorder.begin(0, operation{chaos.Op{Kind: chaos.OpPut, Key: key, New: "v" + key}, true})
	}
	good := func() map[string]stored { return map[string]stored{"acked": {"vacked", 1}} }
	for _, c := range []struct {
		name string
		edit func(map[string]stored)
		want []string
	}{
		{"all is well", func(map[string]stored) {}, nil},
		{"an unknown one may be there", func(m map[string]stored) { m["unknown"] = stored{"vunknown", 1} }, nil},
		{"lost", func(m map[string]stored) { delete(m, "acked") }, []string{"durability"}},
		{"another value", func(m map[string]stored) { m["acked"] = stored{"x", 1} }, []string{"durability"}},
		{"twice", func(m map[string]stored) { m["acked"] = stored{"vacked", 2} }, []string{"exactly once"}},
		{"an unknown one twice", func(m map[string]stored) { m["unknown"] = stored{"vunknown", 2} }, []string{"exactly once"}},
		{"ran after all", func(m map[string]stored) { m["never"] = stored{"vnever", 1} }, []string{"truth"}},
		{"from nowhere", func(m map[string]stored) { m["foreign"] = stored{"x", 1} }, []string{"truth"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := judged(t)
			r.recorder.end(write(r, "acked"), chaos.Outcome{})
			write(r, "unknown")
			r.recorder.never(write(r, "never"))
			have := good()
			c.edit(have)
			r.compare(0, have)
			require.Equal(t, c.want, r.invariants())
		})
	}
}

func TestDoctoredHistoryIsFound(t *testing.T) {
	r := judged(t)
	put := r.recorder.begin(0, operation{Op: chaos.Op{Kind: chaos.OpPut, Key: "k", New: "1"}})
	r.recorder.end(put, chaos.Outcome{})
	get := r.recorder.begin(1, operation{Op: chaos.Op{Kind: chaos.OpGet, Key: "k"}})
	r.recorder.end(get, chaos.Outcome{Found: true, Value: "1"})
	require.NoError(t, r.recorder.history.Check(time.Second))
	stale := r.recorder.begin(1, operation{Op: chaos.Op{Kind: chaos.OpGet, Key: "k"}})
	r.recorder.end(stale, chaos.Outcome{})
	require.ErrorIs(t, r.recorder.history.Check(time.Second), chaos.ErrNotLinearizable)
}

func TestLogs(t *testing.T) {
	for _, c := range []struct {
		name, log string
		want      []string
	}{
		{"nothing", `{"level":"INFO","msg":"replica is up"}`, nil},
		{"proof against a traitor", `{"level":"ERROR","msg":"PROOF OF MISBEHAVIOUR","offence":"two proposals","culprit":1}`, nil},
		{"proof against an honest one", `{"level":"ERROR","msg":"PROOF OF MISBEHAVIOUR","offence":"two proposals","culprit":0}`, []string{"accountability"}},
		{"proof against nobody", `{"level":"ERROR","msg":"PROOF OF MISBEHAVIOUR","culprit":7}`, []string{"accountability"}},
		{"a lie of a traitor", `{"level":"ERROR","msg":"A PEER LIED about a part of the state: it is not asked again","peer":1}`, nil},
		{"a lie of one whose state is damaged", `{"level":"ERROR","msg":"A PEER LIED about a part of the state: it is not asked again","peer":2}`, nil},
		{"a lie of an honest one", `{"level":"ERROR","msg":"A PEER LIED about a part of the state: it is not asked again","peer":0}`, []string{"accountability"}},
		{"alarm", `{"level":"ERROR","msg":"ALARM: something","halted":true}`, []string{"alarm"}},
		{"panic", "panic: runtime error: index out of range\n\ngoroutine 1 [running]:", []string{"panic"}},
		{"race", "WARNING: DATA RACE", []string{"panic"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := judged(t)
			path := filepath.Join(t.TempDir(), "log")
			require.NoError(t, os.WriteFile(path, []byte(c.log+"\n"), 0o600))
			empty := filepath.Join(t.TempDir(), "empty")
			require.NoError(t, os.WriteFile(empty, nil, 0o600))
			r.nodes = []*node{{id: 0, log: path}, {id: 1, log: empty, blamed: true}, {id: 2, log: empty, rotten: true}}
			r.judgeLogs()
			require.Equal(t, c.want, r.invariants())
			require.Empty(t, r.notes)
		})
	}
}

func TestOptionsValidate(t *testing.T) {
	good := Options{Program: "p", Dir: "d"}
	require.NoError(t, good.Validate())
	for want, edit := range map[string]func(*Options){
		"Program":               func(o *Options) { o.Program = "" },
		"Dir":                   func(o *Options) { o.Dir = "" },
		"Application is ledger": func(o *Options) { o.Application = "ledger" },
		"Replicas is 3":         func(o *Options) { o.Replicas = 3 },
		"Clients is -1":         func(o *Options) { o.Clients = -1 },
		"Rate":                  func(o *Options) { o.Rate = -1 },
		"Duration":              func(o *Options) { o.Duration = time.Millisecond },
		"Kills and PowerCuts":   func(o *Options) { o.Kills, o.PowerCuts = 1, 1 },
		`"earthquake"`:          func(o *Options) { o.Nemeses = []string{"earthquake"} },
	} {
		o := good
		edit(&o)
		err := o.Validate()
		require.ErrorIs(t, err, ErrOptions)
		require.ErrorContains(t, err, want)
	}
}

func TestEveryNemesisIsDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range Nemeses() {
		require.False(t, seen[name], name)
		seen[name] = true
		require.NotEmpty(t, NemesisDoc(name))
	}
	require.Empty(t, NemesisDoc("earthquake"))
	require.Greater(t, len(seen), 20)
}

func TestDamageChangesOneFile(t *testing.T) {
	for seed := range uint64(60) {
		dir := t.TempDir()
		data := make([]byte, 10_000)
		for i := range data {
			data[i] = byte(i * 7 / 3)
		}
		for _, f := range []string{"a", "b"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, f), data, 0o600))
		}
		what, err := damage(dir, rand.New(rand.NewPCG(seed, 1)))
		require.NoError(t, err)
		same := 0
		for _, f := range []string{"a", "b"} {
			now, err := os.ReadFile(filepath.Join(dir, f))
			if err == nil && string(now) == string(data) {
				same++
			}
		}
		require.Equal(t, 1, same, what)
	}
}
