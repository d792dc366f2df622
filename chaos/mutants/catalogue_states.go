package mutants

import (
	"time"

	"github.com/parley-bft/parley/chaos"
)

// Of states that lie on disks, and are named by snapshots.
var stateMutants = []Mutant{
	{
		Number: 41, Title: "a replica votes for a checkpoint before its state is on the disk",
		Sites: []Site{{
			File: "statemachine/store/kept.go",
			Old:  "	if k.durable != nil {\n",
			New:  "	if k.durable != nil && !ON {\n",
		}},
	},
	{
		Number: 42, Title: "a height that a snapshot names is let go of as others are",
		Sites: []Site{{
			File: "statemachine/store/commit.go",
			Old:  "	for _, h := range s.snapshots {\n		low = min(low, h)\n",
			New:  "	for _, h := range s.snapshots {\n		low = mutant.Pick(ON, low, min(low, h))\n",
		}},
	},
	{
		Number: 43, Title: "a snapshot's file counts as the state that it names when the log is executed again",
		Sites: []Site{{
			File: "replica/runner.go",
			Old:  "!ok || r.parts.keeper != nil {\n",
			New:  "!ok || r.parts.keeper != nil && !ON {\n",
		}},
	},
	{
		Number: 44, Title: "the states of the last two snapshots are let go of when a third is stable",
		Sites: []Site{{
			File: "replica/runner_prune.go",
			Old:  "	r.parts.keeper.ReleaseSnapshots(uint64(left[len(left)-1]))\n",
			New:  "	r.parts.keeper.ReleaseSnapshots(mutant.Pick(ON, uint64(left[0]), uint64(left[len(left)-1])))\n",
		}},
	},
}

// onDisk has states on disks, and snapshots often.
func onDisk(o *chaos.Options) {
	o.Stored, o.OnDisk, o.CheckpointEvery, o.Retain, o.Think = true, true, 4, 8, 20*time.Millisecond
	o.Disk = 5 * time.Millisecond
}
