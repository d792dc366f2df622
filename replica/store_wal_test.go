package replica

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// crashedStore returns a folder as a crash leaves it: n synced writes, with an
// unsynced one before each, in the newest log. The values have some kilobytes, so
// that records cross the log's blocks.
func crashedStore(t *testing.T, n uint64) (dir, log string) {
	live := filepath.Join(t.TempDir(), "live")
	s := openTestStore(t, live, DiskStoreConfig{})
	value := make([]byte, 3000)
	for i := range n {
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(value)
		require.NoError(t, s.Write([]pbft.Record{put(4, 1000+i, string(value))}, false))
		require.NoError(t, s.Write([]pbft.Record{put(4, i, string(value))}, true))
	}
	dir = filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.CopyFS(dir, os.DirFS(live)))
	require.NoError(t, s.Close())
	logs, err := filepath.Glob(filepath.Join(dir, "log.db", "*.log"))
	require.NoError(t, err)
	require.NotEmpty(t, logs)
	return dir, logs[len(logs)-1]
}

// newestWAL reads the newest log of the store in dir.
func newestWAL(t *testing.T, disk vfs.FS, dir string) walSeen {
	dir = filepath.Join(dir, "log.db")
	files, err := listDatabase(disk, dir)
	require.NoError(t, err)
	require.NotEmpty(t, files.logs)
	seen, err := scanWAL(disk, dir, files.logs[len(files.logs)-1])
	require.NoError(t, err)
	return seen
}

func edit(t *testing.T, file string, change func([]byte) []byte) {
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, change(b), 0o600))
}

// Damage in the middle of the log is no torn end: the votes behind it have left.
func TestDamagedLogIsRefused(t *testing.T) {
	for name, at := range map[string]func(size int) int{
		"a record's content": func(size int) int { return size/2 + 100 },
		"the first header":   func(int) int { return 4 },
		"a block's header":   func(int) int { return walBlock + 5 },
	} {
		t.Run(name, func(t *testing.T) {
			dir, log := crashedStore(t, 60)
			edit(t, log, func(b []byte) []byte {
				b[at(len(bytes.TrimRight(b, "\x00")))] ^= 0x40
				return b
			})
			for range 2 { // what tells must still be there
				_, err := openDiskStore(DiskStoreConfig{Dir: dir})
				require.ErrorIs(t, err, ErrCorrupt)
				require.ErrorIs(t, err, ErrStore)
				require.ErrorContains(t, err, "write-ahead log")
				require.ErrorContains(t, err, "start with an empty one")
			}
		})
	}
}

// A log cut anywhere in its last writes comes up with everything before them.
func TestTornLogIsAccepted(t *testing.T) {
	for cut := 1; cut < 6000; cut += 501 {
		dir, log := crashedStore(t, 30)
		edit(t, log, func(b []byte) []byte {
			b = bytes.TrimRight(b, "\x00")
			return append(b[:len(b)-cut], make([]byte, 5000)...)
		})
		s := openTestStore(t, dir, DiskStoreConfig{})
		got := contents(t, s)
		require.Contains(t, got, "block/28/-", "cut %d", cut)
		require.NotContains(t, got, "block/29/-", "cut %d", cut)
		require.NoError(t, s.Write([]pbft.Record{put(4, 29, "again")}, true))
	}
}

// A write that was under way may reach the disk before one ahead of it that no
// sync had covered.
func TestReorderedTailIsAccepted(t *testing.T) {
	dir, log := crashedStore(t, 30)
	edit(t, log, func(b []byte) []byte {
		b = bytes.TrimRight(b, "\x00")
		b[len(b)-5000] ^= 1 // in the unsynced write before the last one
		return b
	})
	seen := newestWAL(t, vfs.Default, dir)
	require.Equal(t, walSeen{replayed: 29, highest: 30}, seen)
	s := openTestStore(t, dir, DiskStoreConfig{})
	require.Contains(t, contents(t, s), "block/28/-")
}

// Nobody outside can make a log look damaged: marks within values are not read.
func TestForgedMarksAreIgnored(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := openTestStore(t, dir, DiskStoreConfig{})
	_, log := crashedStore(t, 3)
	forged, err := os.ReadFile(log)
	require.NoError(t, err)
	for i := range uint64(40) {
		require.NoError(t, s.Write([]pbft.Record{put(4, i, string(forged[:9000+i]))}, true))
	}
	seen := newestWAL(t, vfs.Default, dir)
	require.Equal(t, walSeen{replayed: 40, highest: 40}, seen)
}

// What the database itself finds has the same remedy.
func TestDamagedDatabaseNamesTheRemedy(t *testing.T) {
	for _, pattern := range []string{"CURRENT", "MANIFEST-*"} {
		dir, _ := crashedStore(t, 3)
		files, err := filepath.Glob(filepath.Join(dir, "log.db", pattern))
		require.NoError(t, err)
		edit(t, files[len(files)-1], func(b []byte) []byte { b[len(b)/2] ^= 0x5a; return b })
		_, err = openDiskStore(DiskStoreConfig{Dir: dir})
		require.ErrorIs(t, err, ErrCorrupt, pattern)
		require.ErrorContains(t, err, "start with an empty one")
	}
}

// Without CURRENT the database would begin anew, on top of what there is.
func TestDatabaseWithoutCurrentIsRefused(t *testing.T) {
	dir, _ := crashedStore(t, 3)
	require.NoError(t, os.Remove(filepath.Join(dir, "log.db", "CURRENT")))
	for range 2 { // nor does the first look make one
		_, err := openDiskStore(DiskStoreConfig{Dir: dir})
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, "start with an empty one")
	}
}

// The end of a block of the log may cut a record before or within its number.
func TestNumberAcrossBlocks(t *testing.T) {
	for back := range 2 * markedHead {
		dir := filepath.Join("/", "store")
		disk := vfs.NewMem()
		require.NoError(t, disk.MkdirAll(dir, 0o700))
		s := openStoreOn(t, disk, dir)
		require.NoError(t, s.Write([]pbft.Record{put(4, 1, string(make([]byte, walBlock-100-back)))}, true))
		require.NoError(t, s.Write([]pbft.Record{put(4, 2, string(make([]byte, 200)))}, true))
		require.Equal(t, walSeen{replayed: 2, highest: 2}, newestWAL(t, disk, dir), "%d bytes before the end", back)
		require.NoError(t, s.Close())
	}
}

func FuzzReadWAL(f *testing.F) {
	f.Add([]byte{}, uint32(1))
	f.Add(bytes.Repeat([]byte{0, 0, 0, 0, 3, 0, walFull, 2, 0, 0, 0, 9, 9, 9}, 3000), uint32(2))
	f.Fuzz(func(t *testing.T, b []byte, number uint32) {
		seen, err := readWAL(bytes.NewReader(b), number)
		require.NoError(t, err)
		require.LessOrEqual(t, seen.replayed, seen.highest)
	})
}
