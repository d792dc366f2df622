package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// accounts is an application on a store. "put KEY VALUE" sets a key, "copy FROM TO" a key to
// another one's value, "share" gives each of some accounts a share of a pot, in the order
// of their names, which a replica with the bug finds out by walking over a map.
type accounts struct{ unstable *atomic.Bool }

var shareholders = map[string]bool{"ann": true, "bob": true, "cy": true, "dan": true, "eve": true, "fay": true, "gus": true}

func (h accounts) Apply(t store.Txn, _ *statemachine.Block, op *statemachine.Op) statemachine.Result {
	words := strings.Fields(string(op.Data))
	switch words[0] {
	case "put":
		t.Set([]byte(words[1]), []byte(words[2]))
	case "copy":
		v, _ := t.Get([]byte(words[1]))
		t.Set([]byte(words[2]), v)
	case "share":
		var names []string
		for name := range shareholders {
			names = append(names, name)
		}
		if !h.unstable.Load() {
			slices.Sort(names)
		}
		for i, name := range names {
			t.Set([]byte("account "+name), fmt.Append(nil, 100+i))
		}
	default:
		return statemachine.Result{Code: 99}
	}
	return statemachine.OK(nil)
}

func (accounts) Query(_ context.Context, r store.Reader, q []byte) ([]byte, error) {
	v, _ := r.Get(q)
	return v, nil
}

// sickCluster is a cluster of replicas with applications on stores.
type sickCluster struct {
	*testCluster
	unstable [4]atomic.Bool
	deaf     atomic.Bool // nobody has parts of states
	stopLoad func()
}

// storeMachine closes its store, and may not serve parts of it.
type storeMachine struct {
	*store.Machine
	deaf *atomic.Bool
}

func (m storeMachine) Close() error { return m.Store().Close() }

func (m storeMachine) ServeState(q []byte) ([]byte, error) {
	if m.deaf.Load() {
		return nil, nil
	}
	return m.Machine.ServeState(q)
}

func newSickCluster(t *testing.T, onDisk bool) *sickCluster {
	c := &sickCluster{stopLoad: func() {}}
	c.testCluster = newTestCluster(t, 4, func(i int, cfg *Config) {
		cfg.Machine = nil
		cfg.OpenMachine = func(ctx context.Context, dir string) (statemachine.StateMachine, error) {
			sc := store.DefaultConfig()
			if onDisk {
				sc.Dir = dir
			}
			s, err := store.Open(ctx, sc)
			if err != nil {
				return nil, err
			}
			m, err := store.NewMachine(s, accounts{&c.unstable[i]})
			return storeMachine{m, &c.deaf}, err
		}
	})
	t.Cleanup(func() { c.stopLoad() })
	return c
}

func (c *sickCluster) stateFolder(i int) string { return filepath.Join(c.folder(i), StateDir) }

// load submits operations through some replicas, each as soon as the one before ran.
func (c *sickCluster) load(through ...int) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, i := range through {
		s := c.servers[i]
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, _ = s.Submit(ctx, fmt.Appendf(nil, "put load-%d-%d %d", i, n%20, n))
			}
		})
	}
	c.stopLoad = sync.OnceFunc(func() {
		cancel()
		all.Wait()
	})
}

// healed waits until replica i has had and got over a number of divergences, and returns
// the last.
func (c *sickCluster) healed(i, n int) DoctorCase {
	c.t.Helper()
	var last DoctorCase
	c.eventually("a replica that is healed", func() bool {
		cases := c.servers[i].Doctor().Cases
		if len(cases) < n || cases[n-1].Healed == nil {
			return false
		}
		last = cases[n-1]
		return c.servers[i].diverged.Load() == nil
	})
	return last
}

// inService demands that replica i executes and answers, and that all replicas come to
// one certified state.
func (c *sickCluster) inService(i int) {
	c.t.Helper()
	c.submit(i, "put proof "+fmt.Sprint(c.submitted))
	c.stopLoad()
	c.submit(i, "put last word")
	c.eventually("an answer", func() bool {
		v, _, err := c.servers[i].Query(c.context(), []byte("last"))
		require.NoError(c.t, err)
		return string(v) == "word"
	})
	c.eventually("one certified state", func() bool {
		var first pbft.Digest
		for k, s := range c.servers {
			v, err := s.data.store.Get(pbft.RecordKey{Kind: pbft.RecordStable})
			require.NoError(c.t, err)
			b, err := pbft.DecodeRecordBundle(v)
			require.NoError(c.t, err)
			if k == 0 {
				first = b.Checkpoint.State
			}
			_, known := s.runner.seals.at(b.Checkpoint.State)
			if !known || b.Checkpoint.State != first || b.Height() < s.runner.gate.height() {
				return false // it has not come to that itself yet
			}
		}
		return true
	})
	for _, s := range c.servers {
		require.Empty(c.t, s.unhealthy())
	}
}

