package replica

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/cockroachdb/pebble/vfs/errorfs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// fullStore names a folder to a process that fills its disk.
const fullStore = "PARLEY_TEST_FULL_STORE"

// When the disk is full in the middle of writes from several goroutines, all of
// them hear of it, and the store can be closed. In a process of its own, because
// the database leaves goroutines behind.
func TestFullDiskHoldsNobodyUp(t *testing.T) {
	dir := os.Getenv(fullStore)
	if dir == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestFullDiskHoldsNobodyUp$", "-test.timeout", "1m")
		cmd.Env = append(os.Environ(), fullStore+"="+t.TempDir())
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	for i := range 8 {
		s := fillDisk(t, filepath.Join(dir, strconv.Itoa(i)))
		require.ErrorIs(t, s.Write(nil, true), ErrDiskFull)
		_, err := s.Get(pbft.RecordKey{Kind: 4})
		require.ErrorIs(t, err, ErrDiskFull)
		if i == 7 {
			_ = s.Close()
		}
	}
	if !t.Failed() {
		os.Exit(0)
	}
}

// manifestFault names a folder to a process in which the database cannot write its
// list of files, in a goroutine of its own.
const manifestFault = "PARLEY_TEST_MANIFEST_FAULT"

// Where the database gives up in its own goroutine the process does not end with a
// stack trace: the server says what is wrong, and can be stopped.
func TestDatabaseThatGivesUpStopsTheServer(t *testing.T) {
	notShort(t)
	dir := os.Getenv(manifestFault)
	if dir == "" {
		for _, cause := range []string{"full", "broken"} {
			tmp := t.TempDir() // the process ends without removing its own
			cmd := exec.Command(os.Args[0], "-test.run", "^TestDatabaseThatGivesUpStopsTheServer$", "-test.timeout", "1m")
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp, manifestFault+"="+filepath.Join(tmp, cause))
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.NotContains(t, string(out), "goroutine ")
			require.Contains(t, string(out), "level=ERROR")
		}
		return
	}
	errno, remedy := syscall.ENOSPC, "free some space and start again"
	if filepath.Base(dir) == "broken" {
		errno, remedy = syscall.EIO, "look at the disk and at the permissions of the folder, then start again"
	}
	var fault atomic.Bool
	c := newTestCluster(t, 1, func(_ int, cfg *Config) {
		cfg.DataDir = filepath.Join(dir, "data")
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
		cfg.disk = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op, path string) error {
			if fault.Load() && op == errorfs.OpFileWrite && strings.Contains(path, "MANIFEST") {
				return errno
			}
			return nil
		}))
	})
	id, err := IdentityOf(c.roster, c.keys[0].Public())
	require.NoError(t, err)
	require.NoError(t, InitDataDir(filepath.Join(dir, "data"), id))
	s := c.start(0)
	c.submit(0, "an operation")
	fault.Store(true)
	_, err = s.data.store.base.db.DB().AsyncFlush()
	require.NoError(t, err)
	<-s.Failed()
	require.ErrorIs(t, s.Err(), errno)
	require.ErrorIs(t, s.Err(), ErrStore)
	require.Equal(t, errno == syscall.ENOSPC, errors.Is(s.Err(), ErrDiskFull))
	for _, want := range []string{filepath.Join(dir, "data"), "MANIFEST", remedy} {
		require.ErrorContains(t, s.Err(), want)
	}
	require.NotContains(t, s.Err().Error(), "\n")
	_, err = s.Submit(context.Background(), []byte("one more"))
	require.Error(t, err)
	require.NoError(t, s.Stop(context.Background()))
	if !t.Failed() {
		os.Exit(0)
	}
}

// fillDisk returns a store whose disk became full while four goroutines wrote.
func fillDisk(t *testing.T, dir string) *diskStore {
	require.NoError(t, makeDirs(dir))
	var full atomic.Bool
	s, err := openDiskStore(DiskStoreConfig{Dir: dir, disk: errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op, path string) error {
		if full.Load() && op == errorfs.OpFileWrite && strings.HasSuffix(path, ".log") {
			return syscall.ENOSPC
		}
		return nil
	}))})
	require.NoError(t, err)
	value := string(make([]byte, 40_000))
	var writers, progress sync.WaitGroup
	for w := range uint64(4) {
		progress.Add(1)
		begun := sync.OnceFunc(progress.Done)
		writers.Go(func() {
			defer begun() // the disk below may be full by itself
			for i := uint64(0); ; i++ {
				if err := s.Write([]pbft.Record{put(4, w<<32|i, value)}, w == 0); err != nil {
					assert.ErrorIs(t, err, ErrDiskFull)
					return
				}
				if i == 3 {
					begun()
				}
			}
		})
	}
	progress.Wait()
	full.Store(true)
	writers.Wait()
	return s
}
