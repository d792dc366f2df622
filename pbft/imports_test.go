package pbft

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// allowedImports are all that the protocol may use: it is pure. Of time only the
// types are used (see TestCoreIsDeterministic).
var allowedImports = map[string]bool{
	"bytes": true, "cmp": true, "encoding/binary": true, "errors": true, "fmt": true, "iter": true, "math": true, "math/bits": true,
	"slices": true, "sort": true, "strconv": true, "strings": true, "time": true,
	"github.com/parley-bft/parley/crypto":       true,
	"github.com/parley-bft/parley/crypto/canon": true,
}

// allowedOfTime are types, constants and methods of values, which read no clock.
var allowedOfTime = map[string]bool{"Duration": true, "Time": true, "Nanosecond": true, "Microsecond": true, "Millisecond": true, "Second": true, "Minute": true, "Hour": true}

// parseFolder parses the files of a package, without its tests.
func parseFolder(t *testing.T, fset *token.FileSet, dir string) []*ast.File {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var files []*ast.File
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, filepath.Join(dir, e.Name()), nil, 0)
		require.NoError(t, err)
		files = append(files, f)
	}
	require.NotEmpty(t, files)
	return files
}

// shallowImporter type-checks the packages of the project that this one may import,
// and takes the standard library's for empty: no map comes from there, and checking
// it takes seconds.
type shallowImporter struct {
	t    *testing.T
	fset *token.FileSet
	done map[string]*types.Package
}

func (i *shallowImporter) Import(path string) (*types.Package, error) {
	if p := i.done[path]; p != nil {
		return p, nil
	}
	p := types.NewPackage(path, filepath.Base(path))
	if dir, ours := strings.CutPrefix(path, "github.com/parley-bft/parley/"); ours {
		p = i.check(path, parseFolder(i.t, i.fset, filepath.Join("..", dir)), nil)
	}
	p.MarkComplete()
	i.done[path] = p
	return p, nil
}

// check finds out what it can: what depends on the standard library stays unknown.
func (i *shallowImporter) check(path string, files []*ast.File, info *types.Info) *types.Package {
	conf := types.Config{Importer: i, Error: func(error) {}}
	p, _ := conf.Check(path, i.fset, files, info)
	return p
}

func typesOf(t *testing.T, fset *token.FileSet, files []*ast.File) *types.Info {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	i := &shallowImporter{t: t, fset: fset, done: map[string]*types.Package{}}
	i.check("pbft", files, info)
	return info
}

func TestImports(t *testing.T) {
	fset := token.NewFileSet()
	for _, f := range parseFolder(t, fset, ".") {
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			require.True(t, allowedImports[path], "%v imports %s", fset.Position(spec.Pos()), path)
			require.Nil(t, spec.Name, "%v renames %s", fset.Position(spec.Pos()), path)
		}
	}
}

// The core does the same thing every time: no goroutines, channels, clocks, and no
// iteration over maps, whose order is random. (clear, delete, len and lookups are
// fine; package maps may not be imported.)
func TestCoreIsDeterministic(t *testing.T) {
	fset := token.NewFileSet()
	files := parseFolder(t, fset, ".")
	info := typesOf(t, fset, files)
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if bad := forbidden(info, n); bad != "" {
				t.Errorf("%v: %s", fset.Position(n.Pos()), bad)
			}
			return true
		})
	}
}

func forbidden(info *types.Info, n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "a goroutine"
	case *ast.SelectStmt:
		return "select"
	case *ast.SendStmt:
		return "a channel"
	case *ast.ChanType:
		return "a channel"
	case *ast.RangeStmt:
		of := info.Types[n.X].Type
		if of == nil {
			return ""
		}
		switch of.Underlying().(type) {
		case *types.Map:
			return "range over a map"
		case *types.Chan:
			return "range over a channel"
		}
	case *ast.SelectorExpr:
		if id, ok := n.X.(*ast.Ident); ok && id.Name == "time" && id.Obj == nil && !allowedOfTime[n.Sel.Name] {
			return "time." + n.Sel.Name
		}
	}
	return ""
}

func TestForbiddenIsFound(t *testing.T) {
	src := `package x
import ("time"; "github.com/parley-bft/parley/crypto")
type table struct { by map[crypto.Digest]time.Time }
func f(m table) {
	c := make(chan int)
	go f(m)
	c <- 1
	select {}
	for range m.by {}
	for range c {}
	_ = time.Now()
}`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "x.go", src, 0)
	require.NoError(t, err)
	info := typesOf(t, fset, []*ast.File{file})
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		if bad := forbidden(info, n); bad != "" {
			found = append(found, bad)
		}
		return true
	})
	require.Equal(t, []string{"a channel", "a goroutine", "a channel", "select", "range over a map", "range over a channel", "time.Now"}, found)
}
