package parley

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/parley-bft/parley/"

// allowed says which packages of this module a folder may import: the picture in
// ARCHITECTURE.md. A folder inherits the row of the longest prefix that has one,
// and must have one; a prefix as a value allows everything below it.
var allowed = map[string][]string{
	".":            {},
	"internal":     {},
	"crypto":       {"crypto", "internal"},
	"pbft":         {"crypto"},
	"statemachine": {"crypto", "statemachine", "internal"},
	// What verifies offline: nothing but hashing.
	"statemachine/store/proof":         {"crypto", "statemachine/merkle"},
	"statemachine/store/feed":          {"crypto"},
	"statemachine/merkle":              {"crypto"},
	"statemachine/registry/disclosure": {"crypto", "statemachine/store/proof"},
	"statemachine/registry/schema":     {},
	"transport":                        {"crypto", "transport"},
	"client":                           {"client", "crypto", "pbft", "statemachine", "transport"},
	"client/receipt":                   {"crypto", "pbft", "statemachine"},
	"replica":                          {"client/api", "client/receipt", "crypto", "pbft", "statemachine", "transport", "replica", "internal"},
	"chaos":                            {""},
	"cmd":                              {""},
	"examples":                         {""},
}

// outside says which folders alone may import a library from outside: everybody
// who embeds a package gets only what that package needs.
var outside = map[string][]string{
	"github.com/cloudflare/circl":             {"crypto/bls"},
	"github.com/oasisprotocol/curve25519-voi": {"crypto/ed25519"},
	"github.com/cometbft/cometbft-db":         {"replica", "statemachine/store"},
	"github.com/cockroachdb/pebble":           {"replica", "statemachine/store"},
	"github.com/anishathalye/porcupine":       {"chaos"},
	"github.com/stretchr/testify":             {"client/internal", "crypto/internal", "statemachine/statetest"},
	"google.golang.org/grpc":                  {"transport/connguard", "client", "replica", "cmd"},
	"google.golang.org/protobuf":              {"client", "replica", "cmd"},
	"github.com/spf13/cobra":                  {"cmd"},
	"github.com/prometheus/client_golang":     {"replica", "cmd"},
	"github.com/tidwall/btree":                {"statemachine", "replica"},
	"github.com/schollz/progressbar":          {"cmd"},
	"github.com/HdrHistogram/hdrhistogram-go": {"cmd"},
	"github.com/gofrs/flock":                  {"replica", "statemachine/store", "cmd"},
	"golang.org/x/sync":                       {"client", "replica", "cmd"},
	"golang.org/x/term":                       {"cmd"},
	"github.com/ethereum/go-ethereum":         {"statemachine/contract", "cmd", "examples/contract"},
	"github.com/holiman/uint256":              {"statemachine/contract"},
	"github.com/gorilla/websocket":            {"statemachine/contract"},
	"golang.org/x/sys":                        {"internal/diskspace", "cmd"},
}

// TestImports holds the code against the two tables above.
func TestImports(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && file != "." || d.Name() == "crosscheck" || file == "bench") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		files++
		dir := path.Dir(filepath.ToSlash(file))
		row, found := longest(dir)
		if !found {
			t.Errorf("%s: the folder %s has no row in the table in imports_test.go: add one there and in ARCHITECTURE.md", file, dir)
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if problem := checkImport(row, dir, name); problem != "" {
				t.Errorf("%s imports %s, %s", file, name, problem)
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, files, 100, "the walk found too few files")
}

// checkImport says what is wrong with an import of the package in dir, whose row
// of the table is the given one.
func checkImport(row, dir, name string) string {
	if local, ok := strings.CutPrefix(name, module); ok {
		if !within(local, allowed[row]) {
			return fmt.Sprintf("which the row %q of the table in imports_test.go does not allow", row)
		}
		return ""
	}
	first, _, _ := strings.Cut(name, "/")
	if !strings.Contains(first, ".") {
		return "" // the standard library
	}
	for library, folders := range outside {
		if name == library || strings.HasPrefix(name, library+"/") {
			if !within(dir, folders) {
				return fmt.Sprintf("which belongs in %v only", folders)
			}
			return ""
		}
	}
	return "which is not in the table of libraries in imports_test.go: say in ARCHITECTURE.md why it is needed"
}

// longest returns the longest prefix of dir that has a row. The row of the root is
// for the root alone.
func longest(dir string) (string, bool) {
	if dir == "." {
		return dir, true
	}
	for at := dir; at != "."; at = path.Dir(at) {
		if _, ok := allowed[at]; ok {
			return at, true
		}
	}
	return "", false
}

// TestClientsNeedNoDatabase follows the imports of what a program is made of that only
// submits operations: none of them leads to a database, or to the EVM.
func TestClientsNeedNoDatabase(t *testing.T) {
	for _, root := range []string{"client", "client/receipt", "client/stateproof", "statemachine/kv/kvop"} {
		reached := reach(t, root)
		require.Contains(t, reached, module+"statemachine", "%s: the walk found too little", root)
		for name, way := range reached {
			for _, heavy := range []string{"github.com/cometbft/cometbft-db", "github.com/cockroachdb/pebble", "github.com/ethereum/go-ethereum", module + "replica"} {
				require.False(t, name == heavy || strings.HasPrefix(name, heavy+"/"), "%s: %s", heavy, way)
			}
		}
	}
	require.Contains(t, reach(t, "statemachine/kv"), "github.com/cometbft/cometbft-db", "it would be noticed")
}

// reach returns all packages that one of this module leads to, each with the way there. It
// looks no further into packages from outside.
func reach(t *testing.T, root string) map[string]string {
	ways := map[string]string{module + root: root}
	for queue := []string{module + root}; len(queue) > 0; queue = queue[1:] {
		dir, local := strings.CutPrefix(queue[0], module)
		if !local {
			continue
		}
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files, dir)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			require.NoError(t, err)
			for _, spec := range f.Imports {
				name, err := strconv.Unquote(spec.Path.Value)
				require.NoError(t, err)
				if ways[name] == "" {
					ways[name] = ways[queue[0]] + " imports " + name
					queue = append(queue, name)
				}
			}
		}
	}
	return ways
}

// TestImportsNotices is the test of the test.
func TestImportsNotices(t *testing.T) {
	for dir, want := range map[string]string{
		".": ".", "client": "client", "client/receipt": "client/receipt", "client/receipt/deep": "client/receipt",
		"crypto/bls": "crypto", "newcomer": "", "newcomer/deep": "", "cryptography": "",
	} {
		row, found := longest(dir)
		require.Equal(t, want, row, dir)
		require.Equal(t, want != "", found, dir)
	}
	require.Empty(t, checkImport("pbft", "pbft", module+"crypto/canon"))
	require.Empty(t, checkImport("cmd", "cmd/parley", module+"replica"))
	require.Empty(t, checkImport("pbft", "pbft", "encoding/json"))
	require.Contains(t, checkImport("pbft", "pbft", module+"replica"), `the row "pbft"`)
	require.Contains(t, checkImport(".", ".", module+"crypto"), `the row "."`)
	require.Contains(t, checkImport("", "newcomer", module+"crypto"), `the row ""`)
	require.Contains(t, checkImport("pbft", "pbft", "github.com/spf13/cobra"), "[cmd] only")
	require.Contains(t, checkImport("pbft", "pbft", "example.org/x"), "not in the table")
}

func within(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if p == "" || name == p || strings.HasPrefix(name, p+"/") {
			return true
		}
	}
	return false
}
