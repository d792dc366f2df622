package replica

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// An application that walks over a map on one replica, under load: the replica finds it
// out, names a key and the operation, gets what differs, and is back in service.
func TestDoctorMapOrder(t *testing.T) {
	notShort(t)
	c := newSickCluster(t, false)
	c.startAll()
	c.load(0, 1)
	c.eventually("a snapshot", func() bool { return c.servers[2].Status().Snapshot > 0 })
	c.unstable[2].Store(true)
	for n := 0; len(c.servers[2].Doctor().Cases) == 0; n++ {
		c.submit(n%2, "share")
	}
	found := c.healed(2, 1)
	require.Equal(t, []string{"application"}, found.Parts)
	require.NotEmpty(t, found.Keys, "%s", found.Note)
	for _, k := range found.Keys {
		require.Contains(t, k.Key.Text, "account ")
		require.NotEqual(t, k.Here, k.There)
		require.False(t, k.Damaged)
		require.NotNil(t, k.Operation, "%s", found.Note)
		require.Equal(t, "share", k.Operation.Data.Text)
		require.Greater(t, k.Operation.Block, found.Agreed)
		require.LessOrEqual(t, k.Operation.Block, found.Height)
	}
	last := found.Repairs[len(found.Repairs)-1]
	require.False(t, last.Whole)
	require.Positive(t, last.Received)
	require.Positive(t, c.repairs[2].Load())
	require.Zero(t, c.updates[2].Load())
	c.unstable[2].Store(false)
	c.eventually("nothing more of it", func() bool { return c.servers[2].diverged.Load() == nil })
	c.inService(2)
	stored, err := ReadDoctorFile(c.folder(2))
	require.NoError(t, err)
	require.NotEmpty(t, stored)
}

// What an application keeps on the disk can be deleted: the next start makes it anew.
func TestDiscardedStateIsMadeAnew(t *testing.T) {
	notShort(t)
	c := newSickCluster(t, true)
	c.startAll()
	c.submit(0, "put source right")
	c.load(0, 1)
	c.eventually("a snapshot", func() bool { return c.servers[2].Status().Snapshot > 0 })
	c.stop(2)
	found, err := DiscardState(c.folder(2))
	require.NoError(t, err)
	require.True(t, found)
	c.start(2)
	c.submit(0, "copy source target")
	c.inService(2)
	v, _, err := c.servers[2].Query(c.context(), []byte("target"))
	require.NoError(t, err)
	require.Equal(t, "right", string(v))
	_, err = DiscardState(c.folder(2))
	require.ErrorIs(t, err, ErrLocked)
	_, err = DiscardState(t.TempDir())
	require.ErrorContains(t, err, "no replica's data folder")
}

// A value that the storage changed is not noticed until an operation reads it: then what
// that wrote is named, with the operation, and the damage is repaired.
func TestDoctorFlippedValue(t *testing.T) {
	c := newSickCluster(t, true)
	c.startAll()
	c.submit(0, "put source right")
	c.load(0, 1)
	c.eventually("a snapshot", func() bool { return c.servers[2].Status().Snapshot > 0 })
	c.stop(2)
	pokeStore(t, c.stateFolder(2), "source", func(record []byte) { record[len(record)-1] ^= 1 })
	c.start(2)
	for n := 0; len(c.servers[2].Doctor().Cases) == 0; n++ {
		c.submit(n%2, "copy source target")
	}
	found := c.healed(2, 1)
	keys := map[string]DoctorKey{}
	for _, k := range found.Keys {
		keys[k.Key.Text] = k
	}
	target := keys["target"]
	require.NotNil(t, target.Here, "%+v", found)
	require.Equal(t, "righu", target.Here.Text)
	require.NotNil(t, target.Operation, "%s", found.Note)
	require.Equal(t, "copy source target", target.Operation.Data.Text)
	require.True(t, keys["source"].Damaged)
	require.Nil(t, keys["source"].Operation)
	require.Positive(t, found.Repairs[len(found.Repairs)-1].Damaged)
	c.inService(2)
	v, _, err := c.servers[2].Query(c.context(), []byte("source"))
	require.NoError(t, err)
	require.Equal(t, "right", string(v))
}

