package store

import (
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/vfs"
)

// A read that fails may do so because of the way to the disk, and not of the disk:
//
//  1. Several replicas keep their states on storage that is reached over a network.
//  2. Part of that does not answer for a moment, and a read of each of them fails (EIO).
//  3. All of them take that for damage, answer nobody and ask the others for what they cannot
//     read: of whom none answers either.
//
// So such a read is made again, a few times, before anybody hears of it; what has failed to the
// last is damage. It is not when a checksum is wrong: what was read is there then. A disk that is
// about to fail may do so too, so that it had to be made again is not kept from the operators.
//
// Where damage was found more will be: to save what is left of the files, reads fail by the
// thousand. For a while after a read has failed to the last others are made again once, at once.
type rereading struct {
	pauses []time.Duration
	known  time.Duration // that while
	pause  func(d time.Duration)
	now    func() time.Time
	logger *slog.Logger // nil: nobody hears of it

	mu     sync.Mutex
	failed time.Time // when a read failed to the last, zero if none has
	again  int       // how many had to be made again and have not been told of
	told   time.Time // when some were told of, zero if none were
}

func newRereading(logger *slog.Logger) *rereading {
	return &rereading{
		logger: logger,
		pauses: []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second},
		known:  time.Minute, pause: time.Sleep, now: time.Now,
	}
}

// do calls read until it does not fail for want of an answer, or often enough. It holds up the caller
// for the pauses together at most.
func (r *rereading) do(read func() error) error {
	err := read()
	if !errors.Is(err, syscall.EIO) {
		return err
	}
	failure := err
	pauses := r.pauses
	r.mu.Lock()
	if !r.failed.IsZero() && r.now().Sub(r.failed) < r.known {
		pauses = []time.Duration{0}
	}
	r.mu.Unlock()
	for _, d := range pauses {
		if d > 0 {
			r.pause(d)
		}
		if err = read(); !errors.Is(err, syscall.EIO) {
			r.passed(failure)
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = r.now()
	return err
}

// passed tells of reads that failed at first, once in a while of those in it together.
func (r *rereading) passed(failure error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.again++
	now := r.now()
	if r.logger == nil || !r.told.IsZero() && now.Sub(r.told) < r.known {
		return
	}
	r.logger.Warn("state: reads of the database's files failed and succeeded when they were made again: if that goes on, the disk or the way to it is failing", "reads", r.again, "error", failure)
	r.again, r.told = 0, now
}

// fs is a file system whose reads are made again.
func (r *rereading) fs(under vfs.FS) vfs.FS { return &rereadFS{under, r} }

type rereadFS struct {
	vfs.FS
	r *rereading
}

func (f *rereadFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	var file vfs.File
	err := f.r.do(func() (err error) {
		file, err = f.FS.Open(name, opts...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &rereadFile{file, f.r}, nil
}

type rereadFile struct {
	vfs.File
	r *rereading
}

func (f *rereadFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.r.do(func() (err error) {
		n, err = f.File.ReadAt(p, off)
		return err
	})
	return n, err
}

// Read goes on where the last one has got to: so does one that is made again.
func (f *rereadFile) Read(p []byte) (n int, err error) {
	err = f.r.do(func() error {
		more, err := f.File.Read(p[n:])
		n += more
		return err
	})
	return n, err
}
