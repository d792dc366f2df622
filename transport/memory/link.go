package memory

import (
	"slices"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/transport"
)

// item is a message that waits on a link.
type item struct {
	data     []byte
	sequence uint64
	step     uint64    // it may be delivered after this step
	at       time.Time // live: not before
}

// link is the way from an endpoint to one peer, guarded by the network's lock.
type link struct {
	from  *Endpoint
	to    crypto.ReplicaID
	lanes [transport.Priorities]struct {
		items []item
		bytes int
	}
	sent    [transport.Priorities]transport.Load
	dropped transport.Drops

	// Live only.
	serving *Endpoint     // whom the link's goroutine delivers to; nil if there is none
	ready   chan struct{} // something was pushed
}

var limits = [transport.Priorities]struct{ messages, bytes int }{
	transport.Control: {ControlMessages, ControlBytes},
	transport.Bulk:    {BulkMessages, BulkBytes},
}

// push adds a message within the limits, like the queue of a real link: control
// drops the oldest, bulk the newest.
func (l *link) push(p transport.Priority, i item) bool {
	lane := &l.lanes[p]
	for len(lane.items) >= limits[p].messages || lane.bytes+len(i.data) > limits[p].bytes {
		l.dropped[transport.DropQueueFull]++
		if p == transport.Bulk {
			return false
		}
		l.remove(p, 0)
	}
	lane.items = append(lane.items, i)
	lane.bytes += len(i.data)
	return true
}

func (l *link) remove(p transport.Priority, i int) {
	lane := &l.lanes[p]
	lane.bytes -= len(lane.items[i].data)
	if i == 0 {
		lane.items[0] = item{}
		lane.items = lane.items[1:]
		return
	}
	lane.items = slices.Delete(lane.items, i, i+1)
}

// discard drops all that waits.
func (l *link) discard(r transport.DropReason) {
	for p := range l.lanes {
		l.dropped[r] += uint64(len(l.lanes[p].items))
		l.lanes[p].items, l.lanes[p].bytes = nil, 0
	}
}

// delivered counts a message that is about to be handed over.
func (l *link) delivered(to *Endpoint, p transport.Priority, data []byte) {
	l.sent[p].Add(len(data))
	to.received[l.from.id][p].Add(len(data))
}

// kick makes sure that a goroutine delivers what waits to the endpoint.
func (l *link) kick(to *Endpoint) {
	if l.serving != to {
		l.serving, l.ready = to, make(chan struct{}, 1)
		ready := l.ready
		to.wg.Go(func() { l.serve(to, ready) })
	}
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// serve delivers to an endpoint until it or the sender is closed.
func (l *link) serve(to *Endpoint, ready <-chan struct{}) {
	// An earlier endpoint of the sender may still be in the handler. A channel and
	// not a mutex, so that time may pass meanwhile in a testing/synctest bubble.
	turn := to.turns[l.from.id]
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-to.done:
		return
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		data, wait, ok := l.next(to)
		if ok {
			to.handler.Receive(l.from.id, slices.Clone(data))
			continue
		}
		timer.Reset(wait)
		select {
		case <-ready:
		case <-timer.C:
		case <-l.from.done:
			return
		case <-to.done:
			return
		}
	}
}

// next takes the next message that is due, control first, or tells how long it
// is until there can be one.
func (l *link) next(to *Endpoint) (data []byte, wait time.Duration, ok bool) {
	net := l.from.net
	net.mu.Lock()
	defer net.mu.Unlock()
	wait = time.Hour
	if net.endpoints[l.to] != to {
		return nil, wait, false
	}
	for p := range l.lanes {
		lane := &l.lanes[p]
		if len(lane.items) == 0 {
			continue
		}
		first := lane.items[0]
		if left := time.Until(first.at); !first.at.IsZero() && left > 0 {
			wait = min(wait, left)
			continue
		}
		l.remove(transport.Priority(p), 0)
		l.delivered(to, transport.Priority(p), first.data)
		return first.data, 0, true
	}
	return nil, wait, false
}
