package replica

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

func put(kind pbft.RecordKind, h uint64, value string) pbft.Record {
	return pbft.Record{Key: pbft.RecordKey{Kind: kind, Height: h}, Value: []byte(value)}
}

func contents(t *testing.T, s Store) map[string]string {
	m := map[string]string{}
	var last []byte
	require.NoError(t, s.Load(nil, func(r pbft.Record) error {
		key := r.Key.Append(nil)
		require.Less(t, string(last), string(key), "in ascending order")
		last = key
		m[r.Key.String()] = string(r.Value)
		return nil
	}))
	return m
}

func openTestStore(t *testing.T, dir string, cfg DiskStoreConfig) *diskStore {
	cfg.Dir = dir
	require.NoError(t, makeDirs(dir))
	s, err := openDiskStore(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Both stores behave alike.
func TestStores(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "store")
	for name, open := range map[string]func() Store{
		"disk":   func() Store { return openTestStore(t, dir, DiskStoreConfig{}) },
		"memory": func() Store { return NewMemoryStore() },
		"journal": func() Store {
			return openTestJournal(t, DiskStoreConfig{Dir: memStore, disk: newMemDisk(t)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open()
			require.NoError(t, s.Write([]pbft.Record{put(4, 1, "a"), put(4, 2, "b"), put(6, 1, ""), put(4, 300, "c")}, true))
			require.NoError(t, s.Write([]pbft.Record{put(4, 2, "b2"), {Key: pbft.RecordKey{Kind: 4, Height: 1}, Delete: true}}, false))
			require.Equal(t, map[string]string{"block/2/-": "b2", "block/300/-": "c", "commit/1/-": ""}, contents(t, s))
			v, err := s.Get(pbft.RecordKey{Kind: 4, Height: 2})
			require.NoError(t, err)
			require.Equal(t, "b2", string(v))
			v, err = s.Get(pbft.RecordKey{Kind: 6, Height: 1})
			require.NoError(t, err)
			require.NotNil(t, v, "an empty value is a value")
			v, err = s.Get(pbft.RecordKey{Kind: 6, Height: 2})
			require.NoError(t, err)
			require.Nil(t, v)

			var heights []uint64
			require.NoError(t, s.Seek(4, 3, func(r pbft.Record) bool { heights = append(heights, r.Key.Height); return true }))
			require.Equal(t, []uint64{300}, heights, "Seek stays within its kind")

			require.NoError(t, s.WriteHost([]HostRecord{
				{Key: HostKey{HostReplies, 7}, Value: []byte("x")}, {Key: HostKey{HostReplies, 8}, Value: []byte("y")},
				{Key: HostKey{HostReplies, 9}, Value: []byte("z")}, {Key: HostKey{HostLeaves, 8}, Value: []byte("l")},
			}, true))
			require.NoError(t, s.WriteHost([]HostRecord{{Key: HostKey{HostReplies, 8}, Delete: true}}, true))
			got := ""
			require.NoError(t, s.ScanHost(HostReplies, 7, 10, func(k HostKey, v []byte) error { got += string(v); return nil }))
			require.Equal(t, "xz", got)
			require.Len(t, contents(t, s), 3, "the two namespaces do not mix")
			require.NoError(t, s.Write(nil, true))
		})
	}
}

func TestDiskStoreSurvivesReopening(t *testing.T) {
	for name, open := range openers {
		t.Run(name, func(t *testing.T) {
			cfg := DiskStoreConfig{Dir: filepath.Join(t.TempDir(), "store")}
			require.NoError(t, makeDirs(cfg.Dir))
			s, err := open(cfg)
			require.NoError(t, err)
			require.NoError(t, s.Write([]pbft.Record{put(4, 1, "a")}, true))
			require.NoError(t, s.Close())
			require.ErrorIs(t, s.Write(nil, true), ErrStore, "a closed store")
			_, err = s.Get(put(4, 1, "").Key)
			require.ErrorIs(t, err, ErrStore)
			s, err = open(cfg)
			require.NoError(t, err)
			require.Equal(t, map[string]string{"block/1/-": "a"}, contents(t, s))
			require.NoError(t, s.Close())
		})
	}
}

// A sync with nothing to write must reach the disk if something is unsynced.
func TestEmptySyncIsASync(t *testing.T) {
	s := openTestStore(t, filepath.Join(t.TempDir(), "store"), DiskStoreConfig{})
	synced := func() uint64 {
		v, err := s.GetHost(HostKey{Kind: hostSync})
		require.NoError(t, err)
		n, _ := parseWALMark(v)
		return n
	}
	require.NoError(t, s.Write(nil, true))
	require.Zero(t, synced(), "nothing to sync")
	require.NoError(t, s.Write([]pbft.Record{put(4, 1, "a")}, true))
	require.NoError(t, s.Write(nil, true))
	require.Equal(t, uint64(1), synced(), "synced already")
	require.NoError(t, s.Write([]pbft.Record{put(4, 1, "a")}, false))
	require.NoError(t, s.Write(nil, true))
	require.Equal(t, uint64(2), synced())
}

// A store whose memory forgets what was not synced equals the model that keeps
// the state as of the last sync.
func TestMemoryStoreForgetsWhatWasNotSynced(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := NewMemoryStore()
		model, durable := map[string]string{}, map[string]string{}
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			if rapid.IntRange(0, 9).Draw(rt, "crash") == 0 {
				s.Crash()
				model = map[string]string{}
				for k, v := range durable {
					model[k] = v
				}
			}
			r := put(4, rapid.Uint64Range(1, 5).Draw(rt, "key"), rapid.StringN(0, 3, 3).Draw(rt, "value"))
			r.Delete = rapid.Bool().Draw(rt, "delete")
			sync := rapid.Bool().Draw(rt, "sync")
			require.NoError(t, s.Write([]pbft.Record{r}, sync))
			if delete(model, r.Key.String()); !r.Delete {
				model[r.Key.String()] = string(r.Value)
			}
			if sync {
				durable = map[string]string{}
				for k, v := range model {
					durable[k] = v
				}
			}
			require.Equal(t, model, contents(t, s))
		}
	})
}

