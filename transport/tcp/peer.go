package peertcp

import (
	"context"
	"sync"
	"time"

	"github.com/parley-bft/parley/transport"
	"github.com/parley-bft/parley/transport/internal/frame"
	"github.com/parley-bft/parley/transport/internal/outbound"
)

// peer is what we know of one other replica. Its goroutine, run, keeps the
// outgoing stream up.
type peer struct {
	Peer
	t      *Transport
	ctx    context.Context
	cancel context.CancelCauseFunc
	queue  *outbound.Queue
	wake   chan struct{} // the peer reached us: stop pausing
	turn   chan struct{} // held by the one incoming stream that may call the handler
	log    quiet

	mu        sync.Mutex
	out       *session // the established outgoing stream
	in        *inbound // the established incoming stream
	rtt       time.Duration
	theirs    frame.Greeting
	sent      [transport.Priorities]transport.Load
	received  [transport.Priorities]transport.Load
	connects  uint64
	failures  uint64
	malformed uint64
	outError  linkError
	inError   linkError
}

// linkError is why one direction of a link failed last, nothing if it stands.
type linkError struct {
	text string
	at   time.Time
}

func newPeer(t *Transport, member Peer) *peer {
	p := &peer{
		Peer:  member,
		t:     t,
		queue: outbound.New(outbound.Limits(t.cfg.Control), outbound.Limits(t.cfg.Bulk)),
		wake:  make(chan struct{}, 1),
		turn:  make(chan struct{}, 1),
	}
	p.ctx, p.cancel = context.WithCancelCause(t.ctx)
	return p
}

func (p *peer) status() transport.PeerStatus {
	queued, dropped := p.queue.Status()
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.outError
	if last.text == "" || p.inError.at.After(last.at) {
		last = p.inError
	}
	return transport.PeerStatus{
		ID:          p.ID,
		Address:     p.Address,
		Connected:   p.out != nil,
		Receiving:   p.in != nil,
		RTT:         p.rtt,
		Epoch:       p.theirs.Epoch,
		Build:       p.theirs.Build,
		Queued:      queued,
		Sent:        p.sent,
		Received:    p.received,
		Dropped:     dropped,
		Connects:    p.connects,
		Failures:    p.failures,
		Malformed:   p.malformed,
		LastError:   last.text,
		LastErrorAt: last.at,
	}
}

// failed records why a link to or from the peer ended, in its outError or inError.
func (p *peer) failed(last *linkError, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures++
	*last = linkError{err.Error(), time.Now()}
}

// measured takes in one round trip.
func (p *peer) measured(rtt time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rtt == 0 {
		p.rtt = rtt
	} else {
		p.rtt += (rtt - p.rtt) / 8
	}
}

func (p *peer) countSent(pieces []outbound.Piece) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range pieces {
		if x.Last() {
			p.sent[x.Priority].Add(len(x.Message))
		}
	}
}

// nudge ends a pause of the dialer.
func (p *peer) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// established installs an outgoing stream.
func (p *peer) established(s *session) {
	p.mu.Lock()
	p.out, p.theirs, p.outError = s, s.theirs, linkError{}
	p.connects++
	p.mu.Unlock()
	p.log.reset()
	p.queue.Rewind()
	p.queue.Open()
	p.t.cfg.Logger.Info("linked with replica", "peer", p.ID, "address", p.Address, "epoch", s.theirs.Epoch, "build", s.theirs.Build)
	if o := p.t.observer; o != nil {
		o.Connected(p.ID)
	}
}

// ended removes it again.
func (p *peer) ended() {
	p.mu.Lock()
	p.out = nil
	p.mu.Unlock()
	if o := p.t.observer; o != nil {
		o.Disconnected(p.ID)
	}
}

// adopt makes in the one incoming stream of the peer, in place of an older one,
// and lets the dialer know that the peer is there.
func (p *peer) adopt(in *inbound) {
	p.mu.Lock()
	old, out := p.in, p.out
	p.in, p.theirs, p.inError = in, in.theirs, linkError{}
	p.mu.Unlock()
	if old != nil {
		old.stop(errSuperseded)
	}
	// Our stream may lead to a process that is no more, and only silence would
	// tell.
	if out != nil && out.theirs.Instance != in.theirs.Instance {
		out.stop(errRestarted)
	}
	p.nudge()
}

// abandon undoes adopt unless a newer stream took its place.
func (p *peer) abandon(in *inbound) {
	p.mu.Lock()
	if p.in == in {
		p.in = nil
	}
	p.mu.Unlock()
}
