package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInvocation(t *testing.T) {
	dir := t.TempDir()
	self, other := filepath.Join(dir, "parley"), filepath.Join(dir, "other")
	require.NoError(t, os.WriteFile(self, nil, 0o700))
	require.NoError(t, os.WriteFile(other, nil, 0o700))
	finds := func(file string) func(string) (string, error) {
		return func(string) (string, error) { return file, nil }
	}
	none := func(string) (string, error) { return "", exec.ErrNotFound }
	require.Equal(t, "parley", invocationOf("parley", self, finds(self)))
	require.Equal(t, "parley", invocationOf(self, self, finds(self)))
	require.Equal(t, "bin/parley", invocationOf("bin/parley", self, none))
	require.Equal(t, "bin/parley", invocationOf("bin/parley", self, finds(other)), "another program of that name")
	require.Equal(t, self, invocationOf("parley", self, none))
	require.Equal(t, "go run ./cmd/parley", invocationOf("x", filepath.FromSlash("/tmp/go-build1/b001/exe/parley"), none))
}
