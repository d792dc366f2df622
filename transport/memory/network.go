package memory

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/transport"
)

// Limits of what waits on one link, and of one message, as with the default
// configuration of the real transport.
const (
	MaxMessage      = 16 << 20
	ControlMessages = 8192
	ControlBytes    = 16 << 20
	BulkMessages    = 1024
	BulkBytes       = 64 << 20
)

// Message is a message under way.
type Message struct {
	From, To crypto.ReplicaID
	Priority transport.Priority
	Data     []byte // not to be changed: all receivers of a broadcast share it
}

// Verdict is what a hook decides about a message. The zero Verdict delivers it.
type Verdict struct {
	Drop bool

	// Delay holds the message back, and with it what follows on its link: in live
	// mode for that time; step by step, for as many steps as it has nanoseconds.
	Delay time.Duration
}

// Hook decides about each message when it is sent. Hooks are called one at a time
// and must not call the network.
type Hook func(Message) Verdict

// Network is a set of endpoints. Its methods are safe for concurrent use, except
// that Step, Deliver and Run must not overlap.
type Network struct {
	n    int
	live bool

	mu        sync.Mutex
	endpoints []*Endpoint // by member; nil where none is attached
	groups    []int       // by member; nil without a partition
	hook      Hook
	sequence  uint64 // of the last message that was accepted
	steps     uint64
}

// NewNetwork returns a network of n members that delivers when told to.
func NewNetwork(n int) *Network {
	if n < 1 || n > crypto.MaxReplicas {
		panic(fmt.Sprintf("memory: %d members; from 1 to %d are possible", n, crypto.MaxReplicas))
	}
	return &Network{n: n, endpoints: make([]*Endpoint, n)}
}

// NewLive returns a network of n members that delivers by itself.
func NewLive(n int) *Network {
	net := NewNetwork(n)
	net.live = true
	return net
}

// Endpoint attaches the handler of a member and returns its transport. An earlier
// endpoint of the same member must have been closed: that is how a member is
// restarted. If a handler is a [transport.Observer], it is told of connections
// before Endpoint returns.
func (net *Network) Endpoint(id crypto.ReplicaID, h transport.Handler) *Endpoint {
	if int(id) >= net.n {
		panic(fmt.Sprintf("memory: member %d of %d", id, net.n))
	}
	net.mu.Lock()
	if net.endpoints[id] != nil {
		net.mu.Unlock()
		panic(fmt.Sprintf("memory: member %d is attached already", id))
	}
	e := newEndpoint(net, id, h)
	net.endpoints[id] = e
	others := net.others(id)
	net.mu.Unlock()
	for _, o := range others {
		o.observe(id, true)
		e.observe(o.id, true)
	}
	return e
}

// others returns the attached endpoints except id, in ascending order.
func (net *Network) others(id crypto.ReplicaID) []*Endpoint {
	var all []*Endpoint
	for _, e := range net.endpoints {
		if e != nil && e.id != id {
			all = append(all, e)
		}
	}
	return all
}

// Intercept sets the hook that decides about messages from now on; nil removes it.
func (net *Network) Intercept(h Hook) {
	net.mu.Lock()
	defer net.mu.Unlock()
	net.hook = h
}

// Partition lets messages through only within a group. Who is named in no group
// is alone. What is under way is not affected. It replaces an earlier partition.
func (net *Network) Partition(groups ...[]crypto.ReplicaID) {
	net.mu.Lock()
	defer net.mu.Unlock()
	net.groups = make([]int, net.n)
	for i := range net.groups {
		net.groups[i] = -1 - i
	}
	for i, g := range groups {
		for _, id := range g {
			net.groups[id] = i
		}
	}
}

// Heal ends the partition.
func (net *Network) Heal() {
	net.mu.Lock()
	defer net.mu.Unlock()
	net.groups = nil
}

// joined tells whether no partition is between a and b.
func (net *Network) joined(a, b crypto.ReplicaID) bool {
	return net.groups == nil || net.groups[a] == net.groups[b]
}