// If nobody has the parts of the state any more the whole snapshot is transferred. Which
// keys differed is not known then, and the report says why.
func TestDoctorWithoutParts(t *testing.T) {
	notShort(t)
	c := newSickCluster(t, false)
	c.startAll()
	c.deaf.Store(true)
	c.load(0, 1)
	c.eventually("a snapshot", func() bool { return c.servers[2].Status().Snapshot > 0 })
	c.unstable[2].Store(true)
	for n := 0; len(c.servers[2].Doctor().Cases) == 0; n++ {
		c.submit(n%2, "share")
	}
	found := c.healed(2, 1)
	require.Equal(t, []string{"application"}, found.Parts)
	require.Empty(t, found.Keys)
	require.Contains(t, found.Note, "cannot be compared")
	require.True(t, found.Repairs[len(found.Repairs)-1].Whole)
	c.unstable[2].Store(false)
	c.eventually("nothing more of it", func() bool { return c.servers[2].diverged.Load() == nil })
	c.inService(2)
}

// Peers that do not have the parts for a while, and then do: the state comes in parts all the
// same.
func TestDoctorOutlastsRefusals(t *testing.T) {
	c := newSickCluster(t, false)
	c.startAll()
	c.load(0, 1)
	c.eventually("a snapshot", func() bool { return c.servers[2].Status().Snapshot > 0 })
	c.unstable[2].Store(true)
	for n := 0; len(c.servers[2].Doctor().Cases) == 0; n++ {
		c.submit(n%2, "share")
	}
	asked := c.refused.Load()
	c.deaf.Store(true)
	c.eventually("each has refused", func() bool {
		return c.repairs[2].Load() > 0 && c.refused.Load() >= asked+3 || c.servers[2].diverged.Load() == nil
	})
	c.deaf.Store(false)
	found := c.healed(2, 1)
	for _, r := range found.Repairs {
		require.False(t, r.Whole)
	}
	c.unstable[2].Store(false)
	c.eventually("nothing more of it", func() bool { return c.servers[2].diverged.Load() == nil })
	c.inService(2)
}

// Values that are longer than what travels do not turn a repair, or an update, into a transfer of
// the whole state.
func TestLongValuesTravel(t *testing.T) {
	notShort(t)
	c := newSickCluster(t, true)
	edit := c.edit
	c.edit = func(i int, cfg *Config) { edit(i, cfg); cfg.ChunkBytes = 1 << 20 }
	c.startAll()
	c.submit(0, "put source right")
	c.stop(3)
	c.submit(0, fmt.Sprint("grow long ", pbft.MaxStateAnswer+12345))
	c.leaveBehind(3, c.servers[0].Status().Executed+20, func(n int) string { return fmt.Sprint("put changes ", n) })
	c.start(3)
	c.inService(3)
	require.Positive(t, c.metric(3, "parley_repaired_keys_total"), "in parts")
	require.GreaterOrEqual(t, c.metric(3, "parley_repair_received_bytes_total"), float64(pbft.MaxStateAnswer))
	v, _, err := c.servers[3].Query(c.context(), []byte("long"))
	require.NoError(t, err)
	require.Len(t, v, pbft.MaxStateAnswer+12345)
}

// A state that becomes wrong before the first certified snapshot, in a cluster that is asked for
// nothing more, is made anew from the first block on.
func TestDoctorBeforeTheFirstSnapshot(t *testing.T) {
	c := newSickCluster(t, true)
	c.startAll()
	c.submit(0, "put source right")
	c.unstable[2].Store(true)
	c.submit(1, "share")
	c.eventually("a divergence", func() bool { return len(c.servers[2].Doctor().Cases) > 0 })
	c.unstable[2].Store(false)
	c.eventually("a replica that is healed", func() bool {
		cases := c.servers[2].Doctor().Cases
		return cases[len(cases)-1].Healed != nil && c.servers[2].diverged.Load() == nil
	})
	require.Zero(t, c.servers[0].Status().Snapshot)
	cases := c.servers[2].Doctor().Cases
	found := cases[len(cases)-1]
	require.Equal(t, []string{"application"}, found.Parts)
	require.NotEmpty(t, found.Repairs)
	for _, r := range found.Repairs {
		require.Zero(t, r.Base)
		require.Positive(t, r.Replayed)
	}
	c.inService(2)
}

