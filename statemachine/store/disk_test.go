package store

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/cockroachdb/pebble/vfs/errorfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// onDisk is a store on the files of a disk in memory, which tests can cut off.
func onDisk(keep uint64, files vfs.FS) Config {
	c := memory(keep)
	c.Dir, c.FlushBytes = "state", 4<<10
	inUse := new(int)
	c.disks = func(cfg Config, broken func(error)) (disks, error) {
		return &fakeFolder{files: files, cfg: cfg, broken: broken, inUse: inUse}, nil
	}
	return c
}

// fakeFolder is a folder on such a disk. The one in use is noted beside it.
type fakeFolder struct {
	files  vfs.FS
	cfg    Config
	broken func(error)
	inUse  *int
	next   int
}

func (f *fakeFolder) open(dir string) (database, error) {
	return openPebble(dir, &f.cfg, f.files, f.broken)
}
func (f *fakeFolder) current() (database, error) { return f.open(fmt.Sprint("db", *f.inUse)) }
func (f *fakeFolder) again() (database, error)   { return f.current() }
func (f *fakeFolder) fresh() (database, error) {
	f.next = *f.inUse + 1
	if err := f.files.RemoveAll(fmt.Sprint("db", f.next)); err != nil {
		return nil, err
	}
	return f.open(fmt.Sprint("db", f.next))
}
func (f *fakeFolder) scratch() (database, error) {
	if err := f.files.RemoveAll("scratch"); err != nil {
		return nil, err
	}
	return f.open("scratch")
}
func (f *fakeFolder) adopt() error { *f.inUse = f.next; return nil }
func (f *fakeFolder) drop() error  { return f.files.RemoveAll("scratch") }
func (f *fakeFolder) close() error { return nil }

func TestModelOnDisk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runModel(t, func() *Store { return open(t, onDisk(4, vfs.NewMem())) }, 4)
	})
}

// A crash leaves the state after one whole block, the one that Durable said or a later
// one, with its history and its proofs.
func TestCrash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		disk := vfs.NewStrictMem()
		s := open(t, onDisk(3, disk))
		var states []model
		now := model{}
		for range rapid.IntRange(1, 4).Draw(t, "lives") {
			oldest, last := s.Heights()
			for h := oldest; h < last && len(states) > 0; h++ {
				v, err := s.At(h)
				require.NoError(t, err)
				require.Equal(t, states[h].seq(nil, nil, false), entries(v.Range(nil, nil)), "height %d", h)
			}
			blocks := rapid.IntRange(0, 12).Draw(t, "blocks")
			for range blocks {
				for range rapid.IntRange(0, 8).Draw(t, "ops") {
					k, v := drawKey.Draw(t, "key"), rapid.StringN(0, 300, 300).Draw(t, "value")
					if rapid.IntRange(0, 3).Draw(t, "what") == 0 {
						s.Block().Delete([]byte(k))
						delete(now, k)
					} else {
						s.Block().Set([]byte(k), []byte(v))
						now[k] = v
					}
				}
				height := uint64(len(states))
				require.NoError(t, s.Commit(height))
				copied := model{}
				for k, v := range now {
					copied[k] = v
				}
				states = append(states, copied)
				if rapid.IntRange(0, 9).Draw(t, "flush") == 0 {
					require.NoError(t, s.Flush())
				}
			}
			durable := s.Durable()
			// What was not synced is gone; closing must not add to it.
			disk.SetIgnoreSyncs(true)
			require.NoError(t, s.Close())
			disk.ResetToSyncedState()
			disk.SetIgnoreSyncs(false)

			s = open(t, onDisk(3, disk))
			_, last = s.Heights()
			require.GreaterOrEqual(t, last, durable)
			require.LessOrEqual(t, last, uint64(max(len(states), 1)-1))
			require.Equal(t, last, s.Durable())
			if len(states) == 0 {
				continue
			}
			if s.isNew() && !s.begun {
				states, now = nil, model{}
				continue
			}
			states = states[:last+1]
			now = model{}
			for k, v := range states[last] {
				now[k] = v
			}
			d, err := s.Digest()
			require.NoError(t, err)
			require.Equal(t, digestOf(t, now), d)
			v, err := s.Last()
			require.NoError(t, err)
			require.Equal(t, now.seq(nil, nil, false), entries(v.Range(nil, nil)))
			p, err := v.Prove([]byte("a"))
			require.NoError(t, err)
			require.NoError(t, p.Verify(d, []byte("a")))
		}
		require.NoError(t, s.Close())
	})
}

