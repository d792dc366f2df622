package statemachine

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
)

// Errors that the executor returns; test with errors.Is. After any of the first
// five the executor refuses everything but Restore: the state may be half changed.
var (
	// ErrApplicationPanic: the application panicked (see [PanicError]).
	ErrApplicationPanic = errors.New("application panicked")
	// ErrHalted: the application's own storage failed (see [Halt]).
	ErrHalted = errors.New("application cannot go on")
	// ErrResultCount: Apply did not return one result for each operation.
	ErrResultCount = errors.New("application returned the wrong number of results")
	// ErrStateMismatch: a restored state does not have the digest it should have.
	ErrStateMismatch = errors.New("restored state has another digest")
	// ErrBroken: an earlier error made the executor unusable until Restore.
	ErrBroken = errors.New("executor stopped by an earlier error")

	// ErrOutOfOrder: the block does not follow the last executed one. Nothing changed.
	ErrOutOfOrder = errors.New("block out of order")
	// ErrPruned: the state at a height is not kept any more (see [HistoryQuerier]).
	ErrPruned = errors.New("state at that height is not kept any more")
	// ErrStateElsewhere: a snapshot names the application's state, which is not kept here
	// (see [SnapshotKeeper]).
	ErrStateElsewhere = errors.New("the snapshot's state is not here: it has to come from another replica")
	// ErrDamaged: the application's storage does not hold what was written to it (see
	// [StoredState]).
	ErrDamaged = errors.New("the application's storage is damaged")
	// ErrSnapshotFormat: a snapshot's bytes do not decode.
	ErrSnapshotFormat = errors.New("malformed snapshot")
)

// PanicError reports that the application panicked. The block is committed, so
// every replica panics on it, and again at each replay, if the panic is
// deterministic. The way out: repair the application on all replicas and start
// them, or, until it is repaired, name the request that causes it to
// [Executor.Quarantine] on all replicas.
type PanicError struct {
	Height uint64
	// During is the method that panicked: "Apply", "Digest", "Snapshot" or "Restore".
	During string
	// Op is the position of the operation among those given to Apply, or -1 if it
	// is not known (an application that uses [PerOp] makes it known).
	Op int
	// Requests are the requests that were given to Apply: the suspects, or the one
	// culprit if Op is known.
	Requests []crypto.Digest
	Value    any
	Stack    []byte
}

func (e *PanicError) Error() string {
	if e.Op >= 0 {
		return fmt.Sprintf("%v in %s at height %d, operation %d of the block: %v", ErrApplicationPanic, e.During, e.Height, e.Op, e.Value)
	}
	return fmt.Sprintf("%v in %s at height %d, requests in the block: %d: %v", ErrApplicationPanic, e.During, e.Height, len(e.Requests), e.Value)
}

// Unwrap returns [ErrApplicationPanic].
func (e *PanicError) Unwrap() error { return ErrApplicationPanic }

// MismatchError reports a restored part whose digest is not the certified one.
type MismatchError struct {
	Part      string // "application" or "sessions"
	Want, Got crypto.Digest
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%v: %s: want %s, have %s", ErrStateMismatch, e.Part, e.Want.Hex(), e.Got.Hex())
}

// Unwrap returns [ErrStateMismatch].
func (e *MismatchError) Unwrap() error { return ErrStateMismatch }

// Halt is a panic's value that says that the application cannot go on, through no
// fault of an operation: its disk failed, say. Another replica's disk has not, so a
// result for it would make replicas differ. [PerOp] passes it on, and [Executor] stops
// with an error that wraps [ErrHalted] and it.
type Halt interface {
	error
	HaltsReplica()
}
