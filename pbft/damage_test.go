package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Damage to a host's state is a divergence for which the last certified snapshot is asked for
// at once; it is on the disk until it is over, and a second report of it changes nothing.
func TestDamaged(t *testing.T) {
	w := newWorld(equalWeights(4), 1, func(c *Config) { c.CheckpointEvery = 4 })
	w.tick()
	for seq := range uint64(4) {
		w.nodes[0].submit(w.request(1, seq+1, "op"))
		w.run(3, nil)
	}
	c := w.nodes[3].core
	require.NotNil(t, c.snapshot)
	executed := c.ExecutedHeight()
	var out Output
	c.Damaged(&out)
	d := c.Diverged()
	require.NotNil(t, d)
	require.True(t, d.Damaged)
	require.Equal(t, executed, d.Height())
	require.Len(t, out.Alarms, 1)
	require.Contains(t, out.Alarms[0].Reason, "disk")
	noStatement(t, &out)
	var stored *Divergence
	for _, r := range out.Records {
		if r.Key.Kind == RecordDiverged {
			var err error
			stored, err = DecodeRecordDiverged(r.Value)
			require.NoError(t, err)
		}
	}
	require.Equal(t, d, stored)
	require.Empty(t, out.Fetch, "the host has not said that it stands still")
	out.Reset()
	c.Damaged(&out)
	require.Empty(t, out.Alarms)
	c.StandsStill(&out)
	require.Equal(t, []Want{{c.snapshot}}, out.Fetch, "nobody has to say which state is right")
	base := c.snapshot.Height()
	out.Reset()
	c.Rebuilt(base, nil, &out)
	require.Nil(t, c.Diverged())
	require.Len(t, out.Healed, 1)
}
