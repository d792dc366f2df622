package store

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// slowDisk is a database whose syncs end when a test says so.
type slowDisk struct {
	*memoryDB
	began   chan struct{}
	end     chan error
	waiting atomic.Bool // a sync has not ended
	ahead   atomic.Bool // a batch was made meanwhile
}

func (d *slowDisk) newBatch() batch {
	if d.waiting.Load() {
		d.ahead.Store(true)
	}
	return d.memoryDB.newBatch()
}

func (d *slowDisk) sync() error {
	d.waiting.Store(true)
	defer d.waiting.Store(false)
	d.began <- struct{}{}
	return <-d.end
}

type slowDisks struct {
	inMemory
	disk *slowDisk
}

func (d *slowDisks) current() (database, error) {
	_, err := d.inMemory.current()
	d.disk = &slowDisk{memoryDB: d.inUse, began: make(chan struct{}, 1), end: make(chan error)}
	return d.disk, err
}

// slow returns a store with a slow disk, and what commits a block that fills its buffer.
func slow(t *testing.T) (*Store, *slowDisk, func(height uint64) error) {
	d := new(slowDisks)
	cfg := memory(3)
	cfg.FlushBytes = 4 << 10
	cfg.disks = func(Config, func(error)) (disks, error) { return d, nil }
	s, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	return s, d.disk, func(height uint64) error {
		for i := range 100 {
			s.Block().Set(fmt.Append(nil, "key ", i), fmt.Append(nil, "value ", height, i))
		}
		return s.Commit(height)
	}
}

// Blocks go on while the disk takes its time, what they wrote can be read, and nothing is
// called durable that is not; but no more than one batch waits for the disk.
func TestBlocksDoNotWaitForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, disk, fill := slow(t)
		require.NoError(t, fill(1))
		<-disk.began
		require.Zero(t, s.Durable())
		s.Block().Set([]byte("small"), []byte("1"))
		require.NoError(t, s.Commit(2), "it does not wait")
		v, err := s.At(1)
		require.NoError(t, err)
		got, ok := v.Get([]byte("key 7"))
		require.True(t, ok)
		require.Equal(t, "value 1 7", string(got))

		done := make(chan error)
		go func() { done <- fill(3) }()
		synctest.Wait() // it has gone as far as it goes
		require.False(t, disk.ahead.Load(), "a second batch is under way")
		disk.end <- nil // the first is durable now
		<-disk.began
		require.False(t, disk.ahead.Load(), "a second batch was under way")
		require.NoError(t, <-done)
		require.EqualValues(t, 1, s.Durable())
		closed := make(chan error)
		go func() { closed <- s.Close() }()
		disk.end <- nil
		require.NoError(t, <-closed)
		require.EqualValues(t, 3, s.Durable())
	})
}

// A disk that fails is a failure, if not of the block that filled the buffer.
func TestLateFailureOfTheDisk(t *testing.T) {
	s, disk, fill := slow(t)
	require.NoError(t, fill(1))
	<-disk.began
	gone := errors.New("the disk is gone")
	disk.end <- gone
	err := fill(2)
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, err, gone)
	require.Zero(t, s.Durable())
	require.NoError(t, s.Close())
}
