package store

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/stretchr/testify/require"
)

// dumb is a file system whose reads fail, so many times.
type dumb struct {
	vfs.FS
	failures atomic.Int64
	asked    atomic.Int64
}

func (d *dumb) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.Open(name, opts...)
	return &dumbFile{f, d}, err
}

type dumbFile struct {
	vfs.File
	d *dumb
}

func (f *dumbFile) fails() bool { f.d.asked.Add(1); return f.d.failures.Add(-1) >= 0 }

func (f *dumbFile) Read(p []byte) (int, error) {
	if f.fails() {
		return 0, syscall.EIO
	}
	return f.File.Read(p)
}

func (f *dumbFile) ReadAt(p []byte, off int64) (int, error) {
	if f.fails() {
		return 0, syscall.EIO
	}
	return f.File.ReadAt(p, off)
}

// A read that fails is made again, so often and no more, and where damage is known to be once.
func TestReread(t *testing.T) {
	now := time.Unix(1000, 0)
	var paused []time.Duration
	r := newRereading(nil)
	r.pause, r.now = func(d time.Duration) { paused = append(paused, d) }, func() time.Time { return now }
	under := &dumb{FS: vfs.NewMem()}
	w, err := under.FS.Create("f")
	require.NoError(t, err)
	_, err = w.Write([]byte("content"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	f, err := r.fs(under).Open("f")
	require.NoError(t, err)
	defer f.Close()
	read := func(failures int64) (asked int64, text string, err error) {
		under.failures.Store(failures)
		under.asked.Store(0)
		b := make([]byte, 4)
		n, err := f.ReadAt(b, 2)
		return under.asked.Load(), string(b[:n]), err
	}
	for failures := range int64(4) {
		asked, text, err := read(failures)
		require.NoError(t, err)
		require.Equal(t, "nten", text)
		require.Equal(t, failures+1, asked)
	}
	require.Equal(t, []time.Duration{10e6, 10e6, 100e6, 10e6, 100e6, 1e9}, paused)
	paused = nil
	asked, _, err := read(4)
	require.ErrorIs(t, err, syscall.EIO)
	require.Equal(t, int64(4), asked)
	require.Len(t, paused, 3)
	for range 3 {
		asked, _, err = read(2)
		require.ErrorIs(t, err, syscall.EIO)
		require.Equal(t, int64(2), asked)
	}
	_, _, err = read(1)
	require.NoError(t, err)
	require.Len(t, paused, 3)
	now = now.Add(time.Minute)
	asked, _, err = read(3)
	require.NoError(t, err)
	require.Equal(t, int64(4), asked)

	// Sequential reads go on where they were.
	under.failures.Store(1)
	all, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, "content", string(all))
}

// That reads had to be made again is told, and not of each.
func TestRereadIsTold(t *testing.T) {
	var text bytes.Buffer
	now := time.Unix(1000, 0)
	r := newRereading(slog.New(slog.NewTextHandler(&text, nil)))
	r.pause, r.now = func(time.Duration) {}, func() time.Time { return now }
	read := func() error {
		failures := 1
		return r.do(func() error {
			if failures--; failures >= 0 {
				return syscall.EIO
			}
			return nil
		})
	}
	for range 5 {
		require.NoError(t, read())
	}
	require.Equal(t, 1, strings.Count(text.String(), "\n"))
	require.Contains(t, text.String(), "reads=1 error=\"input/output error\"")
	now = now.Add(time.Minute)
	require.NoError(t, read())
	require.Contains(t, text.String(), "reads=5 ")
	require.NoError(t, r.do(func() error { return nil }))
	require.ErrorIs(t, r.do(func() error { return syscall.EIO }), syscall.EIO)
	require.Equal(t, 2, strings.Count(text.String(), "\n"))
}

// A store on a disk that does not answer for a moment goes on, and tells nobody of damage.
func TestPassingReadErrorsAreNoDamage(t *testing.T) {
	disk := vfs.NewMem()
	under := &dumb{FS: disk}
	c := onDisk(3, under)
	there := numbered(2000, "some value")
	s := storeOf(t, c, 4, there)
	require.NoError(t, s.Close())
	under.failures.Store(2)
	s = open(t, c)
	require.Negative(t, under.failures.Load(), "they have failed")
	var damage []error
	(&Machine{store: s}).OnDamage(func(err error) { damage = append(damage, err) })
	under.failures.Store(2)
	require.Len(t, content(t, s), len(there))
	require.Negative(t, under.failures.Load(), "they have failed")
	require.Empty(t, damage)
	require.NoError(t, s.Close())

	// What goes on to fail has failed.
	s = open(t, c)
	under.failures.Store(1 << 40)
	err := Catch(func() {
		v, err := s.Last()
		require.NoError(t, err)
		entries(v.Range(nil, nil))
	})
	under.failures.Store(0)
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorContains(t, err, "input/output error")
	_ = s.Close() // whatever it says
}
