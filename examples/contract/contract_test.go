package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), t.TempDir(), &out))
	for _, line := range []string{
		"Ben cannot pay 500: the contract refuses",
		": nobody gave Ann 1000\n", ": Ann gave Ben 100\n", ": Ben gave Ann 30\n",
		"replica 3 has stopped, and Ben has 75\n",
	} {
		require.Contains(t, out.String(), line)
	}
}
