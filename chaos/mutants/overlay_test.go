package mutants

import (
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every site is in the sources exactly once, and every mutant compiles. That the program with all of
// them is linked, and that the simulator kills them, is for 'parley chaos mutants', which 'make chaos' runs.
func TestEveryMutantFits(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the product again")
	}
	root := filepath.Join("..", "..")
	overlay, err := Overlay(root, t.TempDir(), All())
	require.NoError(t, err)
	packages := map[string]bool{}
	for _, m := range All() {
		for _, s := range m.Sites {
			packages["./"+path.Dir(s.File)] = true
		}
	}
	require.Greater(t, len(packages), 1)
	c := exec.CommandContext(t.Context(), "go", slices.Concat([]string{"build", "-overlay", overlay}, slices.Sorted(maps.Keys(packages)))...)
	c.Dir = root
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestSitesThatDoNotFit(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "a.go"), []byte("// Package a is.\npackage a\n\nvar x, y = 1, 1\n"), 0o600))
	site := func(old, text string) []Mutant {
		return []Mutant{{Number: 7, ID: "M07", Title: "t", Sites: []Site{{File: "a.go", Old: old, New: text}}}}
	}
	for _, bad := range [][]Mutant{site("z", "ON"), site("1", "ON"), site("x", "nothing")} {
		_, err := sources(root, bad)
		require.ErrorIs(t, err, ErrSite)
		require.ErrorContains(t, err, "M07")
	}
	_, err := sources(root, []Mutant{{Sites: []Site{{File: "b.go"}}}})
	require.ErrorIs(t, err, os.ErrNotExist)
	changed, err := sources(root, site("var x", "var ON, x"))
	require.NoError(t, err)
	require.Contains(t, changed["a.go"], "package a; import \"github.com/parley-bft/parley/internal/mutant\"\n\nvar mutant.On(7), x, y")
	require.Equal(t, 4, strings.Count(changed["a.go"], "\n"))
}

func TestCatalogue(t *testing.T) {
	seen := map[string]bool{}
	for i, m := range All() {
		require.False(t, seen[m.ID])
		seen[m.ID] = true
		require.NotEmpty(t, m.Title)
		if m.Number <= 25 {
			require.Equal(t, i+1, m.Number, "the list of 25 is complete")
		}
		require.Equal(t, m.Impossible == "", len(m.Sites) > 0, m.ID)
	}
	_, ok := Find("M25")
	require.True(t, ok)
	_, ok = Find("M99")
	require.False(t, ok)
}
