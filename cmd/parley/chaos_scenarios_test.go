package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/encoding"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/chaos/mutants"
)

func scenariosCommand(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := newRoot()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append([]string{"chaos", "scenarios"}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestChaosScenarios(t *testing.T) {
	out, err := scenariosCommand(t, "-v", "zyzzyva-two-prepared-candidates", "cometbft-index-out-of-range")
	require.NoError(t, err, out)
	require.Contains(t, out, "zyzzyva-two-prepared-candidates")
	require.Contains(t, out, "There:")
	require.Contains(t, out, "https://arxiv.org/abs/1712.01367")
	require.Contains(t, out, "2 scenarios: 2 caught, 0 impossible by design")

	out, err = scenariosCommand(t, "--json", "cometbft-index-out-of-range")
	require.NoError(t, err, out)
	var r chaos.ScenarioResult
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Equal(t, "cometbft-index-out-of-range", r.Name)
	require.NotEmpty(t, r.Facts)

	out, err = scenariosCommand(t, "--calm", "cometbft-parameter-change")
	require.NoError(t, err, out)

	out, err = scenariosCommand(t, "--list")
	require.NoError(t, err, out)
	for _, s := range chaos.Scenarios() {
		require.Contains(t, out, s.Name)
	}

	out, err = scenariosCommand(t, "--markdown", "fisco-huge-view")
	require.NoError(t, err, out)
	require.Contains(t, out, "### fisco-huge-view")

	_, err = scenariosCommand(t, "no-such-scenario")
	require.ErrorContains(t, err, `no scenario is called "no-such-scenario"`)
}

// Every defence that a scenario is played without is in the sources exactly once.
func TestDefencesOfScenarios(t *testing.T) {
	list, build, err := defences(chaos.Scenarios())
	require.NoError(t, err)
	require.NotEmpty(t, list)
	_, err = mutants.Overlay("../..", t.TempDir(), build)
	require.NoError(t, err)
	numbers := map[int]bool{}
	for _, m := range build {
		require.False(t, numbers[m.Number], "two broken rules with number %d", m.Number)
		numbers[m.Number] = true
	}
	some, _, err := defences([]chaos.Scenario{{Name: "fisco-huge-view"}})
	require.NoError(t, err)
	require.Len(t, some, 1)
}

// A breach counts as noticed by what the scenario says, or by a panic; not by a process
// that is gone for another reason.
func TestJudgeTrial(t *testing.T) {
	for name, x := range map[string]struct{ out, errs, verdict string }{
		"broken":     {`{"name":"x","broken":["fell"],"missing":["late"]}`, "Error: 1 of 1", noticed},
		"not played": {`{"name":"x","missing":["late"]}`, "Error: 1 of 1", absent},
		"holds":      {`{"name":"x","facts":["seen"]}`, "", unmoved},
		"panic":      {"", "note\npanic: index out of range [3]\n\ngoroutine 1 [running]:\n", noticed},
		"killed":     {"", "", lost},
		"refused":    {"", "Error: no scenario is called panic: x", lost},
	} {
		require.Equal(t, x.verdict, judgeTrial([]byte(x.out), x.errs).verdict, name)
	}
}

// Nothing that comes in is unpacked (scenario cometbft-decompression-bomb).
func TestNoCompression(t *testing.T) {
	for _, name := range []string{"gzip", "deflate", "snappy", "zstd"} {
		require.Nil(t, encoding.GetCompressor(name), name)
	}
}

func TestWrapped(t *testing.T) {
	require.Equal(t, "one two\n  three", wrapped("one two three", 8, "  "))
	require.Empty(t, wrapped("", 8, "  "))
}