func TestStoreNoticesCorruptAndMisdirectedValues(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := openTestStore(t, dir, DiskStoreConfig{})
	require.NoError(t, s.Write([]pbft.Record{put(4, 1, "one"), put(4, 2, "two")}, true))
	a, b := recordKey(put(4, 1, "").Key), recordKey(put(4, 2, "").Key)
	wrong, err := s.db.Get(b)
	require.NoError(t, err)
	require.NoError(t, s.db.SetSync(a, wrong)) // the disk wrote block 2 where 1 was
	_, err = s.Get(put(4, 1, "").Key)
	var corrupt *CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.ErrorContains(t, err, "block/1/-")
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, "another key")
	require.ErrorIs(t, s.Write(nil, true), ErrCorrupt, "a store that failed stays so")

	m := NewMemoryStore()
	require.NoError(t, m.Write([]pbft.Record{put(4, 1, "one")}, true))
	require.True(t, m.Flip(put(4, 1, "").Key))
	require.ErrorIs(t, m.Load(nil, func(pbft.Record) error { return nil }), ErrCorrupt)
}

func TestSealFindsEveryFlippedBit(t *testing.T) {
	key, value := []byte("key"), []byte("some value")
	good := seal(key, value)
	v, fault := unseal(key, good)
	require.Empty(t, fault)
	require.Equal(t, value, v)
	for i := range good {
		for bit := range 8 {
			bad := append([]byte(nil), good...)
			bad[i] ^= 1 << bit
			_, fault := unseal(key, bad)
			require.NotEmpty(t, fault, "byte %d bit %d", i, bit)
		}
	}
	for n := range good {
		_, fault := unseal(key, good[:n])
		require.NotEmpty(t, fault, "cut to %d", n)
	}
}

