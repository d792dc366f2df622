package replica

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/record"
	"github.com/cockroachdb/pebble/vfs"
	"github.com/cockroachdb/pebble/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

const memStore = "/data/store"

// newMemDisk returns a disk in memory that knows what was synced, with the folder
// of a store.
func newMemDisk(t testing.TB) *vfs.MemFS {
	disk := vfs.NewStrictMem()
	require.NoError(t, disk.MkdirAll(memStore, 0o700))
	for dir := memStore; ; dir = filepath.Dir(dir) {
		require.NoError(t, syncFolder(disk, dir))
		if dir == "/" {
			return disk
		}
	}
}

func openStoreOn(t *testing.T, disk vfs.FS, dir string) *diskStore {
	s, err := openDiskStore(DiskStoreConfig{Dir: dir, disk: disk})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// severalLogs returns a crashed store with a table and several logs that are not in
// tables: the database could not make any more. Before them it crashed too, after 3
// synced writes.
func severalLogs(t *testing.T, sync func(uint64) bool) (disk vfs.FS, logs []walFile) {
	before := newMemDisk(t)
	s := openStoreOn(t, before, memStore)
	for i := range uint64(3) {
		require.NoError(t, s.Write([]pbft.Record{put(4, i, "in a table soon")}, true))
	}
	live := copyDisk(t, before)

	release := make(chan struct{})
	var hold atomic.Bool
	s, err := openDiskStore(DiskStoreConfig{Dir: memStore, memTable: 1 << 20, disk: errorfs.Wrap(live,
		errorfs.InjectorFunc(func(op errorfs.Op, path string) error {
			if hold.Load() && op == errorfs.OpCreate && filepath.Ext(path) == ".sst" {
				<-release
			}
			return nil
		}))})
	require.NoError(t, err)
	hold.Store(true)
	value := string(make([]byte, 10_000))
	for i := range uint64(140) {
		require.NoError(t, s.Write([]pbft.Record{put(4, i, value)}, sync(i)))
	}
	disk = copyDisk(t, live)
	close(release)
	require.NoError(t, s.Close())
	files, err := listDatabase(disk, filepath.Join(memStore, "log.db"))
	require.NoError(t, err)
	require.True(t, files.tables)
	first, err := firstLog(disk, filepath.Join(memStore, "log.db"))
	require.NoError(t, err)
	for _, l := range files.logs {
		if l.number >= first {
			logs = append(logs, l)
		}
	}
	require.GreaterOrEqual(t, len(logs), 3)
	require.Equal(t, first, logs[0].number, "the list of files names the log that was made last before the flush")
	return disk, logs
}

func copyDisk(t testing.TB, from vfs.FS) vfs.FS {
	to := vfs.NewMem()
	ok, err := vfs.Clone(from, to, memStore, memStore)
	require.NoError(t, err)
	require.True(t, ok)
	return to
}

func TestLostLogIsRefused(t *testing.T) {
	crashed, logs := severalLogs(t, func(i uint64) bool { return i%2 == 0 })
	path := func(i int) string { return filepath.Join(memStore, "log.db", logs[i].name) }
	newest := len(logs) - 1
	remove := func(t *testing.T, disk vfs.FS, i int) { require.NoError(t, disk.Remove(path(i))) }
	empty := func(t *testing.T, disk vfs.FS, i int) {
		f, err := disk.Create(path(i))
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	withoutNote := func(t *testing.T, disk vfs.FS) {
		require.NoError(t, disk.Remove(filepath.Join(memStore, logsFile)))
	}
	for name, c := range map[string]struct {
		harm func(*testing.T, vfs.FS)
		file string
	}{
		"nothing":              {func(*testing.T, vfs.FS) {}, ""},
		"the note":             {withoutNote, ""},
		"the newest":           {func(t *testing.T, d vfs.FS) { remove(t, d, newest) }, logs[newest].name},
		"the first":            {func(t *testing.T, d vfs.FS) { remove(t, d, 0) }, logs[0].name},
		"one between":          {func(t *testing.T, d vfs.FS) { remove(t, d, 1) }, logs[1].name},
		"all but the first":    {func(t *testing.T, d vfs.FS) { remove(t, d, 2); remove(t, d, 1) }, logs[1].name},
		"the first, no note":   {func(t *testing.T, d vfs.FS) { remove(t, d, 0); withoutNote(t, d) }, logs[0].name},
		"content of the first": {func(t *testing.T, d vfs.FS) { empty(t, d, 0) }, logs[0].name},
		"content between":      {func(t *testing.T, d vfs.FS) { empty(t, d, 1) }, logs[1].name},
		"all":                  {removeLogs, "*.log"},
		"all, no note":         {func(t *testing.T, d vfs.FS) { removeLogs(t, d); withoutNote(t, d) }, "*.log"},
	} {
		t.Run(name, func(t *testing.T) {
			disk := copyDisk(t, crashed)
			c.harm(t, disk)
			for range 2 { // what tells must still be there
				s, err := openDiskStore(DiskStoreConfig{Dir: memStore, disk: disk})
				if c.file == "" {
					require.NoError(t, err)
					require.Contains(t, contents(t, s), "block/118/-")
					require.NoError(t, s.Close())
					continue
				}
				require.ErrorIs(t, err, ErrCorrupt)
				require.ErrorIs(t, err, ErrStore)
				for _, want := range []string{filepath.Join(memStore, "log.db"), c.file, "write-ahead log", "start with an empty one"} {
					require.ErrorContains(t, err, want)
				}
			}
		})
	}
}

// Logs may have no synced write at all.
func TestLogsWithoutSyncedWritesAreAccepted(t *testing.T) {
	for name, sync := range map[string]func(uint64) bool{
		"none":           func(uint64) bool { return false },
		"only the first": func(i uint64) bool { return i == 0 },
		"only the last":  func(i uint64) bool { return i == 139 },
	} {
		t.Run(name, func(t *testing.T) {
			crashed, _ := severalLogs(t, sync)
			require.Contains(t, contents(t, openStoreOn(t, crashed, memStore)), "block/2/-", "what is synced is there")
		})
	}
}

// The note does not grow.
func TestNoteForgetsObsoleteLogs(t *testing.T) {
	disk := newMemDisk(t)
	s, err := openDiskStore(DiskStoreConfig{Dir: memStore, memTable: smallLog, disk: disk})
	require.NoError(t, err)
	value := string(make([]byte, 9000))
	for i := range uint64(400) { // some 50 logs
		require.NoError(t, s.Write([]pbft.Record{put(4, i, value)}, false))
	}
	require.NoError(t, s.Close())
	var n logsNote
	require.NoError(t, n.load(disk, memStore))
	require.NotEmpty(t, n.logs)
	require.Less(t, len(n.logs), 16)
}

func removeLogs(t *testing.T, disk vfs.FS) {
	dir := filepath.Join(memStore, "log.db")
	files, err := listDatabase(disk, dir)
	require.NoError(t, err)
	for _, l := range files.logs {
		require.NoError(t, disk.Remove(filepath.Join(dir, l.name)))
	}
}

// A clean stop leaves the exact number: a newest log that is emptied or cut is told.
func TestLogCutAfterACleanStopIsRefused(t *testing.T) {
	for name, cut := range map[string]func([]byte) []byte{
		"emptied": func([]byte) []byte { return nil },
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			for i := range uint64(3) {
				s := openTestStore(t, dir, DiskStoreConfig{})
				require.NoError(t, s.Write([]pbft.Record{put(4, i, "a vote")}, true))
				require.NoError(t, s.Close())
			}
			files, err := listDatabase(vfs.Default, filepath.Join(dir, "log.db"))
			require.NoError(t, err)
			edit(t, filepath.Join(dir, "log.db", files.logs[len(files.logs)-1].name), cut)
			for range 2 {
				_, err = openDiskStore(DiskStoreConfig{Dir: dir})
				require.ErrorIs(t, err, ErrCorrupt)
				require.ErrorContains(t, err, "2 are there, and 3 were")
			}
		})
	}
}

