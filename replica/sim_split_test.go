package replica

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// All replicas come to different states: each says that no certificate can exist, once. Then all
// are started with an application that is deterministic: none begins with a snapshot of its
// own, and there is a certificate again.
func TestSimNobodyAgrees(t *testing.T) {
	c := newSimCluster(t, 4, 27)
	splits, diverged := make([]int, 4), 0
	begin := func(i int) {
		cfg := c.simConfig(i)
		cfg.Alarm = func(a pbft.Alarm) {
			if a.Split != nil {
				require.Len(t, a.Split.Groups, 3, "the fourth vote makes no difference")
				splits[i]++
			} else {
				require.NotNil(t, a.Divergence, a.Reason)
				diverged++
			}
		}
		cfg.Evidence = func(e *pbft.Evidence) { require.FailNow(t, "an honest replica is accused", "%v", e) }
		s, err := NewSim(cfg)
		require.NoError(t, err)
		c.sims[i] = s
		s.Start(pbft.TimeOf(c.now))
	}
	for i := range c.sims {
		begin(i)
	}
	stable := func() pbft.Height { return c.sims[0].Node().Core().Stable() }
	c.put("agreed")
	c.until("a checkpoint", 100, func() bool { return stable() > 0 })
	agreed := stable()
	for i, a := range c.apps {
		a.Apply(statemachine.Block{Ops: []statemachine.Op{{Data: fmt.Append(nil, "only here ", i)}}})
	}
	for i := 0; c.sims[0].Node().Core().ExecutedHeight() < c.core.CheckpointEvery+2; i++ {
		c.offer(fmt.Sprint(i))
		for range 10 {
			c.round()
		}
	}
	require.Equal(t, []int{1, 1, 1, 1}, splits)
	require.Zero(t, diverged, "nobody knows who is right")
	require.Equal(t, agreed, stable())
	for i := range c.sims {
		require.NotEmpty(t, c.disks[i].snaps.Heights())
		require.NotZero(t, c.sims[i].runner.split.Load())
		c.crash(i, false)
	}
	for i := range c.sims {
		begin(i)
		// What no certificate confirms is deleted, and made again by the log.
		for _, h := range c.disks[i].snaps.Heights() {
			own, _ := c.disks[i].snaps.State(h)
			others, _ := c.disks[0].snaps.State(h)
			require.Equal(t, others, own)
		}
	}
	for i := 0; stable() == agreed; i++ {
		require.Less(t, i, 100)
		c.offer(fmt.Sprint("after ", i))
		for range 20 {
			c.round()
		}
	}
	c.until("all know it", 100, func() bool {
		for i, s := range c.sims {
			v, err := c.disks[i].store.GetHost(HostKey{Kind: HostSplit})
			require.NoError(t, err)
			if s.runner.split.Load() != 0 || v != nil || s.Node().Core().Diverged() != nil {
				return false
			}
		}
		return true
	})
	require.Equal(t, c.apps[0].list(), c.apps[1].list())
	require.Equal(t, []int{1, 1, 1, 1}, splits)
}

// A split that is over before it is noted is not noted, and one that was over at the end of a
// process is none for the next.
func TestSimSplitIsOverBeforeItIsNoted(t *testing.T) {
	c := newSimCluster(t, 4, 29)
	c.startAll()
	c.put("agreed")
	s := c.sims[0]
	stable := func() pbft.Height { return s.Node().Core().Stable() }
	c.until("a checkpoint", 100, func() bool { return stable() > 0 })
	record := func() []byte {
		v, err := c.disks[0].store.GetHost(HostKey{Kind: HostSplit})
		require.NoError(t, err)
		return v
	}
	examined := 0
	s.runner.repair.examineSplit = func(*pbft.Split) { examined++ }
	found := func(h pbft.Height) { require.NoError(t, s.runner.do(&runnerJob{split: &pbft.Split{Height: h}})) }
	found(stable())
	require.Zero(t, s.runner.split.Load())
	require.Nil(t, record())
	require.Zero(t, examined)

	above := stable() + 1
	found(above)
	require.Equal(t, uint64(above), s.runner.split.Load())
	require.NotNil(t, record())
	require.Equal(t, 1, examined)
	over, err := s.runner.splitOver(above)
	require.NoError(t, err)
	require.True(t, over)
	require.Zero(t, s.runner.split.Load())
	require.Nil(t, record())

	// A crash between the certificate and the note that it is over.
	noted := HostRecord{Key: HostKey{Kind: HostSplit}, Value: binary.BigEndian.AppendUint64(nil, uint64(stable()))}
	require.NoError(t, c.disks[0].store.WriteHost([]HostRecord{noted}, true))
	c.crash(0, false)
	c.start(0)
	require.Zero(t, c.sims[0].runner.split.Load())
	require.Nil(t, record())
}

// Damage that was found before a start, and not made good, does not hide a split from it: it is
// known, ends with a certificate, and leaves no record behind.
func TestSimSplitBesideDamage(t *testing.T) {
	c := newStateDiskCluster(t, 43)
	c.run("before", 30)
	stored := func(key HostKey) []byte {
		v, err := c.disks[3].store.GetHost(key)
		require.NoError(t, err)
		return v
	}
	split := HostKey{Kind: HostSplit}
	at := c.sims[0].Node().Core().Stable() + c.core.CheckpointEvery
	require.NoError(t, c.disks[3].store.WriteHost([]HostRecord{{Key: split, Value: binary.BigEndian.AppendUint64(nil, uint64(at))}}, true))
	// As it is when damage was found and the process ended before anything was done about it.
	found := pbft.CheckpointStatement{Height: c.sims[3].Node().Core().ExecutedHeight()}
	value := canon.AppendBool(found.Append(found.Append(nil)), false)
	value = canon.AppendBool(canon.AppendUint64(value, uint64(c.sims[3].Node().Core().Stable())), true)
	require.NoError(t, c.disks[3].store.Write([]pbft.Record{{Key: pbft.RecordKey{Kind: pbft.RecordDiverged}, Value: value}}, true))
	c.end(3)
	require.NoError(t, c.begin(3))
	cause, err := damagedBefore(c.sims[3].runner)
	require.NoError(t, err)
	require.Error(t, cause)
	require.Equal(t, uint64(at), c.sims[3].runner.split.Load())
	require.NotNil(t, stored(split))
	c.run("after", int(2*c.core.CheckpointEvery))
	c.until("it is repaired, and all is certified", 3000, func() bool {
		return c.level() && c.sims[3].Node().Core().Stable() >= at && c.sims[3].runner.split.Load() == 0
	})
	require.Nil(t, stored(split))
	c.same()
}
