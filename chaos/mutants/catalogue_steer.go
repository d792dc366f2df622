package mutants

import (
	"time"

	"github.com/parley-bft/parley/chaos"
	"github.com/parley-bft/parley/pbft"
)

// oneTraitor makes a replica that the seed names a traitor.
func oneTraitor(o *chaos.Options) {
	o.Traitors = []pbft.ReplicaID{pbft.ReplicaID(o.Seed % uint64(len(o.Weights)))}
}

// traitorsOnly has traitors and nothing else that stands in their way.
func traitorsOnly(o *chaos.Options) {
	if len(o.Traitors) == 0 {
		oneTraitor(o)
	}
	o.Faults = chaos.Faults{}
	o.Network.Loss = 0
}

// traitorsAndCuts has traitors, and links that fail.
func traitorsAndCuts(o *chaos.Options) {
	traitorsOnly(o)
	o.Faults.Partition, o.Faults.OneWay = 2*time.Second, 2*time.Second
}
