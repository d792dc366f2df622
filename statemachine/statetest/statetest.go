// Package statetest checks whether a state machine keeps the contract of
// statemachine.StateMachine: determinism, snapshots, restoring, no aliasing. A
// state machine of one's own is tested by
//
//	func TestConformance(t *testing.T) {
//		statetest.Run(t, statetest.Factory{
//			New: func() statemachine.StateMachine { return mine.New() },
//			Gen: func(r *rand.Rand) []byte { return someOperation(r) },
//		})
//	}
//
// The checks run the machine on the same blocks several times over and compare.
// They find what differs between two runs in one process; they cannot find what
// differs between two machines, builds or processors only.
package statetest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/parley-bft/parley/statemachine"
)

// Factory makes what is to be tested.
type Factory struct {
	// New returns a new machine in its initial state.
	New func() statemachine.StateMachine
	// Gen returns a random operation; every choice must come from r. It should
	// return malformed ones now and then, and use few enough distinct keys that
	// operations meet.
	Gen func(r *rand.Rand) []byte

	// Seeds is how many histories are tried, 8 if zero.
	Seeds int
	// Blocks and MaxOps are the length of a history and of a block; 12 and 40 if zero.
	Blocks, MaxOps int
	// SplitInvariant: results do not depend on where blocks begin and end, nor on
	// heights and times; Run then checks it.
	SplitInvariant bool
}

// Violation says which part of the contract is broken and how.
type Violation struct {
	Check  string // the name of the check, as in Checks
	Seed   uint64
	Detail string
}

func (v *Violation) Error() string {
	return fmt.Sprintf("statetest: %s (seed %d): %s", v.Check, v.Seed, v.Detail)
}

// check is one part of the contract.
type check struct {
	name string
	run  func(h *history) error
}

var checks = []check{
	{"one result for each operation", checkCount},
	{"same blocks, same results and digests", checkDeterminism},
	{"digest is stable between blocks", checkDigestStable},
	{"digest tells states apart", checkDigestSensitive},
	{"inputs are not kept", checkInputAliasing},
	{"results are not shared with the state", checkResultAliasing},
	{"snapshot bytes are a function of the state", checkSnapshotEqual},
	{"snapshot stays frozen", checkSnapshotFrozen},
	{"restore gives the same state and future", checkRestore},
	{"restore replaces what was there", checkRestoreOver},
	{"damaged snapshots are refused", checkDamaged},
	{"block boundaries do not matter", checkSplit},
}

// Run runs all checks as subtests.
func Run(t *testing.T, f Factory) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			if v := f.first(c); v != nil {
				t.Fatal(v)
			}
		})
	}
}

// Check returns the first violation of each check that fails, in order.
func Check(f Factory) []*Violation {
	var all []*Violation
	for _, c := range checks {
		if v := f.first(c); v != nil {
			all = append(all, v)
		}
	}
	return all
}

// first runs one check on all seeds.
func (f Factory) first(c check) (v *Violation) {
	seeds := f.Seeds
	if seeds == 0 {
		seeds = 8
	}
	for seed := range uint64(seeds) {
		if v := f.one(c, seed); v != nil {
			return v
		}
	}
	return nil
}

func (f Factory) one(c check, seed uint64) (v *Violation) {
	defer func() {
		if p := recover(); p != nil {
			v = &Violation{c.name, seed, fmt.Sprintf("panic: %v", p)}
		}
	}()
	if err := c.run(newHistory(f, seed)); err != nil {
		return &Violation{c.name, seed, err.Error()}
	}
	return nil
}
