// Package chaos runs whole clusters against faults and judges what comes out.
//
// A [Simulation] is n replicas in one goroutine under virtual time: each is a
// [replica.Sim], the product's own node with its own verification of messages,
// executor, recovery, snapshots, receipts and state transfer, part by part where the
// application is on statemachine/store; the network, the
// disks, the clocks and the clients are simulated. Everything that
// happens follows from one seed: the same options give the same trace hash.
//
//	report := chaos.Run(chaos.Swarm(seed))
//	if err := report.Err(); err != nil { ... }
//
// A run has two parts. In the first, faults of the kinds that the seed has drawn
// come and go ([Faults], [Network], [Conditions]), and up to F replicas are
// traitors, or worthless because of what was done to them. In the second, a quorum
// or everybody is healed, and every operation of every client must be answered
// within the time that follows from the protocol's timers (liveness.go). What is
// rare and matters is counted ([Situations]).
//
// What is judged, while it happens and from outside of the replicas: agreement on
// the blocks; every request runs once; equal states at equal heights; whatever
// leaves a replica is on its disk before; no replica contradicts itself, also
// across restarts; views never go back; state transfers install what was
// certified; a state on a disk is there before the vote for it leaves, and as long as
// a snapshot names it ([Options.OnDisk]); no proof names an honest replica. At the end, for the key-value
// application, the histories of the clients must be linearizable ([History]).
//
// Clients read through the log: an operation that only reads is ordered and executed
// as any other. What a server answers beside the log (queries at a read index) is not
// simulated.
//
// What is not the product's own code here: the goroutines, files and sockets around
// the node, and of the client all but which answers it believes. Tests with real
// servers cover them.
package chaos
