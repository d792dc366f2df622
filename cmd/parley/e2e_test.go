//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// status reads 'status --json' until ok accepts it.
func awaitStatus(t *testing.T, dir string, ok func(*clusterState) bool) clusterState {
	t.Helper()
	var s clusterState
	require.Eventually(t, func() bool {
		o := parley(t, "status", "--dir", dir, "--json")
		s = clusterState{}
		return json.Unmarshal([]byte(o.out), &s) == nil && ok(&s)
	}, 60*time.Second, 50*time.Millisecond)
	return s
}

// A cluster of four real processes, from keys to receipts, while they die.
func TestFourProcesses(t *testing.T) {
	dir := makeCluster(t, 4, "--checkpoint-every", "16")
	p := startProcesses(t, dir, 4)
	tmp := t.TempDir()

	// The store.
	proof := filepath.Join(tmp, "colour.receipt")
	require.Contains(t, must(t, "put", "--dir", dir, "--receipt", proof, "colour", "green"), "put colour: revision 1, version 1, block ")
	require.Equal(t, "green\n", must(t, "get", "--dir", dir, "colour"))
	require.Contains(t, must(t, "get", "--dir", dir, "-v", "colour"), "version 1")
	refused(t, exitAbsent, []string{"get", "--dir", dir, "nothing"}, "there is no key nothing")
	refused(t, exitAbsent, []string{"cas", "--dir", dir, "colour", "red", "blue"}, "not swapped", "revision 1")
	refused(t, exitAbsent, []string{"cas", "--dir", dir, "--create", "colour", "blue"}, "not created: colour exists")
	require.Contains(t, must(t, "cas", "--dir", dir, "colour", "green", "blue"), "swapped colour: revision 2, version 2")
	must(t, "cas", "--dir", dir, "--revision", "2", "colour", "red")
	must(t, "cas", "--dir", dir, "--create", "leader", "alice")
	o := parleyIn(t, "from\x00stdin", "put", "--dir", dir, "binary", "-")
	require.Equal(t, exitOK, o.code, o.err)
	require.Equal(t, "binary\t\"from\\x00stdin\"\ncolour\tred\nleader\talice\n", must(t, "range", "--dir", dir))
	require.Equal(t, "colour\n", must(t, "range", "--dir", dir, "--prefix", "col", "--keys-only"))
	require.Equal(t, "binary\ncolour\n", must(t, "range", "--dir", dir, "--keys-only", "--limit", "2"))
	require.Equal(t, "colour\tred\n", must(t, "range", "--dir", dir, "c", "d"))
	require.Contains(t, must(t, "range", "--dir", dir, "--json", "l"), `{"key":"leader","value":"alice",`)
	require.Contains(t, must(t, "del", "--dir", dir, "leader"), "deleted leader")
	require.Contains(t, must(t, "del", "--dir", dir, "leader"), "was not there")
	require.Contains(t, must(t, "get", "--dir", dir, "--json", "colour"), `"done":true`)
	require.Eventually(t, func() bool { return parley(t, "get", "--dir", dir, "--replica", "2", "colour").out == "red\n" }, 30*time.Second, 20*time.Millisecond)
	refused(t, exitUsage, []string{"get", "--dir", dir, "--replica", "4", "colour"}, "0 to 3")
	require.Equal(t, "red\n", parley(t, "get", "--dir", dir, "--without-log", "colour").out)
	refused(t, exitAbsent, []string{"get", "--dir", dir, "--without-log", "taste"}, "there is no key taste")
	refused(t, exitFailed, []string{"put", "--dir", dir, "--receipt", proof, "a", "b"}, "exists already")
	t.Setenv(dirVariable, dir)
	require.Equal(t, "red\n", must(t, "get", "colour"))

	// The proof, and every bit of it.
	out := must(t, "verify-receipt", "--dir", dir, proof)
	require.Contains(t, out, "VALID")
	require.Contains(t, out, "put colour = green, revision 1, version 1")
	must(t, "verify-receipt", "--dir", dir, "--put-key", "colour", "--put-value", "green", "--json", proof)
	refused(t, exitInvalid, []string{"verify-receipt", "--dir", dir, "--put-key", "colour", "--put-value", "red", proof}, "INVALID", "not that put")
	refused(t, exitInvalid, []string{"verify-receipt", "--cluster", makeCluster(t, 4) + "/cluster.json", proof}, "INVALID", "another cluster")
	data, err := os.ReadFile(proof)
	require.NoError(t, err)
	flipped := filepath.Join(tmp, "flipped.receipt")
	for bit := 0; bit < 8*len(data); bit += 37 {
		data[bit/8] ^= 1 << (bit % 8)
		require.NoError(t, os.WriteFile(flipped, data, 0o600))
		refused(t, exitInvalid, []string{"verify-receipt", "--dir", dir, flipped}, "INVALID", "1 of 1 receipts do not verify")
		data[bit/8] ^= 1 << (bit % 8)
	}
	refused(t, exitFailed, []string{"verify-receipt", "--dir", dir, tmp + "/none"}, "CANNOT READ "+tmp+"/none: no such file", "1 of 1 files cannot be read")
	o = parley(t, "verify-receipt", "--dir", dir, "--json", tmp+"/none", flipped, proof)
	require.Equal(t, exitInvalid, o.code, o.err)
	require.Contains(t, o.err, "1 of 3 receipts do not verify; 1 of 3 files cannot be read")
	require.Equal(t, 1, strings.Count(o.out, `"unreadable":true`))
	require.Equal(t, 1, strings.Count(o.out, `"valid":true`))

	// A load, while the primary dies and a backup dies and comes back.
	file := filepath.Join(tmp, "records.txt")
	var text strings.Builder
	const lines = 3000
	for i := range lines {
		fmt.Fprintf(&text, "key%d\tvalue %d\n", i%(lines-7), i)
	}
	require.NoError(t, os.WriteFile(file, []byte(text.String()), 0o600))
	first := awaitStatus(t, dir, func(s *clusterState) bool { return s.Reachable == 4 && s.Primary >= 0 })
	var loaded outcome
	var loading sync.WaitGroup
	loading.Go(func() {
		loaded = parley(t, "load", "--json", "--concurrency", "256", "--receipts", filepath.Join(tmp, "receipts"), "--sample", "20", file)
	})
	awaitStatus(t, dir, func(s *clusterState) bool { return s.Executed > first.Executed })
	p.kill(first.Primary)
	second := awaitStatus(t, dir, func(s *clusterState) bool { return s.Reachable == 3 && s.View > first.View })
	require.NotEqual(t, first.Primary, second.Primary)
	p.start(first.Primary)
	loading.Wait()
	require.Equal(t, exitOK, loaded.code, loaded.err)
	var sum loadSummary
	require.NoError(t, json.Unmarshal([]byte(loaded.out), &sum))
	require.Equal(t, lines, sum.Loaded)
	require.Equal(t, 20, sum.Receipts)
	require.Contains(t, must(t, "verify-load", "--every-replica", "--exactly-once", file), "All state digests are equal.")
	must(t, "verify-load", file)
	receipts, err := filepath.Glob(filepath.Join(tmp, "receipts", "*.receipt"))
	require.NoError(t, err)
	require.Len(t, receipts, 20)
	require.Contains(t, must(t, append([]string{"verify-receipt", "-q"}, receipts...)...), "20 receipts verify")

	// What verify-load is for.
	must(t, "put", "key5", "something else")
	must(t, "del", "key6")
	o = parley(t, "verify-load", "--every-replica", "--exactly-once", file)
	require.Equal(t, exitInvalid, o.code)
	require.Contains(t, o.err, "replica-3: 1 missing, 1 differ, 0 with a wrong version")
	must(t, "put", "key5", "value 2998")
	o = parley(t, "verify-load", "--exactly-once", file)
	require.Contains(t, o.err, "log: 1 missing, 0 differ, 1 with a wrong version")
	require.NoError(t, os.WriteFile(file, []byte("fine 1\nbad\n"), 0o600))
	refused(t, exitFailed, []string{"load", file}, "records.txt", "line 2", "nothing was loaded")

	// A benchmark, and too few replicas.
	var r benchResult
	require.NoError(t, json.Unmarshal([]byte(must(t, "bench", "--seconds", "0.3", "--warmup", "0", "--clients", "8", "--json")), &r))
	require.Positive(t, r.Operations)
	refused(t, exitFailed, []string{"bench", "--identities", "distinct"}, "--open")
	require.Contains(t, must(t, "status"), "4 of 4 replicas reachable")
	p.kill(0)
	p.kill(1)
	o = parley(t, "status", "--timeout", "1m") // nobody waits for it: who is there answers, and who is not refuses
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.out, "UNREACHABLE")
	require.Contains(t, o.err, "2 of 4 replicas can be reached, too few to make progress")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	stuck := make(chan outcome)
	go func() { stuck <- parleyUntil(t, ctx, "", "put", "--timeout", "1m", "a", "b") }()
	awaitStatus(t, dir, func(s *clusterState) bool {
		return slices.ContainsFunc(s.Replicas, func(r replicaState) bool { return r.Says != nil && r.Says.Pool > 0 })
	})
	interrupt()
	o = <-stuck
	require.Equal(t, exitUnknown, o.code, o.err)
	require.Contains(t, o.err, "outcome unknown")
	require.Contains(t, o.err, "read before you repeat it")
	p.kill(2)
	p.kill(3)
	refused(t, exitFailed, []string{"put", "--timeout", "3s", "a", "b"}, "too few replicas can be reached", "connection refused", "are the replicas running")
	refused(t, exitFailed, []string{"get", "--replica", "2", "--timeout", "3s", "a"}, "replica-2", "connection refused")
}

