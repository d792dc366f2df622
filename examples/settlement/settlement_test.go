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
	require.NoError(t, run(t.Context(), t.TempDir(), &out), out.String())
	require.Equal(t, `DELIVERY AGAINST PAYMENT
  refused: not authorised
  refused: signature does not verify
  settled: 1010.00 EUR against 10 BOND-31, in one step
  refused: signed transaction ran already
  anna: 3990.00 EUR
  ben: 1010.00 EUR
  anna: 10 BOND-31
  ben: 10 BOND-31

REPO
  near leg: 500.00 EUR against 6 BOND-31 set aside
  anna: 4 BOND-31 and 6 set aside
  refused: insufficient balance
  refused: too early
  far leg: 500.80 EUR back, and the bonds are free
  anna: 3989.20 EUR
  ben: 1010.80 EUR
  anna: 10 BOND-31

ACROSS BORDERS
  refused: no path found
  540.00 USD would cost 502.20 EUR, by way of euro-bank (EUR), maker (EUR), maker (USD), dollar-bank (USD)
  refused: costs too much
  paid: 502.20 EUR of Anna's became 540.00 USD of Ben's, in one step
  anna: 3989.20 EUR, is owed 1497.80
  maker: 0.00 EUR, is owed 502.20
  maker: 0.00 USD, is owed 7460.00
  ben: 0.00 USD, is owed 540.00

the books of 8 accounts and 24 statement lines add up
`, out.String())
}
