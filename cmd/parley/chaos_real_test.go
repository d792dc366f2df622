package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/chaos/report"
)

// The command runs this very program as replicas, and tells what came of it.
func TestChaosReal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	out := must(t, "chaos", "real", "--uncontained", "--seconds", "1", "--seed", "4", "--nemesis", "kill,reset", "--dir", dir)
	require.Contains(t, out, "PASS: everything promised was kept")
	require.Contains(t, out, filepath.Join(dir, report.PageFile))
	require.Contains(t, out, "chaos real --seed 4 --seconds=1 --nemesis=kill,reset --uncontained")
	run, err := report.Load(dir)
	require.NoError(t, err)
	require.Equal(t, report.Pass, run.Verdict)
}

func TestChaosRealFlags(t *testing.T) {
	refused(t, exitUsage, []string{"chaos", "real", "--nemesis", "earthquake"}, `"earthquake"`, "partition-oneway")
	refused(t, exitUsage, []string{"chaos", "real", "--replicas", "3"}, "Replicas is 3", "4 to 32")
	refused(t, exitUsage, []string{"chaos", "real", "--seconds", "0.01"}, "Duration")
}