// An application that is not deterministic on any replica: no certificate can exist. Each says
// so, what differs, and what to do; with a corrected application there is one again.
func TestDoctorNobodyAgrees(t *testing.T) {
	notShort(t)
	c := newSickCluster(t, true)
	c.startAll()
	c.submit(0, "put source right")
	c.eventually("a checkpoint", func() bool { return c.servers[0].Status().Stable > 0 })
	for i := range c.unstable {
		c.unstable[i].Store(true)
	}
	c.submit(0, "share")
	for i := range c.servers {
		c.eventually("a split", func() bool { return len(c.servers[i].Doctor().Cases) > 0 })
		r := c.servers[i].Doctor()
		found := r.Cases[0]
		require.Equal(t, found.Height, r.Split)
		require.Zero(t, r.Diverged)
		require.GreaterOrEqual(t, len(found.Sides), 3, "%s", found.Reason)
		require.Contains(t, found.Reason, "no certificate can exist")
		require.Equal(t, r.Split, c.servers[i].Status().Split)
		require.Empty(t, c.servers[i].unhealthy(), "it is as good as any")
		if !slices.ContainsFunc(found.Sides, func(s DoctorSide) bool { return s.Here }) {
			continue // it found out before it had executed the block
		}
		require.Equal(t, []string{"application"}, found.Parts, "%s", found.Note)
		require.NotEmpty(t, found.Keys, "%s", found.Note)
		for _, k := range found.Keys {
			require.Contains(t, k.Key.Text, "account ")
			require.NotNil(t, k.Operation, "%s", found.Note)
			require.Equal(t, "share", k.Operation.Data.Text)
		}
	}
	for i := range c.servers {
		c.unstable[i].Store(false)
		c.stop(i)
	}
	c.startAll()
	for n := 0; c.servers[0].Doctor().Split != 0; n++ {
		c.submit(n%4, fmt.Sprint("put after ", n))
	}
	c.inService(0)
	r := c.servers[0].Doctor()
	for _, found := range r.Cases {
		require.NotNil(t, found.Healed)
	}
}

// The same above a certified snapshot: the replicas find that what they said of the blocks above
// it is not what these come to, all at once. Each goes back to the state of the snapshot that it
// has kept itself, since nobody answers who repairs his own.
func TestDoctorNobodyAgreesAboveASnapshot(t *testing.T) {
	notShort(t)
	c := newSickCluster(t, true)
	c.startAll()
	c.submit(0, "put source right")
	snapshots := func() bool {
		return !slices.ContainsFunc(c.servers, func(s *Server) bool { return s.Status().Snapshot == 0 })
	}
	for n := 0; !snapshots(); n++ {
		c.submit(n%4, fmt.Sprint("put before ", n))
	}
	for i := range c.unstable {
		c.unstable[i].Store(true)
	}
	c.submit(0, "share")
	for i := range c.servers {
		c.eventually("a split", func() bool { return len(c.servers[i].Doctor().Cases) > 0 })
	}
	for i := range c.servers {
		c.unstable[i].Store(false)
		c.stop(i)
	}
	c.startAll()
	for n := 0; c.servers[0].Doctor().Split != 0; n++ {
		c.submit(n%4, fmt.Sprint("put after ", n))
	}
	c.eventually("all are healed", func() bool {
		return !slices.ContainsFunc(c.servers, func(s *Server) bool { return s.unhealthy() != "" })
	})
	c.inService(0)
	for _, s := range c.servers {
		v, _, err := s.Query(c.context(), []byte("source"))
		require.NoError(t, err)
		require.Equal(t, "right", string(v))
	}
}

