// Package statemachine is what an application implements to be replicated, and
// what stands between it and the ordered log: exactly-once execution, receipts,
// snapshots.
//
// # The application
//
// A [StateMachine] gets whole blocks of operations, in order, and answers each
// operation with a [Result]. It must be deterministic: the same blocks give the
// same results, the same digest and the same snapshot bytes on every replica,
// today and when a log is replayed next year. So no clock (use [Block.Time]), no
// randomness (derive it from [Block.Digest]), no map iteration that reaches a
// result or the state, no floating point whose order of evaluation may differ,
// no goroutines whose order matters. Package statetest checks most of this.
//
// A panic cannot be told from a bug of the framework once a block is half
// applied: it stops the replica (see [PanicError]). [PerOp] turns panics of
// single operations into rejections for applications whose operations are
// independent.
//
// # The executor
//
// [Executor] wraps an application. It takes committed blocks of client requests,
// filters out everything that must not run (duplicates, expired requests, what
// lies outside a client's window), gives the rest to the application, remembers
// the answers for clients that ask again, and accumulates the Merkle tree of
// results whose root every checkpoint certifies. The rules are in sessions.go.
package statemachine
