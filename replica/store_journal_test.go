package replica

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/cockroachdb/pebble/vfs/errorfs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/pbft"
)

// smallSegment makes segments of a few frames.
const smallSegment = 48 << 10

func openTestJournal(t testing.TB, cfg DiskStoreConfig) *journalStore {
	j, err := openJournal(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func journalOn(t testing.TB, disk vfs.FS) *journalStore {
	return openTestJournal(t, DiskStoreConfig{Dir: memStore, disk: disk, segment: smallSegment})
}

// segmentsOn are the files of the journal that its note names, in order.
func segmentsOn(t testing.TB, disk vfs.FS) (paths []string) {
	names, err := disk.List(filepath.Join(memStore, journalDir))
	require.NoError(t, err)
	slices.Sort(names)
	base, err := openDiskStore(DiskStoreConfig{Dir: memStore, disk: copyDisk(t, disk)})
	require.NoError(t, err)
	defer base.Close()
	v, err := base.GetHost(HostKey{Kind: hostJournal})
	require.NoError(t, err)
	var note journalNote
	require.True(t, note.decode(v))
	for _, name := range names {
		if n := parseSegmentName(name); note.first <= n && n <= note.newest {
			paths = append(paths, filepath.Join(memStore, journalDir, name))
		}
	}
	require.Len(t, paths, int(note.newest-note.first)+1)
	return paths
}

func readAll(t testing.TB, disk vfs.FS, path string) []byte {
	f, err := disk.Open(path)
	require.NoError(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	return b
}

func writeAll(t testing.TB, disk vfs.FS, path string, b []byte) {
	f, err := disk.Create(path)
	require.NoError(t, err)
	_, err = f.Write(bytes.Clone(b))
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

// everything is what a store has, in both spaces.
func everything(t testing.TB, s Store) map[string]string {
	m := map[string]string{}
	require.NoError(t, s.Load(nil, func(r pbft.Record) error {
		m[r.Key.String()] = string(r.Value)
		return nil
	}))
	for kind := HostBorn; kind <= HostCertified; kind++ {
		require.NoError(t, s.ScanHost(kind, 0, 1<<40, func(k HostKey, v []byte) error {
			m[k.String()] = string(v)
			return nil
		}))
	}
	return m
}

// randomWrite changes some keys of s and of the model in the same way.
func randomWrite(t testing.TB, rng *rand.Rand, s Store, model map[string]string, sync bool) {
	value := func() []byte {
		v := make([]byte, rng.IntN(9000)/(1+rng.IntN(40)))
		for i := range v {
			v[i] = byte(rng.Uint32())
		}
		return v
	}
	if rng.IntN(4) == 0 {
		r := HostRecord{Key: HostKey{HostReplies, pbft.Height(rng.IntN(30))}, Value: value(), Delete: rng.IntN(3) == 0}
		require.NoError(t, s.WriteHost([]HostRecord{r}, sync))
		if delete(model, r.Key.String()); !r.Delete {
			model[r.Key.String()] = string(r.Value)
		}
		return
	}
	records := make([]pbft.Record, rng.IntN(4))
	for i := range records {
		r := &records[i]
		r.Key = pbft.RecordKey{Kind: pbft.RecordKind(1 + rng.IntN(4)), Height: uint64(rng.IntN(12))}
		if r.Delete = rng.IntN(3) == 0; !r.Delete {
			r.Value = value()
		}
		if delete(model, r.Key.String()); !r.Delete {
			model[r.Key.String()] = string(r.Value)
		}
	}
	require.NoError(t, s.Write(records, sync))
}

// tear makes of each segment what a power cut may leave: of all that was written since
// the last sync, some sectors are on the disk and some are not. cut cuts the power.
func tear(t testing.TB, rng *rand.Rand, disk *vfs.MemFS, cut func()) {
	dir := filepath.Join(memStore, journalDir)
	names, err := disk.List(dir)
	require.NoError(t, err)
	written := map[string][]byte{}
	for _, name := range names {
		written[name] = readAll(t, disk, filepath.Join(dir, name))
	}
	cut()
	left, err := disk.List(dir)
	require.NoError(t, err)
	for _, name := range left {
		old, now := readAll(t, disk, filepath.Join(dir, name)), written[name]
		if len(now) < len(old) || bytes.Equal(old, now) {
			continue
		}
		keep, sector := rng.IntN(101), 512<<rng.IntN(6)
		torn := append(bytes.Clone(old), make([]byte, len(now)-len(old))...)
		for at := 0; at < len(now); at += sector {
			if end := min(at+sector, len(now)); rng.IntN(100) < keep {
				copy(torn[at:end], now[at:end])
			}
		}
		writeAll(t, disk, filepath.Join(dir, name), torn)
	}
}

// A journal is the model of what was written; after a power cut, whatever it tore, it
// is what it was after the last synced write or after a later one.
func TestJournalIsItsModel(t *testing.T) {
	for seed := range uint64(fewer(30)) {
		rng := rand.New(rand.NewPCG(seed, 2))
		disk := newMemDisk(t)
		j := journalOn(t, disk)
		now := map[string]string{}
		since := []map[string]string{{}} // the last synced state and those after it
		for step := range 400 {
			sync := rng.IntN(3) == 0
			randomWrite(t, rng, j, now, sync)
			if sync {
				since = since[:0]
			}
			since = append(since, maps.Clone(now))
			if rng.IntN(10) == 0 {
				require.Equal(t, now, everything(t, j), "seed %d step %d", seed, step)
			}
			switch rng.IntN(40) {
			case 0:
				require.NoError(t, j.Close())
				j = journalOn(t, disk)
				require.Equal(t, now, everything(t, j), "seed %d step %d: after a clean stop", seed, step)
				since = append(since[:0], maps.Clone(now))
			case 1:
				tear(t, rng, disk, func() {
					disk.SetIgnoreSyncs(true)
					require.NoError(t, j.Close())
					disk.ResetToSyncedState()
					disk.SetIgnoreSyncs(false)
				})
				j = journalOn(t, disk)
				now = everything(t, j)
				require.Contains(t, since, now, "seed %d step %d: after a power cut", seed, step)
				since = append(since[:0], maps.Clone(now))
			}
		}
		require.NoError(t, j.Close())
	}
}

// stream writes like a replica: blocks that are pruned later, and records that are
// overwritten or stay.
func stream(t testing.TB, s Store, blocks, keep uint64, size int) {
	for h := uint64(1); h <= blocks; h++ {
		records := []pbft.Record{put(pbft.RecordBlock, h, string(make([]byte, size))), put(pbft.RecordState, 0, fmt.Sprint(h))}
		if h == 1 {
			records = append(records, put(pbft.RecordNewView, 1, "stays"), put(pbft.RecordEvidence, 7, "goes"))
		}
		if h == blocks/2 {
			records = append(records, pbft.Record{Key: put(pbft.RecordEvidence, 7, "").Key, Delete: true})
		}
		if h > keep {
			records = append(records, pbft.Record{Key: put(pbft.RecordBlock, h-keep, "").Key, Delete: true})
		}
		require.NoError(t, s.Write(records, true))
	}
}

// What is pruned leaves no files behind, what outlives its segment is in the database,
// and files are used again.
func TestJournalRetiresSegments(t *testing.T) {
	disk := newMemDisk(t)
	var made, reused atomic.Int64
	counted := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op, path string) error {
		if filepath.Ext(path) == segmentSuffix {
			switch op {
			case errorfs.OpCreate:
				made.Add(1)
			case errorfs.OpReuseForRewrite:
				reused.Add(1)
			}
		}
		return nil
	}))
	j := journalOn(t, counted)
	stream(t, j, 300, 10, 9000)
	require.LessOrEqual(t, len(j.segs), 5)
	require.Less(t, made.Load(), int64(6))
	require.Greater(t, reused.Load(), int64(50))
	check := func() {
		got := everything(t, j)
		require.Len(t, got, 12)
		require.Equal(t, 12, j.index.Len(), "what the database has heard of is forgotten")
		require.Equal(t, "stays", got["newview/1/-"])
		require.Equal(t, "300", got["state/0/-"])
		require.Contains(t, got, "block/291/-")
	}
	check()
	moved, err := j.base.Get(put(pbft.RecordNewView, 1, "").Key)
	require.NoError(t, err)
	require.Equal(t, "stays", string(moved))
	moved, err = j.base.Get(put(pbft.RecordEvidence, 7, "").Key)
	require.NoError(t, err)
	require.Nil(t, moved, "the database hears of what is deleted")
	require.NoError(t, j.Close())
	j = journalOn(t, counted)
	check()
	names, err := disk.List(filepath.Join(memStore, journalDir))
	require.NoError(t, err)
	require.Less(t, len(names), 5+maxFree)
}

// A log that is never pruned goes to the database, from its old end on.
func TestJournalIsBounded(t *testing.T) {
	disk := newMemDisk(t)
	open := func() *journalStore {
		return openTestJournal(t, DiskStoreConfig{Dir: memStore, disk: disk, segment: 8 << 10})
	}
	j := open()
	const blocks = 3 * maxSegments
	stream(t, j, blocks, blocks, 6000)
	for range 2 {
		require.LessOrEqual(t, len(j.segs), maxSegments+1)
		v, err := j.base.Get(put(pbft.RecordBlock, 2, "").Key)
		require.NoError(t, err)
		require.Len(t, v, 6000)
		got := everything(t, j)
		require.Len(t, got, blocks+2)
		var last uint64
		require.NoError(t, j.Seek(pbft.RecordBlock, 5, func(r pbft.Record) bool {
			require.True(t, last == 0 || r.Key.Height == last+1)
			last = r.Key.Height
			return true
		}))
		require.Equal(t, uint64(blocks), last)
		require.NoError(t, j.Close())
		j = open()
	}
	// What is in the database can be deleted, and stays so.
	require.NoError(t, j.Write([]pbft.Record{{Key: put(pbft.RecordBlock, 2, "").Key, Delete: true}}, true))
	for range 2 {
		v, err := j.Get(put(pbft.RecordBlock, 2, "").Key)
		require.NoError(t, err)
		require.Nil(t, v)
		require.NoError(t, j.Close())
		j = open()
	}
}

// onDisk is a disk that has something happen before each operation.
func onDisk(disk vfs.FS, before func(op errorfs.Op, path string)) vfs.FS {
	return errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op, path string) error {
		before(op, path)
		return nil
	}))
}

