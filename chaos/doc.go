// Package chaos runs whole clusters against faults and judges what comes out.
//
// A [Simulation] is n replicas in one goroutine under virtual time: each is a real
// [replica.Node] with the real executor on a store that loses what was not synced,
// the network, the disks, the clocks and the clients are simulated. Everything that
// happens follows from one seed: the same options give the same trace hash.
//
//	report := chaos.Run(chaos.Swarm(seed))
//	if err := report.Err(); err != nil { ... }
//
// A run has two parts. In the first, faults of the kinds that the seed has drawn
// come and go: loss, duplication, reordering, delay, partitions, one-way cuts,
// crashes at the boundaries of a log write, power loss of everybody, pauses, wiped
// disks, lost snapshots, clocks that jump, and up to F replicas that rewrite what
// they send. In the second, a quorum or everybody is healed, and every operation
// of every client must be answered within a bound of virtual time.
//
// What is judged, while it happens and from outside of the replicas: agreement on
// the blocks; every request runs once; equal states at equal heights; whatever
// leaves a replica is on its disk before; no replica contradicts itself, also
// across restarts; views never go back; state transfers install what was
// certified; no proof names an honest replica. At the end, for the key-value
// application, the histories of the clients must be linearizable ([History]).
//
// What is not the product's own code here: the host around the Node (the runtime's
// goroutines, files and sockets). Tests with real servers cover it.
package chaos
