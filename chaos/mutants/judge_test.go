package mutants

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A trial that does not end is a finding if it was busy, and none if the machine had no
// time for it.
func TestTrialsThatDoNotEnd(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("no shell here")
	}
	defer func(d time.Duration) { grace = d }(grace)
	grace = 200 * time.Millisecond
	program := filepath.Join(t.TempDir(), "trial")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 60\n"), 0o700))
	f, err := Judge(t.Context(), program, Mutant{Number: 1, ID: "M01"}, Budget{})
	require.ErrorContains(t, err, "the machine is too busy")
	require.Nil(t, f)
}
