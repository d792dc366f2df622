//go:build unix

package main

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// killedWatch runs 'parley watch --json' from a cursor, and kills it with kill -9 after so
// many lines, which it returns: whatever it printed beyond is lost, as to a reader that
// dies with it.
func killedWatch(t *testing.T, dir, from string, lines int) (seen []printedEvent) {
	w := startWatch(t, "--dir", dir, "--from", from)
	for len(seen) < lines {
		seen = append(seen, w.next())
	}
	require.NoError(t, w.cmd.Process.Kill())
	var died *exec.ExitError
	require.ErrorAs(t, w.cmd.Wait(), &died)
	require.Equal(t, syscall.SIGKILL, died.Sys().(syscall.WaitStatus).Signal())
	require.NotContains(t, w.notes.String(), "go on with", "it had no time for last words")
	return seen
}

// A watch that is killed with kill -9, again and again, while the cluster writes and
// replicas die, and each time begun again from the cursor of the last line that was read:
// nothing is lost, and nothing comes twice.
func TestWatchKilledHard(t *testing.T) {
	t.Parallel()
	const puts = 60
	dir := makeCluster(t, 4, "--app", "kv-store", "--checkpoint-every", "8")
	p := startProcesses(t, dir, 4)
	written := make(chan error, 1)
	go func() {
		for i := range puts {
			// Every third value is longer than what a pipe takes in one piece.
			value := strings.Repeat("v", 1+i%3/2*5000)
			if o := parley(t, "put", "--dir", dir, fmt.Sprintf("key-%02d", i), value); o.code != exitOK {
				written <- fmt.Errorf("put %d: %s%s", i, o.out, o.err)
				return
			}
		}
		written <- nil
	}()

	var seen []printedEvent
	var put []string // the keys that were put, as they came
	from, kills := "beginning", 0
	for ; len(put) < puts; kills++ {
		switch kills {
		case 2:
			p.kill(0)
		case 4:
			p.start(0)
		case 5:
			p.kill(1)
		}
		// No more lines than are certain to come.
		for _, e := range killedWatch(t, dir, from, min(1+2*(kills%7), puts-len(put))) {
			seen = append(seen, e)
			if key := string(e.Key); strings.HasPrefix(key, `"kkey-`) {
				put = append(put, key)
			}
		}
		from = seen[len(seen)-1].Cursor.String()
	}
	require.NoError(t, <-written)
	for i, key := range put {
		require.Equal(t, fmt.Sprintf(`"kkey-%02d"`, i), key)
	}
	require.Greater(t, kills, 6)
	again := events(t, must(t, "watch", "--dir", dir, "--json", "--from", "beginning", "--count", itoa(len(seen))))
	require.Equal(t, again, seen)
}

// One replica after the other is stopped with SIGSTOP: it takes calls, as far as the kernel
// does that for it, and answers none. The one that the watch asks is named, and what
// changes comes from another.
func TestWatchOfAStoppedReplica(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 4, "--app", "kv-store", "--checkpoint-every", "8")
	p := startProcesses(t, dir, 4)
	w := startWatch(t, "--dir", dir, "--from", "beginning", "--prefix", "k")
	for i := range p.children {
		process := p.children[i].cmd.Process
		require.NoError(t, process.Signal(syscall.SIGSTOP))
		goOn := func() { _ = process.Signal(syscall.SIGCONT) }
		t.Cleanup(goOn)
		must(t, "put", "--dir", dir, fmt.Sprint("key-", i), "1")
		require.Equal(t, fmt.Sprintf(`"kkey-%d"`, i), string(w.next().Key))
		goOn()
	}
	rest, notes := w.interrupt()
	require.Empty(t, rest)
	require.Regexp(t, `(?m)^replica-\d is silent: `, notes)
	require.NotContains(t, notes, "forged")
}
