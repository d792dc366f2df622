package pbft

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// A transfer ends when the blocks have come as well, and a checkpoint above its snapshot,
// one that has none, is stable already. The snapshot counts all the same: the log is
// pruned at snapshots, and full when the last one lies too far below.
func TestInstalledSnapshotBelowTheStableCheckpoint(t *testing.T) {
	w := newWorld(equalWeights(4), 1, func(c *Config) { c.CheckpointEvery, c.LogMax, c.Retain, c.MaxBlockRequests = 4, 12, 100, 1 })
	late := w.nodes[3]
	late.noApply = true
	unaware := func(p packet) bool { return p.to != 3 || p.kind != KindCheckpointVote && p.kind != KindBundle }
	for seq := range uint64(5) {
		w.nodes[0].submit(w.request(1, seq+1, fmt.Sprint(seq)))
		w.run(1, unaware)
	}
	w.run(4, unaware)
	snapshot, stable := w.nodes[0].core.SnapshotBundle(), w.nodes[0].core.StableBundle()
	require.Equal(t, Height(4), snapshot.Height())
	require.Greater(t, stable.Height(), snapshot.Height())
	c := late.core
	require.GreaterOrEqual(t, c.Committed(), stable.Height())
	require.Zero(t, c.ExecutedHeight())

	v, why := late.verifier.Verify(0, stable)
	require.Equal(t, NoDrop, why)
	var out Output
	c.Step(v, &out)
	require.Equal(t, stable.Height(), c.Stable())
	require.Zero(t, c.SnapshotHeight())

	out = Output{}
	c.Installed(snapshot, &out)
	require.Equal(t, snapshot.Height(), c.ExecutedHeight())
	require.Equal(t, snapshot.Height(), c.SnapshotHeight())
	require.Equal(t, stable.Height(), c.Stable(), "and it takes nothing back")
	late.write(out.Records)
	require.NotNil(t, late.log[RecordKey{Kind: RecordSnapshot}])
}
