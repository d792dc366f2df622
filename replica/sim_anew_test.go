package replica

import (
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// youngSickSim is a sickSim in which no snapshot is certified for long.
func youngSickSim(t *testing.T, crashAt int) *sickSim {
	c := &sickSim{simCluster: newSimCluster(t, 4, 25), crashAt: crashAt}
	c.core.CheckpointEvery, c.core.LogMax = 64, 200
	for i := range c.sims {
		c.begin(i)
	}
	return c
}

// A replica whose state becomes wrong before there is a certified snapshot, in a cluster that
// nobody asks for anything more, begins with the first block once more, wherever it crashes.
func TestSimRepairFromTheBeginning(t *testing.T) {
	crashes, healed := 0, 0
	step := 1
	if testing.Short() {
		step = 3
	}
	for at, more := 1, true; more; at += step {
		c := youngSickSim(t, at)
		for i := range 3 {
			c.put(fmt.Sprint(i))
		}
		c.sicken()
		c.offer("the last word")
		for range 3 {
			c.round()
		}
		c.until("all are level and healthy", 3000, func() bool { return (c.alarms > 0 || c.crashed) && c.everybody() })
		want := c.apps[0].list()
		for i := range c.sims {
			require.Equal(t, want, c.apps[i].list(), "crash after %d", at)
			require.Empty(t, c.disks[i].snaps.Heights())
		}
		require.NotContains(t, want, "rotten")
		if c.crashed {
			crashes++
		}
		healed += c.healed
		more = c.crashed
	}
	require.Greater(t, crashes, 3)
	require.Positive(t, healed)
}

// prunedKeeper prunes the beginning between two steps of whoever begins with it, as the
// goroutine that prunes may.
type prunedKeeper struct {
	snapshotKeeper
	t        *testing.T
	folder   *snapshotFolder // has the beginning
	verified bool            // it is pruned after it was verified, else before
}

func (k *prunedKeeper) pruneNow() { require.NoError(k.t, k.folder.prune(1)) }

func (k *prunedKeeper) verify(h pbft.Height) error {
	if !k.verified {
		k.pruneNow()
	}
	return k.folder.verify(h)
}

func (k *prunedKeeper) restore(h pbft.Height, to *statemachine.Executor) error {
	k.pruneNow()
	return k.folder.restore(h, to)
}

// The beginning may be pruned while a replica is about to begin with it: it waits for the next
// certified snapshot then, and does not end.
func TestTheBeginningIsPrunedMeanwhile(t *testing.T) {
	for _, verified := range []bool{false, true} {
		c := newSimCluster(t, 4, 28)
		c.startAll()
		c.put("first")
		r := c.sims[0].runner
		folder, err := openSnapshots(t.TempDir(), 1<<10)
		require.NoError(t, err)
		t.Cleanup(folder.close)
		snap, err := r.exec.Snapshot()
		require.NoError(t, err)
		_, err = folder.write(0, snap)
		require.NoError(t, err)
		require.NoError(t, snap.Close())
		kept := r.folder
		r.folder = &prunedKeeper{kept, t, folder, verified}
		damage, err := restoreLocal(r, 0)
		require.NoError(t, err)
		require.ErrorIs(t, damage, errPruned)
		require.ErrorIs(t, damage, fs.ErrNotExist)

		// And the whole way: the beginning is seen, and is gone when it is to be read.
		cannot := false
		r.cannotBegin = func() { cannot = true }
		require.NoError(t, r.beginAnew())
		require.True(t, cannot)
		require.Equal(t, c.apps[1].list(), c.apps[0].list(), "nothing was touched")
	}
}

// Another snapshot that is missing is nothing that may be.
func TestAMissingSnapshotIsAnError(t *testing.T) {
	folder, err := openSnapshots(t.TempDir(), 1<<10)
	require.NoError(t, err)
	t.Cleanup(folder.close)
	damage, err := restoreLocal(&runner{folder: folder}, 7)
	require.NoError(t, damage)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, err, ErrStore)
}

// A replica that cannot begin anew waits for the first certified snapshot.
func TestSimCannotBeginAnew(t *testing.T) {
	for name, spoil := range map[string]func(c *sickSim){
		"the beginning was not kept": func(c *sickSim) { delete(c.disks[3].snaps.held, 0) },
		"the beginning is damaged":   func(c *sickSim) { require.True(t, c.disks[3].snaps.Damage(0)) },
		"the log is not whole": func(c *sickSim) {
			ref, ok, err := getChain(c.disks[3].store, 1)
			require.NoError(t, err)
			require.True(t, ok)
			key := pbft.RecordKey{Kind: pbft.RecordBlock, Height: 1, Digest: ref.Digest}
			require.NoError(t, c.disks[3].store.Write([]pbft.Record{{Key: key, Delete: true}}, true))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := youngSickSim(t, 0)
			c.put("first")
			spoil(c)
			c.sicken()
			c.offer("second")
			c.until("it is found", 1000, func() bool { return c.alarms > 0 })
			asked := false
			s := c.sims[3]
			fail := s.runner.cannotBegin
			s.runner.cannotBegin = func() { asked = true; fail() }
			c.until("it tries", 1000, func() bool { return asked })
			for range 1000 {
				c.round()
			}
			require.NotNil(t, s.Node().Core().Diverged())
			for i := 0; s.Node().Core().Diverged() != nil; i++ {
				require.Less(t, i, 200)
				c.offer(fmt.Sprint("more ", i))
				c.round()
				c.round()
			}
			c.until("all are level and healthy", 3000, c.everybody)
			require.Equal(t, c.apps[0].list(), c.apps[3].list())
		})
	}
}

// The state before the first block is kept until a snapshot is certified, and a start does not
// depend on it.
func TestSimTheBeginningIsKept(t *testing.T) {
	c := newSimCluster(t, 4, 26)
	kept := func(i int) bool { _, ok := c.disks[i].snaps.root(0); return ok }
	c.disks[2].snaps.Fault(func(op string) error { return ErrDiskFull })
	c.startAll()
	c.disks[2].snaps.Fault(nil)
	require.True(t, kept(0))
	require.False(t, kept(2))
	c.put("first")
	c.crash(1, false)
	c.start(1)
	require.True(t, kept(1))
	require.Len(t, c.apps[1].list(), 1)
	for i := 0; c.sims[0].Node().Core().SnapshotHeight() == 0; i++ {
		c.put(fmt.Sprint(i))
	}
	c.until("nobody keeps it", 100, func() bool { return !kept(0) && !kept(1) && !kept(2) && !kept(3) })
	c.crash(1, false)
	c.start(1)
	require.False(t, kept(1))
}
