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
	require.Equal(t, `the patient's consent is delivered by the hospital, which could not have made it
the laboratory may use the sample for research
for teaching it may not
the insurer is refused, by rule mode-private, through the log and beside it
the hospital shortens it in the patient's name; a purpose that is none is refused by the schema
the patient withdraws it: the laboratory may not use the sample, and the old signature counts no more
audit: strangers were refused get-record 1 time by mode-private
`, out.String())
}
