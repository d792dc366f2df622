// Package wire is how the benchmark's load generator talks to replicas of systems that
// are libraries and have no client protocol of their own: frames over TCP, many to a
// write, without TLS or authentication. Two protocols use them: calls, of which each
// gets one reply from the replica it was sent to (replicated logs with a leader), and
// notices, with which every replica tells what it has executed (Byzantine systems,
// whose clients count replicas).
//
// It is a module of its own, without dependencies, because the programs that use it
// need versions of other modules that do not go together.
package wire
