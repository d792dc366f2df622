// Package parley is the root of a framework for Byzantine-fault-tolerant
// replicated state machines. It holds no code; begin at one of these:
//
//	replica        run a replica inside your program, or behind the parley command
//	client         talk to a cluster from Go
//	client/api     talk to a cluster from any language (protobuf)
//	statemachine   write an application
//	pbft           the protocol itself, a pure state machine
//	cmd/parley     the command
//
// ARCHITECTURE.md says how the parts fit together and why they are as they are.
package parley
