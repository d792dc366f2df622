// Package kv is a replicated key-value store: an ordered map from byte strings to
// byte strings with revisions, conditional writes and transactions, in the manner
// of etcd.
//
// There are two forms of it, which answer alike. [New] is all in memory, and fast: a
// [Machine]. [NewHandler] keeps its state in a statemachine/store, on the disk, which
// makes it larger than memory, gives proofs ([StoreKey], [DecodeStored]) and earlier
// heights, and lets an access policy stand in front ([Classify]), at about ten times the
// cost of an operation.
//
// # Operations
//
// Builder functions ([Get], [Put], [Delete], [Range], [Txn], ...) return encoded
// operations, to be submitted through the log; [DecodeResult] reads their
// results. Each result carries the store's revision after the operation. Both are in
// package kvop, under the same names, for programs that have no replica and want no
// database.
//
// # Revisions
//
// The store's revision is the number of operations that changed anything; a
// transaction counts once. Every key has the revision of its creation, of its
// last change, and a version that counts its changes since creation, from 1.
//
// # Queries
//
// Both answer Get and Range also as queries, beside the log, on the last
// executed state, from any number of goroutines. The [Machine] keeps a copy-on-write
// view of the map, which costs a constant to take. See [Machine.Query], [Handler.Query].
//
// # Digest
//
// The digest is the root of a Merkle trie over the keys' hashes, joined with the
// revision and sizes. It depends on the content and not on its history, and costs
// hashing only for the keys that changed since it was last asked for. In a store it is
// that of the store.
package kv
