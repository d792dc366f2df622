package statemachine

import (
	"context"
	"io"

	"github.com/parley-bft/parley/crypto"
)

// Time is block time: nanoseconds since 1970 UTC. It never goes back from one
// block to the next, and it is equal on all replicas.
type Time uint64

// Op is one operation to apply.
type Op struct {
	// Client is the key that signed the request.
	Client crypto.PublicKey
	// Seq is the client's number of the request; operations of one request share it.
	Seq uint64
	// Index is the position of the operation in its request, from 0.
	Index int
	// Data is the operation itself, in the application's own encoding. It is valid
	// only until Apply returns and must not be changed: copy what is kept.
	Data []byte
}

// Block is what the application sees of a committed block: the operations that
// are to run, in order. It may be empty.
type Block struct {
	Height uint64
	Time   Time
	// Digest is the digest of the block. It depends on choices of its proposer,
	// so it is no source of fair randomness.
	Digest crypto.Digest
	Ops    []Op

	limits *Limits // of the results, for PerOp; nil: none
	meter  *Meter  // nil: none
}

// StateMachine is a deterministic application. Its methods are never called at
// the same time as one another; a [Snapshot] that it returned and [Querier.Query]
// are.
type StateMachine interface {
	// Apply runs the operations of a block in order and returns exactly one result
	// for each. An operation that is refused is a [Result] with a code, never an
	// error: the refusal is part of the replicated history. The results must not
	// alias the operations' data, nor state that changes later; the caller keeps
	// them and does not change them. Those of a block may be many and long: [PerOp]
	// keeps only what there is room for, and who does not use it bounds them himself.
	Apply(b Block) []Result

	// Digest identifies the state after the last applied block: equal states have
	// equal digests and different states have different ones. It is called at every
	// checkpoint, perhaps every few milliseconds, so it should cost in proportion
	// to what changed, not to the size of the state.
	Digest() crypto.Digest

	// Snapshot freezes the present state for writing out later. The call itself
	// should be quick: blocks wait for it.
	Snapshot() (Snapshot, error)

	// Restore replaces the state by the one that was written. The bytes may come
	// from a disk or a peer and be damaged: damage is an error, never a panic, and
	// nothing is allocated on the word of a length field alone. After an error the
	// state is unspecified, and nothing but Restore is called. Restore reads
	// exactly to the end of the snapshot, where r reports io.EOF.
	Restore(r io.Reader) error
}

// Snapshot is a frozen state. The bytes that WriteTo writes are a function of
// the state alone, not of the way it came about or of the replica: replicas
// compare and exchange them chunk by chunk.
//
// The snapshot of a [SnapshotKeeper] may name its state, by digest and height, instead of
// holding it.
//
// WriteTo is called at most once, possibly on another goroutine while Apply goes
// on, then Close; Close without WriteTo is legal and releases what is held.
type Snapshot interface {
	io.WriterTo
	io.Closer
}

// HeightAware is implemented by applications that want to know the height of a state
// that was restored, which the bytes of a snapshot do not say.
type HeightAware interface {
	// Restored is called after a Restore whose digest was right.
	Restored(height uint64)
}

// Querier is implemented by applications that can answer reads without the log.
//
// Query is called from any number of goroutines at once, also while Apply,
// Digest or Snapshot runs (never during Restore). It must answer from the state
// after one whole block: the last block whose Apply had returned when Query was
// called, or a later one. Its answer must depend on that state and q alone,
// since a client compares the answers of several replicas. An error says that
// the query is malformed or cannot be answered; a "not found" is an answer.
type Querier interface {
	Query(ctx context.Context, q []byte) ([]byte, error)
}

// HistoryQuerier is implemented by applications that can answer from earlier states.
type HistoryQuerier interface {
	Querier
	// QueryAt is Query from the state after the block at exactly that height, which has
	// been executed. The error wraps [ErrPruned] if that state is not kept any more.
	QueryAt(ctx context.Context, height uint64, q []byte) ([]byte, error)
}

// Retainer is implemented by applications that prove what earlier states were. A replica
// says which of them a quorum has certified, so that these stay readable, whatever else
// the application keeps.
type Retainer interface {
	// Retain says that the states after the block of that height and after all later ones
	// are to stay readable, until a call with a higher height: a lower one changes nothing.
	// It is called by any goroutine, at any time, and must not block.
	Retain(from uint64)
}
