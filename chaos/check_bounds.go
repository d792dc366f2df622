package chaos

import (
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/replica"
)

// boundCheck looks now and then at what a replica holds. The formulas are those of
// package pbft's documentation, with room for what is being written.
type boundCheck struct {
	s     *Simulation
	steps int
}

// observe looks at every 200th step of anybody.
func (k *boundCheck) observe(p *process) {
	if k.steps++; k.steps%200 != 0 {
		return
	}
	o := &k.s.opts
	window := int(o.Window)
	logMax := int(2*o.CheckpointEvery) + 2*window
	// The log is pruned below the last certified snapshot that is here as well: a slow
	// disk that still writes one has to keep what came since its last.
	if certified, own := bundleHeight(p.disk.image, pbft.RecordSnapshot), p.disk.newest(); own < certified {
		logMax += int(certified - own)
	}
	// A replica that catches up by the blocks that peers retain hears of the last snapshot
	// when it is there: until then it has those above its own snapshot and its own below,
	// and what the log may run ahead, its own and the peers' (TestBoundCatchUp of package
	// pbft comes to exactly that). Beside it there are the blocks that are not committed.
	heights := logMax + int(2*o.Retain+2*o.CheckpointEvery) + 2*window + 6*window
	limits := [...]struct {
		kind  pbft.RecordKind
		what  string
		limit int
	}{
		{pbft.RecordBlock, "blocks", heights},
		{pbft.RecordChain, "links of the chain", heights},
		{pbft.RecordCommit, "CommitQCs", heights},
		{pbft.RecordCheckpoint, "statements", heights},
		{pbft.RecordEvidence, "proofs", 6 * len(o.Weights)},
	}
	var held [256]int
	for key := range p.disk.image {
		held[key.Kind]++
	}
	// What is pruned is gone when it has been written that it is, and one whose
	// application or disk was slow may prune many intervals at once.
	settled := p.sim.Pending(replica.WorkDisk) == 0
	for _, l := range limits {
		if settled && held[l.kind] > l.limit {
			k.s.violate(Bounds, "replica %d has %d %s on its disk, at most %d are promised", p.id, held[l.kind], l.what, l.limit)
		}
	}
	const smallest = 128 // bytes of a request
	if n := p.node.Core().PoolLen(); n > maxPoolBytes/smallest {
		k.s.violate(Bounds, "replica %d has %d requests in its pool of %d bytes", p.id, n, maxPoolBytes)
	}
}
