//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
)

// printedEvent is a line of 'watch --json'.
type printedEvent struct {
	Kind       string
	Height     uint64
	Time       time.Time
	Key, Value json.RawMessage // text, or bytes that are none
	Cursor     client.Cursor
}

// events reads what 'watch --json' printed.
func events(t *testing.T, out string) (all []printedEvent) {
	for line := range strings.Lines(out) {
		all = append(all, readEvent(t, line))
	}
	return all
}

func readEvent(t *testing.T, line string) (e printedEvent) {
	require.NoError(t, json.Unmarshal([]byte(line), &e), line)
	return e
}

// runningWatch is a process that prints what changes.
type runningWatch struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Reader
	notes strings.Builder // may be read when it has ended
}

// startWatch starts 'parley watch --json'.
func startWatch(t *testing.T, args ...string) *runningWatch {
	w := &runningWatch{t: t, cmd: program(t, append([]string{"watch", "--json"}, args...)...)}
	out, err := w.cmd.StdoutPipe()
	require.NoError(t, err)
	w.cmd.Stderr = &w.notes
	require.NoError(t, w.cmd.Start())
	w.lines = bufio.NewReader(out)
	return w
}

// next waits for the next event.
func (w *runningWatch) next() printedEvent {
	w.t.Helper()
	line, err := w.lines.ReadString('\n')
	if err != nil {
		err = errors.Join(err, w.cmd.Wait())
		require.NoError(w.t, err, w.notes.String())
	}
	return readEvent(w.t, line)
}

// interrupt ends it as Ctrl-C does, and returns what it printed in the end: events, and its
// notes.
func (w *runningWatch) interrupt() (rest []printedEvent, notes string) {
	w.t.Helper()
	require.NoError(w.t, w.cmd.Process.Signal(syscall.SIGINT))
	for {
		line, err := w.lines.ReadString('\n')
		if err != nil {
			require.ErrorIs(w.t, err, io.EOF)
			break
		}
		rest = append(rest, readEvent(w.t, line))
	}
	require.NoError(w.t, w.cmd.Wait(), w.notes.String())
	return rest, w.notes.String()
}

// A watch of a registry of four real processes: it goes on while replicas die, and from
// where it was ended.
func TestWatchCommand(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 4, "--app", "registry", "--checkpoint-every", "16")
	p := startProcesses(t, dir, 4)
	do := func(args ...string) string { t.Helper(); return must(t, append(args, "--dir", dir)...) }
	do("registry", "collection", "create", "notes", "--rules", "open-create")
	do("registry", "create", "notes", "one", `{"text": "first"}`)

	// A process that prints what comes, and is interrupted.
	w := startWatch(t, "--dir", dir, "--from", "beginning")
	var seen []printedEvent
	until := func(text string) {
		for {
			seen = append(seen, w.next())
			if strings.Contains(string(seen[len(seen)-1].Key), text) {
				return
			}
		}
	}
	until("one")
	p.kill(0)
	do("registry", "create", "notes", "two", `{"text": "second"}`)
	until("two")
	p.start(0)
	rest, notes := w.interrupt()
	seen = append(seen, rest...)
	_, cursor, ok := strings.Cut(strings.TrimSpace(notes), "go on with --from ")
	require.True(t, ok, notes)

	// All again, in two parts, the second from inside a block.
	again := events(t, do("watch", "--json", "--from", "beginning", "--count", itoa(len(seen))))
	require.Equal(t, seen, again)
	inside := len(seen) - 1
	for inside > 0 && !strings.Contains(seen[inside-1].Cursor.String(), "+") {
		inside--
	}
	require.Positive(t, inside, "no block changes two keys")
	rest = events(t, do("watch", "--json", "--from", seen[inside-1].Cursor.String(), "--count", itoa(len(seen)-inside)))
	require.Equal(t, seen[inside:], rest)

	// What came since.
	do("registry", "create", "notes", "three", `{"text": "third"}`)
	o := parley(t, "watch", "--dir", dir, "--from", cursor, "--count", "1")
	require.Equal(t, exitOK, o.code, o.err)
	require.Equal(t, 1, strings.Count(o.out, "\n"))
	require.Regexp(t, `^\d+  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  set      \S`, o.out)
	require.NotContains(t, o.out, "two")
	require.Contains(t, o.err, "go on with --from ")

	refused(t, exitUsage, []string{"watch", "--dir", dir, "--from", "yesterday"}, `--from: not a cursor: "yesterday": want "now", "beginning"`)
	refused(t, exitUsage, []string{"watch", "--dir", dir, "--count", "-1"}, "--count is -1")
	refused(t, exitFailed, []string{"watch", "--dir", dir, "--from", "3-" + strings.Repeat("0a", 32)}, "not a cursor of this cluster's")
	kv := makeCluster(t, 1)
	startProcesses(t, kv, 1)
	refused(t, exitFailed, []string{"watch", "--dir", kv}, "no watch is to be had")
}

// Whoever a policy lets read some things only may not watch everything.
func TestWatchUnderAPolicy(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	clerk, reader := filepath.Join(tmp, "clerk.key"), filepath.Join(tmp, "reader.key")
	clerkKey, readerKey := strings.TrimSpace(must(t, "keygen", clerk)), strings.TrimSpace(must(t, "keygen", reader))
	genesis := filepath.Join(tmp, "genesis.json")
	require.NoError(t, os.WriteFile(genesis, []byte(`{"access": {"mode": "private", "administrators": {"m": 1, "keys": ["`+clerkKey+`"]},
		"roles": [{"name": "clerk", "read": ["get-*"], "submit": ["*"]}, {"name": "reader", "read": ["store/watch"]}],
		"members": [{"key": "`+clerkKey+`", "roles": ["clerk"]}, {"key": "`+readerKey+`", "roles": ["reader"]}]}}`), 0o600))
	dir := makeCluster(t, 4, "--app", "registry", "--genesis", genesis, "--admit", clerkKey+","+readerKey)
	startProcesses(t, dir, 4)
	must(t, "registry", "collection", "create", "--dir", dir, "--key", clerk, "notes", "--rules", "open-create")
	refused(t, exitAbsent, []string{"watch", "--dir", dir, "--key", clerk, "--from", "beginning"}, "no watch is to be had", "may not read store/watch")
	out := must(t, "watch", "--dir", dir, "--key", reader, "--from", "beginning", "--prefix", "app/", "--count", "1")
	require.Contains(t, out, "set")
}
