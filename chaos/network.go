package chaos

import (
	"fmt"
	"hash/crc32"
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// Network is what the links do. Delay, Jitter and FIFO hold at all times, the rest
// until the end of the storm: from then on every message arrives, and soon.
type Network struct {
	// Delay is the least time that a message takes. Jitter is the mean of what comes
	// on top of it, exponentially distributed; it reorders messages unless FIFO.
	Delay, Jitter time.Duration
	FIFO          bool
	// Uneven makes the delay of each directed link up to so many times as long, if
	// above 1.
	Uneven int
	// Loss and Duplicate are probabilities for each message. Tail is that of a
	// message that takes fifty times as long.
	Loss, Duplicate, Tail float64
	// Replay is the probability that a message is followed by an old one of its link.
	Replay float64
	// Bandwidth of each directed link in bytes a second; 0 is unlimited.
	Bandwidth int
	// Schedule is the name of one of [Schedules], an adversary that sees what the
	// messages are and decides when they arrive; "" is none.
	Schedule string
	// HuntPrimary cuts off whoever is primary, TraitorsLead lets a message pass only
	// now and then unless the primary is a traitor.
	HuntPrimary, TraitorsLead bool
}

func (o *Network) validate() error {
	bad := func(field string, value any, remedy string) error {
		return fmt.Errorf("%w: Network.%s is %v: %s", ErrOptions, field, value, remedy)
	}
	for name, p := range map[string]float64{"Loss": o.Loss, "Duplicate": o.Duplicate, "Tail": o.Tail, "Replay": o.Replay} {
		if p < 0 || p >= 1 {
			return bad(name, p, "must be in [0,1)")
		}
	}
	switch {
	case o.Delay < 0 || o.Jitter < 0:
		return bad("Delay, Jitter", []time.Duration{o.Delay, o.Jitter}, "must not be negative")
	case o.Uneven < 0 || o.Uneven > 100:
		return bad("Uneven", o.Uneven, "set 0 to 100")
	case o.Bandwidth < 0 || o.Bandwidth > 0 && o.Bandwidth < 1<<10:
		return bad("Bandwidth", o.Bandwidth, "set at least 1024 bytes a second, or 0 for no limit")
	case o.Schedule != "" && schedules[o.Schedule] == nil:
		return bad("Schedule", o.Schedule, fmt.Sprintf("set one of %q", Schedules()))
	}
	return nil
}

// network carries messages between replicas, and between them and clients.
type network struct {
	s     *Simulation
	links [][]link
	plan  *plan
	// leaders are those of the view that the most advanced replica is in.
	leaderOf pbft.View
	leader   pbft.ReplicaID
}

// link is one direction between two replicas.
type link struct {
	cut     int           // faults that cut it
	clogged int           // faults that hold what is on it
	held    []*packet     // while it is clogged
	flying  int           // bytes on their way
	narrow  int           // faults that take its bandwidth
	last    time.Duration // when its last message arrives
	free    time.Duration // when its last message has left
	stretch float64       // of its delay
	past    []*packet     // to replay
}

func (n *network) init(s *Simulation) {
	n.s = s
	n.plan = newPlan(s)
	for range s.opts.Weights {
		row := make([]link, len(s.opts.Weights))
		for i := range row {
			row[i].stretch = 1
			if u := s.opts.Network.Uneven; u > 1 {
				row[i].stretch += s.rng.Float64() * float64(u-1)
			}
		}
		n.links = append(n.links, row)
	}
}

// packet is a message on its way. Those who get the same bytes share it.
type packet struct {
	raw     []byte
	sum     uint32
	decoded bool
	epoch   pbft.Epoch
	m       pbft.Message
	err     error
}

func newPacket(raw []byte) *packet { return &packet{raw: raw, sum: crc32.Checksum(raw, castagnoli)} }

// message decodes it. What comes out is never changed by anybody.
func (k *packet) message() (pbft.Message, error) {
	if !k.decoded {
		k.decoded = true
		k.epoch, k.m, k.err = pbft.Decode(k.raw)
	}
	return k.m, k.err
}

// send carries bytes from one replica to another.
func (n *network) send(from, to pbft.ReplicaID, raw []byte) { n.carry(from, to, newPacket(raw)) }

// carry carries a message from one replica to another.
func (n *network) carry(from, to pbft.ReplicaID, k *packet) {
	l := &n.links[from][to]
	if l.cut > 0 || n.s.storming && n.hunted(from, to) {
		return
	}
	n.remember(l, k)
	copies, many := n.fate(l)
	for _, d := range copies[:many] {
		n.dispatch(l, from, to, k, d)
	}
	if old := n.replayed(l); old != nil {
		n.dispatch(l, from, to, old, n.delay(l))
	}
}

// dispatch has a copy arrive after d, and what its link and the adversary add, unless
// too much is on its way there.
func (n *network) dispatch(l *link, from, to pbft.ReplicaID, k *packet, d time.Duration) {
	if n.overflows(l, from, to, k) {
		n.s.report.Faults[lostToBound]++
		return
	}
	l.flying += len(k.raw)
	at := n.throttle(l, k) + d
	if n.s.storming {
		at += n.plan.hold(n, from, to, k)
	}
	at = min(at, max(n.s.now, n.s.opts.Storm)+n.s.opts.delayBound())
	if n.s.opts.Network.FIFO {
		at = max(at, l.last)
		l.last = at
	}
	n.s.agenda.plan(at, event{k: k, from: uint8(from), to: uint8(to)})
}

// landed ends the flight of a copy that dispatch has sent.
func (n *network) landed(from, to pbft.ReplicaID, k *packet) {
	n.links[from][to].flying -= len(k.raw)
	n.arrive(from, to, k)
}

func (n *network) arrive(from, to pbft.ReplicaID, k *packet) {
	l := &n.links[from][to]
	if l.cut > 0 {
		return
	}
	if l.clogged > 0 {
		if len(l.held) < maxHeld {
			l.held = append(l.held, k)
		}
		return
	}
	n.s.report.Messages++
	text := ""
	if n.s.trace.reading() {
		text = describeBytes(k.raw)
	}
	n.s.trace.add(n.s.now, "message", int(from), int(to), len(k.raw), k.sum, text)
	if p := n.s.replicas[to].up; p != nil {
		p.receive(from, k)
	}
}

// request carries a client's request to a replica.
func (n *network) request(to pbft.ReplicaID, r *pbft.Request) {
	copies, many := n.fate(nil)
	for _, d := range copies[:many] {
		n.s.after(d, func() {
			if p := n.s.replicas[to].up; p != nil {
				p.request(r)
			}
		})
	}
}

// reply carries a replica's answer to a client.
func (n *network) reply(from pbft.ReplicaID, u *user, r statemachine.Reply) {
	copies, many := n.fate(nil)
	for _, d := range copies[:many] {
		n.s.after(d, func() { u.reply(from, &r) })
	}
}

// primary is that of the view that the most advanced honest replica is in.
func (n *network) primary() pbft.ReplicaID {
	view := n.leaderOf
	for _, m := range n.s.replicas {
		if m.up != nil && m.honest() {
			view = max(view, m.up.node.Core().View())
		}
	}
	if view != n.leaderOf || view == 0 {
		n.leaderOf, n.leader = view, n.s.schedule.Primary(0, view)
	}
	return n.leader
}
