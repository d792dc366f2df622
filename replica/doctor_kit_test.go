package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
type accounts struct {
	unstable *atomic.Bool
	replica  int
}

var shareholders = map[string]bool{"ann": true, "bob": true, "cy": true, "dan": true, "eve": true, "fay": true, "gus": true}

func (h accounts) Apply(t store.Txn, _ *statemachine.Block, op *statemachine.Op) statemachine.Result {
	words := strings.Fields(string(op.Data))
	switch words[0] {
	case "put":
		t.Set([]byte(words[1]), []byte(words[2]))
	case "copy":
		v, _ := t.Get([]byte(words[1]))
		t.Set([]byte(words[2]), v)
	case "grow": // KEY SIZE: a value longer than what travels in one answer
		size, err := strconv.Atoi(words[2])
		if err != nil || size > store.MaxValueBytes {
			return statemachine.Result{Code: 98}
		}
		t.Set([]byte(words[1]), bytes.Repeat([]byte{byte(size)}, size))
	case "share":
		var names []string
		for name := range shareholders {
			names = append(names, name)
		}
		// A walk over a map of seven begins anywhere and goes round, so it is in order once in
		// eight times, and the same on two replicas: each with the bug begins with another name.
		slices.Sort(names)
		if h.unstable.Load() {
			names = append(names[1+h.replica:], names[:1+h.replica]...)
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
	hangs    atomic.Bool // reading all of a state takes for ever
	refused  atomic.Int64
	repairs  [4]atomic.Int64 // how often a replica's state was got in parts, to repair it
	updates  [4]atomic.Int64 // and how often because it lagged
	stopLoad func()
}

// storeMachine closes its store, and may not serve parts of it.
type storeMachine struct {
	*store.Machine
	c  *sickCluster
	id int
}

func (m storeMachine) Close() error { return m.Store().Close() }

func (m storeMachine) ServeState(q []byte) ([]byte, error) {
	if m.c.deaf.Load() {
		m.c.refused.Add(1)
		return nil, nil
	}
	return m.Machine.ServeState(q)
}

func (m storeMachine) SyncState(ctx context.Context, want statemachine.StateTarget) (statemachine.StateSyncStats, error) {
	if want.Repair {
		m.c.repairs[m.id].Add(1)
	} else {
		m.c.updates[m.id].Add(1)
	}
	return m.Machine.SyncState(ctx, want)
}

func (m storeMachine) MendState(ctx context.Context) (statemachine.StateSyncStats, error) {
	if m.c.hangs.Load() {
		<-ctx.Done()
		return statemachine.StateSyncStats{}, ctx.Err()
	}
	return m.Machine.MendState(ctx)
}

func newSickCluster(t *testing.T, onDisk bool) *sickCluster {
	return newSickClusterWith(t, onDisk, func(*Config) {})
}

func newSickClusterWith(t *testing.T, onDisk bool, edit func(cfg *Config)) *sickCluster {
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
			m, err := store.NewMachine(s, accounts{&c.unstable[i], i})
			return storeMachine{m, c, i}, err
		}
		edit(cfg)
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

// settleStore has what a closed store keeps in table files.
func settleStore(t *testing.T, dir string) {
	db, _ := openStoreFiles(t, dir)
	require.NoError(t, db.Flush()) // out of the log, which has checksums that it is read with at once
	require.NoError(t, db.Close())
}

// flipByte flips a bit of a value in the table files of a store, which may be open, and
// returns the first file that has it.
func flipByte(t *testing.T, dir, value string) (flipped string) {
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".sst" {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		if err != nil {
			return err
		}
		if at := bytes.LastIndex(b, []byte(value)); at >= 0 { // what clients watch has it too, and comes first
			_, err = f.WriteAt([]byte{b[at] ^ 1}, int64(at))
			flipped = path
		}
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, flipped, "the value is in no table file")
	return flipped
}

type quietPebble struct{}

func (quietPebble) Infof(string, ...any)  {}
func (quietPebble) Fatalf(string, ...any) {}

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
