package replica

import (
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/transport"
)

// sender signs, encodes and hands messages to the transport.
type sender struct {
	transport transport.Transport
	cluster   pbft.Digest
	epoch     pbft.Epoch
	keys      pbft.Keys
	members   int
	metrics   *metrics
}

// lane is the priority of a message: what is large must not hold up votes.
func lane(k pbft.MessageKind) transport.Priority {
	switch k {
	case pbft.KindPrePrepare, pbft.KindBlocks, pbft.KindForward, pbft.KindChunk, pbft.KindManifest, pbft.KindEvidence,
		pbft.KindGetState, pbft.KindState:
		return transport.Bulk
	}
	return transport.Control
}

// send signs what is this replica's own and unsigned. Everyone means all others.
func (s *sender) send(to pbft.ReplicaID, m pbft.Message) {
	s.sendSigned(to, pbft.Sign(s.cluster, s.epoch, m, s.keys))
}

func (s *sender) sendSigned(to pbft.ReplicaID, m pbft.Message) {
	raw := pbft.Encode(s.epoch, m)
	s.metrics.sent(m.Kind(), len(raw))
	p := lane(m.Kind())
	if to != pbft.Everyone {
		s.transport.Send(to, p, raw)
		return
	}
	for id := range s.members {
		if pbft.ReplicaID(id) != s.keys.Self {
			s.transport.Send(pbft.ReplicaID(id), p, raw)
		}
	}
}

// outbox sends what need not wait for the disk, in order, so that signing and
// encoding do not hold up the protocol goroutine.
type outbox struct {
	sender *sender
	queue  *queue[pbft.Envelope]
	done   chan struct{}
}

func startOutbox(s *sender) *outbox {
	o := &outbox{sender: s, queue: newQueue[pbft.Envelope](), done: make(chan struct{})}
	go o.run()
	return o
}

func (o *outbox) run() {
	defer close(o.done)
	for items, ok := o.queue.takeAll(nil); ok; items, ok = o.queue.takeAll(items) {
		for _, e := range items {
			o.sender.send(e.To, e.Message)
		}
	}
}

func (o *outbox) stop() {
	o.queue.close()
	<-o.done
}
