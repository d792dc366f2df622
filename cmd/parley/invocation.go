package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// invocation is how this program can be run again from the same folder, for the
// commands that it prints: by its name only where the shell would find it.
func invocation() string {
	self, err := os.Executable()
	if err != nil {
		return "parley"
	}
	return invocationOf(os.Args[0], self, exec.LookPath)
}

// invocationOf is invocation for a program in the file self that was called as arg0.
func invocationOf(arg0, self string, lookPath func(string) (string, error)) string {
	if strings.Contains(filepath.ToSlash(self), "/go-build") {
		return "go run ./cmd/parley" // a file of 'go run', which goes when that ends
	}
	if found, err := lookPath(filepath.Base(arg0)); err == nil && sameFile(found, self) {
		return filepath.Base(arg0)
	}
	if strings.ContainsRune(arg0, filepath.Separator) {
		return arg0
	}
	return self
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
