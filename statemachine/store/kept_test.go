package store

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/stream"
)

func machineSnapshot(t *testing.T, m *Machine) []byte {
	s, err := m.Snapshot()
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = s.WriteTo(&b)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	return b.Bytes()
}

func syncFrom(t *testing.T, to, from *Machine, height uint64) {
	_, err := to.SyncState(t.Context(), statemachine.StateTarget{Height: height, Digest: from.Digest(), Peers: []statemachine.StatePeer{machinePeer(from)}})
	require.NoError(t, err)
}

// On a disk a snapshot only names the state: it is short however much there is, a store that
// has the height returns to it, in a later process too, as often as it is told, and however
// many others came later; once it is released there is nothing to return to.
func TestKeptSnapshots(t *testing.T) {
	disk := vfs.NewMem()
	c := onDisk(2, disk)
	m, _ := newToy(t, c)
	require.True(t, m.KeepsSnapshots())
	put := func(h uint64) {
		var ops []statemachine.Op
		for i := range uint64(40) {
			ops = append(ops, statemachine.Op{Data: fmt.Appendf(nil, "s%c%d", 'a'+byte((h+i)%26), h)})
		}
		m.Apply(statemachine.Block{Height: h, Ops: ops})
	}
	snaps := make(map[uint64][]byte)
	digests := make(map[uint64]string)
	for h := uint64(1); h <= 60; h++ {
		put(h)
		digests[h] = m.Digest().String()
		if h%10 == 0 {
			snaps[h] = machineSnapshot(t, m)
			require.Less(t, len(snaps[h]), 64)
		}
	}
	for _, back := range []uint64{40, 10, 30} { // after a crash, each time
		require.NoError(t, m.store.Close())
		m, _ = newToy(t, c)
		if back == 30 {
			require.ErrorIs(t, m.Restore(bytes.NewReader(snaps[back])), statemachine.ErrStateElsewhere, "what was undone is gone")
			continue
		}
		require.NoError(t, m.Restore(bytes.NewReader(snaps[back])))
		m.Restored(back)
		require.Equal(t, digests[back], m.Digest().String())
	}
	require.NoError(t, m.Restore(bytes.NewReader(snaps[10])))
	m.Restored(10)
	for h := uint64(11); h <= 60; h++ {
		put(h)
		require.Equal(t, digests[h], m.Digest().String())
		if h%10 == 0 {
			require.Equal(t, snaps[h], machineSnapshot(t, m))
		}
	}
	oldest, _ := m.store.Heights()
	require.Equal(t, uint64(10), oldest)
	m.ReleaseSnapshots(40)
	m.ReleaseSnapshots(20)
	put(61)
	oldest, _ = m.store.Heights()
	require.Equal(t, uint64(40), oldest)
	require.ErrorIs(t, m.Restore(bytes.NewReader(snaps[30])), statemachine.ErrStateElsewhere)
	require.NoError(t, m.Restore(bytes.NewReader(snaps[40])))
	m.Restored(40)
	require.Equal(t, digests[40], m.Digest().String())
	require.NoError(t, m.store.Close())
}

// A snapshot that names a state is only there when the state is durable.
func TestKeptSnapshotWaitsForTheDisk(t *testing.T) {
	for _, failure := range []error{nil, errors.New("the disk is gone")} {
		s, disk, commit := slow(t)
		s.cfg.FlushBytes = 1 << 30
		require.NoError(t, commit(1))
		snap, err := s.keep()
		require.NoError(t, err)
		<-disk.began
		written := make(chan error)
		var b bytes.Buffer
		go func() {
			_, err := snap.WriteTo(&b)
			written <- err
		}()
		require.NoError(t, commit(2))
		select {
		case err := <-written:
			require.FailNow(t, "written before the state was durable", "%v", err)
		default:
		}
		disk.end <- failure
		require.ErrorIs(t, <-written, failure)
		require.Equal(t, failure == nil, b.Len() > 0)
		require.NoError(t, snap.Close())
		_ = s.Close() // a store that failed says so to whoever uses it
	}
}

// The bytes are a peer's: what is no snapshot, or more than one, is refused.
func TestKeptSnapshotMalformed(t *testing.T) {
	m, _ := newToy(t, onDisk(2, vfs.NewMem()))
	m.Apply(statemachine.Block{Height: 1, Ops: []statemachine.Op{{Data: []byte("sa1")}}})
	good := machineSnapshot(t, m)
	for cut := range len(good) {
		require.ErrorIs(t, m.Restore(bytes.NewReader(good[:cut])), stream.ErrMalformed)
	}
	require.ErrorIs(t, m.Restore(bytes.NewReader(append(bytes.Clone(good), 0))), stream.ErrMalformed)
	other := bytes.Clone(good)
	other[len(other)-1] ^= 1
	require.ErrorIs(t, m.Restore(bytes.NewReader(other)), statemachine.ErrStateElsewhere)
	require.NoError(t, m.Restore(bytes.NewReader(good)))
	require.NoError(t, m.store.Close())
}

// The state may be the same at a later height, at which the blocks that follow a snapshot
// would not follow.
func TestKeptSnapshotOfAStateThatStays(t *testing.T) {
	c := onDisk(100, vfs.NewMem())
	m, _ := newToy(t, c)
	put := func(h uint64, ops ...string) {
		b := statemachine.Block{Height: h}
		for _, op := range ops {
			b.Ops = append(b.Ops, statemachine.Op{Data: []byte(op)})
		}
		m.Apply(b)
		m.Digest()
	}
	for h := uint64(1); h < 5; h++ {
		put(h)
	}
	put(5, "sa1")
	put(6)
	snap := machineSnapshot(t, m)
	digest := m.Digest()
	for h := uint64(7); h < 20; h++ {
		put(h) // nothing changes
	}
	require.Equal(t, digest, m.Digest())
	require.NoError(t, m.store.Close())
	m, _ = newToy(t, c)
	require.NoError(t, m.Restore(bytes.NewReader(snap)))
	m.Restored(6)
	_, last := m.store.Heights()
	require.Equal(t, uint64(6), last)
	put(7, "sb1")
	require.NoError(t, m.store.Close())
}

// Back to the state before the first block: as a new process has it, whatever the store has.
func TestKeptSnapshotOfTheBeginning(t *testing.T) {
	for name, handler := range map[string]Handler{"with a founder": new(toy), "without": plain{new(toy)}} {
		s := open(t, onDisk(100, vfs.NewMem()))
		m, err := NewMachine(s, handler)
		require.NoError(t, err)
		snap, digest := machineSnapshot(t, m), m.Digest()
		for range 2 {
			for h := uint64(1); h < 4; h++ {
				var ops []statemachine.Op
				if h == 3 {
					ops = append(ops, statemachine.Op{Data: []byte("sa1")})
				}
				m.Apply(statemachine.Block{Height: h, Ops: ops})
				m.Digest()
			}
			require.NotEqual(t, digest, m.Digest(), name)
			require.NoError(t, m.Restore(bytes.NewReader(snap)), name)
			m.Restored(0)
			require.Equal(t, digest, m.Digest(), name)
		}
		other := bytes.Clone(snap)
		other[len(other)-1] ^= 1
		require.ErrorIs(t, m.Restore(bytes.NewReader(other)), ErrSnapshot, name)
		require.NoError(t, s.Close())
	}
}

// plain is a handler without a founder.
type plain struct{ Handler }