// The case of a split that was over before the replica had found out what differs is over.
func TestDoctorSplitIsOverMeanwhile(t *testing.T) {
	c := newSickCluster(t, true)
	c.startAll()
	s := c.servers[0]
	split := DoctorCase{Height: 3, Sides: []DoctorSide{{Replicas: []string{"somebody"}}}}
	s.doctor.splitCase(split)
	s.runner.split.Store(3)
	s.doctor.splitCase(split)
	cases := s.Doctor().Cases
	require.Len(t, cases, 2)
	require.NotNil(t, cases[0].Healed)
	require.Nil(t, cases[1].Healed)
	_, err := s.runner.splitOver(3)
	require.NoError(t, err)
	s.doctor.certifiedAgain(s.cfg.Now())
	require.NotNil(t, s.Doctor().Cases[1].Healed)
}

// A replica that is restarted while its state is wrong does not begin with it.
func TestDoctorRestart(t *testing.T) {
	c := newSickCluster(t, true)
	c.startAll()
	for n := 0; c.servers[2].Status().Snapshot == 0; n++ {
		c.submit(n%2, fmt.Sprint("put key ", n))
	}
	c.unstable[2].Store(true)
	for n := 0; len(c.servers[2].Doctor().Cases) == 0; n++ {
		c.submit(n%2, "share")
	}
	c.stop(2)
	c.unstable[2].Store(false)
	c.start(2)
	c.eventually("a replica that is healed", func() bool {
		r := c.servers[2].Doctor()
		return r.Diverged == 0 && len(r.Cases) > 0 && r.Cases[len(r.Cases)-1].Healed != nil
	})
	c.inService(2)
}

// A replica that was away for long gets what differs of the state, and not all of it.
func TestLaggingReplicaGetsParts(t *testing.T) {
	notShort(t)
	c := newSickCluster(t, true)
	c.startAll()
	for n := range 100 {
		c.submit(n%3, fmt.Sprintf("put stays-%d %d", n, n))
	}
	c.stop(3)
	c.leaveBehind(3, c.servers[0].Status().Executed+20, func(n int) string { return fmt.Sprint("put changes ", n) })
	c.start(3)
	c.inService(3)
	require.Positive(t, c.updates[3].Load())
	require.Zero(t, c.repairs[3].Load(), "it does not read all that it has first")
	keys := c.metric(3, "parley_repaired_keys_total")
	require.Positive(t, keys, "the state was transferred part by part")
	require.Less(t, keys, 50.0, "and only what differs")
	require.Zero(t, c.metric(3, "parley_divergences_total"))
}

// While its state is wrong a replica answers nobody, serves nothing of it, and says so.
func TestDivergedReplicaDoesNotServe(t *testing.T) {
	c := newSickCluster(t, false)
	c.startAll()
	s := c.servers[2]
	d := &pbft.Divergence{Mine: pbft.CheckpointStatement{Height: 7}, Other: pbft.CheckpointStatement{Height: 7}, Certified: true}
	c.submit(0, "put a b")
	s.diverged.Store(d)
	s.runner.repair.stops.Add(1)
	_, _, err := s.Query(c.context(), []byte("a"))
	require.ErrorIs(t, err, ErrNotServing)
	_, _, err = s.QueryAt(c.context(), 1, []byte("a"))
	require.True(t, errors.Is(err, ErrNotServing) || errors.Is(err, ErrNoHistory), "%v", err)
	_, err = s.Certified(c.context(), []byte("a"))
	require.ErrorIs(t, err, ErrNotServing)
	_, err = s.ReceiptAt(c.context(), 1, pbft.Digest{}, 0)
	require.ErrorIs(t, err, ErrNotServing)
	answer, err := s.runner.serveState(s.cfg.Machine, []byte{askState, 1, 2, 3})
	require.NoError(t, err)
	require.Empty(t, answer)
	require.Contains(t, s.unhealthy(), "diverged")
	require.Equal(t, pbft.Height(7), s.Status().Diverged)
	require.Equal(t, pbft.Height(7), s.Doctor().Diverged)
	s.diverged.Store(nil)
	s.runner.repair.stops.Add(-1)
}

func TestDoctorFileIsOptional(t *testing.T) {
	dir := t.TempDir()
	cases, err := ReadDoctorFile(dir)
	require.NoError(t, err)
	require.Empty(t, cases)
	require.NoError(t, os.WriteFile(filepath.Join(dir, doctorFile), []byte(`{"format": 9}`), 0o600))
	_, err = ReadDoctorFile(dir)
	require.ErrorContains(t, err, "remove the file")
}
