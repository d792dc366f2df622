package diskspace_test

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/internal/diskspace"
)

func TestCheck(t *testing.T) {
	free := func(n uint64, err error) func(string) (uint64, error) {
		return func(dir string) (uint64, error) {
			require.Equal(t, "here", dir)
			return n, err
		}
	}
	require.NoError(t, diskspace.Check("here", 0, free(0, io.EOF)), "no reserve, no question")
	require.NoError(t, diskspace.Check("here", 10, free(10, nil)))
	require.ErrorIs(t, diskspace.Check("here", 10, free(0, io.EOF)), io.EOF)
	err := diskspace.Check("here", 10, free(9, nil))
	require.ErrorIs(t, err, diskspace.ErrFull)
	require.EqualError(t, err, "disk full: 9 bytes free where here is, 10 are the reserve: free some space, or lower the reserve, and start again")
	require.NoError(t, diskspace.Check(t.TempDir(), 1, nil))
	require.Error(t, diskspace.Check(t.TempDir()+"/none", 1, nil))
}

func TestExplain(t *testing.T) {
	for _, err := range []error{nil, io.EOF, &diskspace.FullError{Folder: "a", Reserve: 1}, errors.Join(syscall.ENOSPC, diskspace.ErrFull)} {
		require.Equal(t, err, diskspace.Explain("here", err))
	}
	err := diskspace.Explain("here", fmt.Errorf("write x: %w", syscall.ENOSPC))
	require.ErrorIs(t, err, diskspace.ErrFull)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "disk full: no space left where here is: free some space and start again (write x: ")
}
