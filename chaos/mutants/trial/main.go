// Command trial runs seeds of the simulator until one violates an invariant, and
// prints what it found as a line of JSON. Built with an overlay it is one of the
// mutants; see package mutants.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/parley-bft/parley/chaos/mutants"
)

func main() {
	id := flag.String("mutant", "", "whose options to use, such as M01; none: the plain swarm")
	from := flag.Uint64("from", 1, "first seed")
	seeds := flag.Int("seeds", 200, "at most so many seeds")
	limit := flag.Duration("time", time.Minute, "start no seed after this time")
	shrink := flag.Duration("shrink", 0, "spend so much time on making what was found smaller")
	flag.Parse()
	// As 'parley chaos run' does: runs are short and small.
	debug.SetGCPercent(400)
	r, err := mutants.Hunt(*id, *from, *seeds, *limit, *shrink)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(r)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "trial:", err)
		os.Exit(1)
	}
}