// The replica whose newest log is gone does not vote on what is left; without its
// store it follows.
func TestReplicaWithoutItsNewestLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	id := identityFor(1)
	require.NoError(t, InitDataDir(dir, id))
	for i := range uint64(3) {
		d, err := openDataDir(dir, id, DiskStoreConfig{})
		require.NoError(t, err)
		require.NoError(t, d.store.Write([]pbft.Record{put(4, i, "a vote")}, true))
		require.NoError(t, d.close())
	}
	logs, err := filepath.Glob(filepath.Join(dir, storeDir, "log.db", "*.log"))
	require.NoError(t, err)
	for _, log := range logs {
		require.NoError(t, os.Remove(log))
	}
	for range 2 {
		_, err := openDataDir(dir, id, DiskStoreConfig{})
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, dir)
		require.ErrorContains(t, err, "rejoins as a follower")
	}
	// Moved away in part: the note of the old database says nothing about a new one.
	require.NoError(t, os.RemoveAll(filepath.Join(dir, storeDir, "log.db")))
	d, err := openDataDir(dir, id, DiskStoreConfig{})
	require.NoError(t, err)
	require.True(t, d.follower)
	require.NoError(t, d.close())
}

func TestDamagedNoteIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := openTestStore(t, dir, DiskStoreConfig{})
	require.NoError(t, s.Close())
	edit(t, filepath.Join(dir, logsFile), func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
	_, err := openDiskStore(DiskStoreConfig{Dir: dir})
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, logsFile+" in "+dir)
}

