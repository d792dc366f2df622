package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

func TestQueryAtEarlierHeights(t *testing.T) {
	m, h := newToy(t, memory(3))
	for height := uint64(1); height <= 10; height++ {
		run(m, height, "sa"+string('0'+rune(height-1)))
	}
	for height := uint64(7); height <= 10; height++ {
		a, err := m.QueryAt(t.Context(), height, []byte("a"))
		require.NoError(t, err)
		require.Equal(t, string('0'+rune(height-1)), string(a))
	}
	_, err := m.QueryAt(t.Context(), 6, []byte("a"))
	require.ErrorIs(t, err, statemachine.ErrPruned)
	require.ErrorIs(t, err, ErrPruned)
	_, err = m.QueryAt(t.Context(), 11, []byte("a"))
	require.ErrorIs(t, err, ErrFuture)
	_, err = m.QueryAt(t.Context(), 10, ProofQuery(9, []byte("a")))
	require.ErrorIs(t, err, ErrNoProof, "no digest was asked for")
	h.fail = ErrCorrupt
	_, err = m.QueryAt(t.Context(), 10, []byte("a"))
	require.ErrorIs(t, err, ErrFailed)
}