// An application that walks over a map on one replica, under load: the replica finds it
// out, names a key and the operation, gets what differs, and is back in service.
func TestDoctorMapOrder(t *testing.T) {
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
	c.unstable[2].Store(false)
	c.eventually("nothing more of it", func() bool { return c.servers[2].diverged.Load() == nil })
	c.inService(2)
	stored, err := ReadDoctorFile(c.folder(2))
	require.NoError(t, err)
	require.NotEmpty(t, stored)
}

// pokeStore changes the value of a key in the database of a store that is closed, beneath
// everything that would notice.
func pokeStore(t *testing.T, dir, key string, f func(record []byte)) {
	db, _ := openStoreFiles(t, dir)
	name := append([]byte("l"), key...)
	v, done, err := db.Get(name)
	require.NoError(t, err)
	record := slices.Clone(v)
	require.NoError(t, done.Close())
	require.Greater(t, binary.BigEndian.Uint64(record), uint64(0))
	f(record)
	require.NoError(t, db.Set(name, record, pebble.Sync))
	require.NoError(t, db.Close())
}

// openStoreFiles opens the database of a store that is closed.
func openStoreFiles(t *testing.T, dir string) (db *pebble.DB, folder string) {
	folders, err := filepath.Glob(filepath.Join(dir, "*", "CURRENT"))
	require.NoError(t, err)
	if len(folders) == 0 {
		folders, err = filepath.Glob(filepath.Join(dir, "*", "*", "CURRENT"))
		require.NoError(t, err)
	}
	require.Len(t, folders, 1)
	folder = filepath.Dir(folders[0])
	db, err = pebble.Open(folder, &pebble.Options{Logger: quietPebble{}, Levels: []pebble.LevelOptions{{Compression: pebble.NoCompression}}})
	require.NoError(t, err)
	return db, folder
}

// flipByte flips a bit of a value in the files of a store that is closed.
func flipByte(t *testing.T, dir, value string) {
	db, folder := openStoreFiles(t, dir)
	require.NoError(t, db.Flush()) // out of the log, which has checksums that it is read with at once
	require.NoError(t, db.Close())
	files, err := filepath.Glob(filepath.Join(folder, "*.sst"))
	require.NoError(t, err)
	flipped := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		if at := bytes.Index(b, []byte(value)); at >= 0 {
			b[at] ^= 1
			require.NoError(t, os.WriteFile(f, b, 0o600))
			flipped++
		}
	}
	require.Positive(t, flipped, "the value is in none of %d files", len(files))
}

// A byte that flips in a file of the database is found by its checksums: the replica
// stops and says what to do. Without the damaged state it makes it anew.
func TestDoctorFlippedByteOfAFile(t *testing.T) {
	c := newSickCluster(t, true)
	c.startAll()
	c.submit(0, "put source right")
	c.load(0, 1)
	c.eventually("a snapshot", func() bool { return c.servers[2].Status().Snapshot > 0 })
	c.stop(2)
	flipByte(t, c.stateFolder(2), "right")
	s, err := Start(context.Background(), c.config(2))
	if err == nil {
		c.servers[2] = s
		for n := 0; s.Err() == nil; n++ {
			c.submit(n%2, "copy source target")
		}
		err = s.Err()
		require.Contains(t, s.unhealthy(), "doctor --heal")
		c.stop(2)
	}
	require.ErrorContains(t, err, "parley doctor --heal "+c.folder(2))
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

type quietPebble struct{}

func (quietPebble) Infof(string, ...any)  {}
func (quietPebble) Fatalf(string, ...any) {}

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
	c := newSickCluster(t, true)
	c.startAll()
	for n := range 100 {
		c.submit(n%3, fmt.Sprintf("put stays-%d %d", n, n))
	}
	c.stop(3)
	executed := c.servers[0].Status().Executed
	for n := 0; c.servers[0].Status().Oldest < executed+20; n++ {
		c.submit(n%3, fmt.Sprint("put changes ", n))
	}
	c.start(3)
	c.inService(3)
	keys := c.metric(3, "parley_repaired_keys_total")
	require.Positive(t, keys, "the state was transferred part by part")
	require.Less(t, keys, 50.0, "and only what differs")
	require.Zero(t, c.metric(3, "parley_divergences_total"))
}

// metric is the value of a counter of replica i.
func (c *sickCluster) metric(i int, name string) float64 {
	all, err := c.servers[i].metrics.registry.Gather()
	require.NoError(c.t, err)
	for _, f := range all {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	require.FailNow(c.t, "no metric "+name)
	return 0
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
