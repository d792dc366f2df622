package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), t.TempDir(), &out))
	require.Equal(t, `two of three officers register the civil office; one alone is refused
the office registers and attests Ada; her name in plain text is refused
in a bar, offline: born = 1815-12-10, and of the other 2 fields nothing
the civil office's attestation is valid
Ada loses her phone and gets a new key by her recovery; the thief's signature is refused
she moves; the history has 2 versions, by civil-office and ada
her data are erased: what is left are two numbers that say nothing of anybody
`, out.String())
}