func makesSegment(op errorfs.Op, path string) bool {
	return (op == errorfs.OpCreate || op == errorfs.OpReuseForRewrite) && filepath.Ext(path) == segmentSuffix
}

// What makes a record useless may not be durable yet when the record's segment is
// retired: then a power cut must not take both.
func TestRetiredRecordsAreReplacedDurably(t *testing.T) {
	for stop := range 40 {
		live := newMemDisk(t)
		var j *journalStore
		writing := false
		j = journalOn(t, onDisk(live, func(op errorfs.Op, path string) {
			if writing && makesSegment(op, path) { // another goroutine, while this one makes it
				require.NoError(t, j.Write([]pbft.Record{put(pbft.RecordHigh, 0, "later"), put(pbft.RecordState, 0, "")}, false))
			}
		}))
		require.NoError(t, j.Write([]pbft.Record{put(pbft.RecordHigh, 0, "first")}, true))
		writing = true
		for range stop {
			require.NoError(t, j.Write([]pbft.Record{put(pbft.RecordState, 0, string(make([]byte, 9000)))}, true))
		}
		live.SetIgnoreSyncs(true)
		writing = false
		require.NoError(t, j.Close())
		live.ResetToSyncedState()
		live.SetIgnoreSyncs(false)
		require.NotEmpty(t, everything(t, journalOn(t, live))["high/0/-"], "after %d writes", stop)
	}
}

