// Package store is the state of large applications: an ordered map from keys to values
// with transactions, a digest that costs what changed, reads of earlier heights, and
// Merkle proofs of what a key is mapped to, or of its absence.
//
// # An application on it
//
// An application writes its operations as a [Handler] and gets everything else, the
// digest, snapshots, restoring, proofs and queries, from [Machine]:
//
//	s, err := store.Open(ctx, store.DefaultConfig())
//	m, err := store.NewMachine(s, &ledger{})
//
//	func (l *ledger) Apply(t store.Txn, b *statemachine.Block, op *statemachine.Op) statemachine.Result {
//		from, ok := t.Get(account(...))
//		...
//		t.Set(account(...), balance)
//		return statemachine.OK(nil)
//	}
//
// Each operation runs in a transaction of its own, within that of the block. What an
// operation wrote is kept if its result is a success and discarded if it is a
// rejection or a panic. Transactions nest as deep as one likes ([Txn.Begin]), at a
// constant cost for each. Several handlers share a store by [Prefix].
//
// # Heights and digests
//
// [Store.Commit] makes the block's transaction the state at a height; [Store.At] reads
// the last heights, as many as [Config.Keep] says, while blocks go on. [Store.Digest]
// hashes what changed since it was last asked for; it is asked for at checkpoints, and
// at those heights [View.Prove] has proofs. Package proof verifies them, with nothing
// but the digest, which a checkpoint's certificate covers.
//
// # When the database fails
//
// Reads have no errors. A database that fails makes them panic with a *[Failure],
// [Machine] lets it through to the executor, which stops the replica with an error
// that wraps [statemachine.ErrHalted] and it: another replica's disk has not failed, so
// any result would make the two differ. Whoever reads outside a machine uses [Catch].
package store
