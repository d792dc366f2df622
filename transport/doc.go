// Package transport carries messages between the replicas of a cluster.
//
// A [Transport] promises little, on purpose: whole messages, from an
// authenticated peer, in order within a [Priority] while a link lives, each at
// most once. It may lose any of them, and never blocks the sender. The protocol
// repairs losses by itself (a Status makes its receiver push what the sender
// lacks), so acknowledgements and retransmission here would do the work twice.
//
// # Memory
//
// Every queue is bounded in messages and in bytes, per peer and priority. What a
// full queue drops follows from what the messages are for:
//
//   - Control drops the oldest. Votes and status are superseded by later ones: a
//     peer that could not be reached for a while is helped by the newest status,
//     not by votes for blocks that were committed meanwhile.
//   - Bulk drops the newest. Blocks are hash-linked: the earlier ones are needed
//     to make use of the later ones, and part of the first may be on its way.
//
// # Implementations
//
// Package transport/tcp links processes by connections of frames over mutual TLS.
// Package transport/memory links handlers within one process, either step by
// step and deterministic or live, with hooks for losing, delaying and
// partitioning.
package transport