// What is deleted while it goes to the database does not come back, and what is
// overwritten stays so.
func TestChangedWhileItIsMoved(t *testing.T) {
	live := newMemDisk(t)
	var j *journalStore
	writing, deleted, logs := false, false, 0
	gone, again := pbft.Record{Key: put(pbft.RecordNewView, 1, "").Key, Delete: true}, put(pbft.RecordNewView, 2, "again")
	disk := onDisk(live, func(op errorfs.Op, path string) {
		switch {
		case makesSegment(op, path):
			logs = 0
		case op == errorfs.OpFileWrite && filepath.Ext(path) == ".log" && writing && !deleted:
			// The first write notes the segment, the second has what outlived another.
			if logs++; logs == 2 {
				deleted = true
				require.NoError(t, j.Write([]pbft.Record{gone, again}, false))
			}
		}
	})
	j = journalOn(t, disk)
	require.NoError(t, j.Write([]pbft.Record{put(pbft.RecordNewView, 1, "moves"), put(pbft.RecordNewView, 2, "moves")}, true))
	writing = true
	for !deleted {
		require.NoError(t, j.Write([]pbft.Record{put(pbft.RecordState, 0, string(make([]byte, 9000)))}, true))
	}
	for range 3 {
		for range 30 {
			require.NoError(t, j.Write([]pbft.Record{put(pbft.RecordState, 0, string(make([]byte, 9000)))}, true))
		}
		got := everything(t, j)
		require.Equal(t, "again", got["newview/2/-"])
		require.NotContains(t, got, "newview/1/-")
		require.NoError(t, j.Close())
		j = journalOn(t, disk)
	}
}

// Of what no sync had covered a later part may reach the disk before an earlier one.
func TestReorderedTailOfAJournalIsAccepted(t *testing.T) {
	live := newMemDisk(t)
	j := journalOn(t, live)
	require.NoError(t, j.Write([]pbft.Record{put(4, 1, "durable")}, true))
	for i := range uint64(2) {
		require.NoError(t, j.Write([]pbft.Record{put(4, 2+i, string(make([]byte, smallSegment/4)))}, false))
	}
	require.Equal(t, uint64(3), j.written)
	disk := copyDisk(t, live)
	path := segmentsOn(t, disk)[0]
	b := readAll(t, disk, path)
	b[2*journalPage+100] ^= 1
	writeAll(t, disk, path, b)
	for range 2 {
		j = openTestJournal(t, DiskStoreConfig{Dir: memStore, disk: disk, segment: smallSegment})
		require.Equal(t, map[string]string{"block/1/-": "durable"}, everything(t, j))
		require.NoError(t, j.Close())
	}
}

