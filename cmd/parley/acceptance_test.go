//go:build acceptance && unix

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/kv"
)

// These tests are scripts/acceptance.sh. They take minutes, and print figures.

// records makes the file to load: the Debian package index of this machine, or
// made-up records where there is none. limit 0 is all of them.
func acceptanceRecords(t *testing.T, limit int) (path string, n int) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "records.txt")
	var out strings.Builder
	source := "the package index"
	if data, err := exec.Command("apt-cache", "dumpavail").Output(); err == nil {
		n = packageRecords(&out, data, limit)
	}
	if n < 50_000 && limit == 0 || n < limit {
		source, n = "made-up records", 0
		out.Reset()
		for want := max(60_000, limit); n < want; n++ {
			fmt.Fprintf(&out, "package-%d\t1.%d-%d %x\n", n, n%17, n%5, sha256.Sum256([]byte(strconv.Itoa(n))))
		}
	}
	require.NoError(t, os.WriteFile(path, []byte(out.String()), 0o600))
	t.Logf("%d records from %s, %d bytes", n, source, out.Len())
	return path, n
}

// packageRecords writes a line for each package: name, version, hash.
func packageRecords(out *strings.Builder, dump []byte, limit int) (n int) {
	var name, version string
	for line := range bytes.Lines(dump) {
		field, value, _ := strings.Cut(strings.TrimSpace(string(line)), ": ")
		switch field {
		case "Package":
			name = value
		case "Version":
			version = value
		case "SHA256":
			if n < limit || limit == 0 {
				fmt.Fprintf(out, "%s\t%s %s\n", name, version, value)
				n++
			}
		}
	}
	return n
}

// trial is a cluster under load.
type trial struct {
	*testing.T
	*processes
	direct *directory
	n      int
}

func newTrial(t *testing.T, replicas int, more ...string) *trial {
	t.Helper()
	return startTrial(t, makeCluster(t, replicas, more...), replicas)
}

func startTrial(t *testing.T, dir string, replicas int) *trial {
	t.Helper()
	x := &trial{T: t, n: replicas}
	x.processes = startProcesses(t, dir, replicas)
	to := target{dir: dir, cluster: clusterFilePath(dir)}
	var err error
	x.direct, err = to.direct()
	require.NoError(t, err)
	t.Cleanup(x.direct.close)
	x.await("all replicas are up", func(s *clusterState) bool { return s.Reachable == replicas && s.Primary >= 0 })
	return x
}

func (x *trial) state() clusterState { return x.direct.states(x.Context(), 2*time.Second) }

// await polls until ok, and returns how long that took.
func (x *trial) await(what string, ok func(*clusterState) bool) time.Duration {
	x.Helper()
	begin := time.Now()
	var s clusterState
	if !poll(x.Context(), 3*time.Minute, func() bool { s = x.state(); return ok(&s) }) {
		var b bytes.Buffer
		_ = printState(&b, x.direct, &s, false)
		x.Fatalf("waited in vain for: %s\n%s", what, b.String())
	}
	return time.Since(begin)
}

// let lets time go by: for what a trial measures over a time, or for what must not
// happen, of which no state tells that it will not happen yet.
func (x *trial) let(pass time.Duration) {
	x.Helper()
	timer := time.NewTimer(pass)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.Context().Done():
		x.Fatal(x.Context().Err())
	}
}

// revision is the highest of the store at any replica: how many puts have run.
func (x *trial) revision() uint64 {
	highest := uint64(0)
	for i := range x.n {
		ctx, cancel := context.WithTimeout(x.Context(), time.Second)
		if r, _, err := x.direct.query(ctx, i, kv.RevisionQuery()); err == nil {
			highest = max(highest, r.Revision)
		}
		cancel()
	}
	return highest
}

// loading is a 'parley load' that runs.
type loading struct {
	cmd      *exec.Cmd
	out, err bytes.Buffer
	x        *trial
}

