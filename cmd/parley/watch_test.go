//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"os"
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
	cmd := program(t, "watch", "--dir", dir, "--from", "beginning", "--json")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var notes strings.Builder
	cmd.Stderr = &notes
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(out)
	var seen []printedEvent
	until := func(text string) {
		for {
			line, err := lines.ReadString('\n')
			require.NoError(t, err, notes.String())
			seen = append(seen, readEvent(t, line))
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
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		seen = append(seen, readEvent(t, line))
	}
	require.NoError(t, cmd.Wait(), notes.String())
	_, cursor, ok := strings.Cut(strings.TrimSpace(notes.String()), "go on with --from ")
	require.True(t, ok, notes.String())

	// All again, in two parts, the second from inside a block.
	again := events(t, do("watch", "--json", "--from", "beginning", "--count", itoa(len(seen))))
	require.Equal(t, seen, again)
	inside := len(seen) - 1
	for inside > 0 && !strings.Contains(seen[inside-1].Cursor.String(), "+") {
		inside--
	}
	require.Positive(t, inside, "no block changes two keys")
	rest := events(t, do("watch", "--json", "--from", seen[inside-1].Cursor.String(), "--count", itoa(len(seen)-inside)))
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
	refused(t, exitFailed, []string{"watch", "--dir", dir, "--key", clerk, "--from", "beginning"}, "no watch is to be had", "may not read store/watch")
	out := must(t, "watch", "--dir", dir, "--key", reader, "--from", "beginning", "--prefix", "app/", "--count", "1")
	require.Contains(t, out, "set")
}
