package replica

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// keepFrom takes the snapshots below a height from all replicas but the last, as if each
// had lost its own at some time and got a later one.
func (c *simCluster) keepFrom(h pbft.Height) {
	for i := range 3 {
		maps.DeleteFunc(c.disks[i].snaps.held, func(at pbft.Height, _ *memorySnapshot) bool { return at < h })
	}
}

// snapshotsAt tells whether all replicas but the last know a snapshot as stable.
func (c *simCluster) snapshotsAt(h pbft.Height) bool {
	for i := range 3 {
		if c.sims[i].Node().Core().SnapshotHeight() < h {
			return false
		}
	}
	return true
}

// restored tells whether the last replica has the state that the others have.
func (c *simCluster) restored() bool {
	return !c.sims[3].runner.pending && c.sims[3].Executor().Position().Height == c.sims[0].Executor().Position().Height
}

// A replica lost its snapshots, and nobody has the one any more that its log names. Its
// log is full above it, so it takes no more blocks, and its peers have all that it could
// ask for: nothing but their answer tells it of the snapshot that they do have. Nobody
// submits anything, so no other will come.
func TestSimTransferOfASnapshotThatIsGone(t *testing.T) {
	for intervals := pbft.Height(1); intervals <= 2; intervals++ {
		t.Run(fmt.Sprint(intervals), func(t *testing.T) {
			c := newSimCluster(t, 4, 23)
			every := c.core.CheckpointEvery
			committed := func() pbft.Height { return c.sims[3].Node().Core().Committed() }
			c.startAll()
			for i := 0; committed() < 2*every || committed()%every <= c.core.Window; i++ {
				if c.put(fmt.Sprint(i)); committed() == 2*every-1 {
					// From now on blocks stay.
					c.core.Retain, c.core.LogMax = 200, 300
					for i := range c.sims {
						c.crash(i, false)
						c.start(i)
					}
				}
			}
			for range c.core.Timeouts.Status { // all of it is on the disk
				c.round()
			}
			lost := c.sims[3].Node().Core().SnapshotHeight()
			c.crash(3, false)
			c.disks[3].snaps = NewMemorySnapshots(1 << 10)
			for i := 0; !c.snapshotsAt(lost + intervals*every); i++ {
				c.put(fmt.Sprint("while away ", i))
			}
			c.keepFrom(lost + intervals*every)
			c.start(3)
			height, _, _ := c.sims[3].Node().Transfer()
			require.Equal(t, lost, height)
			require.Greater(t, committed(), lost+c.core.Window, "the log is full")
			require.Less(t, committed(), lost+every)
			c.until("replica 3 has a state", 1000, c.restored)
			c.put("after")
			require.Equal(t, c.apps[0].list(), c.apps[3].list())
		})
	}
}

// The same while it is behind the others' log: it knows of the later snapshot, but one
// that is a single interval later is no reason by itself to begin anew.
func TestSimTransferOfASnapshotThatIsGoneMeanwhile(t *testing.T) {
	c := newSimCluster(t, 4, 24)
	c.behind()
	silent := true
	c.tamper = func(m simMail) []byte {
		if _, d, err := pbft.Decode(m.raw); err == nil && silent && m.to == 3 && d.Kind() == pbft.KindManifest {
			return nil
		}
		return m.raw
	}
	c.start(3)
	var lost pbft.Height
	c.until("it asks for a snapshot", 400, func() bool { lost, _, _ = c.sims[3].Node().Transfer(); return lost > 0 })
	for i := 0; !c.snapshotsAt(lost + c.core.CheckpointEvery); i++ {
		c.offer(fmt.Sprint("meanwhile ", i))
		c.until("the others have executed it", 400, func() bool { return slices.Contains(c.apps[0].list(), fmt.Sprint("meanwhile ", i)) })
	}
	c.keepFrom(lost + c.core.CheckpointEvery)
	silent = false
	c.until("replica 3 has the state", 1000, c.restored)
	c.put("after")
	require.Equal(t, c.apps[0].list(), c.apps[3].list())
}

// One peer that says it does not have the snapshot changes nothing, whatever is certified
// meanwhile: if it alone could, a traitor would have every transfer begin anew for ever.
func TestSimTransferGoesOnWhatOnePeerSays(t *testing.T) {
	c := newSimCluster(t, 4, 25)
	c.behind()
	silent, denied := true, 0
	c.tamper = func(m simMail) []byte {
		_, d, err := pbft.Decode(m.raw)
		if manifest, ok := d.(*pbft.Manifest); err == nil && ok && m.to == 3 {
			switch {
			case m.from == 1:
				denied++
				return pbft.Encode(1, &pbft.Manifest{Height: manifest.Height})
			case silent:
				return nil
			}
		}
		return m.raw
	}
	c.start(3)
	var first pbft.Height
	c.until("it asks for a snapshot", 400, func() bool { first, _, _ = c.sims[3].Node().Transfer(); return first > 0 })
	for i := 0; !c.snapshotsAt(first + c.core.CheckpointEvery); i++ {
		c.offer(fmt.Sprint("meanwhile ", i))
		c.until("the others have executed it", 400, func() bool { return slices.Contains(c.apps[0].list(), fmt.Sprint("meanwhile ", i)) })
	}
	denied = 0
	c.until("it is denied again", 400, func() bool { return denied > 2 })
	height, _, _ := c.sims[3].Node().Transfer()
	require.Equal(t, first, height)
	require.EqualValues(t, 1, c.sims[3].Node().Counters().Transfers)
	silent = false
	c.until("replica 3 has the state", 1000, c.restored)
}