func (x *trial) load(file string, more ...string) *loading {
	x.Helper()
	l := &loading{x: x, cmd: program(x, append([]string{"load", "--dir", x.dir, "--json", file}, more...)...)}
	l.cmd.Stdout, l.cmd.Stderr = &l.out, &l.err
	require.NoError(x, l.cmd.Start())
	return l
}

// until waits until so many records have been executed.
func (l *loading) until(records int) {
	l.x.Helper()
	if !poll(l.x.Context(), 5*time.Minute, func() bool { return l.x.revision() >= uint64(records) }) {
		l.x.Fatalf("waited in vain for %d records, %d are there\n%s", records, l.x.revision(), &l.err)
	}
}

func (l *loading) finish() loadSummary {
	l.x.Helper()
	require.NoError(l.x, l.cmd.Wait(), "%s%s", &l.out, &l.err)
	var s loadSummary
	require.NoError(l.x, json.Unmarshal(l.out.Bytes(), &s))
	require.Equal(l.x, s.Records, s.Loaded)
	l.x.Logf("loaded %d records in %.1f s, %.0f/s; longest pause %.2f s after %d; %d requests repeated",
		s.Loaded, s.Seconds, s.PerSecond, s.PauseSeconds, s.PauseAfter, s.Retries)
	return s
}

// verify reads everything back from every replica.
func (x *trial) verify(file string) {
	x.Helper()
	out, err := program(x, "verify-load", "--dir", x.dir, "--every-replica", "--exactly-once", file).CombinedOutput()
	require.NoError(x, err, "%s", out)
	require.Contains(x, string(out), "All state digests are equal.")
	x.Logf("every replica, every record, every version:\n%s", out)
}

// comeBack starts a replica and measures how it catches up with where the cluster
// was at that moment.
func (x *trial) comeBack(i int) {
	x.Helper()
	goal := x.state().Executed
	begin := time.Now()
	x.start(i)
	lag := uint64(0)
	x.await(replicaName(i)+" has caught up", func(s *clusterState) bool {
		r := &s.Replicas[i]
		if !r.Reachable {
			return false
		}
		if r.Status.Executed < s.Executed {
			lag = max(lag, s.Executed-r.Status.Executed)
		}
		return r.Status.Executed >= goal
	})
	x.Logf("%s came back: up to %d blocks behind, level with where the cluster was after %.2f s", replicaName(i), lag, time.Since(begin).Seconds())
}

// backup is a replica that is not the primary and not any of the given ones.
func (x *trial) backup(not ...int) int {
	s := x.state()
	for i := range x.n {
		free := i != s.Primary && s.Replicas[i].Reachable
		for _, j := range not {
			free = free && i != j
		}
		if free {
			return i
		}
	}
	x.Fatal("there is no backup")
	return 0
}

