package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

// A replica that has lost its state loads a snapshot, and is killed before it takes one of
// its own: it must find what it loaded, and not load it again.
func TestRestoredStateSurvivesACrash(t *testing.T) {
	put := func(m *Machine, height uint64, k, v string) {
		r := m.Apply(statemachine.Block{Height: height, Ops: []statemachine.Op{{Data: []byte("s" + k + v)}}})
		require.Equal(t, statemachine.CodeOK, r[0].Code)
	}
	open := func(dir string) *Machine {
		cfg := DefaultConfig()
		cfg.Dir, cfg.Keep = dir, 1
		s, err := Open(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		m, err := NewMachine(s, &toy{})
		require.NoError(t, err)
		return m
	}
	database := func(dir string) string {
		b, err := os.ReadFile(filepath.Join(dir, currentFile))
		require.NoError(t, err)
		return string(b)
	}
	one := open(t.TempDir())
	put(one, 1, "a", "1")
	put(one, 2, "b", "2")
	digest := one.Digest()
	saved := machineSnapshot(t, one)

	dir := t.TempDir()
	two := open(dir)
	require.ErrorIs(t, two.Restore(bytes.NewReader(saved)), statemachine.ErrStateElsewhere)
	syncFrom(t, two, one, 2)
	two.Restored(2)
	loaded := database(dir)
	for h := uint64(3); h < 8; h++ { // more than are kept
		put(two, h, "a", "3")
	}
	require.NoError(t, two.Store().Flush())

	crashed := filepath.Join(t.TempDir(), "state")
	require.NoError(t, os.CopyFS(crashed, os.DirFS(dir)))
	three := open(crashed)
	require.NoError(t, three.Restore(bytes.NewReader(saved)))
	three.Restored(2)
	require.Equal(t, digest, three.Digest())
	require.Equal(t, loaded, database(crashed), "it was loaded again")
	for h := uint64(3); h < 8; h++ {
		put(three, h, "a", "3")
	}
	require.Equal(t, two.Digest(), three.Digest())
}