// Where only the receipt fails, the operation is done, and both are said.
func TestReceiptAloneFails(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 1)
	edit(t, dir+"/replica-0/replica.json", `"reserveMiB"`, `"receiptBlocks": -1, "reserveMiB"`)
	startProcesses(t, dir, 1)
	proof := filepath.Join(t.TempDir(), "proof")
	failed := func(code int, out string, args ...string) {
		t.Helper()
		o := parley(t, append(args[:1:1], append([]string{"--dir", dir, "--receipt", proof}, args[1:]...)...)...)
		require.Equal(t, code, o.code, o.err)
		require.Contains(t, o.out, out)
		require.Contains(t, o.err, "committed in block ")
		require.Contains(t, o.err, "do not repeat it; only the receipt could not be had")
		require.NoFileExists(t, proof)
	}
	failed(exitNoProof, "put colour: revision 1, version 1", "put", "colour", "green")
	failed(exitNoProof, `"done":true`, "put", "--json", "colour", "red")
	failed(exitNoProof, "swapped colour", "cas", "colour", "red", "blue")
	failed(exitNoProof, "", "cas", "colour", "red", "blue")
	failed(exitNoProof, "blue", "get", "colour")
	failed(exitNoProof, "deleted colour", "del", "colour")
	file := filepath.Join(t.TempDir(), "records")
	require.NoError(t, os.WriteFile(file, []byte("a 1\nb 2\n"), 0o600))
	o := parley(t, "load", "--dir", dir, "--receipts", filepath.Join(t.TempDir(), "receipts"), file)
	require.Equal(t, exitNoProof, o.code, o.err)
	require.Contains(t, o.out, "loaded 2 of 2 records")
	require.Contains(t, o.err, "all records are loaded")
	require.Contains(t, o.err, "2 of 2 receipts are missing")
	// Nothing is done for a receipt that cannot be written.
	refused(t, exitFailed, []string{"put", "--dir", dir, "--receipt", proof + "/none/x", "later", "1"}, "no file can be made in the folder of")
	refused(t, exitAbsent, []string{"get", "--dir", dir, "later"}, "there is no key")
}

