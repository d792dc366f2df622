package replica

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// A snapshot that takes the place of another one is what peers get from then on, also those that
// come while the other one is open.
func TestSnapshotThatIsReplacedIsServed(t *testing.T) {
	folder, err := openSnapshots(t.TempDir(), 1<<10)
	require.NoError(t, err)
	t.Cleanup(folder.close)
	for i := range 3 {
		e := statemachine.NewExecutor(new(journal), statemachine.DefaultLimits())
		_, err := e.Execute(statemachine.RequestBlock{Height: 1, Requests: []statemachine.Request{
			{Client: clientTestKey(1).Public(), Seq: 1, Low: 1, Deadline: 1, Ops: [][]byte{fmt.Append(nil, i)}},
		}})
		require.NoError(t, err)
		snap, err := e.Snapshot()
		require.NoError(t, err)
		root, err := folder.write(8, snap)
		require.NoError(t, err)
		require.NoError(t, snap.Close())
		m, err := folder.answer(&pbft.GetManifest{Height: 8})
		require.NoError(t, err)
		p, err := decodeManifest(m.(*pbft.Manifest).Data)
		require.NoError(t, err)
		require.Equal(t, root, p.Root())
		c, err := folder.answer(&pbft.GetChunk{Height: 8})
		require.NoError(t, err)
		require.NoError(t, p.Verify(0, c.(*pbft.Chunk).Data))
	}
}
