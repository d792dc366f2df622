package replica

import (
	"errors"
	"fmt"

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

// storePanic unwinds the database to the call of ours that it is in. In one of
// its own goroutines it ends the process, as the database wants it: nothing that
// was not synced has left this replica.
type storePanic struct{ err error }

func (l storeLogger) Fatalf(format string, args ...any) {
	var cause error
	for _, a := range args {
		if err, ok := a.(error); ok {
			cause = err
		}
	}
	err := fmt.Errorf(format, args...)
	if cause != nil {
		err = fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), cause)
	}
	panic(storePanic{l.s.fail("database", err)})
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
