package statemachine

import "context"

// StoredState is implemented by applications that keep their state on a disk, in a form
// in which damage to it can be found, and made good from other replicas. A panic with a
// [Halt] that wraps [ErrDamaged], and an error that does, says that there is some. A replica
// then answers nobody, calls MendState, and [PartedState.SyncState].
// statemachine/store has an implementation for any application on a store.
type StoredState interface {
	PartedState

	// OnDamage has damaged called with an error that wraps [ErrDamaged], each time that
	// the storage fails so and had not failed before, also for a reader or by itself. It is
	// called from any goroutine, perhaps one with locks of the storage, so damaged does not
	// wait and calls nothing of the application. If the storage has failed so by the time that
	// OnDamage is called, damaged is called at once. The last one given counts.
	OnDamage(damaged func(err error))

	// MendState has the storage hold what can still be read of the state, and lets go of the
	// rest, without asking anybody: it may take as long as reading the whole state. It is
	// called as [PartedState.SyncState] is, which has to follow, and then need not repair:
	// in between there is no state. The statistics are its own; SyncState's name the keys
	// that had to be fetched for it. An error that wraps ErrDamaged says that nothing helps
	// but to do without what is on the disk.
	MendState(ctx context.Context) (StateSyncStats, error)

	// ScrubState reads all that is there of the last state and holds it against its
	// digests, at most limit damages of which are named. It changes nothing, and runs beside
	// everything. rest is called every now and then, and waits as long as reading is to
	// pause. That something is damaged is no error; an error that wraps ErrDamaged says that
	// the storage cannot be read.
	ScrubState(ctx context.Context, limit int, rest func(ctx context.Context)) (StateScrub, error)
}

// StateScrub says what a [StoredState.ScrubState] came to.
type StateScrub struct {
	// Height is that of the block after which the state was.
	Height uint64
	// Values are the keys that were read, Bytes their length and that of the values.
	Values int
	Bytes  int64
	// Damages are the first that were found; More says that there are others.
	Damages []StateDamage
	More    bool
}

// StateDamage is a part of a state that is not what its digest says.
type StateDamage struct {
	Key  []byte // nil if it is none of the application's keys, but something that the storage has beside them
	What string
}

// UnreadableStretch is what lies together in a storage and could not be read.
type UnreadableStretch struct {
	// File has it, if that is known. It is empty, too, of what the storage has beside keys and
	// values, such as digests of them: then Reason says which keys that is about.
	File string
	// After and Before are the last key below and the first above that could be read, nil if
	// there is none. What lies between them, if anything, was lost.
	After, Before []byte
	// Reason is what the storage said.
	Reason string
}
