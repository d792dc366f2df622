package transport

import "github.com/parley-bft/parley/crypto"

// Priority is the lane that a message takes to a peer. Order is kept within a
// lane, never between lanes.
type Priority uint8

const (
	// Control is for what is small and urgent: votes, certificates, view changes,
	// status. It never waits behind Bulk.
	Control Priority = iota
	// Bulk is for what is large: blocks, chunks of snapshots.
	Bulk
	// Priorities is the number of lanes.
	Priorities
)

// String returns the lane's name, as used in logs and metrics.
func (p Priority) String() string {
	switch p {
	case Control:
		return "control"
	case Bulk:
		return "bulk"
	default:
		return "invalid"
	}
}

// Handler takes what arrives.
//
// Receive is called by the goroutine that receives from that peer: calls for one
// peer never overlap and come in the order of the lane, calls for different
// peers run concurrently. The message belongs to the handler. A handler that
// blocks holds back that one peer, first by flow control and then by its full
// queue, and nobody else; Close waits for it.
//
// from is authenticated by the link. That says who delivered the message, not
// that its content is right.
type Handler interface {
	Receive(from crypto.ReplicaID, message []byte)
}

// HandlerFunc makes a [Handler] of a function.
type HandlerFunc func(from crypto.ReplicaID, message []byte)

// Receive calls f.
func (f HandlerFunc) Receive(from crypto.ReplicaID, message []byte) { f(from, message) }

// Observer may be implemented by a [Handler] that wants to know when a peer
// becomes reachable, to send it a status at once. Calls for one peer do not
// overlap and must not block. They may come before the constructor of the
// transport has returned.
type Observer interface {
	// Connected is called when messages to peer begin to flow, after a start or
	// after an interruption: whatever was on its way when the link broke is lost.
	Connected(peer crypto.ReplicaID)
	// Disconnected is called when they no longer do.
	Disconnected(peer crypto.ReplicaID)
}

// Transport sends messages to the other replicas. All methods are safe for
// concurrent use.
type Transport interface {
	// Send queues message for a peer and never blocks. The message must not be
	// changed afterwards; one slice may be sent to many peers. What cannot be
	// queued is dropped and counted with its reason (see [DropReason]). Delivery
	// is not promised: a link that breaks loses what was under way.
	Send(to crypto.ReplicaID, p Priority, message []byte)

	// Peers returns the state of the link to every peer, in ascending order of id.
	Peers() []PeerStatus

	// Close ends all links and returns when no goroutine of the transport runs any
	// more and no call of the handler is under way. A second call returns at once
	// with the same result.
	Close() error
}