// What a killed process had written and not synced counts once it was read.
func TestJournalSyncsWhatItFinds(t *testing.T) {
	before := newMemDisk(t)
	j := openTestJournal(t, DiskStoreConfig{Dir: memStore, disk: before})
	require.NoError(t, j.Write([]pbft.Record{put(4, 1, string(make([]byte, maxPending)))}, false))
	require.Equal(t, uint64(0), j.durable)
	require.Equal(t, uint64(1), j.written)
	disk := newMemDisk(t)
	ok, err := vfs.Clone(before, disk, memStore, memStore, vfs.CloneSync)
	require.NoError(t, err)
	require.True(t, ok)
	path := segmentsOn(t, disk)[0]
	written := readAll(t, disk, path)
	writeAll(t, disk, path, written[:journalPage])
	f, err := disk.OpenReadWrite(path)
	require.NoError(t, err)
	_, err = f.WriteAt(written, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	j = openTestJournal(t, DiskStoreConfig{Dir: memStore, disk: disk})
	require.Len(t, everything(t, j), 1)
	disk.SetIgnoreSyncs(true)
	require.NoError(t, j.Close())
	disk.ResetToSyncedState()
	disk.SetIgnoreSyncs(false)
	require.Len(t, everything(t, openTestJournal(t, DiskStoreConfig{Dir: memStore, disk: disk})), 1)
}

// What the disk gives back is checked when it is read.
func TestJournalNoticesCorruptAndMisdirectedValues(t *testing.T) {
	for name, harm := range map[string]func(b []byte){
		"another key": func(b []byte) { copy(b[2*journalPage:3*journalPage], b[journalPage:]) },
		"checksum":    func(b []byte) { b[2*journalPage+frameHead+recordHead+pbft.RecordKeySize+3] ^= 1 },
		"":            func([]byte) {},
	} {
		disk := newMemDisk(t)
		j := journalOn(t, disk)
		require.NoError(t, j.Write([]pbft.Record{put(4, 1, "one, not two")}, true))
		require.NoError(t, j.Write([]pbft.Record{put(4, 2, "two, not one")}, true))
		f, err := disk.OpenReadWrite(j.path(1))
		require.NoError(t, err)
		b := readAll(t, disk, j.path(1))
		harm(b)
		_, err = f.WriteAt(b, 0)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		_, err = j.Get(put(4, 2, "").Key)
		if name == "" {
			require.NoError(t, err)
			continue
		}
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt, name)
		require.ErrorContains(t, err, "block/2/-")
		require.ErrorContains(t, err, j.dir)
		require.ErrorContains(t, err, name)
		require.ErrorIs(t, j.Write(nil, true), ErrCorrupt, "a store that failed stays so")
	}
}

// A frame that the disk wrote in the place of another is not taken for that.
func TestMisplacedFrameIsRefused(t *testing.T) {
	live := newMemDisk(t)
	j := journalOn(t, live)
	for i := range uint64(5) {
		require.NoError(t, j.Write([]pbft.Record{put(4, i, "a vote")}, true))
	}
	disk := copyDisk(t, live)
	path := segmentsOn(t, disk)[0]
	b := readAll(t, disk, path)
	copy(b[2*journalPage:3*journalPage], b[4*journalPage:])
	writeAll(t, disk, path, b)
	_, err := openJournal(DiskStoreConfig{Dir: memStore, disk: disk, segment: smallSegment})
	require.ErrorIs(t, err, ErrCorrupt)
}

// crashedJournal is the disk of a journal with several segments, as a crash leaves it,
// and what was synced.
func crashedJournal(t testing.TB) (disk vfs.FS, synced map[string]string) {
	live := newMemDisk(t)
	j := journalOn(t, live)
	stream(t, j, 40, 25, 5000)
	require.NoError(t, j.Close())
	j = journalOn(t, live)
	stream(t, j, 40, 25, 5000)
	require.NoError(t, j.Write([]pbft.Record{put(pbft.RecordHigh, 0, "the last")}, true))
	synced = everything(t, j)
	disk = copyDisk(t, live)
	require.NoError(t, j.Close())
	require.Greater(t, len(segmentsOn(t, disk)), 3)
	return disk, synced
}

