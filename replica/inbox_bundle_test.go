package replica

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/symbolic"
	"github.com/parley-bft/parley/pbft"
)

// dropCounts counts by reason what a stage leaves out.
type dropCounts map[pbft.Drop]int

func (c dropCounts) received(pbft.MessageKind, int)                          {}
func (c dropCounts) malformed(pbft.ReplicaID)                                {}
func (c dropCounts) dropped(_ pbft.ReplicaID, _ pbft.Message, why pbft.Drop) { c[why]++ }
func (c dropCounts) rejected(int)                                            {}

// The bundle of a snapshot is of use also below the stable checkpoint, if that has no
// snapshot: whoever could not take it would stand still when its log is full, since the
// log is bounded by snapshots and the others do not vote for old ones again.
func TestSnapshotBundleBelowTheStableCheckpointIsTaken(t *testing.T) {
	drops := dropCounts{}
	weights := []uint64{1, 1, 1, 1}
	q, err := pbft.NewQuorumSystem(weights)
	require.NoError(t, err)
	w := symbolic.NewWorld(1)
	scheme, err := w.Scheme(len(weights), false)
	require.NoError(t, err)
	s := &verifyStage{metrics: drops, verifier: pbft.NewVerifier(pbft.VerifierConfig{
		Cluster: crypto.Hash("test/cluster"), Quorums: q, Schedule: pbft.NewSchedule(weights), Votes: scheme, Checkpoints: scheme, Requests: w,
		SigningKeys: make([]crypto.PublicKey, len(weights)),
	})}
	s.bound(tallyBounds{high: 40, stable: 20, snapshot: 8, every: 8})
	for _, c := range []struct {
		height pbft.Height
		want   pbft.Drop // DropCluster: it was looked at
	}{
		{8, pbft.DropDuplicate},
		{15, pbft.DropDuplicate}, // below the stable one, and without a snapshot
		{16, pbft.DropCluster},
		{20, pbft.DropDuplicate},
		{21, pbft.DropCluster},
	} {
		clear(drops)
		var out verifiedBatch
		s.check(1, 0, &pbft.Bundle{Checkpoint: &pbft.CheckpointCertificate{CheckpointStatement: pbft.CheckpointStatement{Height: c.height}}}, &out)
		require.Equal(t, dropCounts{c.want: 1}, drops, "a bundle of height %d", c.height)
	}
}