// count counts the keys of a space in the database.
func count(t require.TestingT, s *Store, space byte) (n int) {
	it, err := s.db.iterate([]byte{space}, []byte{space + 1}, false)
	require.NoError(t, err)
	for ; it.valid(); it.next() {
		n++
	}
	require.NoError(t, it.close())
	return n
}

// What the database holds is bounded by the state and by what the kept heights changed.
func TestPruningIsComplete(t *testing.T) {
	for _, flush := range []int64{1 << 10, 64 << 10, 32 << 20} {
		c := memory(2)
		c.FlushBytes = flush
		s := open(t, c)
		key := func(i int) []byte { return fmt.Append(nil, "key ", i%500) }
		for h := range 200 {
			for i := range 50 {
				if i%5 == 0 {
					s.Block().Delete(key(h*31 + i))
				} else {
					s.Block().Set(key(h*31+i), fmt.Append(nil, "value ", h, i))
				}
			}
			require.NoError(t, s.Commit(uint64(h)))
			if h%3 == 0 {
				_, err := s.Digest()
				require.NoError(t, err)
			}
		}
		// Blocks that change nothing let go of all but the state itself.
		for h := range uint64(3) {
			require.NoError(t, s.Commit(200+h))
		}
		require.NoError(t, s.Flush())
		for h := range uint64(3) {
			require.NoError(t, s.Commit(203+h))
		}
		require.NoError(t, s.Flush())
		fresh := open(t, memory(0))
		v, err := s.Last()
		require.NoError(t, err)
		for k, val := range v.Range(nil, nil) {
			fresh.Block().Set(k, val)
		}
		require.NoError(t, fresh.Commit(1))
		require.NoError(t, fresh.Flush())
		for _, space := range []byte{spaceLast, spaceHistory, spaceJournal, spaceNodes} {
			require.Equal(t, count(t, fresh, space), count(t, s, space), "space %c, flushed at %d bytes", space, flush)
		}
	}
}

func snapshotOf(t require.TestingT, s *Store) []byte {
	snap, err := s.Snapshot()
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = snap.WriteTo(&b)
	require.NoError(t, err)
	require.NoError(t, snap.Close())
	return b.Bytes()
}