// Wherever a byte is damaged: the journal is refused, or nothing is missing. Only the
// very last write cannot be told from one that a crash tore.
func TestJournalDamageIsRefused(t *testing.T) {
	disk, synced := crashedJournal(t)
	rng := rand.New(rand.NewPCG(3, 3))
	paths := segmentsOn(t, disk)
	refused := 0
	for i, path := range paths {
		good := readAll(t, disk, path)
		for page := 0; page < len(good); page += journalPage {
			bad := bytes.Clone(good)
			at := page + rng.IntN(64)
			bad[at] ^= 1 << rng.IntN(8)
			hurt := copyDisk(t, disk)
			writeAll(t, hurt, path, bad)
			j, err := openJournal(DiskStoreConfig{Dir: memStore, disk: hurt, segment: smallSegment})
			if err != nil {
				refused++
				require.ErrorIs(t, err, ErrCorrupt)
				require.ErrorContains(t, err, filepath.Join(memStore, journalDir))
				require.ErrorContains(t, err, segmentName(parseSegmentName(filepath.Base(path))))
				require.ErrorContains(t, err, "start with an empty one")
				// What tells must still be there.
				_, err = openJournal(DiskStoreConfig{Dir: memStore, disk: hurt, segment: smallSegment})
				require.ErrorIs(t, err, ErrCorrupt)
				continue
			}
			got := everything(t, j)
			if i == len(paths)-1 && got["high/0/-"] == "" {
				got["high/0/-"] = "the last"
			}
			require.Equal(t, synced, got, "%s byte %d", path, at)
			require.NoError(t, j.Close())
		}
	}
	require.Greater(t, refused, 30)
}

// After a clean stop the last write is accounted for too.
func TestJournalCutAfterACleanStopIsRefused(t *testing.T) {
	disk := newMemDisk(t)
	j := journalOn(t, disk)
	for i := range uint64(3) {
		require.NoError(t, j.Write([]pbft.Record{put(4, i, "a vote")}, true))
	}
	require.NoError(t, j.Close())
	paths := segmentsOn(t, disk)
	newest := paths[len(paths)-1]
	good := readAll(t, disk, newest)
	for cut := 0; cut < 4*journalPage; cut += 512 {
		hurt := copyDisk(t, disk)
		writeAll(t, hurt, newest, good[:cut])
		_, err := openJournal(DiskStoreConfig{Dir: memStore, disk: hurt, segment: smallSegment})
		require.ErrorIs(t, err, ErrCorrupt, "cut to %d", cut)
	}
	j = journalOn(t, copyDisk(t, disk))
	require.Len(t, everything(t, j), 3)
}

// A segment that is gone, emptied, or an older copy, is missed.
func TestLostSegmentIsRefused(t *testing.T) {
	crashed, synced := crashedJournal(t)
	paths := segmentsOn(t, crashed)
	newest := len(paths) - 1
	for name, c := range map[string]struct {
		harm func(vfs.FS)
		file string
	}{
		"nothing":               {func(vfs.FS) {}, ""},
		"the first":             {func(d vfs.FS) { require.NoError(t, d.Remove(paths[0])) }, paths[0]},
		"one between":           {func(d vfs.FS) { require.NoError(t, d.Remove(paths[1])) }, paths[1]},
		"the newest":            {func(d vfs.FS) { require.NoError(t, d.Remove(paths[newest])) }, paths[newest]},
		"all":                   {func(d vfs.FS) { require.NoError(t, d.RemoveAll(filepath.Dir(paths[0]))) }, paths[0]},
		"content of the first":  {func(d vfs.FS) { writeAll(t, d, paths[0], nil) }, paths[0]},
		"content of the newest": {func(d vfs.FS) { writeAll(t, d, paths[newest], nil) }, paths[newest]},
		"end of one between": {func(d vfs.FS) {
			writeAll(t, d, paths[1], readAll(t, d, paths[1])[:3*journalPage])
		}, paths[1]},
		"one in another's place": {func(d vfs.FS) { writeAll(t, d, paths[1], readAll(t, d, paths[0])) }, paths[1]},
	} {
		t.Run(name, func(t *testing.T) {
			disk := copyDisk(t, crashed)
			c.harm(disk)
			for range 2 {
				j, err := openJournal(DiskStoreConfig{Dir: memStore, disk: disk, segment: smallSegment})
				if c.file == "" {
					require.NoError(t, err)
					require.Equal(t, synced, everything(t, j))
					require.NoError(t, j.Close())
					continue
				}
				require.ErrorIs(t, err, ErrCorrupt)
				require.ErrorIs(t, err, ErrStore)
				require.ErrorContains(t, err, filepath.Base(c.file))
				require.ErrorContains(t, err, "start with an empty one")
			}
		})
	}
}

// A database that forgot a segment which is in use does not make it go.
func TestForgottenSegmentIsRefused(t *testing.T) {
	disk := newMemDisk(t)
	j := journalOn(t, disk)
	require.NoError(t, j.Write([]pbft.Record{put(4, 1, "a vote")}, true))
	older := copyDisk(t, disk)
	stream(t, j, 20, 20, 5000)
	require.NoError(t, j.Close())
	for _, path := range []string{"log.db", logsFile} {
		require.NoError(t, disk.RemoveAll(filepath.Join(memStore, path)))
		ok, err := vfs.Clone(older, disk, filepath.Join(memStore, path), filepath.Join(memStore, path))
		require.NoError(t, err)
		require.True(t, ok)
	}
	for range 2 {
		_, err := openJournal(DiskStoreConfig{Dir: memStore, disk: disk, segment: smallSegment})
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, "it is in use")
	}
}

