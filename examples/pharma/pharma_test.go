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
	require.Equal(t, `P-1 at the pharmacy: genuine
  created, then with manufacturer
  transferred, then with wholesaler
  transferred, then with pharmacy
a copy of P-2 offered by the counterfeiter: COUNTERFEIT: the pack is with the wholesaler
a copy of P-1 at the counter, after that was dispensed: COUNTERFEIT: the pack was dispensed
a pack P-9: COUNTERFEIT: there is no such pack
the genuine P-2: genuine
after the recall: RECALLED: the quality of batch B-1: attestation revoked (impurities)
`, out.String())
}
