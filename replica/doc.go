// Package replica runs one member of a cluster.
//
// A [Node] is the deterministic half: it drives the core of package pbft, serves
// blocks and snapshots to peers and takes part in state transfers. It has no
// goroutine, no clock, no disk and no socket; events go in, calls on a [Host]
// come out. The simulator runs the same Node.
//
// A [Server] is the thin shell around it: verification pool, log writer with
// group commit, execution, sockets, timers, metrics. [Start] makes one.
//
// A data folder is made by [InitDataDir] and belongs to one replica of one
// cluster in one epoch; see [Identity]. In it are
//
//	IDENTITY    whose it is
//	LOCK        held by the process that uses it
//	store/      the log: a journal and a database
//	snapshots/  the last snapshots, and what is being transferred; before the first
//	            certified one the state that the application began with, as that of height 0
//	state/      the state of an application that keeps it on the disk
//	doctor.json the divergences that this replica has had: see [Server.Doctor]
//
// Without store a replica that has voted rejoins as a follower. Without state, or with
// one that is behind, the application is restored from a snapshot.
package replica
