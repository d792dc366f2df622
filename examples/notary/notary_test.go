package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), t.TempDir(), &out))
	story := out.String()
	require.Contains(t, story, "the inventor deposits the hash of the drawing; the proof has less than 64 KiB\n")
	require.Regexp(t, `anybody verifies it offline: it existed in block [0-9]+, and the inventor had it \(true\)`, story)
	require.Contains(t, story, "a rival deposits it too: refused, it is there\n")
	require.Equal(t, 5, strings.Count(story, "\n"))
}
