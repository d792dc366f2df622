package replica

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble"
)

// storeLogger takes what the database says. It calls Fatalf after errors that it
// cannot live with and expects not to come back; the default ends the process.
type storeLogger struct{ s *diskStore }

func (l storeLogger) Infof(format string, args ...any) {
	if log := l.s.cfg.Logger; log != nil {
		log.Debug("store: " + fmt.Sprintf(format, args...))
	}
}

func (l storeLogger) Errorf(format string, args ...any) {
	if log := l.s.cfg.Logger; log != nil {
		log.Error("store: " + fmt.Sprintf(format, args...))
	}
}

// storePanic unwinds the database to the call of ours that it is in.
type storePanic struct{ err error }

// Fatalf does not return, as the database expects. In a call of ours it unwinds the
// database to that. A goroutine of the database's own is held for ever, with the
// locks that it has: nobody else goes on with a state that the database gave up.
// What was not synced has not left this replica, and whoever waits for the store is
// released by its failure.
func (l storeLogger) Fatalf(format string, args ...any) {
	fatal := &fatalError{text: fmt.Sprintf(format, args...)}
	for _, a := range args {
		if err, ok := a.(error); ok {
			fatal.cause = err
		}
	}
	err := l.s.fail("database", fatal)
	if inCallOfOurs() {
		panic(storePanic{err})
	}
	select {}
}

// fatalError is what the database said when it gave up, or the system of a file.
type fatalError struct {
	text  string
	cause error
}

func (e *fatalError) Error() string {
	if errors.Is(e.cause, syscall.ENOSPC) {
		return e.text // whoever wraps it says what to do
	}
	return e.text + ": look at the disk and at the permissions of the folder, then start again"
}

func (e *fatalError) Unwrap() error { return e.cause }

// inCallOfOurs tells whether a method of diskStore, which rescues, is among the
// callers.
func inCallOfOurs() bool {
	pcs := make([]uintptr, 256)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		frame, more := frames.Next()
		if strings.Contains(frame.Function, "replica.(*diskStore).") {
			return true
		}
		if !more {
			return false
		}
	}
}

// run calls f on a goroutine of its own. It returns when f has, or when the store has
// failed: the database leaves its locks held where something fails, and then
// everybody who wants them waits for ever.
func (s *diskStore) run(op string, f func() error) error {
	ended := make(chan error, 1)
	go func() {
		var err error
		defer func() { ended <- err }()
		defer s.rescue(op, &err)
		err = f()
	}()
	select {
	case err := <-ended:
		return err
	case <-s.broken:
		return s.err()
	}
}

func (s *diskStore) rescue(op string, err *error) {
	switch p := recover().(type) {
	case nil:
	case storePanic:
		*err = p.err
	case error:
		// The database panics with errors of reads that it has no other way to report.
		*err = s.fail(op, p)
	default:
		panic(p)
	}
}

func (s *diskStore) fail(op string, err error) error {
	if pebble.IsCorruptionError(err) && !errors.Is(err, ErrCorrupt) {
		err = &CorruptError{Folder: s.cfg.Dir, Key: op, Detail: err.Error()}
	}
	wrapped := storeFailure(op, s.cfg.Dir, err)
	if errors.Is(err, ErrStore) {
		wrapped = err
	}
	if s.failed.CompareAndSwap(nil, &wrapped) {
		close(s.broken)
	}
	return *s.failed.Load()
}

func (s *diskStore) err() error {
	if p := s.failed.Load(); p != nil {
		return *p
	}
	return nil
}
