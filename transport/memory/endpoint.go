package memory

import (
	"fmt"
	"sync"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/transport"
)

// Endpoint is the transport of one member. It implements [transport.Transport].
type Endpoint struct {
	net      *Network
	id       crypto.ReplicaID
	handler  transport.Handler
	observer transport.Observer // nil if the handler is none

	// Guarded by net.mu.
	links    []*link // by peer; nil for the member itself
	received [][transport.Priorities]transport.Load
	astray   uint64 // messages to no peer
	closed   bool

	// Live only.
	done  chan struct{}
	turns []chan struct{} // by peer: held while a link may call the handler
	wg    sync.WaitGroup  // of the links that lead here
}

var _ transport.Transport = (*Endpoint)(nil)

func newEndpoint(net *Network, id crypto.ReplicaID, h transport.Handler) *Endpoint {
	e := &Endpoint{
		net: net, id: id, handler: h,
		links:    make([]*link, net.n),
		received: make([][transport.Priorities]transport.Load, net.n),
		done:     make(chan struct{}),
		turns:    make([]chan struct{}, net.n),
	}
	for i := range e.turns {
		e.turns[i] = make(chan struct{}, 1)
	}
	e.observer, _ = h.(transport.Observer)
	for i := range e.links {
		if to := crypto.ReplicaID(i); to != id {
			e.links[i] = &link{from: e, to: to}
		}
	}
	return e
}

func (e *Endpoint) link(to crypto.ReplicaID) *link {
	if int(to) >= len(e.links) {
		return nil
	}
	return e.links[to]
}

// observe tells the handler of a peer, if it wants to know.
func (e *Endpoint) observe(peer crypto.ReplicaID, connected bool) {
	switch {
	case e.observer == nil:
	case connected:
		e.observer.Connected(peer)
	default:
		e.observer.Disconnected(peer)
	}
}

// Send queues a message, see [transport.Transport].
func (e *Endpoint) Send(to crypto.ReplicaID, p transport.Priority, message []byte) {
	if p >= transport.Priorities {
		panic(fmt.Sprintf("transport: priority %d does not exist", p))
	}
	e.net.send(e, Message{From: e.id, To: to, Priority: p, Data: message})
}

// Peers returns the state of the links, see [transport.Transport]. There are no
// round trips to measure.
func (e *Endpoint) Peers() []transport.PeerStatus {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	var all []transport.PeerStatus
	for _, l := range e.links {
		if l == nil {
			continue
		}
		up := !e.closed && e.net.endpoints[l.to] != nil && e.net.joined(e.id, l.to)
		s := transport.PeerStatus{
			ID: l.to, Address: fmt.Sprintf("memory:%d", l.to),
			Connected: up, Receiving: up,
			Sent: l.sent, Received: e.received[l.to], Dropped: l.dropped,
		}
		for p := range l.lanes {
			s.Queued[p] = transport.Load{Messages: uint64(len(l.lanes[p].items)), Bytes: uint64(l.lanes[p].bytes)}
		}
		all = append(all, s)
	}
	return all
}

// Astray returns how many messages were addressed to no peer.
func (e *Endpoint) Astray() uint64 {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	return e.astray
}

// Close detaches the member, see [transport.Transport]. What is under way to or
// from it is dropped. It must not be called by a handler.
func (e *Endpoint) Close() error {
	e.net.mu.Lock()
	if e.closed {
		e.net.mu.Unlock()
		e.wg.Wait()
		return nil
	}
	e.closed = true
	e.net.endpoints[e.id] = nil
	close(e.done)
	for _, l := range e.links {
		if l != nil {
			l.discard(transport.DropClosed)
		}
	}
	others := e.net.others(e.id)
	for _, o := range others {
		o.links[e.id].discard(transport.DropUnreachable)
	}
	e.net.mu.Unlock()
	for _, o := range others {
		o.observe(e.id, false)
	}
	e.wg.Wait()
	return nil
}
