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
	require.Equal(t, `the till enters 3 receipts
a receipt over half a cent: refused, schema violation
another receipt under the same number: refused, exists already
the shop makes a receipt smaller: refused, against the collection's rules
a rival enters a receipt for the shop: refused, not authorized
the auditor: receipts 1 to 3, none is missing, 72.10 in all, 11.50 of it tax
of receipt 3 the shop shows one line of 3: ink for 4.10
the tax office attests that it has audited them
`, out.String())
}
