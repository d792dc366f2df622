// Package store is the state of large applications: an ordered map from keys to values
// with transactions, a digest that costs what changed, reads of earlier heights, Merkle
// proofs of what a key is mapped to, or of its absence, and state transfer that moves
// only what differs. DESIGN.md says how it is built, what else was weighed, and what it
// costs.
//
// # An application on it
//
// An application writes its operations as a [Handler] and gets everything else, the
// digest, snapshots, restoring, proofs and queries, from [Machine]:
//
//	cfg := store.DefaultConfig()
//	cfg.Dir = filepath.Join(dataDir, "state") // empty: in memory
//	s, err := store.Open(ctx, cfg)
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
// constant cost for each. Several handlers share a store by [Prefix]. A handler with
// something to do for each block implements [Blocks], one whose state does not begin
// empty [Founder].
//
// # Heights and digests
//
// [Store.Commit] makes the block's transaction the state at a height; [Store.At] reads
// the last heights, as many as [Config.Keep] says and those since the last but one certified
// checkpoint ([Store.Retain]), while blocks go on, and [Store.Last] the last one.
// [Store.Digest] hashes what changed since it was last asked for; it is asked for at
// checkpoints, and at those heights [View.Prove] has proofs. Package proof verifies them,
// with nothing but the digest, which a checkpoint's certificate covers:
//
//	v, err := s.At(checkpoint.Height)
//	p, err := v.Prove(key)                 // p.Encode() goes to whoever wants it
//	...
//	p, err := proof.Decode(b)
//	err = p.Verify(appDigest, key)         // then p.Present and p.Value are true
//
// Clients ask a [Machine] for one by [ProofQuery].
//
// # On a disk
//
// What was committed stays in memory until it is [Config.FlushBytes], and then goes to
// the database in one batch, which is synced while blocks go on: a crash leaves the state
// after one whole block, [Store.Durable] or a later one, with its history and its proofs. A [Machine] begins in its initial
// state, as every state machine does; if the first thing that it is told is to restore
// a snapshot that the last process took, the store goes back to that height at the cost
// of what changed since. The snapshots of a machine on a disk only name their states, which
// stay readable until [Machine.ReleaseSnapshots]; who does not have the state that one
// names gets it by [Store.Sync]. Those of [Store.Snapshot], and of a machine in memory, hold all of it. A store that is used
// without a machine goes on where [Store.Heights] says.
//
// Before each batch the store asks whether [Config.Reserve] is still free on the disk. If not
// it fails with [ErrDiskFull] and has lost nothing that was durable.
//
// The folder belongs to one process, which locks it; whoever comes second gets
// [ErrLocked]. It holds at most the last state twice over, while a
// snapshot is being loaded beside it, and otherwise what the database needs for the last
// state and for what the kept heights changed; see "The disk" in DESIGN.md for the bound.
//
// # Changes
//
// A [Machine] chains what its blocks change: with each block that changed something it
// puts under a key of its own the head of a hash chain over all changes so far, so that
// the digest of the state covers the history of all changes, and a proof of that one key
// certifies that a list of changes is complete, in order, and nothing else. Package feed
// says what a change is and what is hashed. It is always on, because the head is part of
// the state; it costs one hash over what a block changed.
//
// A store also keeps the changes of the last blocks, as many as [Config.FeedBytes] and
// [Config.FeedBlocks] say, in its database, written with each flush: whoever knows a
// position on the chain gets the blocks after it by [Store.Links] and what they changed
// by [Store.Pieces], or hears that these are compacted; clients ask a [Machine] by
// [LinksQuery] and [PiecesQuery]. What is kept has no gap and goes up to the last block.
// After a snapshot of another replica was restored, or a [Store.Sync], it begins with
// what comes later. It takes FeedBytes on the disk at most, or what the last block
// changed if that is more; what was let go since the last flush comes on top, which
// [Config.FlushBytes] bounds. In memory 64 bytes are kept for each block.
//
// The keys that begin with feed.Reserved are the store's own. Handlers do not see them; an
// operation that writes to one is rejected with statemachine.CodeReservedKey.
//
// # Another replica's state
//
// [Store.Sync] makes the state that of a certified checkpoint by asking [Peer]s, whose
// stores answer by [Store.Serve]. It checks each piece as it comes, goes on where an
// earlier attempt ended, and is independent of how the bytes travel. A peer that is slow holds
// up nobody. While a height is being served it is not pruned; a peer that has pruned it
// answers with nothing. [Store.Import] makes a state of more entries than fit into a block.
//
// # When states differ
//
// A [Machine] is a [statemachine.PartedState]. When its digest is not the certified one,
// [Store.Compare] descends the tree here and that of healthy peers and lists the first
// keys that differ, with both values and the block that wrote them, and [Machine.Rerun]
// runs that block again on the state before it and says which operation wrote what.
//
// A digest says what operations wrote, not what a disk made of it since: where a value
// was changed beneath its leaf, trees are equal. [Store.Scrub] therefore reads every value
// and every node and holds them against their digests, and so do Compare and Sync if
// [Sync.Scrub] is set, as it is for a Machine: Compare then lists such keys, as
// damaged, and Sync makes all of it good. That costs reading the whole state once: see
// "What is compared, and what is repaired" in DESIGN.md.
//
// # When the database fails
//
// Reads have no errors. A database that fails makes them panic with a *[Failure],
// [Machine] lets it through to the executor, which stops the replica with an error
// that wraps [statemachine.ErrHalted] and it: another replica's disk has not failed, so
// any result would make the two differ. Whoever reads outside a machine uses [Catch].
// After a failure the store refuses everything; it is closed, and opened again. Where
// the failure is damage it wraps [ErrCorrupt] and says what to do: a Sync with a scrub
// repairs the store as it is, open and failed, and where the database cannot read its
// files replaces it. [Discard] empties a folder that cannot even be opened.
package store