func FuzzUnseal(f *testing.F) {
	f.Add([]byte("k"), seal([]byte("k"), []byte("v")))
	f.Fuzz(func(t *testing.T, key, b []byte) {
		if len(key) > 255 {
			return
		}
		if v, fault := unseal(key, b); fault == "" {
			require.Equal(t, b, seal(key, v))
		}
	})
}

func TestStoreStopsBeforeTheDiskIsFull(t *testing.T) {
	free := uint64(1000)
	dir := filepath.Join(t.TempDir(), "store")
	s := openTestStore(t, dir, DiskStoreConfig{Reserve: 500, FreeSpace: func(string) (uint64, error) { return free, nil }})
	require.NoError(t, s.Write([]pbft.Record{put(4, 1, "a")}, true))
	free = 499
	err := s.Write([]pbft.Record{put(4, 2, "b")}, true)
	var full *DiskFullError
	require.ErrorAs(t, err, &full)
	require.ErrorContains(t, err, "free some space")
	free = 1000
	require.ErrorIs(t, s.Write([]pbft.Record{put(4, 2, "b")}, true), ErrDiskFull, "final until a restart")
	require.NoError(t, s.Close())
	s = openTestStore(t, dir, DiskStoreConfig{})
	require.Equal(t, map[string]string{"block/1/-": "a"}, contents(t, s))
}

func TestStoreFailureIsFinal(t *testing.T) {
	s := NewMemoryStore()
	eio := errors.New("input/output error")
	n := 0
	s.Fault(func(op string) error {
		if op == "sync" {
			if n++; n == 1 {
				return eio
			}
		}
		return nil
	})
	require.ErrorIs(t, s.Write([]pbft.Record{put(4, 1, "a")}, true), eio)
	require.ErrorIs(t, s.Write([]pbft.Record{put(4, 1, "a")}, true), eio, "a failed sync is not tried again")
	s.Crash()
	s.Fault(nil)
	require.Empty(t, contents(t, s))

	require.ErrorIs(t, storeFailure("write", "x", syscall.ENOSPC), ErrDiskFull)
	require.ErrorIs(t, storeFailure("write", "x", syscall.ENOSPC), syscall.ENOSPC)
}

func identityFor(b byte) Identity {
	return Identity{Cluster: crypto.Hash("c", []byte{b}), Epoch: 1, Replica: 2, Signing: crypto.PublicKey{1, 2, 3}}
}

func TestDataDirIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	id := identityFor(1)
	require.NoError(t, InitDataDir(dir, id))
	require.ErrorIs(t, InitDataDir(dir, id), os.ErrExist)

	for field, change := range map[string]func(*Identity){
		"cluster":     func(i *Identity) { i.Cluster = crypto.Hash("other") },
		"replica":     func(i *Identity) { i.Replica = 3 },
		"epoch":       func(i *Identity) { i.Epoch = 2 },
		"signing key": func(i *Identity) { i.Signing[0] = 9 },
	} {
		other := id
		change(&other)
		_, err := openDataDir(dir, other, DiskStoreConfig{})
		var wrong *IdentityError
		require.ErrorAs(t, err, &wrong, field)
		require.Equal(t, field, wrong.Field)
		require.ErrorContains(t, err, wrong.Have)
		require.ErrorContains(t, err, wrong.Want)
		require.NotEmpty(t, wrong.Remedy)
	}

	d, err := openDataDir(dir, id, DiskStoreConfig{})
	require.NoError(t, err)
	require.False(t, d.follower, "the first start of a new replica")
	_, err = openDataDir(dir, id, DiskStoreConfig{})
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, d.close())
	d, err = openDataDir(dir, id, DiskStoreConfig{})
	require.NoError(t, err)
	require.False(t, d.follower, "it has its log")
	require.NoError(t, d.close())

	require.NoError(t, os.Remove(filepath.Join(dir, identityFile)))
	_, err = openDataDir(dir, id, DiskStoreConfig{})
	require.ErrorIs(t, err, ErrCorrupt, "whose log this is nobody knows")
	require.ErrorContains(t, err, identityFile)

	require.NoError(t, os.WriteFile(filepath.Join(dir, identityFile), []byte(`{"format": 99, "new": 1}`), 0o600))
	_, err = openDataDir(dir, id, DiskStoreConfig{})
	require.ErrorIs(t, err, ErrIdentity)
	require.ErrorContains(t, err, "99")
	require.NoError(t, os.WriteFile(filepath.Join(dir, identityFile), []byte(`{"format`), 0o600))
	_, err = openDataDir(dir, id, DiskStoreConfig{})
	require.ErrorIs(t, err, ErrCorrupt)
}

