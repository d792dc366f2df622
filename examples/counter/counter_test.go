package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	statetest.Run(t, statetest.Factory{
		New: newCounter,
		Gen: func(r *rand.Rand) []byte {
			switch r.IntN(8) {
			case 0:
				return []byte("no number")
			case 1:
				return strconv.AppendUint(nil, r.Uint64(), 10)
			default:
				return strconv.AppendUint(nil, r.Uint64N(100), 10)
			}
		},
		SplitInvariant: true,
	})
}

func TestRefusals(t *testing.T) {
	c := newCounter()
	apply := func(op string) statemachine.Result {
		return c.Apply(statemachine.Block{Ops: []statemachine.Op{{Data: []byte(op)}}})[0]
	}
	require.Equal(t, "7", string(apply("7").Data))
	require.Equal(t, statemachine.CodeMalformed, apply("-1").Code)
	require.Equal(t, statemachine.CodeMalformed, apply("").Code)
	require.Equal(t, codeOverflow, apply("18446744073709551615").Code)
	require.Equal(t, "8", string(apply("1").Data))
	for _, bad := range []string{"", "07", "+7", "7 ", "184467440737095516150", "x"} {
		require.Error(t, newCounter().Restore(strings.NewReader(bad)), "%q", bad)
	}
}

// The program counts, while the primary stops too, and goes on after a restart.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	for start := range 2 {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), dir, &out))
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Len(t, lines, 9)
		stopped, ok := strings.CutSuffix(lines[4], ", the primary, has stopped")
		require.True(t, ok, lines[4])
		for i, line := range slices.Delete(lines, 4, 5) {
			name, _, _ := strings.Cut(line, ":")
			require.Equal(t, fmt.Sprintf("%s: the counter is %d", name, 8*start+i+1), line)
			if i < 4 {
				require.Equal(t, fmt.Sprintf("replica-%d", i), name)
			} else {
				require.NotEqual(t, stopped, name)
			}
		}
	}
}