// A store that has been at a snapshot's state returns to it, and goes on from there as
// if nothing had happened.
func TestRestoreReturns(t *testing.T) {
	for _, lives := range []int{1, 2} {
		disk := vfs.NewMem()
		c := onDisk(2, disk)
		s := open(t, c)
		block := func(s *Store, h uint64) {
			for i := range 20 {
				s.Block().Set(fmt.Append(nil, "k", (int(h)*7+i)%60), fmt.Append(nil, h, i))
			}
			s.Block().Delete(fmt.Append(nil, "k", h%60))
			require.NoError(t, s.Commit(h))
		}
		h := uint64(1)
		for ; h < 20; h++ {
			block(s, h)
		}
		snap := snapshotOf(t, s)
		for ; h < 60; h++ {
			block(s, h)
		}
		want, err := s.Digest()
		require.NoError(t, err)
		if lives == 2 {
			require.NoError(t, s.Close())
			s = open(t, c)
		}
		old, err := s.Last()
		require.NoError(t, err)
		require.NoError(t, s.Restore(io.MultiReader(bytes.NewReader(snap))))
		require.ErrorIs(t, Catch(func() { old.Get([]byte("k1")) }), ErrPruned)
		_, last := s.Heights()
		require.Equal(t, uint64(19), last, "it did not return")
		require.Equal(t, snap, snapshotOf(t, s))
		for h := uint64(20); h < 60; h++ {
			block(s, h)
		}
		got, err := s.Digest()
		require.NoError(t, err)
		require.Equal(t, want, got)
		// A state that it never had is loaded.
		other := open(t, memory(0))
		other.Block().Set([]byte("x"), []byte("y"))
		require.NoError(t, other.Commit(7))
		require.NoError(t, s.Restore(bytes.NewReader(snapshotOf(t, other))))
		s.SetHeight(7)
		v, err := s.At(7)
		require.NoError(t, err)
		require.Equal(t, []string{"x=y"}, entries(v.Range(nil, nil)))
		require.NoError(t, s.Commit(8))
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		_, err = s.Last()
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, s.Commit(9), ErrClosed)
		require.ErrorIs(t, Catch(func() { v.Get([]byte("x")) }), ErrClosed)
	}
}

func TestConformanceOnDisk(t *testing.T) {
	var all []*Store
	statetest.Run(t, statetest.Factory{
		New: func() statemachine.StateMachine {
			m, _ := newToy(t, onDisk(3, vfs.NewMem()))
			all = append(all, m.store)
			return m
		},
		Gen: genToy, Seeds: 1,
	})
	for _, s := range all {
		require.NoError(t, s.Close())
	}
}

// The real folder: what a crash leaves there is swept, and the state that is in use is
// the one that CURRENT names.
func TestFolder(t *testing.T) {
	c := memory(2)
	c.Dir = filepath.Join(t.TempDir(), "state")
	s := open(t, c)
	s.Block().Set([]byte("a"), []byte("b"))
	require.NoError(t, s.Commit(1))
	snap := snapshotOf(t, s)
	require.NoError(t, s.Close())
	require.NoError(t, os.MkdirAll(filepath.Join(c.Dir, "2", "state.db"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(c.Dir, scratchDir), 0o700))

	s = open(t, c)
	_, last := s.Heights()
	require.Equal(t, uint64(1), last)
	s.Block().Set([]byte("c"), []byte("d"))
	require.NoError(t, s.Commit(2))
	other := open(t, memory(2))
	other.Block().Set([]byte("e"), []byte("f"))
	require.NoError(t, other.Commit(1))
	require.NoError(t, s.Restore(bytes.NewReader(snapshotOf(t, other))))
	s.SetHeight(5)
	require.NoError(t, s.Flush())
	require.NoError(t, s.Close())
	names, err := os.ReadDir(c.Dir)
	require.NoError(t, err)
	require.Len(t, names, 3, "the one in use, CURRENT and LOCK")

	s = open(t, c)
	v, err := s.At(5)
	require.NoError(t, err)
	require.Equal(t, []string{"e=f"}, entries(v.Range(nil, nil)))
	require.NoError(t, s.Restore(bytes.NewReader(snap)))
	require.NoError(t, s.Close())

	// A file of the database that is gone is damage, whatever the database makes of it.
	for _, name := range []string{"CURRENT", "MANIFEST-*"} {
		gone, err := filepath.Glob(filepath.Join(c.Dir, "*", "state.db", name))
		require.NoError(t, err)
		require.Len(t, gone, 1)
		was, err := os.ReadFile(gone[0])
		require.NoError(t, err)
		require.NoError(t, os.Remove(gone[0]))
		_, err = Open(t.Context(), c)
		require.ErrorIs(t, err, ErrCorrupt)
		require.NotErrorIs(t, err, fs.ErrNotExist)
		require.ErrorContains(t, err, "files of the database are damaged")
		require.NoError(t, os.WriteFile(gone[0], was, 0o600))
	}

	require.NoError(t, os.WriteFile(filepath.Join(c.Dir, currentFile), []byte("no number"), 0o600))
	_, err = Open(t.Context(), c)
	require.ErrorIs(t, err, ErrCorrupt)
}

// A disk that is full is named as the cause, also where the database only puts it into
// words: it is no damage, and there is nothing to heal.
func TestFullDisk(t *testing.T) {
	var full atomic.Bool
	disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op, _ string) error {
		if full.Load() && op == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	}))
	s := open(t, onDisk(2, disk))
	full.Store(true)
	var err error
	for h := uint64(1); err == nil; h++ {
		s.Block().Set(fmt.Append(nil, "k", h), make([]byte, 1<<10))
		err = s.Commit(h)
	}
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NotErrorIs(t, err, ErrCorrupt)
	_ = s.Close() // it has nowhere to write to
}

