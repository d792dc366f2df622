package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// What would be accepted and fail later is refused.
func TestConfigBounds(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Keep, cfg.FlushBytes = MaxKeep, MaxFlushBytes
	require.NoError(t, cfg.Validate())
	cfg.Keep++
	require.ErrorIs(t, cfg.Validate(), ErrConfig)
	cfg.Keep, cfg.FlushBytes = 0, MaxFlushBytes+1
	require.ErrorIs(t, cfg.Validate(), ErrConfig)
}

// Journals count towards what is flushed, and are given back when they are pruned.
func TestPendingCountsJournals(t *testing.T) {
	s, err := Open(t.Context(), memory(2))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	count := func() (journals int) {
		for _, j := range s.pend.journals {
			journals += j.size()
		}
		return journals
	}
	for height := range uint64(20) {
		for i := range 10 {
			s.Block().Set(fmt.Append(nil, "key ", i), fmt.Append(nil, height))
		}
		require.NoError(t, s.Commit(height+1))
		_, err := s.Digest()
		require.NoError(t, err)
		rest := 0
		add := func(key string, r record) bool { rest += len(key) + len(r.value) + recordBytes; return true }
		s.pend.last.Scan(add)
		s.pend.history.Scan(add)
		for _, n := range s.pend.nodes {
			rest += len(n) + nodeBytes
		}
		require.Equal(t, rest+count(), s.pend.bytes)
	}
	require.Positive(t, count())
}