// Nobody outside can make a torn end look damaged, or add frames to it: what clients
// write is in the journal too.
func TestForgedFramesAreIgnored(t *testing.T) {
	other := newMemDisk(t)
	j := journalOn(t, other)
	stream(t, j, 5, 5, 3000)
	require.NoError(t, j.Close())
	paths := segmentsOn(t, other)
	forged := readAll(t, other, paths[len(paths)-1])

	live := newMemDisk(t)
	j = openTestJournal(t, DiskStoreConfig{Dir: memStore, disk: live})
	require.NoError(t, j.Write([]pbft.Record{put(4, 1, "before")}, true))
	require.NoError(t, j.Write([]pbft.Record{put(4, 2, string(make([]byte, shiftToPage))+string(forged))}, true))
	disk := copyDisk(t, live)
	path := segmentsOn(t, disk)[0]
	b := readAll(t, disk, path)
	require.Equal(t, forged[:2*journalPage], b[3*journalPage:5*journalPage])
	for name, at := range map[string]int{"its end": len(forged), "its head": 2 * journalPage} {
		b[at] ^= 1
		writeAll(t, disk, path, b)
		got := everything(t, openTestJournal(t, DiskStoreConfig{Dir: memStore, disk: copyDisk(t, disk)}))
		require.Equal(t, "before", got["block/1/-"], name)
		require.NotContains(t, got, "state/0/-", name)
	}
}

// shiftToPage makes the value of the only record of a frame begin with a page.
const shiftToPage = journalPage - frameHead - recordHead - 1 - pbft.RecordKeySize

// syncFault fails the syncs of segments, which errorfs does not.
type syncFault struct {
	vfs.FS
	fail  atomic.Bool
	tries atomic.Int64
}

func (d *syncFault) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &syncFaultFile{f, d}, nil
}

func (d *syncFault) Create(name string) (vfs.File, error) { return d.wrap(d.FS.Create(name)) }

func (d *syncFault) ReuseForWrite(from, to string) (vfs.File, error) {
	return d.wrap(d.FS.ReuseForWrite(from, to))
}

type syncFaultFile struct {
	vfs.File
	disk *syncFault
}

func (f *syncFaultFile) SyncData() error {
	if f.disk.fail.Load() {
		f.disk.tries.Add(1)
		return syscall.EIO
	}
	return f.File.SyncData()
}

// A sync that failed is not tried again, and nothing is promised any more.
func TestJournalSyncFailureIsFinal(t *testing.T) {
	live := newMemDisk(t)
	disk := &syncFault{FS: live}
	j := journalOn(t, disk)
	require.NoError(t, j.Write([]pbft.Record{put(4, 1, "durable")}, true))
	disk.fail.Store(true)
	err := j.Write([]pbft.Record{put(4, 2, "not")}, true)
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorContains(t, err, "look at the disk")
	disk.fail.Store(false)
	for range 2 {
		require.ErrorIs(t, j.Write([]pbft.Record{put(4, 2, "not")}, true), syscall.EIO)
		require.ErrorIs(t, j.Write(nil, true), syscall.EIO)
		require.ErrorIs(t, j.WriteHost([]HostRecord{{Key: HostKey{Kind: HostBorn}}}, false), ErrStore)
		_, err := j.Get(put(4, 1, "").Key)
		require.ErrorIs(t, err, ErrStore)
		require.ErrorIs(t, j.Load(nil, func(pbft.Record) error { return nil }), ErrStore)
	}
	select {
	case <-j.broken():
	default:
		t.Fatal("whoever watches the store does not hear of it")
	}
	_ = j.Close()
	require.Equal(t, int64(1), disk.tries.Load())
	live.ResetToSyncedState()
	j = journalOn(t, live)
	require.Equal(t, map[string]string{"block/1/-": "durable"}, everything(t, j))
}

// Whatever fails on the disk, at whatever moment, is an error, it stays one, and what was
// synced is there afterwards.
func TestJournalSurvivesEveryFault(t *testing.T) {
	faults, total := 0, int32(1)
	for at := int32(0); at < total; at += 1 + at/40 {
		live := newMemDisk(t)
		j := journalOn(t, live)
		require.NoError(t, j.Close())
		injector := errorfs.OnIndex(at)
		var calls atomic.Int32
		disk := errorfs.Wrap(live, errorfs.InjectorFunc(func(op errorfs.Op, path string) error {
			if op.OpKind() == errorfs.OpKindRead || op == errorfs.OpFileClose || !bytes.Contains([]byte(path), []byte(journalDir)) {
				return nil
			}
			calls.Add(1)
			return injector.MaybeError(op, path)
		}))
		synced := map[string]string{}
		j, err := openJournal(DiskStoreConfig{Dir: memStore, disk: disk, segment: smallSegment})
		for h := uint64(1); err == nil && h <= 40; h++ {
			r := put(4, h%12, fmt.Sprint(h, string(make([]byte, 4000))))
			if err = j.Write([]pbft.Record{r}, true); err == nil {
				synced[r.Key.String()] = string(r.Value)
			}
		}
		if j != nil {
			if err != nil {
				require.ErrorIs(t, j.Write(nil, true), ErrStore)
			}
			_ = j.Close()
		}
		if err != nil {
			faults++
			require.ErrorIs(t, err, ErrStore)
			require.ErrorIs(t, err, errorfs.ErrInjected)
		} else {
			total = max(total, calls.Load())
		}
		if at == 0 {
			total = 400
		}
		live.ResetToSyncedState()
		j = journalOn(t, live)
		got := everything(t, j)
		for k, v := range synced {
			if got[k] != v {
				// The write that failed may be there.
				require.Greater(t, len(got[k]), 4000, "fault %d: %s", at, k)
			}
		}
		require.NoError(t, j.Close())
	}
	require.Greater(t, faults, 40)
}

