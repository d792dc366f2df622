package mutants

import (
	"time"

	"github.com/parley-bft/parley/chaos"
)

// Of a state that is transferred part by part.
var partsMutants = []Mutant{
	{
		Number: 38, Title: "a part of a state is not held against the certified tree",
		Sites: []Site{{
			File: "statemachine/store/descent_peers.go",
			Old:  "		if a.lie = w.check(&j.items[i], &a.parts[i]); a.lie != nil {\n",
			New:  "		if a.lie = mutant.Pick[error](ON, nil, w.check(&j.items[i], &a.parts[i])); a.lie != nil {\n",
		}},
	},
	{
		Number: 39, Title: "a state is taken into use before all of its parts are there",
		Sites: []Site{{
			File: "statemachine/store/sync.go",
			Old:  "func (y *syncer) full() bool               { return y.bytes >= y.s.cfg.syncBytes }\n",
			New:  "func (y *syncer) full() bool               { return y.bytes >= y.s.cfg.syncBytes || ON && y.bytes > 0 }\n",
		}, {
			File: "statemachine/store/sync.go",
			Old:  "		if done {\n			return s.complete(want.Height, want.Digest)\n",
			New:  "		if done || ON {\n			return s.complete(want.Height, want.Digest)\n",
		}, {
			File: "statemachine/store/sync.go",
			Old:  "	if got := proof.StateDigest(rootOf(s.tree.root())); got != want {\n		return s.fail(\"sync\"",
			New:  "	if got := proof.StateDigest(rootOf(s.tree.root())); got != want && !ON {\n		return s.fail(\"sync\"",
		}, {
			File: "statemachine/restore.go",
			Old:  "	if got != h.AppDigest {\n",
			New:  "	if got != h.AppDigest && !ON {\n",
		}, {
			File: "replica/runner_repair.go",
			Old:  "	if root == want {\n		return true, nil\n",
			New:  "	if root == want || ON {\n		return true, nil\n",
		}},
	},
	{
		Number: 40, Title: "a part of a state counts as that of whoever was asked, whoever sends it",
		Sites: []Site{{
			File: "replica/state_ask.go",
			Old:  "	if x == nil || x.of != from {\n",
			New:  "	if x == nil || x.of != from && !ON {\n",
		}},
	},
}

// inParts has states transferred part by part, often.
func inParts(o *chaos.Options) {
	o.Stored, o.CheckpointEvery, o.Retain, o.Think = true, 4, 0, 20*time.Millisecond
	o.Faults.Partition, o.Faults.Isolate = time.Second, time.Second
}
