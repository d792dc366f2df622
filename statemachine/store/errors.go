package store

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/internal/diskspace"
	"github.com/parley-bft/parley/statemachine"
)

// DiskFullError reports too little space. It is [ErrDiskFull].
type DiskFullError = diskspace.FullError

// Errors; test with errors.Is.
var (
	// ErrConfig is wrapped by every error of [Config.Validate].
	ErrConfig = errors.New("store configuration")
	// ErrPruned: the height is below those that are kept.
	ErrPruned = errors.New("height is pruned")
	// ErrFuture: the height was not committed yet.
	ErrFuture = errors.New("height is not there yet")
	// ErrNoProof: nobody asked for the digest at that height, so there is no tree of it.
	ErrNoProof = errors.New("no digest was taken at that height")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrIncomplete: a Sync was begun and did not end.
	ErrIncomplete = errors.New("state is incomplete: restore or sync it")
	// ErrPeers: no peer gives what a Sync needs.
	ErrPeers = errors.New("no peer has the state")
	// ErrSnapshot is wrapped by the errors of a restore that its bytes cause.
	ErrSnapshot = errors.New("store snapshot")
	// ErrDiskFull: less space is left where the store is than [Config.Reserve], or none.
	ErrDiskFull = diskspace.ErrFull
	// ErrCorrupt: the database does not hold what was written to it. It is a
	// [statemachine.ErrDamaged].
	ErrCorrupt error = damaged("store is damaged")
	// ErrFormat: what the database holds is from another version of this program.
	ErrFormat = errors.New("store has another format")
	// ErrLocked: the folder belongs to a store that is open.
	ErrLocked = errors.New("store folder is in use")
	// ErrFailed is wrapped by every [Failure].
	ErrFailed = errors.New("store failed")
)

// damaged is an error that is a statemachine.ErrDamaged, too.
type damaged string

func (d damaged) Error() string { return string(d) }

// Is implements the interface of errors.Is.
func (damaged) Is(target error) bool { return target == statemachine.ErrDamaged }

// errFiles marks damage that the database itself found: it cannot read its files.
var errFiles = errors.New("files of the database are damaged")

// isDamage tells that something in the database is not what was written, and the database
// can be read.
func isDamage(err error) bool { return errors.Is(err, ErrCorrupt) && !errors.Is(err, errFiles) }

// HeightError is the error for a height that cannot be read.
type HeightError struct {
	Height       uint64 // that was asked for
	Oldest, Last uint64 // that can be read
	err          error
}

func (e *HeightError) Error() string {
	return fmt.Sprintf("height %d: %v: heights %d to %d are", e.Height, e.err, e.Oldest, e.Last)
}

// Unwrap returns [ErrPruned], [ErrFuture] or [ErrNoProof].
func (e *HeightError) Unwrap() error { return e.err }

// Failure says that the database failed. Readers and transactions panic with it. It is
// never an operation's fault, and a replica that goes on after it would diverge, so
// [Machine] passes it on to the executor, which stops the replica.
type Failure struct {
	Op  string // what was being done
	Err error
}

var _ statemachine.Halt = (*Failure)(nil)

func (f *Failure) Error() string { return fmt.Sprintf("%v: %s: %v", ErrFailed, f.Op, f.Err) }

// Unwrap returns [ErrFailed] and the cause.
func (f *Failure) Unwrap() []error { return []error{ErrFailed, f.Err} }

// HaltsReplica marks the panic as no fault of an operation.
func (f *Failure) HaltsReplica() {}

// Catch calls f and returns the *[Failure] that it panicked with, if it did. Code that
// reads a [View] outside a [Machine] wraps its reads in it.
func Catch(f func()) (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case *Failure:
			err = v
		case *HeightError:
			err = v
		default:
			panic(v)
		}
	}()
	f()
	return nil
}
