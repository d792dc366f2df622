package transport

import (
	"time"

	"github.com/parley-bft/parley/crypto"
)

// DropReason says why a message was not sent.
type DropReason uint8

const (
	// DropQueueFull: the lane of that peer is at its limit. In [Bulk] the message
	// itself is dropped, in [Control] the oldest that waits.
	DropQueueFull DropReason = iota
	// DropUnreachable: the peer has been gone for so long that what waits for it
	// would be stale.
	DropUnreachable
	// DropTooLarge: the message is longer than the configured limit.
	DropTooLarge
	// DropEmpty: the message has no bytes.
	DropEmpty
	// DropClosed: the transport is closed, or the peer left the membership.
	DropClosed
	// DropUnknownPeer: the address is not a peer, or is the sender itself.
	DropUnknownPeer
	// DropInjected: a fault that a test asked for (in-memory transport only).
	DropInjected
	// DropReasons is the number of reasons.
	DropReasons
)

var dropNames = [DropReasons]string{
	"queue_full", "unreachable", "too_large", "empty", "closed", "unknown_peer", "injected",
}

// String returns the reason's name, as used for metrics.
func (r DropReason) String() string {
	if r < DropReasons {
		return dropNames[r]
	}
	return "invalid"
}

// Load is a number of messages and the sum of their lengths.
type Load struct {
	Messages uint64
	Bytes    uint64
}

// Add counts one message of n bytes.
func (l *Load) Add(n int) {
	l.Messages++
	l.Bytes += uint64(n)
}

// Drops counts dropped messages by reason.
type Drops [DropReasons]uint64

// Total returns the sum over all reasons.
func (d Drops) Total() uint64 {
	var n uint64
	for _, v := range d {
		n += v
	}
	return n
}

// Refuser is implemented by a [Transport] that turns connections away.
type Refuser interface {
	// Refused returns how many connections were turned away since the start, by a
	// reason that is fit for a metric's label. All reasons are there from the start.
	Refused() map[string]uint64
}

// PeerStatus is a snapshot of the link to one peer. Counters only grow while the
// transport lives.
type PeerStatus struct {
	ID      crypto.ReplicaID
	Address string

	// Connected: what is sent flows to the peer. Receiving: the peer's own link to
	// us stands. A link that works has both.
	Connected bool
	Receiving bool

	// RTT is the smoothed round-trip time of pings that travel among the messages
	// and are answered by the peer's receive goroutine: what a vote really takes,
	// waiting behind parts of blocks included. A peer can make it longer at will.
	// Zero until measured.
	RTT time.Duration

	// Epoch and Build are what the peer said when it last connected.
	Epoch uint64
	Build string

	// Queued waits to be sent, by priority.
	Queued [Priorities]Load
	// Sent was handed to the network, by priority; a link that breaks may lose
	// some of it.
	Sent [Priorities]Load
	// Received was delivered to the handler, by priority.
	Received [Priorities]Load
	// Dropped was never sent.
	Dropped Drops

	// Connects counts established outgoing links; more than one is a reconnection.
	Connects uint64
	// Failures counts attempts and links that ended with an error.
	Failures uint64
	// Malformed counts incoming links that were cut because the peer broke the
	// format of frames.
	Malformed uint64

	// LastError is why the link fails now, empty while it stands: a direction that
	// is established forgets why it failed before. LastErrorAt is when that was.
	LastError   string
	LastErrorAt time.Time
}
