package atomicfile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto/internal/atomicfile"
)

func requireOnly(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, content, string(data))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, mode, info.Mode())
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestWriteReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, atomicfile.Write(path, []byte("one"), 0o644))
	requireOnly(t, path, "one", 0o644)
	require.NoError(t, atomicfile.Write(path, []byte("2"), 0o600))
	requireOnly(t, path, "2", 0o600)
	require.ErrorIs(t, atomicfile.Write(filepath.Join(path+"missing", "f"), nil, 0o600), fs.ErrNotExist)

	// A directory in the way: the error leaves nothing behind.
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "f", "g"), 0o700))
	require.Error(t, atomicfile.Write(filepath.Join(dir, "f"), nil, 0o600))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestCreateDoesNotReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, atomicfile.Create(path, []byte("one"), 0o600))
	require.ErrorIs(t, atomicfile.Create(path, []byte("two"), 0o644), fs.ErrExist)
	requireOnly(t, path, "one", 0o600)
	require.ErrorIs(t, atomicfile.Create(filepath.Join(path+"missing", "f"), nil, 0o600), fs.ErrNotExist)
}

func TestMkdirAll(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "a", "b")
	for range 2 {
		require.NoError(t, atomicfile.MkdirAll(dir, 0o700))
	}
	info, err := os.Stat(filepath.Join(base, "a"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
	require.NoError(t, os.WriteFile(filepath.Join(base, "file"), nil, 0o600))
	require.ErrorContains(t, atomicfile.MkdirAll(filepath.Join(base, "file"), 0o700), "it is a file")
	require.Error(t, atomicfile.MkdirAll(filepath.Join(base, "file", "x"), 0o700))
}
