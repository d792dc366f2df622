package store

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// scarce is a store in a folder of a disk with as much space as the test says.
func scarce(t *testing.T, dir string, free *uint64) *Store {
	c := memory(2)
	c.Dir, c.FlushBytes, c.Reserve = dir, 4<<10, 1000
	c.FreeSpace = func(string) (uint64, error) { return *free, nil }
	return open(t, c)
}

// fill commits blocks from one height on until the store has no room, and returns the first
// height that it has not.
func fill(t *testing.T, s *Store, height uint64) (uint64, error) {
	for ; height < 1000; height++ {
		for i := range 20 {
			s.Block().Set(fmt.Append(nil, "key ", i), fmt.Append(nil, "value ", height, " ", i))
		}
		if err := s.Commit(height); err != nil {
			return height, err
		}
	}
	require.Fail(t, "there is always room")
	return 0, nil
}

// Below the reserve nothing is written, whoever wants to: the store fails, names the folder
// and the figures, and has the state of an earlier height when there is space again.
func TestReserve(t *testing.T) {
	dir, free := t.TempDir(), uint64(1000)
	s := scarce(t, dir, &free)
	for range 100 {
		require.NoError(t, s.Commit(s.last+1))
	}
	snap := snapshotOf(t, storeOf(t, memory(2), 7, numbered(300, "a value of some length"))) // of another state
	require.NoError(t, s.Flush())
	free = 999
	_, err := fill(t, s, 101)
	full := func(err error) {
		t.Helper()
		require.ErrorIs(t, err, ErrDiskFull)
		require.ErrorIs(t, err, ErrFailed)
		require.ErrorContains(t, err, fmt.Sprintf("disk full: 999 bytes free where %s is, 1000 are the reserve: free some space", dir))
	}
	full(err)
	full(s.Flush())
	full(s.Commit(2000))
	require.NoError(t, s.Close())

	// It can be opened and read, and a state that comes from elsewhere finds no room either.
	s = scarce(t, dir, &free)
	require.EqualValues(t, 100, s.Durable())
	full(restore(s, snap))
	require.NoError(t, s.Close())
	s = scarce(t, dir, &free)
	require.NoError(t, s.Commit(101))
	full(s.Close())

	free = 1 << 30
	s = scarce(t, dir, &free)
	require.EqualValues(t, 100, s.Durable())
	require.NoError(t, restore(s, snap))
	require.NoError(t, s.Close())
}

// Without a reserve nobody is asked; and what the system says of a full disk is told in the
// same words.
func TestNoSpace(t *testing.T) {
	c := memory(2)
	c.Dir, c.Reserve = t.TempDir(), 0
	c.FreeSpace = func(string) (uint64, error) { panic("asked") }
	s := open(t, c)
	require.NoError(t, s.Commit(1))
	require.NoError(t, s.Flush())
	err := s.fail("write", fmt.Errorf("write 000004.log: %w", syscall.ENOSPC))
	require.ErrorIs(t, err, ErrDiskFull)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, fmt.Sprintf("disk full: no space left where %s is: free some space and start again", c.Dir))
	require.NoError(t, s.Close())
}

// A question that nobody answers says nothing of the disk: a store whose folder was removed
// can still be closed.
func TestSpaceThatIsNotKnown(t *testing.T) {
	c := memory(2)
	c.Dir = t.TempDir()
	c.FreeSpace = func(string) (uint64, error) { return 0, syscall.ENOENT }
	s := open(t, c)
	require.NoError(t, s.Commit(1))
	require.NoError(t, s.Flush())
	require.NoError(t, s.Close())
}

// What the database says with an error in it, when it gives up, is still that error.
func TestFatalKeepsItsCause(t *testing.T) {
	var heard error
	l := &pebbleLogger{broken: func(err error) { heard = err; panic(err) }}
	require.Panics(t, func() { l.Fatalf("cannot write: %v", fmt.Errorf("000004.log: %w", syscall.ENOSPC)) })
	require.ErrorIs(t, heard, syscall.ENOSPC)
	require.EqualError(t, heard, "cannot write: 000004.log: "+syscall.ENOSPC.Error())
	require.Panics(t, func() { l.Fatalf("cannot write: %w", syscall.ENOSPC) })
	require.ErrorIs(t, heard, syscall.ENOSPC)
	require.Panics(t, func() { l.Fatalf("cannot write %d", 4) })
	require.EqualError(t, heard, "cannot write 4")
}
