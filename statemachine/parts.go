package statemachine

import (
	"context"
	"errors"

	"github.com/parley-bft/parley/crypto"
)

// StatePeer is another replica that may have a state.
type StatePeer interface {
	// Ask sends the peer a request, which its application answers by
	// [PartedState.ServeState]. An error, or an empty answer, says that it does not
	// have the state, or cannot be reached. It is called from several goroutines.
	Ask(ctx context.Context, request []byte) (answer []byte, err error)
}

// StateTarget names an application's state that a quorum certified, and who may
// have it.
type StateTarget struct {
	// Height is that of the block after which the state is wanted.
	Height uint64
	// Digest is the application's at that height, as [StateMachine.Digest] returns
	// it. Everything that a peer says is checked against it.
	Digest crypto.Digest
	// Repair has SyncState read everything that is here too, and make good what is not what
	// its digest says. Else it looks at nothing but what differs.
	Repair bool
	// Peers are asked, several at a time.
	Peers []StatePeer
	// Exchange, if not nil, is how they are asked, in place of their Ask.
	Exchange StateExchange
	// Lied, if not nil, hears of an answer that cannot be true, and from which of
	// Peers it came. It is called from the goroutine that waits for the target.
	Lied func(peer int, err error)
	// MayAllLie, if not nil, tells of some of Peers, by their places, whether all of them may be
	// traitors: that is a matter of their weights. Nil is for peers of one weight, of whom a
	// third may be.
	MayAllLie func(peers []int) bool
	// Superseded, if not nil, is closed when a later state is wanted in place of this one.
	// SyncState then keeps what came and ends with [ErrSuperseded], as soon as those of Peers
	// that give anything of this one may all be traitors. What
	// needs no peers it finishes first, and need not do again for the later target: else a
	// long scrub would begin anew with each.
	Superseded <-chan struct{}
}

// ErrSuperseded is the error of a [PartedState.SyncState] that [StateTarget.Superseded] ended.
var ErrSuperseded = errors.New("a later state is wanted")

// StateExchange asks peers for somebody who has neither goroutines nor a clock: a
// simulation, in which one thing happens after the other. All calls come from the goroutine
// that waits for the target.
type StateExchange interface {
	// Ask sends a peer, by its place in [StateTarget.Peers], a request, which is over after
	// so many ticks. It has no other one that is under way.
	Ask(peer int, request []byte, ticks int)
	// CallOff forgets what a peer was asked for: nothing comes of it any more.
	CallOff(peer int)
	// Next waits for what is next. An error ends the whole.
	Next() (StateEvent, error)
}

// StateEvent is what a [StateExchange] has waited for.
type StateEvent struct {
	// Peer is whose request is over, with its answer or an error as from
	// [StatePeer.Ask]. If it is negative, a tick has passed: a sixteenth of the time that a
	// peer may take for one request, unless it was silent before.
	Peer   int
	Answer []byte
	Err    error
}

// StateSyncStats says what a [PartedState.SyncState] came to.
type StateSyncStats struct {
	// Requests is how many were sent, also those that were not answered.
	Requests int
	// Sent and Received are bytes of requests and answers.
	Sent, Received int64
	// Changed is the number of keys that were set or deleted.
	Changed int
	// Damaged is the number of keys whose value here was not the one that the digest
	// here covers, or could not be read. All of them were made good.
	Damaged int
	// Lost are the first of these, at most MaxLostKeys, with the values that they got.
	Lost []StateDifference
	// Unreadable are the stretches of the storage that could not be read, at most
	// MaxUnreadable.
	Unreadable []UnreadableStretch
}

// MaxLostKeys and MaxUnreadable bound what [StateSyncStats] names.
const (
	MaxLostKeys   = 16
	MaxUnreadable = 16
)

// StateDifference is a key at which the state here differs from a certified one.
type StateDifference struct {
	Key []byte
	// Here and There are the values, if IsHere and IsThere say that there are any.
	// They are not to be changed.
	Here, There     []byte
	IsHere, IsThere bool
	// Damaged: what is here is not what the digest here covers. The storage changed
	// it, or lost it, and no operation did.
	Damaged bool
	// Written is the height of the last block that changed the key here; 0 if that is not
	// known, or not any more.
	Written uint64
}

// StateWrite says what an operation of a block writes to a key when the block is run
// again.
type StateWrite struct {
	Key []byte
	// Op is the operation's place in [Block.Ops], or -1 for what the application does
	// at the beginning or the end of the block itself.
	Op int
	// Value is what is written, unless the key is deleted.
	Value   []byte
	Deleted bool
}

// PartedState is implemented by applications whose state is a tree of parts, which
// can be compared with another replica's and transferred one by one.
// statemachine/store has an implementation for any application on a store.
type PartedState interface {
	StateMachine

	// ServeState answers a request that another replica's SyncState or CompareState
	// made. It is called from any goroutine at any time, but not during Restore and
	// SyncState. What it costs and how long the answer is are bounded, whatever the
	// request says. A state that is not kept is answered with nothing. An error says
	// that the request is malformed, or that the storage failed (see [Halt]).
	ServeState(request []byte) (answer []byte, err error)

	// SyncState makes the state that of the target, getting only what differs. It is called
	// as Restore is: nothing else runs meanwhile. After an error the state is unspecified until
	// SyncState or Restore succeeds; SyncState then goes on where it ended, for the
	// same target or a later one. It ends with an error of its own only if peers say that they
	// do not have the state: while they are silent it asks them again, until ctx ends or
	// want.Superseded is closed.
	SyncState(ctx context.Context, want StateTarget) (StateSyncStats, error)

	// CompareState finds the first keys at which the state after the block at
	// want.Height, which must be kept, differs from the target's: at most limit, in an
	// order that is the same on all replicas. more says that there are others. No error
	// and no differences: the states are equal. It changes nothing. It may run beside Apply and
	// queries. The error wraps [ErrPruned] if the state is not kept.
	CompareState(ctx context.Context, want StateTarget, limit int) (differences []StateDifference, more bool, err error)

	// Rerun runs a block again on the state before it, which must be kept, and says
	// what the block's parts write to keys, in the order in which they do. It changes nothing:
	// neither the state nor what the application's own next block begins with. It is
	// not called beside Apply. The error wraps [ErrPruned] if the state is not kept.
	Rerun(ctx context.Context, b Block, keys [][]byte) ([]StateWrite, error)
}
