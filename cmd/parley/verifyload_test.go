//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each replica's own store is read back from the disk as it is from memory, and its digest,
// which there is of a checkpoint only, is waited for.
func TestVerifyLoadOnAStore(t *testing.T) {
	t.Parallel()
	dir := makeCluster(t, 4, "--app", "kv-store", "--checkpoint-every", "64")
	startProcesses(t, dir, 4)
	var lines strings.Builder
	for i := range 300 {
		fmt.Fprintf(&lines, "key%d value %d\n", i%200, i)
	}
	file := filepath.Join(t.TempDir(), "records.txt")
	require.NoError(t, os.WriteFile(file, []byte(lines.String()), 0o600))
	must(t, "load", "--dir", dir, file)
	verify := []string{"verify-load", "--dir", dir, "--every-replica", "--exactly-once", file}
	out := must(t, verify...)
	require.Contains(t, out, "All state digests are equal.")
	require.Regexp(t, `replica-3 +200 +0 +0 +0 +\d+ +300 +[0-9a-f]{64}`, out)
	must(t, "verify-load", "--dir", dir, file)
	must(t, "load", "--dir", dir, "--verify", file)

	// What is not as the file says is found on each.
	must(t, "put", "--dir", dir, "key5", "another")
	must(t, "del", "--dir", dir, "key6")
	o := parley(t, "verify-load", "--dir", dir, "--every-replica", file)
	require.Equal(t, exitInvalid, o.code, o.err)
	require.Contains(t, o.out, "All state digests are equal.")
	for i := range 4 {
		require.Contains(t, o.err, replicaName(i)+": 1 missing, 1 differ, 0 with a wrong version: [line 206, key key5: value \"another\", not \"value 205\" line 207, key key6: missing]")
	}
	o = parley(t, verify...)
	require.Equal(t, exitInvalid, o.code, o.err)
	require.Contains(t, o.err, "1 missing, 1 differ, 198 with a wrong version: ")
}
