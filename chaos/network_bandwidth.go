package chaos

import (
	"time"

	"github.com/parley-bft/parley/pbft"
)

// collapsed is what is left of a link's bandwidth when a fault takes it, in bytes
// a second.
const collapsed = 20 << 10

// maxQueue is how long a message waits at most for those before it: a real link
// would have stopped its sender by then.
const maxQueue = 5 * time.Second

// maxFlying is how many bytes are on their way from one replica to another at most; the
// rest is lost, as at a sender whose queue is full. A flood of large messages on a slow
// link took all memory otherwise.
const maxFlying = 4 << 20

// lostToBound counts what is lost to that among the faults.
const lostToBound = "message lost to a full link"

// overflows tells whether a message is too much for its link. Whatever its size, it is not
// if nothing else is on its way: or one of more than maxFlying could never pass. And none
// is between honest replicas after the storm, when every message arrives: what they send
// each other is bounded by the product, and the promise of liveness counts on it.
func (n *network) overflows(l *link, from, to pbft.ReplicaID, k *packet) bool {
	if l.flying == 0 || l.flying+len(k.raw) <= maxFlying {
		return false
	}
	return n.s.storming || n.s.replicas[from].plays != "" || n.s.replicas[to].plays != ""
}

// throttle is when a message has left its sender, through a link that carries so
// many bytes a second.
func (n *network) throttle(l *link, k *packet) time.Duration {
	rate := n.s.opts.Network.Bandwidth
	if l.narrow > 0 {
		rate = collapsed
	}
	if rate == 0 || !n.s.storming {
		return n.s.now
	}
	l.free = min(max(l.free, n.s.now), n.s.now+maxQueue) + time.Duration(len(k.raw))*time.Second/time.Duration(rate)
	return l.free
}
