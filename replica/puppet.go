//go:build chaos

package replica

import (
	"context"
	"sync"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/transport"
)

// Puppeteer decides what a server sends, hears and answers. All calls come from the
// server's protocol goroutine. chaos.Traitor is one.
type Puppeteer interface {
	// Send gets what the server would send to one peer, signed. Nothing is sent unless
	// Strings.Transmit is called.
	Send(to pbft.ReplicaID, m pbft.Message)
	// Hear gets a message that arrived, unverified; false hides it from the server.
	Hear(from pbft.ReplicaID, m pbft.Message) bool
	// Request gets a client's request; false hides it from the server.
	Request(r *pbft.Request) bool
	// Reply gets an answer to a client; false says nothing.
	Reply(client crypto.PublicKey, r statemachine.Reply) (statemachine.Reply, bool)
	// Tick is called once in a tick.
	Tick()
}

// Strings are what a puppeteer holds a server by. They may be pulled by the
// protocol goroutine only: in methods of the Puppeteer and in what After calls.
type Strings struct {
	Core     pbft.Config
	Verifier *pbft.Verifier
	Keys     pbft.Keys
	Limits   statemachine.Limits
	// Tick is the unit of Core.Timeouts.
	Tick time.Duration
	// Transmit sends a message, encoded, to a peer. m may be nil, for bytes that are
	// none.
	Transmit func(to pbft.ReplicaID, m pbft.Message, raw []byte)
	// After calls do later.
	After func(d time.Duration, do func())
	// Node is the server's, for reading.
	Node func() *Node
	// Clock is the server's.
	Clock func() pbft.Time
}

// StartPuppet starts a server as [Start] does, in the hands of what pull returns. It
// exists in test builds only.
func StartPuppet(ctx context.Context, cfg Config, pull func(Strings) Puppeteer) (*Server, error) {
	p := &puppet{pull: pull, done: make(chan struct{})}
	cfg.between = p
	s, err := Start(ctx, cfg)
	if err != nil {
		close(p.done)
		return nil, err
	}
	go func() { // the ticks end with the server
		<-s.loopDone
		close(p.done)
	}()
	return s, nil
}

// puppet is the interposer of a server that is led.
type puppet struct {
	pull   func(Strings) Puppeteer
	leader Puppeteer
	server *Server
	inner  transport.Transport
	done   chan struct{}
	ticks  sync.Once

	// What was sent last, so that a broadcast is one message for the leader.
	lastRaw []byte
	last    pbft.Message
}

// post runs on the protocol goroutine.
func (p *puppet) post(f func()) { p.server.post(func(*Node) { f() }) }

func (p *puppet) handler(s *Server) transport.Handler {
	p.server = s
	p.leader = p.pull(Strings{
		Core: s.node.cfg.Core, Verifier: s.verifier, Keys: s.signingKeys(), Limits: s.cfg.Limits, Tick: s.cfg.Tick,
		Transmit: func(to pbft.ReplicaID, m pbft.Message, raw []byte) {
			lane := transport.Control
			if m != nil {
				lane = laneOf(m)
			}
			p.inner.Send(to, lane, raw)
		},
		After: func(d time.Duration, do func()) { time.AfterFunc(d, func() { p.post(do) }) },
		Node:  func() *Node { return s.node },
		Clock: func() pbft.Time { return pbft.TimeOf(s.cfg.Now()) },
	})
	return puppetHandler{s, p}
}

func laneOf(m pbft.Message) transport.Priority { return lane(m.Kind()) }

// puppetHandler hears in the server's place.
type puppetHandler struct {
	*Server
	p *puppet
}

// Receive implements transport.Handler.
func (h puppetHandler) Receive(from crypto.ReplicaID, message []byte) {
	_, m, err := pbft.Decode(message)
	if err != nil {
		h.Server.Receive(from, message)
		return
	}
	h.p.post(func() {
		if h.p.leader.Hear(from, m) {
			h.Server.Receive(from, message)
		}
	})
}

func (p *puppet) transport(t transport.Transport) transport.Transport {
	p.inner = t
	p.ticks.Do(func() { go p.tick() })
	return puppetTransport{t, p}
}

// tick also lets the protocol goroutine start first: what is posted waits for it.
func (p *puppet) tick() {
	t := time.NewTicker(p.server.cfg.Tick)
	defer t.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-t.C:
			p.post(p.leader.Tick)
		}
	}
}

// puppetTransport sends in the server's place.
type puppetTransport struct {
	transport.Transport
	p *puppet
}

// Send implements transport.Transport.
func (t puppetTransport) Send(to crypto.ReplicaID, _ transport.Priority, raw []byte) {
	t.p.post(func() {
		p := t.p
		if len(p.lastRaw) == 0 || &p.lastRaw[0] != &raw[0] {
			_, m, err := pbft.Decode(raw)
			if err != nil {
				return // ours always decode
			}
			p.lastRaw, p.last = raw, m
		}
		p.leader.Send(to, p.last)
	})
}

func (p *puppet) frontend(s *Server, f frontend) frontend {
	p.server = s
	return puppetFrontend{f, p}
}

// puppetFrontend answers clients in the server's place.
type puppetFrontend struct {
	frontend
	p *puppet
}

func (f puppetFrontend) start(b backend) error { return f.frontend.start(puppetBackend{b, f.p}) }

// Deliver implements replySink.
func (f puppetFrontend) Deliver(epoch pbft.Epoch, height pbft.Height, replies []statemachine.Reply) {
	f.p.post(func() {
		told := make([]statemachine.Reply, 0, len(replies))
		for _, r := range replies {
			if lie, ok := f.p.leader.Reply(r.Client, r); ok {
				told = append(told, lie)
			}
		}
		f.frontend.Deliver(epoch, height, told)
	})
}

// puppetBackend takes requests in the server's place.
type puppetBackend struct {
	backend
	p *puppet
}

// Offer implements backend.
func (b puppetBackend) Offer(rs []*pbft.Request) {
	b.p.post(func() {
		var wanted []*pbft.Request
		for _, r := range rs {
			if b.p.leader.Request(r) {
				wanted = append(wanted, r)
			}
		}
		b.backend.Offer(wanted)
	})
}