// When the disk is full in the middle of writes from several goroutines, all of them hear
// of it, and the store can be closed.
func TestJournalOnAFullDisk(t *testing.T) {
	var full atomic.Bool
	j := openTestJournal(t, DiskStoreConfig{Dir: memStore, segment: smallSegment, disk: errorfs.Wrap(newMemDisk(t),
		errorfs.InjectorFunc(func(op errorfs.Op, path string) error {
			if full.Load() && op == errorfs.OpFileWriteAt {
				return syscall.ENOSPC
			}
			return nil
		}))})
	var writers, progress sync.WaitGroup
	for w := range uint64(4) {
		progress.Add(1)
		writers.Go(func() {
			for i := uint64(0); ; i++ {
				if err := j.Write([]pbft.Record{put(4, w<<32|i%9, string(make([]byte, 4000)))}, w < 2); err != nil {
					if !errors.Is(err, ErrDiskFull) {
						t.Error(err)
					}
					return
				}
				if i == 30 {
					progress.Done()
				}
			}
		})
	}
	progress.Wait()
	full.Store(true)
	writers.Wait()
	require.ErrorIs(t, j.Write(nil, true), ErrDiskFull)
	_ = j.Close()
}

func TestJournalStopsBeforeTheDiskIsFull(t *testing.T) {
	free := uint64(1000)
	cfg := DiskStoreConfig{Dir: memStore, disk: newMemDisk(t), Reserve: 500, FreeSpace: func(string) (uint64, error) { return free, nil }}
	j := openTestJournal(t, cfg)
	require.NoError(t, j.Write([]pbft.Record{put(4, 1, "a")}, true))
	free = 499
	var full *DiskFullError
	require.ErrorAs(t, j.Write([]pbft.Record{put(4, 2, "b")}, true), &full)
	free = 1000
	require.ErrorIs(t, j.Write([]pbft.Record{put(4, 2, "b")}, true), ErrDiskFull, "final until a restart")
	require.NoError(t, j.Close())
	require.Equal(t, map[string]string{"block/1/-": "a"}, everything(t, openTestJournal(t, cfg)))
}

