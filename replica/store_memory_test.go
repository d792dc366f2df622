package replica

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

func TestMemoryStoreLosesSyncedWrites(t *testing.T) {
	key := pbft.RecordKey{Kind: pbft.RecordState}
	s := NewMemoryStore()
	s.Keep(2)
	for i := range byte(4) {
		require.NoError(t, s.Write([]pbft.Record{{Key: key, Value: []byte{i}}}, true))
	}
	get := func(s *MemoryStore) byte {
		v, err := s.Get(key)
		require.NoError(t, err)
		return v[0]
	}
	image := s.Clone()
	require.Equal(t, 1, s.Lose(1, true))
	require.EqualValues(t, 2, get(s))
	require.NoError(t, s.checkLog(), "the number after the last one may be of a write that was under way")
	require.EqualValues(t, 3, get(image))
	require.Equal(t, 1, s.Lose(5, false), "as many as are remembered")
	require.EqualValues(t, 1, get(s))
	require.NoError(t, s.checkLog(), "a torn end looks like a crash")
	for i := range byte(4) {
		require.NoError(t, s.Write([]pbft.Record{{Key: key, Value: []byte{i}}}, true))
	}
	require.Equal(t, 2, s.Lose(2, true))
	require.ErrorIs(t, s.checkLog(), ErrCorrupt)
}

func TestMemoryStoreReadsWrong(t *testing.T) {
	key := pbft.RecordKey{Kind: pbft.RecordState}
	s := NewMemoryStore()
	s.Keep(2)
	first := func(int) int { return 0 }
	require.Empty(t, s.Rot(first))
	require.NoError(t, s.WriteHost([]HostRecord{bornRecord(BornVoter)}, true))
	require.NoError(t, s.Write([]pbft.Record{{Key: key, Value: []byte{1}}}, true))
	require.NoError(t, s.Write([]pbft.Record{{Key: key, Value: []byte{2}}}, true))
	require.NotEmpty(t, s.Stale(first))
	v, err := s.Get(key)
	require.NoError(t, err)
	require.Equal(t, []byte{1}, v)
	s.Crash()
	s.Misdirect()
	_, err = s.Get(key)
	require.ErrorIs(t, err, ErrCorrupt)
	s.Crash()
	n := 0
	require.NoError(t, s.Durable(func(k pbft.RecordKey, v []byte) {
		n++
		require.Equal(t, key, k)
		require.Equal(t, []byte{2}, v)
	}))
	require.Equal(t, 1, n)
	require.NotEmpty(t, s.Rot(first))
	_, err = s.Get(key)
	require.ErrorIs(t, err, ErrCorrupt)
}
