package store

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// readable tells whether the state of a height can be proved.
func readable(t *testing.T, s *Store, height uint64) bool {
	v, err := s.At(height)
	if err != nil {
		require.ErrorIs(t, err, ErrPruned)
		return false
	}
	_, err = v.Prove([]byte("k"))
	require.NoError(t, err)
	return true
}

// What is to be retained is, however few heights are kept otherwise, also over a flush.
func TestRetain(t *testing.T) {
	s := open(t, memory(0))
	height := uint64(0)
	block := func(n int) {
		for range n {
			height++
			s.Block().Set([]byte("k"), []byte{byte(height)})
			require.NoError(t, s.Commit(height))
			_, err := s.Digest()
			require.NoError(t, err)
		}
	}
	block(3)
	require.False(t, readable(t, s, 2), "nothing is kept but the last")
	s.Retain(3)
	block(200)
	require.True(t, readable(t, s, 3))
	s.Retain(1)
	s.Retain(3)
	block(1)
	require.True(t, readable(t, s, 3))
	v, err := s.At(3)
	require.NoError(t, err)
	got, _ := v.Get([]byte("k"))
	require.Equal(t, []byte{3}, got)
	require.NoError(t, s.Flush())
	block(10)
	require.NoError(t, s.Flush())
	require.True(t, readable(t, s, 3))
	require.True(t, readable(t, s, 100))

	s.Retain(100)
	require.True(t, readable(t, s, 3), "until the next block")
	block(1)
	require.False(t, readable(t, s, 99))
	require.True(t, readable(t, s, 100))
	s.Retain(height + 50) // of which nothing is here yet
	block(1)
	require.False(t, readable(t, s, height-1))
	require.True(t, readable(t, s, height))
}

// A state that is kept for Config.Keep stays when less is to be retained.
func TestRetainTakesNothingAway(t *testing.T) {
	s := open(t, memory(5))
	s.Retain(8)
	for h := uint64(1); h <= 9; h++ {
		s.Block().Set([]byte("k"), []byte{byte(h)})
		require.NoError(t, s.Commit(h))
		_, err := s.Digest()
		require.NoError(t, err)
	}
	require.True(t, readable(t, s, 4))
	require.False(t, readable(t, s, 3))
}
