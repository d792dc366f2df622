package parley

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadmeExamples holds the Go of README.md against the examples: each block is
// a piece of a program under examples/, word for word, which is compiled, vetted
// and run by the tests there. The first is the counter's.
func TestReadmeExamples(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := goBlocks(string(readme))
	require.NotEmpty(t, blocks, "README.md shows no Go: it had the example of embedding, in a ```go block")
	for i, block := range blocks {
		require.NotEmpty(t, strings.TrimSpace(block), "Go block %d of README.md is empty", i+1)
		pattern := "examples/*/*.go"
		if i == 0 {
			pattern = "examples/counter/main.go"
		}
		require.True(t, occurs(t, block, pattern),
			"Go block %d of README.md is not in %s any more: copy the new text from there. It says:\n%s", i+1, pattern, block)
	}
}

// TestReadmeNamesTheExamples: each is in the table of what Parley is for, and what is in
// the table is there.
func TestReadmeNamesTheExamples(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	programs, err := filepath.Glob(filepath.FromSlash("examples/*/main.go"))
	require.NoError(t, err)
	require.NotEmpty(t, programs)
	var there, named []string
	for _, program := range programs {
		there = append(there, filepath.Base(filepath.Dir(program)))
	}
	for _, m := range regexp.MustCompile("`\\./examples/([a-z]+)`").FindAllStringSubmatch(string(readme), -1) {
		if !slices.Contains(named, m[1]) {
			named = append(named, m[1])
		}
	}
	require.ElementsMatch(t, there, named)
}

// goBlocks returns what stands between a line "```go" and the next line "```".
func goBlocks(markdown string) []string {
	var blocks []string
	var block strings.Builder
	inside := false
	for line := range strings.Lines(markdown) {
		switch mark := strings.TrimRight(line, "\r\n "); {
		case !inside && mark == "```go":
			inside = true
			block.Reset()
		case inside && mark == "```":
			inside = false
			blocks = append(blocks, block.String())
		case inside:
			block.WriteString(line)
		}
	}
	return blocks
}

// occurs tells whether one of the files has the text as whole lines.
func occurs(t *testing.T, text, pattern string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.FromSlash(pattern))
	require.NoError(t, err)
	require.NotEmpty(t, files, "no file matches %s", pattern)
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		if strings.Contains("\n"+string(source), "\n"+text) {
			return true
		}
	}
	return false
}