// The main scenario: a load under which the primary is killed at one third, and a
// backup at two thirds.
func TestAcceptanceLoad(t *testing.T) {
	file, n := acceptanceRecords(t, 0)
	require.GreaterOrEqual(t, n, 50_000)
	x := newTrial(t, 4)
	receipts := filepath.Join(t.TempDir(), "receipts")
	l := x.load(file, "--receipts", receipts, "--sample", "1000")
	l.until(n / 3)
	s := x.state()
	primary, view := s.Primary, s.View
	x.kill(primary)
	x.Logf("killed the primary, %s, in view %d at %d records", replicaName(primary), view, x.revision())
	took := x.await("the others have changed view and commit", func(now *clusterState) bool {
		return now.View > view && now.Committed > s.Committed
	})
	x.Logf("a new view commits %.2f s after the kill", took.Seconds())
	x.comeBack(primary)
	l.until(2 * n / 3)
	backup := x.backup(primary)
	x.kill(backup)
	x.Logf("killed a backup, %s, at %d records", replicaName(backup), x.revision())
	x.comeBack(backup)
	sum := l.finish()
	require.Equal(t, 1000, sum.Receipts)
	x.verify(file)

	files, err := filepath.Glob(filepath.Join(receipts, "*.receipt"))
	require.NoError(t, err)
	require.Len(t, files, 1000)
	begin := time.Now()
	out, err := program(t, append([]string{"verify-receipt", "-q", "--cluster", clusterFilePath(x.dir)}, files...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "1000 receipts verify")
	t.Logf("1000 receipts verify offline, in %.1f s", time.Since(begin).Seconds())
}

// All replicas lose power at once, twice, under load: nothing acknowledged is lost.
func TestAcceptanceAllKilled(t *testing.T) {
	file, n := acceptanceRecords(t, 20_000)
	x := newTrial(t, 4)
	l := x.load(file)
	for _, part := range []int{n / 4, n / 2} {
		l.until(part)
		for i := range x.n {
			x.kill(i)
		}
		begin := time.Now()
		for i := range x.n {
			x.start(i)
		}
		must(t, "put", "--dir", x.dir, "--timeout", "60s", fmt.Sprintf("after/%d", part), "the outage")
		x.Logf("all killed at %d records; a new put is committed %.2f s after the kill", part, time.Since(begin).Seconds())
	}
	l.finish()
	x.verify(file)
}

// A replica is away until the others have discarded what it lacks.
func TestAcceptanceAway(t *testing.T) {
	file, n := acceptanceRecords(t, 30_000)
	dir := makeCluster(t, 4, "--checkpoint-every", "8", "--window", "8")
	for i := range 4 {
		path := replicaConfigPath(replicaDir(dir, i))
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		var c localConfig
		require.NoError(t, json.Unmarshal(data, &c))
		c.RetainBlocks = 8
		require.NoError(t, c.write(path))
	}
	x := startTrial(t, dir, 4)
	away := x.backup()
	must(t, "put", "--dir", x.dir, "parley/hello", "hello")
	x.kill(away)
	l := x.load(file, "--concurrency", "512")
	l.until(2 * n / 3)
	s := x.state()
	oldest := ^uint64(0)
	for i := range s.Replicas {
		if s.Replicas[i].Reachable {
			oldest = min(oldest, s.Replicas[i].Status.Oldest)
		}
	}
	require.Greater(t, oldest, uint64(2), "the log was not pruned: the trial proves nothing")
	x.Logf("%s is away; the others have discarded all blocks below %d", replicaName(away), oldest)
	x.comeBack(away)
	l.finish()
	x.verify(file)
	log, err := os.ReadFile(replicaLogPath(x.dir, away))
	require.NoError(t, err)
	require.Contains(t, string(log), "state transfer")
}

// A replica loses its disk and comes back with the same key.
func TestAcceptanceWiped(t *testing.T) {
	file, n := acceptanceRecords(t, 30_000)
	x := newTrial(t, 4, "--checkpoint-every", "16")
	l := x.load(file, "--concurrency", "512")
	l.until(n / 3)
	victim := x.backup()
	x.kill(victim)
	require.NoError(t, os.RemoveAll(filepath.Join(replicaDir(x.dir, victim), dataDirName)))
	x.comeBack(victim)
	log, err := os.ReadFile(replicaLogPath(x.dir, victim))
	require.NoError(t, err)
	require.Contains(t, string(log), "STARTING AS A FOLLOWER")
	l.finish()
	took := x.await("it votes again", func(s *clusterState) bool {
		r := &s.Replicas[victim]
		return r.Reachable && !r.Status.Follower
	})
	x.Logf("%s lost its disk, and votes again %.1f s after the load's end", replicaName(victim), took.Seconds())
	x.verify(file)
	// It is worth as much as any other again: without it there is no quorum.
	x.kill(x.backup(victim))
	must(t, "put", "--dir", x.dir, "--timeout", "60s", "after", "all")
}

// Too few are left for progress: nothing happens, nothing is lost, and it goes on
// when one returns.
func TestAcceptanceTwoDown(t *testing.T) {
	file, n := acceptanceRecords(t, 10_000)
	x := newTrial(t, 4)
	l := x.load(file)
	l.until(n / 3)
	a := x.state().Primary
	b := x.backup()
	x.kill(a)
	x.kill(b)
	down := time.Now()
	o := parley(t, "put", "--dir", x.dir, "--timeout", "3s", "while", "stuck")
	require.Equal(t, exitUnknown, o.code, o.err)
	// What was under way has settled during those seconds. That nothing commits has
	// to be watched, for an outage of more than a few timeouts.
	stuck := x.state()
	x.let(10 * time.Second)
	still := x.state()
	require.Equal(t, stuck.Committed, still.Committed, "two of four must not commit")
	require.Equal(t, 2, still.Reachable)
	x.Logf("two of four are down: no commit for more than 10 s at height %d, view %d", still.Committed, still.View)
	outage := time.Since(down)
	begin := time.Now()
	x.start(b)
	x.await("commits with three", func(s *clusterState) bool { return s.Committed > still.Committed })
	x.Logf("one returned after an outage of %.0f s, and commits go on %.2f s after its start, in view %d", outage.Seconds(), time.Since(begin).Seconds(), x.state().View)
	x.start(a)
	l.finish()
	x.verify(file)
}

// What a cluster costs that nobody uses.
func TestAcceptanceIdle(t *testing.T) {
	length := time.Minute
	x := newTrial(t, 4)
	must(t, "put", "--dir", x.dir, "a", "b")
	x.await("all replicas have executed and certified everything", func(s *clusterState) bool {
		for i := range s.Replicas {
			if st := s.Replicas[i].Status; st == nil || st.Executed != s.Committed || st.Stable != s.Committed {
				return false
			}
		}
		return true
	})
	before, cpu, disk := x.state(), x.cpu(), folderSize(t, x.dir)
	x.let(length)
	after := x.state()
	x.Logf("%v of idling: %d blocks made, view %d then %d, %.2f CPU seconds by all %d replicas, %d bytes more on disk",
		length, after.Committed-before.Committed, before.View, after.View, x.cpu()-cpu, x.n, folderSize(t, x.dir)-disk)
	require.Equal(t, before.View, after.View)
	require.LessOrEqual(t, after.Committed-before.Committed, uint64(1))
}

// cpu is the processor time of all replicas, in seconds; 0 where there is no /proc.
func (x *trial) cpu() float64 {
	total := 0.0
	for _, c := range x.children {
		if c == nil {
			continue
		}
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		for _, f := range fields[11:13] {
			ticks, err := strconv.ParseFloat(f, 64)
			require.NoError(x, err)
			total += ticks / 100
		}
	}
	return total
}

func folderSize(t *testing.T, dir string) (size int64) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // files come and go
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			size += info.Size()
		}
		return nil
	}))
	return size
}

// Other sizes, weights and schemes, each with as much weight killed as may be.
func TestAcceptanceSizes(t *testing.T) {
	file, _ := acceptanceRecords(t, 3_000)
	for _, c := range []struct {
		name     string
		replicas int
		flags    []string
		kill     int
	}{
		{"4", 4, nil, 1},
		{"5", 5, nil, 1},
		{"7", 7, nil, 2},
		{"10", 10, nil, 3},
		{"7 with BLS votes", 7, []string{"--scheme", "bls"}, 2},
		{"5 with weights", 5, []string{"--weights", "2,2,1,1,1"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newTrial(t, c.replicas, c.flags...)
			l := x.load(file, "--concurrency", "128")
			l.until(1000)
			var dead []int
			for range c.kill {
				p := x.state().Primary
				if x.children[p] == nil {
					p = x.backup(dead...)
				}
				x.kill(p)
				dead = append(dead, p)
			}
			for _, i := range dead {
				x.comeBack(i)
			}
			l.finish()
			x.verify(file)
		})
	}
}

// poll waits until ok holds, and tells whether it did within the limit. For states
// of other processes, which announce nothing.
func poll(ctx context.Context, limit time.Duration, ok func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}
