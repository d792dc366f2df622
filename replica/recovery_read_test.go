package replica

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// A read that fails while the log is looked through says nothing about what is on the
// disk: the start fails with it, and nobody is told that the log is damaged.
func TestAReadErrorIsNoDamage(t *testing.T) {
	eio := errors.New("input/output error")
	s := NewMemoryStore()
	ok, err := reaches(s, 0, 5)
	require.NoError(t, err)
	require.False(t, ok)
	s.Fault(func(string) error { return eio })
	_, err = reaches(s, 0, 5)
	require.ErrorIs(t, err, eio)
	require.NotErrorIs(t, err, ErrCorrupt)
}