// Commands that run at the same time do not get into each other's way.
func TestKeysForEachProcess(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 1, "--open")
	first, err := lockIdentity(filepath.Join(dir, "client.key"))
	require.NoError(t, err)
	startProcesses(t, dir, 1)
	must(t, "put", "--dir", dir, "a", "b")
	require.FileExists(t, filepath.Join(dir, "client.key.2"))
	first.close()
	require.Contains(t, must(t, "bench", "--dir", dir, "--seconds", "0.3", "--warmup", "0", "--clients", "2", "--identities", "distinct"), "OP/S")

	dir = makeCluster(t, 1, "--client-keys", "2")
	key := filepath.Join(dir, "client.key")
	first, err = lockIdentity(key)
	require.NoError(t, err)
	startProcesses(t, dir, 1)
	must(t, "put", "--dir", dir, "a", "b")
	second, err := lockIdentity(key + ".2")
	require.NoError(t, err)
	refused(t, exitFailed, []string{"put", "--dir", dir, "--timeout", "100ms", "a", "b"}, "client.key and all spare ones beside it are in use", "--client-keys")
	refused(t, exitFailed, []string{"put", "--dir", dir, "--key", key, "--timeout", "100ms", "a", "b"}, "client.key is in use by another process")
	must(t, "status", "--dir", dir) // orders nothing, and waits for no key
	must(t, "keygen", key+".3")     // not in the list
	refused(t, exitFailed, []string{"put", "--dir", dir, "--timeout", "100ms", "a", "b"}, "client.key and all spare ones beside it are in use")
	second.close()
	must(t, "put", "--dir", dir, "a", "b")
	first.close()
	refused(t, exitFailed, []string{"put", "--dir", dir, "--key", key + ".3", "a", "b"}, "not admitted")
}

// lines reads a process's output as it comes.
func lines(t *testing.T, r interface{ Read([]byte) (int, error) }) func(prefix string) string {
	scan := bufio.NewScanner(r)
	return func(prefix string) string {
		t.Helper()
		for scan.Scan() {
			if strings.HasPrefix(scan.Text(), prefix) {
				return scan.Text()
			}
		}
		t.Fatalf("the output ended before a line that begins with %q", prefix)
		return ""
	}
}

