//go:build !chaos

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "traitord: this is for tests of Parley alone: build it with -tags chaos")
	os.Exit(2)
}
