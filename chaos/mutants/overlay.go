package mutants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Environment is the variable by which a build with mutants is told which one to
// be; without it, it is the product.
const Environment = "PARLEY_MUTANT"

// switchPackage exists in the overlay only.
const (
	switchPackage = "github.com/parley-bft/parley/internal/mutant"
	switchFile    = "internal/mutant/mutant.go"
	switchSource  = `// Package mutant chooses one broken rule.
package mutant

import (
	"os"
	"strconv"
)

var chosen, _ = strconv.Atoi(os.Getenv("` + Environment + `"))

// On tells whether mutant n is chosen.
func On(n int) bool { return chosen == n }

// Pick returns a if it is on, and b otherwise.
func Pick[T any](on bool, a, b T) T {
	if on {
		return a
	}
	return b
}
`
)

// ErrSite is wrapped by the error about a site that is not in the sources.
var ErrSite = errors.New("mutation site")

// sources returns the changed files, by name relative to root.
func sources(root string, all []Mutant) (map[string]string, error) {
	changed := map[string]string{switchFile: switchSource}
	var faults []error
	for _, m := range all {
		for _, s := range m.Sites {
			text, seen := changed[s.File]
			if !seen {
				data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(s.File)))
				if err != nil {
					return nil, err
				}
				text = importSwitch(string(data))
			}
			if n := strings.Count(text, s.Old); n != 1 {
				faults = append(faults, fmt.Errorf("%w of %s (%s): its text is %d times in %s, must be once:\n%s", ErrSite, m.ID, m.Title, n, s.File, s.Old))
				continue
			}
			if !strings.Contains(s.New, "ON") {
				faults = append(faults, fmt.Errorf("%w of %s: New has no ON", ErrSite, m.ID))
				continue
			}
			changed[s.File] = strings.Replace(text, s.Old, strings.ReplaceAll(s.New, "ON", fmt.Sprintf("mutant.On(%d)", m.Number)), 1)
		}
	}
	return changed, errors.Join(faults...)
}

// importSwitch adds the import without moving any line.
func importSwitch(text string) string {
	at := strings.Index(text, "\npackage ")
	if strings.HasPrefix(text, "package ") {
		at = -1
	}
	end := at + 1 + strings.IndexByte(text[at+1:], '\n')
	return text[:end] + "; import " + strconv.Quote(switchPackage) + text[end:]
}

// Overlay writes an overlay for 'go build -overlay' and the files that it names
// into folder, and returns its path. Errors: ErrSite, for all sites that are wrong.
func Overlay(root, folder string, all []Mutant) (string, error) {
	changed, err := sources(root, all)
	if err != nil {
		return "", err
	}
	root, err = filepath.Abs(root)
	if err != nil {
		return "", err
	}
	replace := make(map[string]string, len(changed))
	for name, text := range changed {
		to, err := filepath.Abs(filepath.Join(folder, strings.ReplaceAll(name, "/", "_")))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, filepath.FromSlash(name))] = to
	}
	data, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "  ")
	if err != nil {
		return "", err
	}
	file := filepath.Join(folder, "overlay.json")
	return file, os.WriteFile(file, data, 0o600)
}

// Trial is the program that plays one mutant, for [Build].
const Trial = "./chaos/mutants/trial"

// Build compiles a program of this module with mutants in it, into the folder, and returns
// its path. It needs the go command and the module's sources at root.
func Build(ctx context.Context, root, folder, program string, list []Mutant) (string, error) {
	overlay, err := Overlay(root, folder, list)
	if err != nil {
		return "", err
	}
	file, err := filepath.Abs(filepath.Join(folder, path.Base(program)))
	if err != nil {
		return "", err
	}
	c := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", file, program)
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s with mutants: %w\n%s", program, err, out)
	}
	return file, nil
}
