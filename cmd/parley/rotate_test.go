//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func openLog(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, replicaLogName)
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("of another run\n"), 10), 0o600))
	f := openLog(t, path)
	l, ok := boundedLog(f, dir).(*rotatingLog)
	require.True(t, ok)
	require.EqualValues(t, 150, l.size)
	l.limit = 1000
	logger := newLogger(l, "", "")
	for i := range 200 {
		logger.Info("record", "number", i)
		for _, name := range []string{path, path + ".1"} {
			if info, err := os.Stat(name); err == nil {
				require.LessOrEqual(t, info.Size(), l.limit)
			}
		}
	}
	// What others write to the descriptor is in the new file too.
	_, err := fmt.Fprintln(f, "a crash")
	require.NoError(t, err)
	now, err := os.ReadFile(path)
	require.NoError(t, err)
	before, err := os.ReadFile(path + ".1")
	require.NoError(t, err)
	all := strings.Split(strings.TrimSpace(string(before)+string(now)), "\n")
	require.Equal(t, "a crash", all[len(all)-1])
	for i, line := range all[:len(all)-1] {
		require.True(t, strings.HasSuffix(line, fmt.Sprintf("number=%d", 200-len(all)+1+i)), "a record is lost at %q", line)
	}
	require.Greater(t, len(all), 15)
}

// A log that cannot be rotated goes on.
func TestLogGoesOn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, replicaLogName)
	l := boundedLog(openLog(t, path), dir).(*rotatingLog)
	l.limit = 20
	require.NoError(t, os.MkdirAll(path+".1/in the way", 0o700))
	for range 4 {
		n, err := l.Write([]byte("fifteen letters"))
		require.NoError(t, err)
		require.Equal(t, 15, n)
	}
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 4, strings.Count(string(data), "fifteen letters"))
	require.Contains(t, string(data), "this log goes on beyond 20 bytes: rename")
}

// Only the log of the folder is bounded.
func TestOtherLogsAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	var buffer bytes.Buffer
	require.Same(t, &buffer, boundedLog(&buffer, dir))
	other := openLog(t, filepath.Join(dir, "other.txt"))
	require.Same(t, other, boundedLog(other, dir))
	openLog(t, filepath.Join(dir, replicaLogName))
	require.Same(t, other, boundedLog(other, dir))
	require.Same(t, other, boundedLog(other, ""))
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer device.Close()
	require.Same(t, device, boundedLog(device, dir))
}
