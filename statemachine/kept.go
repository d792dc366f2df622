package statemachine

// SnapshotKeeper is implemented by a [PartedState] that may keep the states of its snapshots
// itself, on its own disk. Its [Snapshot] then does not have the state's bytes but only
// what names the state, the same on all replicas, so a snapshot costs next to nothing
// however large the state is. All replicas of a cluster must answer KeepsSnapshots alike:
// the bytes of snapshots are certified.
//
// Snapshot.WriteTo returns once the state that it names is durable. Restore goes back to
// it, without an error that wraps [ErrStateElsewhere] only if it is still kept here;
// after that error the application is as it was, and SyncState gets the state from peers.
type SnapshotKeeper interface {
	PartedState

	// KeepsSnapshots tells whether it does. The answer is always the same.
	KeepsSnapshots() bool

	// ReleaseSnapshots says that snapshots of heights below are not needed any more. All
	// others are kept until then. It may be called from any goroutine at any time.
	ReleaseSnapshots(below uint64)
}