// Readers and writers at once, while segments are made and retired: what was synced is
// read, and a scan is in order.
func TestJournalUnderConcurrency(t *testing.T) {
	j := journalOn(t, newMemDisk(t))
	var synced atomic.Uint64
	var all sync.WaitGroup
	all.Go(func() {
		for h := uint64(1); h <= 400; h++ {
			records := []pbft.Record{put(4, h, fmt.Sprint(h, string(make([]byte, 3000))))}
			if h > 20 {
				records = append(records, pbft.Record{Key: put(4, h-20, "").Key, Delete: true})
			}
			if err := j.Write(records, true); err != nil {
				t.Error(err)
			}
			synced.Store(h)
		}
		synced.Store(1 << 40)
	})
	all.Go(func() {
		for h := pbft.Height(1); synced.Load() < 1<<40; h++ {
			if err := j.WriteHost([]HostRecord{{Key: HostKey{HostReplies, h % 50}, Value: make([]byte, 2000)}}, false); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		all.Go(func() {
			for h := uint64(0); h < 1<<40; h = synced.Load() {
				v, err := j.Get(put(4, h, "").Key)
				// The write that deletes it may be visible before it is counted.
				if err != nil || h > 0 && v == nil && synced.Load()+1 < h+20 {
					t.Error("read", h, err)
				}
				last := uint64(0)
				if err := j.Seek(4, 0, func(r pbft.Record) bool {
					if r.Key.Height <= last || !bytes.HasPrefix(r.Value, fmt.Append(nil, r.Key.Height)) {
						t.Error("seek", r.Key.Height, last)
					}
					last = r.Key.Height
					return true
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// Without a sync nothing is written until there is much of it, and an empty sync covers it.
func TestJournalGathersUnsyncedWrites(t *testing.T) {
	live := newMemDisk(t)
	var writes, syncs atomic.Int64
	disk := errorfs.Wrap(live, errorfs.InjectorFunc(func(op errorfs.Op, path string) error {
		if op == errorfs.OpFileWriteAt {
			writes.Add(1)
		}
		return nil
	}))
	counted := &syncCounter{FS: disk, syncs: &syncs}
	j := openTestJournal(t, DiskStoreConfig{Dir: memStore, disk: counted})
	began, synced := writes.Load(), syncs.Load()
	for i := range uint64(10) {
		require.NoError(t, j.Write([]pbft.Record{put(4, i, string(make([]byte, 1000)))}, false))
	}
	require.Equal(t, began, writes.Load())
	require.NoError(t, j.Write(nil, true))
	require.Equal(t, began+1, writes.Load())
	require.Equal(t, synced+1, syncs.Load())
	require.NoError(t, j.Write(nil, true))
	require.Equal(t, synced+1, syncs.Load(), "synced already")
	require.NoError(t, j.Write([]pbft.Record{put(4, 1, string(make([]byte, 2*maxPending)))}, false))
	require.Greater(t, writes.Load(), began+1)
	require.Equal(t, synced+1, syncs.Load())
	require.NoError(t, j.Write(nil, true))
	require.Equal(t, synced+2, syncs.Load(), "what was written without")
	live.ResetToSyncedState()
	j = openTestJournal(t, DiskStoreConfig{Dir: memStore, disk: copyDisk(t, live)})
	require.Len(t, everything(t, j), 10)
}

type syncCounter struct {
	vfs.FS
	syncs *atomic.Int64
}

func (d *syncCounter) Create(name string) (vfs.File, error) {
	f, err := d.FS.Create(name)
	if err != nil || filepath.Ext(name) != segmentSuffix {
		return f, err
	}
	return &syncCounterFile{f, d.syncs}, nil
}

type syncCounterFile struct {
	vfs.File
	syncs *atomic.Int64
}

func (f *syncCounterFile) SyncData() error {
	f.syncs.Add(1)
	return f.File.SyncData()
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := change{
			key:    rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(rt, "key"),
			value:  rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "value"),
			delete: rapid.Bool().Draw(rt, "delete"),
		}
		seed := rapid.Uint32().Draw(rt, "seed")
		b := appendRecord(nil, seed, c)
		got, size, fault := parseRecord(append(bytes.Clone(b), 1, 2, 3), seed)
		require.Empty(t, fault)
		require.Equal(t, len(b), size)
		require.True(t, bytes.Equal(c.key, got.key))
		require.Equal(t, c.delete, got.delete)
		if !c.delete {
			require.True(t, bytes.Equal(c.value, got.value))
		}
		_, _, fault = parseRecord(b, seed+1)
		require.NotEmpty(t, fault, "a record of another use of the file")
		bit := rapid.IntRange(0, 8*len(b)-1).Draw(rt, "bit")
		b[bit/8] ^= 1 << (bit % 8)
		_, _, fault = parseRecord(b, seed)
		require.NotEmpty(t, fault)
	})
}

func TestHeadsNoticeEveryFlippedBit(t *testing.T) {
	h := newSegmentHead(3, 77)
	b := h.encode()
	var got segmentHead
	require.True(t, got.decode(b))
	require.Equal(t, h, got)
	for bit := range 8 * (len(journalMagic) + 3*8 + 4) {
		b[bit/8] ^= 1 << (bit % 8)
		require.False(t, got.decode(b), "bit %d", bit)
		b[bit/8] ^= 1 << (bit % 8)
	}
	f := frameHeader{length: 9, number: 8, durable: 7}
	b = make([]byte, frameHead)
	f.encode(b, h.nonce)
	var read frameHeader
	require.True(t, read.decode(b, h.nonce))
	require.Equal(t, f, read)
	require.False(t, read.decode(b, h.nonce+1), "a frame of another use of the file")
	for bit := range 8 * frameHead {
		b[bit/8] ^= 1 << (bit % 8)
		require.False(t, read.decode(b, h.nonce), "bit %d", bit)
		b[bit/8] ^= 1 << (bit % 8)
	}
}

func FuzzReadFrames(f *testing.F) {
	disk, _ := crashedJournal(f)
	for _, path := range segmentsOn(f, disk)[:2] {
		f.Add(readAll(f, disk, path)[:3*journalPage])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h segmentHead
		if !h.decode(b) || h.first == 0 {
			return
		}
		size := int64(len(b))
		number, end, err := readFrames(bytes.NewReader(b), size, h, h.first+10, func(at int64, c change, n int) {
			got, size, fault := parseRecord(b[at:], h.seed)
			require.Empty(t, fault)
			require.Equal(t, n, size)
			require.Equal(t, c, got)
		})
		require.NoError(t, err)
		require.True(t, number >= h.first-1 && end <= size || end == journalPage)
		_, err = laterFrames(bytes.NewReader(b), size, min(end, size), h)
		require.NoError(t, err)
	})
}