// A store whose first write was never synced may be empty after a crash.
func TestUnsyncedFirstWrite(t *testing.T) {
	disk := newMemDisk(t)
	s := openStoreOn(t, disk, memStore)
	require.NoError(t, s.Write([]pbft.Record{put(4, 1, "unsynced")}, false))
	disk.SetIgnoreSyncs(true)
	require.NoError(t, s.Close())
	disk.ResetToSyncedState()
	disk.SetIgnoreSyncs(false)
	s = openStoreOn(t, disk, memStore)
	require.Empty(t, contents(t, s))
}

// crashWriter writes to a store until stop says so, and tells which heights it has
// synced. Small logs: many are made, made obsolete, and used again.
func crashWriter(t *testing.T, s Store, rng *rand.Rand, from uint64, stop func() bool, synced func(uint64)) uint64 {
	for range 1 + rng.IntN(120) {
		value := make([]byte, rng.IntN(9000))
		sync := rng.IntN(2) == 0
		require.NoError(t, s.Write([]pbft.Record{
			put(4, from, fmt.Sprint(from)), put(6, from%7, string(value)),
		}, sync))
		if stop() {
			return from + 1
		}
		if sync {
			synced(from)
		}
		from++
	}
	return from
}

const smallLog = 64 << 10

// openers are the stores that have a disk.
var openers = map[string]func(DiskStoreConfig) (Store, error){
	"database": func(cfg DiskStoreConfig) (Store, error) { return openDiskStore(cfg) },
	"journal": func(cfg DiskStoreConfig) (Store, error) {
		cfg.segment = smallSegment
		return openJournal(cfg)
	},
}

// Whenever the power is cut, and again while the store is opened after that: it is
// never refused, and it has what was synced.
func TestPowerCutIsNeverRefused(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) { powerCuts(t, open) })
	}
}

