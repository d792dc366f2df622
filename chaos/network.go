package chaos

import (
	"hash/crc32"
	"time"

	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// network carries messages between replicas, and between them and clients.
type network struct {
	s *Simulation
	// cut counts the faults on each directed link, last is when its last message
	// arrives.
	cut  [][]int
	last [][]time.Duration
}

func (n *network) init(s *Simulation) {
	n.s = s
	for range s.opts.Weights {
		n.cut = append(n.cut, make([]int, len(s.opts.Weights)))
		n.last = append(n.last, make([]time.Duration, len(s.opts.Weights)))
	}
}

// fate draws when copies of a message arrive: none, one or two.
func (n *network) fate() []time.Duration {
	o := &n.s.opts.Network
	var copies [2]time.Duration
	k := 0
	lossy := n.s.storming
	if !lossy || o.Loss == 0 || n.s.rng.Float64() >= o.Loss {
		copies[k] = o.Delay + n.s.exp(o.Jitter)
		k++
	}
	if lossy && o.Duplicate > 0 && n.s.rng.Float64() < o.Duplicate {
		copies[k] = o.Delay + 4*n.s.exp(o.Jitter)
		k++
	}
	return copies[:k]
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
	if n.cut[from][to] > 0 {
		return
	}
	for _, d := range n.fate() {
		at := n.s.now + d
		if n.s.opts.Network.FIFO {
			at = max(at, n.last[from][to])
			n.last[from][to] = at
		}
		n.s.agenda.add(at, func() { n.arrive(from, to, k) })
	}
}

func (n *network) arrive(from, to pbft.ReplicaID, k *packet) {
	if n.cut[from][to] > 0 {
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
	for _, d := range n.fate() {
		n.s.after(d, func() {
			if p := n.s.replicas[to].up; p != nil {
				p.request(r)
			}
		})
	}
}

// reply carries a replica's answer to a client.
func (n *network) reply(from pbft.ReplicaID, u *user, r statemachine.Reply) {
	for _, d := range n.fate() {
		n.s.after(d, func() { u.reply(from, &r) })
	}
}
