package store

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
)

// pebbleLogger takes what the database says.
type pebbleLogger struct {
	log    *slog.Logger // nil: nobody listens
	broken func(error)
}

func (l *pebbleLogger) Infof(string, ...any) {}

func (l *pebbleLogger) Errorf(format string, args ...any) {
	if l.log != nil {
		l.log.Error("state: " + fmt.Sprintf(format, args...))
	}
}

// causedError is what the database said when it gave up, and what of it was an error.
type causedError struct {
	text  string
	cause error
}

func (e *causedError) Error() string { return e.text }
func (e *causedError) Unwrap() error { return e.cause }

// fatal unwinds the database to the call of ours that it is in.
type fatal struct{ error }

// Fatalf is called where the database cannot go on, and must not return. A call of ours
// fails; a goroutine of the database's own is held for ever, with the locks that it has:
// the store has failed, and the replica stops.
func (l *pebbleLogger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	for _, a := range args {
		if cause, ok := a.(error); ok && !errors.Is(err, cause) { // the database says it with %v
			err = &causedError{err.Error(), cause}
		}
	}
	l.broken(err)
	pcs := make([]uintptr, 256)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for more := true; more; {
		var f runtime.Frame
		if f, more = frames.Next(); strings.Contains(f.Function, "store.(*pebble") {
			panic(fatal{err})
		}
	}
	select {}
}

// rescue makes an error of what the database panics with.
func rescue(err *error) {
	switch p := recover().(type) {
	case nil:
	case fatal:
		*err = p.error
	case error:
		*err = p
	default:
		panic(p)
	}
}
