// Chaos points the simulator at a state machine of one's own. The machine here
// has the bug that is made most often, and the simulator finds it within a second.
// Run it:
//
//	go run ./examples/chaos          # finds the bug
//	go run ./examples/chaos -fixed   # the same machine without it
//
// The machine (poll.go) counts votes in a map. Its bug: who leads is looked up by
// iterating over the map, whose order is another one each time, so that replicas
// disagree when two candidates have as many votes.
//
// The program is a dozen lines: for each seed, [chaos.Swarm] draws a cluster, a
// network, faults and traitors; Machine and Operation say what runs on it; and
// [chaos.Run] judges every step. With a machine that is deterministic a seed is the
// same run every time; with this one it is not, which is the bug.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/statemachine"
)

func main() {
	fixed := flag.Bool("fixed", false, "use the machine without the bug")
	seeds := flag.Uint64("seeds", 20, "number of seeds")
	flag.Parse()
	if err := hunt(os.Stdout, *seeds, func() statemachine.StateMachine { return newPoll(*fixed) }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// hunt runs seeds until one breaks a promise.
func hunt(out io.Writer, seeds uint64, machine func() statemachine.StateMachine) error {
	for seed := uint64(1); seed <= seeds; seed++ {
		o := chaos.Swarm(seed)
		o.Machine, o.Operation = machine, vote
		r := chaos.Run(o)
		if err := r.Err(); err != nil {
			return err
		}
		fmt.Fprintln(out, r)
	}
	return nil
}