func restore(s *Store, b []byte) error { return s.Restore(bytes.NewReader(b)) }

// A replica's life on a disk: it is killed again and again, and begins with its newest
// snapshot or, without one, with the first block. It always comes to the same state.
func TestMachineRestarts(t *testing.T) {
	c := onDisk(2, vfs.NewMem())
	ops := func(h uint64) []string {
		return []string{fmt.Sprintf("s%c%d", 'a'+h%12, h), fmt.Sprintf("d%c", 'a'+(h*5)%12), "ga"}
	}
	digests := map[uint64]string{}
	reference, _ := newToy(t, memory(0))
	digests[0] = reference.Digest().Hex()
	for h := uint64(1); h < 100; h++ {
		run(reference, h, ops(h)...)
		digests[h] = reference.Digest().Hex()
	}
	var snap []byte
	at := uint64(0)
	for _, life := range []struct{ to, snapshot uint64 }{{7, 0}, {20, 15}, {40, 30}, {33, 0}, {60, 60}, {61, 0}, {99, 0}} {
		m, _ := newToy(t, c)
		h := uint64(0)
		if snap != nil {
			_, last := m.store.Heights()
			require.NoError(t, m.Restore(bytes.NewReader(snap)))
			m.Restored(at)
			h = at
			require.GreaterOrEqual(t, last, at)
			oldest, _ := m.store.Heights()
			require.LessOrEqual(t, oldest, at)
		}
		require.Equal(t, digests[h], m.Digest().Hex())
		for h++; h <= life.to; h++ {
			run(m, h, ops(h)...)
			if h%4 == 0 || h == life.to {
				require.Equal(t, digests[h], m.Digest().Hex(), "height %d", h)
			}
			if h == life.snapshot {
				snap, at = snapshotOf(t, m.store), h
			}
		}
		require.NoError(t, m.store.Close())
	}
}

// A state that was there at several heights is restored at the right one.
func TestRestoreOfARepeatedState(t *testing.T) {
	filled := func(c Config) *Store { // the state of 1, 3, 5 and 7 is one
		s := open(t, c)
		for h := uint64(0); h < 8; h++ {
			s.Block().Set([]byte("k"), []byte{byte(h % 2)})
			require.NoError(t, s.Commit(h))
			_, err := s.Digest()
			require.NoError(t, err)
		}
		return s
	}
	snap := snapshotOf(t, filled(memory(10)))
	for name, config := range map[string]func() Config{
		"memory": func() Config { return memory(10) },
		"disk":   func() Config { return onDisk(10, vfs.NewMem()) },
	} {
		for _, height := range []uint64{5, 7, 1} {
			s := filled(config())
			require.NoError(t, restore(s, snap))
			if height != 5 {
				s.SetHeight(height)
				v, err := s.At(height)
				require.NoError(t, err)
				require.Equal(t, []string{"k=\x01"}, entries(v.Range(nil, nil)))
				_, err = v.Prove([]byte("k"))
				require.NoError(t, err)
			}
			require.NoError(t, s.Commit(height+1), name)
			require.NoError(t, s.Close())
		}
	}
}
