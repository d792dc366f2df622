package store

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/statemachine"
)

func simulated(keep uint64, d *MemoryDisk) Config {
	c := memory(keep)
	c.Disk, c.FlushBytes = d, 1<<10
	return c
}

func TestModelOnASimulatedDisk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runModel(t, func() *Store { return open(t, simulated(4, NewMemoryDisk())) }, 4)
	})
}

// A crash leaves the state after one whole block, the one that Durable said or a later one.
// What runs beside blocks runs when it is told to, or when somebody has to wait for it.
func TestCrashesOfASimulatedDisk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		disk := NewMemoryDisk()
		var later []func()
		life := func() *Store {
			s := open(t, simulated(3, disk))
			later = nil
			disk.Beside(func(do func()) { later = append(later, do) })
			return s
		}
		s := life()
		states := []model{{}}
		require.NoError(t, s.Commit(0))
		for range rapid.IntRange(1, 4).Draw(t, "lives") {
			for range rapid.IntRange(0, 12).Draw(t, "blocks") {
				now := model{}
				for k, v := range states[len(states)-1] {
					now[k] = v
				}
				for range rapid.IntRange(0, 8).Draw(t, "ops") {
					k, v := drawKey.Draw(t, "key"), rapid.StringN(0, 300, 300).Draw(t, "value")
					s.Block().Set([]byte(k), []byte(v))
					now[k] = v
				}
				require.NoError(t, s.Commit(uint64(len(states))))
				states = append(states, now)
				switch rapid.IntRange(0, 9).Draw(t, "then") {
				case 0:
					require.NoError(t, s.Flush())
				case 1:
					for _, do := range later {
						do()
					}
					later = nil
				}
			}
			durable := s.Durable()
			old := s
			disk.Crash(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "kept") })
			s = life()
			_, last := s.Heights()
			require.GreaterOrEqual(t, last, durable)
			require.Less(t, last, uint64(len(states)))
			states = states[:last+1]
			if !s.begun { // nothing of it was ever synced
				require.NoError(t, s.Commit(0))
			}
			require.Equal(t, states[last].seq(nil, nil, false), content(t, s))
			old.Block().Set([]byte("from beyond"), []byte("v"))
			_ = old.Commit(last + 100)
			require.Error(t, old.Flush(), "who was there before a crash")
		}
		for _, do := range later {
			do()
		}
		require.NoError(t, s.Close())
	})
}

// A snapshot is written when the height that it names is on the disk, and from then on a crash
// leaves that; until it is released.
func TestSnapshotsWaitForASimulatedDisk(t *testing.T) {
	disk := NewMemoryDisk()
	begin := func() *Machine {
		c := simulated(2, disk)
		c.FlushBytes = 1 << 20
		m, _ := newToy(t, c)
		disk.Beside(func(func()) {}) // nobody comes to it by itself
		return m
	}
	m := begin()
	put := func(h uint64) {
		m.Apply(statemachine.Block{Height: h, Ops: []statemachine.Op{{Data: fmt.Appendf(nil, "sk%d", h)}}})
	}
	put(1)
	d1 := m.Digest()
	s, err := m.Snapshot()
	require.NoError(t, err)
	require.False(t, disk.Holds(1, d1), "it is not synced")
	require.False(t, disk.Clone().Holds(1, d1))
	var b bytes.Buffer
	_, err = s.WriteTo(&b)
	require.NoError(t, err)
	require.True(t, disk.Holds(1, d1))
	require.True(t, disk.Clone().Holds(1, d1))
	require.False(t, disk.Holds(1, [32]byte{1}), "another state")
	put(2)
	put(3)
	put(4)
	_, err = m.Snapshot()
	require.NoError(t, err)
	require.Equal(t, 1, disk.Crash(func(int) int { return 0 }))

	m = begin()
	require.NoError(t, m.Restore(bytes.NewReader(b.Bytes())))
	m.Restored(1)
	require.Equal(t, d1, m.Digest())
	for h := uint64(2); h < 9; h++ {
		put(h)
	}
	require.NoError(t, m.store.Flush())
	require.True(t, disk.Holds(1, d1))
	m.ReleaseSnapshots(2)
	put(9)
	require.NoError(t, m.store.Flush())
	require.False(t, disk.Holds(1, d1), "it is released")
	d9 := m.Digest()
	require.NoError(t, m.store.Flush())
	require.True(t, disk.Holds(9, d9))
	disk.Clear()
	require.False(t, disk.Holds(9, d9))
}

// What is unreadable, or another bit, is found, and made good from a peer, wherever it is.
func TestRotOnASimulatedDisk(t *testing.T) {
	found := 0
	for seed := range 60 {
		disk := NewMemoryDisk()
		m, _ := newToy(t, simulated(2, disk))
		healthy, _ := newToy(t, memory(2))
		for h := uint64(1); h <= 5; h++ {
			var ops []statemachine.Op
			for i := range byte(10) {
				ops = append(ops, statemachine.Op{Data: fmt.Appendf(nil, "s%c%d", 'a'+i, h)})
			}
			m.Apply(statemachine.Block{Height: h, Ops: ops})
			healthy.Apply(statemachine.Block{Height: h, Ops: ops})
			require.Equal(t, healthy.Digest(), m.Digest())
		}
		require.NoError(t, m.store.Close())
		require.False(t, disk.Damaged())
		pick := func(n int) int { return (seed * 7919) % n }
		if seed%3 == 0 {
			require.NotEmpty(t, disk.Flip(pick))
		} else {
			require.NotEmpty(t, disk.Rot(pick))
		}
		require.True(t, disk.Damaged())
		s, err := Open(t.Context(), simulated(2, disk))
		require.NoError(t, err)
		if m, err = NewMachine(s, new(toy)); err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			continue
		}
		r, err := m.ScrubState(t.Context(), 10, func(context.Context) {})
		if err != nil || len(r.Damages) > 0 {
			found++
		}
		_, err = m.SyncState(t.Context(), statemachine.StateTarget{Height: 5, Digest: healthy.Digest(), Repair: true, Peers: []statemachine.StatePeer{machinePeer(healthy)}})
		require.NoError(t, err, "seed %d", seed)
		require.Equal(t, healthy.Digest(), m.Digest())
		require.Equal(t, content(t, healthy.store), content(t, m.store))
		require.False(t, disk.Damaged(), "seed %d", seed)
		require.NoError(t, m.store.Close())
	}
	require.Greater(t, found, 20)
}