// send takes a message of e.
func (net *Network) send(e *Endpoint, m Message) {
	net.mu.Lock()
	defer net.mu.Unlock()
	l := e.link(m.To)
	if l == nil {
		e.astray++
		return
	}
	if reason, ok := net.refuse(e, m); ok {
		l.dropped[reason]++
		return
	}
	var v Verdict
	if net.hook != nil {
		v = net.hook(m)
	}
	if v.Drop || !net.joined(m.From, m.To) {
		l.dropped[transport.DropInjected]++
		return
	}
	net.sequence++
	i := item{data: m.Data, sequence: net.sequence, step: net.steps + uint64(max(v.Delay, 0))}
	if net.live && v.Delay > 0 {
		i.at = time.Now().Add(v.Delay)
	}
	if l.push(m.Priority, i) && net.live {
		l.kick(net.endpoints[m.To])
	}
}

// refuse tells why a message cannot even be queued.
func (net *Network) refuse(e *Endpoint, m Message) (transport.DropReason, bool) {
	switch {
	case e.closed:
		return transport.DropClosed, true
	case len(m.Data) == 0:
		return transport.DropEmpty, true
	case len(m.Data) > MaxMessage:
		return transport.DropTooLarge, true
	case net.endpoints[m.To] == nil:
		return transport.DropUnreachable, true
	}
	return 0, false
}

// lanes calls f for every lane with something in it.
func (net *Network) lanes(f func(*link, transport.Priority, []item)) {
	for _, e := range net.endpoints {
		if e == nil {
			continue
		}
		for _, l := range e.links {
			if l == nil {
				continue
			}
			for p := range l.lanes {
				if items := l.lanes[p].items; len(items) > 0 {
					f(l, transport.Priority(p), items)
				}
			}
		}
	}
}

type waiting struct {
	link     *link
	priority transport.Priority
	index    int
	item
}

// ordered returns all that is under way, oldest first.
func (net *Network) ordered() []waiting {
	var all []waiting
	net.lanes(func(l *link, p transport.Priority, items []item) {
		for i, x := range items {
			all = append(all, waiting{l, p, i, x})
		}
	})
	slices.SortFunc(all, func(a, b waiting) int { return cmp.Compare(a.sequence, b.sequence) })
	return all
}

// Pending returns what is under way, oldest first.
func (net *Network) Pending() []Message {
	net.mu.Lock()
	defer net.mu.Unlock()
	var all []Message
	for _, w := range net.ordered() {
		all = append(all, Message{From: w.link.from.id, To: w.link.to, Priority: w.priority, Data: w.data})
	}
	return all
}

// Step delivers the oldest message that is due, and tells whether there was one
// under way at all: a step in which everything is delayed only brings that
// nearer. A delayed message holds back what follows on its link and priority.
func (net *Network) Step() bool {
	net.mu.Lock()
	net.stepMode("Step")
	net.steps++
	under := false
	var next *waiting
	net.lanes(func(l *link, p transport.Priority, items []item) {
		under = true
		if first := items[0]; first.step < net.steps && (next == nil || first.sequence < next.sequence) {
			next = &waiting{l, p, 0, first}
		}
	})
	if next == nil {
		net.mu.Unlock()
		return under
	}
	net.deliver(*next)
	return true
}

// Deliver delivers the i-th message of [Network.Pending], whatever its delay and
// order: for tests that choose the schedule.
func (net *Network) Deliver(i int) {
	net.mu.Lock()
	net.stepMode("Deliver")
	net.steps++
	net.deliver(net.ordered()[i])
}

// Run steps until nothing is under way or limit steps were made, and returns
// their number.
func (net *Network) Run(limit int) int {
	for i := range limit {
		if !net.Step() {
			return i
		}
	}
	return limit
}

func (net *Network) stepMode(method string) {
	if net.live {
		net.mu.Unlock()
		panic("memory: " + method + " on a live network")
	}
}

// deliver hands over a message; it unlocks the network.
func (net *Network) deliver(w waiting) {
	w.link.remove(w.priority, w.index)
	e := net.endpoints[w.link.to] // what goes to a closed endpoint is dropped when it closes
	w.link.delivered(e, w.priority, w.data)
	net.mu.Unlock()
	e.handler.Receive(w.link.from.id, slices.Clone(w.data))
}