func powerCuts(t *testing.T, open func(DiskStoreConfig) (Store, error)) {
	for seed := range uint64(fewer(12)) {
		rng := rand.New(rand.NewPCG(seed, 1))
		disk := newMemDisk(t)
		next, durable := uint64(1), uint64(0)
		for range 12 {
			var left atomic.Int64
			left.Store(int64(rng.IntN(600)))
			if rng.IntN(3) == 0 {
				left.Store(int64(rng.IntN(60))) // while it is opened
			}
			cut := func() bool { return left.Load() < 0 }
			s, err := open(DiskStoreConfig{Dir: memStore, memTable: smallLog, disk: errorfs.Wrap(disk,
				errorfs.InjectorFunc(func(errorfs.Op, string) error {
					if left.Add(-1) < 0 {
						disk.SetIgnoreSyncs(true)
					}
					return nil
				}))})
			require.NoError(t, err, "seed %d", seed)
			if durable > 0 {
				v, err := s.Get(pbft.RecordKey{Kind: 4, Height: durable})
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint(durable), string(v), "seed %d", seed)
			}
			next = crashWriter(t, s, rng, next, cut, func(h uint64) { durable = h })
			disk.SetIgnoreSyncs(true)
			require.NoError(t, s.Close())
			disk.ResetToSyncedState()
			disk.SetIgnoreSyncs(false)
		}
		require.NotZero(t, durable)
	}
}

// momentFS lets nothing change while all of it is copied.
type momentFS struct {
	vfs.FS
	mu sync.RWMutex
}

func (m *momentFS) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &momentFile{f, m}, nil
}

func (m *momentFS) Create(name string) (vfs.File, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.file(m.FS.Create(name))
}

func (m *momentFS) ReuseForWrite(from, to string) (vfs.File, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.file(m.FS.ReuseForWrite(from, to))
}

func (m *momentFS) Rename(from, to string) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.FS.Rename(from, to)
}

func (m *momentFS) Remove(name string) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.FS.Remove(name)
}

type momentFile struct {
	vfs.File
	fs *momentFS
}

func (f *momentFile) WriteAt(b []byte, at int64) (int, error) {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	return f.File.WriteAt(b, at)
}

func (f *momentFile) Write(b []byte) (int, error) {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	return f.File.Write(b)
}

// Whenever the process is killed: the store is not refused, and has what was synced.
func TestKilledStoreIsNeverRefused(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) { kills(t, open) })
	}
}

func kills(t *testing.T, open func(DiskStoreConfig) (Store, error)) {
	rng := rand.New(rand.NewPCG(7, 7))
	live := &momentFS{FS: newMemDisk(t)}
	var synced atomic.Uint64
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		rng := rand.New(rand.NewPCG(8, 8))
		for next := uint64(1); ; {
			s, err := open(DiskStoreConfig{Dir: memStore, memTable: smallLog, disk: live})
			if err != nil {
				t.Error(err)
				return
			}
			next = crashWriter(t, s, rng, next, func() bool { return false }, synced.Store)
			if err := s.Close(); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	defer writer.Wait()
	defer close(stop)
	for range fewer(150) {
		for range rng.IntN(20) { // some other moment
			runtime.Gosched()
		}
		live.mu.Lock()
		durable := synced.Load()
		killed := copyDisk(t, live.FS)
		live.mu.Unlock()
		s, err := open(DiskStoreConfig{Dir: memStore, memTable: smallLog, disk: killed})
		require.NoError(t, err)
		if durable > 0 {
			v, err := s.Get(pbft.RecordKey{Kind: 4, Height: durable})
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(durable), string(v))
		}
		require.NoError(t, s.Close())
	}
}

func FuzzLogsNote(f *testing.F) {
	f.Add((&logsNote{}).encode())
	f.Add((&logsNote{durable: 9, logs: []logNote{{2, 1}, {7, 9}}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		var n logsNote
		if n.decode(b) == "" {
			require.Equal(t, b, n.encode())
		}
	})
}

func FuzzReadFirstLog(f *testing.F) {
	var list bytes.Buffer
	w := record.NewWriter(&list)
	for _, edit := range []string{"\x01\x03abc\x02\x05\x03\x09", "\x03\x09\x04\x01", "\x02\x07"} {
		_, err := w.WriteRecord([]byte(edit))
		require.NoError(f, err)
	}
	require.NoError(f, w.Close())
	n, err := readFirstLog(bytes.NewReader(list.Bytes()))
	require.NoError(f, err)
	require.Equal(f, uint64(7), n)
	f.Add(list.Bytes())
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = readFirstLog(bytes.NewReader(b)) })
}