// A log that is lost, in part or with the whole folder, makes a follower, and
// whatever interrupts that start does not make a voter of it.
func TestLostLogMakesAFollower(t *testing.T) {
	for name, lose := range map[string]func(dir string) error{
		"store":  func(dir string) error { return os.RemoveAll(filepath.Join(dir, storeDir)) },
		"folder": os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			id := identityFor(1)
			require.NoError(t, InitDataDir(dir, id))
			d, err := openDataDir(dir, id, DiskStoreConfig{})
			require.NoError(t, err)
			require.NoError(t, d.close())
			require.NoError(t, lose(dir))
			for range 2 {
				d, err = openDataDir(dir, id, DiskStoreConfig{})
				require.NoError(t, err)
				require.True(t, d.follower)
				require.NotEmpty(t, d.reason)
				require.NoError(t, d.close())
			}
			d, err = openDataDir(dir, id, DiskStoreConfig{})
			require.NoError(t, err)
			w := &logWriter{store: d.store, born: BornFollower, metrics: newMetrics(), now: testNow}
			require.NoError(t, w.write([]*Batch{{
				Seq: 1, Records: []pbft.Record{put(pbft.RecordRejoin, 0, "x")}, Durable: []pbft.Envelope{{}},
			}}))
			require.NoError(t, d.close())
			d, err = openDataDir(dir, id, DiskStoreConfig{})
			require.NoError(t, err)
			require.False(t, d.follower, "the core's own record says it now")
			require.NoError(t, d.close())
		})
	}
}

// A crash between "the store was started" and "the mark in IDENTITY is cleared"
// leaves a replica that may vote: it has signed nothing.
func TestInterruptedFirstStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	id := identityFor(1)
	require.NoError(t, InitDataDir(dir, id))
	mark, err := os.ReadFile(filepath.Join(dir, identityFile))
	require.NoError(t, err)
	d, err := openDataDir(dir, id, DiskStoreConfig{})
	require.NoError(t, err)
	require.NoError(t, d.close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, identityFile), mark, 0o600))
	d, err = openDataDir(dir, id, DiskStoreConfig{})
	require.NoError(t, err)
	require.False(t, d.follower)
	require.NoError(t, d.close())
	got, err := readIdentity(dir)
	require.NoError(t, err)
	require.False(t, got.NeverStarted)
}

const killedStore = "PARLEY_TEST_KILLED_STORE"

// A process that is killed loses nothing that it synced.
func TestStoreAfterKill(t *testing.T) {
	if dir := os.Getenv(killedStore); dir != "" {
		s, err := openJournal(DiskStoreConfig{Dir: dir})
		if err != nil {
			os.Exit(3)
		}
		for i := uint64(1); ; i++ {
			if err := s.Write([]pbft.Record{put(4, i, "value")}, true); err != nil {
				os.Exit(4)
			}
			if _, err := os.Stdout.Write([]byte{'.'}); err != nil {
				os.Exit(5)
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "store")
	require.NoError(t, makeDirs(dir))
	cmd := exec.Command(os.Args[0], "-test.run", "^TestStoreAfterKill$")
	cmd.Env = append(os.Environ(), killedStore+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	synced, buf := 0, make([]byte, 16)
	for synced < 40 {
		n, err := out.Read(buf)
		require.NoError(t, err)
		synced += n
	}
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	s := openTestJournal(t, DiskStoreConfig{Dir: dir})
	require.GreaterOrEqual(t, len(contents(t, s)), synced)
}