// alive tells whether a process runs.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestClusterCommand(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "c")
	for round, end := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL, syscall.SIGTERM} {
		args := []string{"cluster", "--dir", dir, "--interval", "50ms"}
		if round == 0 {
			args = append(args, "--restart")
		}
		cmd := program(t, args...)
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		next := lines(t, stdout)
		pids := make([]int, 4)
		for i := range pids {
			line := next("  " + replicaName(i) + " is process ")
			pids[i], err = strconv.Atoi(line[strings.LastIndex(line, " ")+1:])
			require.NoError(t, err)
		}
		next("Ready after ")
		next("  put parley/hello = ")
		require.Contains(t, next("4 of 4 up"), "primary replica-")
		if round == 0 {
			must(t, "put", "--dir", dir, "colour", "green")
			require.NoError(t, syscall.Kill(pids[2], syscall.SIGKILL))
			next("3 of 4 up")
			next("4 of 4 up") // --restart
			data, err := os.ReadFile(pidPath(dir, 2))
			require.NoError(t, err)
			pids[2], err = strconv.Atoi(strings.TrimSpace(string(data)))
			require.NoError(t, err)
		} else {
			require.Equal(t, "green\n", must(t, "get", "--dir", dir, "colour"))
		}
		require.NoError(t, cmd.Process.Signal(end))
		if end == syscall.SIGKILL {
			require.Error(t, cmd.Wait())
		} else {
			next("All replicas have stopped")
			require.NoError(t, cmd.Wait())
		}
		for _, pid := range pids {
			require.Eventually(t, func() bool { return !alive(pid) }, 30*time.Second, 10*time.Millisecond, "process %d is left behind", pid)
		}
	}
	refused(t, exitUsage, []string{"cluster", "--dir", dir, "--replicas", "7"}, "--replicas is for a new cluster")
}

// One replica that cannot start is reported, and the others work; with two there is
// no quorum.
func TestClusterCommandReportsFailure(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 4)
	require.NoError(t, os.Chmod(filepath.Join(dir, "replica-1", "key.json"), 0o644))
	cmd := program(t, "cluster", "--dir", dir, "--interval", "50ms")
	var reported bytes.Buffer
	cmd.Stderr = &reported
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	next := lines(t, stdout)
	next("Ready after ")
	next("3 of 4 up")
	must(t, "put", "--dir", dir, "colour", "green")
	data, err := os.ReadFile(pidPath(dir, 2))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.Equal(t, "TOO FEW REPLICAS ARE UP TO MAKE PROGRESS: 2 of 4 (weight 2 of 4; 3 is needed); nothing is committed until more are", next("TOO FEW"))
	require.Contains(t, next("2 of 4 up"), "2 of 4 up, TOO FEW to make progress | ")
	path, err := os.Executable()
	require.NoError(t, err)
	byHand, err := startChild(path, dir, 2)
	require.NoError(t, err)
	require.Equal(t, "Enough replicas are up again to make progress: 3 of 4", next("Enough"))
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	next("All replicas have stopped")
	require.NoError(t, cmd.Wait())
	byHand.stop()
	<-byHand.done
	require.Contains(t, reported.String(), "replica-2 has died: killed by signal 9 (kill -9, or the system was out of memory)\n  start it again")
	require.Contains(t, reported.String(), "replica-1 has died")
	require.Contains(t, reported.String(), "chmod 600")
	require.Contains(t, reported.String(), "start --dir "+filepath.Join(dir, "replica-1"))
	require.NotContains(t, reported.String(), "too few")

	log := replicaLogPath(dir, 2)
	require.NoError(t, os.Remove(log))
	require.NoError(t, os.Mkdir(log, 0o700)) // so that the process cannot be made
	out, err := program(t, "cluster", "--dir", dir).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "replica-2 cannot be started: open "+log+": is a directory")
	require.Contains(t, string(out), "without replica-1, replica-2 too few replicas run to make progress (weight 3 of 4 is needed)")
	require.Contains(t, string(out), "All replicas have stopped")
}

func TestClusterCommandForgets(t *testing.T) {
	t.Parallel()
	cmd := program(t, "cluster", "--replicas", "1")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	next := lines(t, stdout)
	line := next("Starting 1 replicas in ")
	dir := line[strings.LastIndex(line, " ")+1:]
	next("Ready after ")
	require.FileExists(t, filepath.Join(dir, "cluster.json"))
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	next("All replicas have stopped")
	next("Removed " + dir)
	require.NoError(t, cmd.Wait())
	require.NoDirExists(t, dir)
}
