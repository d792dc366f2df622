package peertcp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/transport"
	"github.com/parley-bft/parley/transport/connguard"
	"github.com/parley-bft/parley/transport/internal/frame"
)

const (
	// stableAfter is how long a link must have lived for the next pause to be the
	// shortest again.
	stableAfter = 5 * time.Second
	// patience is how old an attempt to dial must be before a peer that reaches us
	// ends it: a packet lost to a partition is repeated only after a second.
	patience = 250 * time.Millisecond
)

// run dials the peer for as long as it is one.
func (p *peer) run() {
	defer p.queue.Shut(transport.DropClosed)
	pause := p.t.cfg.BackoffMin
	downSince := time.Now()
	for {
		start := time.Now()
		linked, err := p.link()
		if p.ctx.Err() != nil {
			return
		}
		now := time.Now()
		if linked {
			downSince = now
			if now.Sub(start) > stableAfter {
				pause = p.t.cfg.BackoffMin
			}
		}
		p.failed(&p.outError, err)
		if n, ok := p.log.allow(err.Error(), now); ok {
			p.t.cfg.Logger.Warn("no link to replica", "peer", p.ID, "address", p.Address, "error", err, "suppressed", n)
		}
		if now.Sub(downSince) >= p.t.cfg.UnreachableAfter {
			p.queue.Shut(transport.DropUnreachable)
		}
		wait := pause/2 + rand.N(pause/2+1)
		if e := (*MismatchError)(nil); errors.As(err, &e) {
			wait = p.t.cfg.RefusedBackoff
		} else if errors.Is(err, errWoken) || errors.Is(err, errRestarted) {
			wait = 0
		}
		pause = min(2*pause, p.t.cfg.BackoffMax)
		if woken, alive := p.sleep(wait); !alive {
			return
		} else if woken {
			pause = p.t.cfg.BackoffMin
		}
		// However often a peer wakes us, it makes us dial it no faster than this.
		if !p.rest(p.t.cfg.BackoffMin - time.Since(start)) {
			return
		}
	}
}

// sleep waits for d or until the peer reaches us.
func (p *peer) sleep(d time.Duration) (woken, alive bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return false, true
	case <-p.wake:
		return true, true
	case <-p.ctx.Done():
		return false, false
	}
}

// rest waits for d, whoever reaches us.
func (p *peer) rest(d time.Duration) (alive bool) {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}

// link opens a stream to the peer and uses it until it ends. It tells whether
// the stream was ever established; the error is never nil.
func (p *peer) link() (linked bool, err error) {
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	opened := make(chan struct{})
	watched := make(chan struct{})
	reached := false
	go func() {
		defer close(watched)
		reached = p.watchOpening(opened, cancel)
	}()
	var wire wire
	// Whatever hangs on the connection ends with the context.
	defer context.AfterFunc(ctx, wire.cut)()
	defer wire.cut()
	stream, theirs, err := p.open(ctx, &wire)
	close(opened)
	<-watched
	if cause := context.Cause(ctx); cause != nil {
		return false, cause
	}
	if err != nil {
		if reached {
			// 1. This attempt reached the peer's predecessor, which was about to stop.
			// 2. The peer started and reached us. 3. The attempt failed. Without this the
			// pause that follows, perhaps a long one, would have slept through 2.
			p.nudge()
		}
		return false, err
	}
	s := &session{peer: p, stream: stream, theirs: theirs, stop: cancel, pingDue: make(chan struct{}, 1)}
	p.established(s)
	defer p.ended()
	return true, s.run(ctx)
}

// watchOpening gives an attempt up when it takes too long, or when the peer
// reaches us while it hangs. It tells whether the peer reached us.
func (p *peer) watchOpening(opened <-chan struct{}, cancel context.CancelCauseFunc) (reached bool) {
	deadline := time.NewTimer(p.t.cfg.HandshakeTimeout)
	defer deadline.Stop()
	patient := time.NewTimer(patience)
	defer patient.Stop()
	impatient := false
	wake := p.wake
	for {
		select {
		case <-opened:
			return reached
		case <-deadline.C:
			cancel(errHandshakeTimeout)
			return reached
		case <-wake:
			reached, wake = true, nil
		case <-patient.C:
			impatient = true
		}
		if reached && impatient {
			cancel(errWoken)
			return reached
		}
	}
}

// wire is the network connection of an attempt, once there is one. Closing it, rather
// than TLS, waits for nothing.
type wire struct {
	mu   sync.Mutex
	conn net.Conn
	gone bool
}

func (w *wire) hold(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn = c; w.gone {
		c.Close()
	}
}

// cut closes the connection, or the one that is still to come.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone = true; w.conn != nil {
		w.conn.Close()
	}
}

// open connects and exchanges greetings.
func (p *peer) open(ctx context.Context, w *wire) (*stream, frame.Greeting, error) {
	var none frame.Greeting
	raw, err := p.t.cfg.Dial(ctx, p.Address)
	if err != nil {
		return nil, none, err
	}
	w.hold(raw)
	conn := tls.Client(raw, connguard.Narrow(p.t.cfg.ClientTLS(p.ID), tlsid.LinkALPN, p.expect))
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, none, err
	}
	s := &stream{conn: conn}
	mine := p.t.members.Load().greeting
	if err := s.write(mine.Append(newFrame(nil), frame.Hello)); err != nil {
		return nil, none, err
	}
	b, err := s.read(frame.MaxSmall)
	if err != nil {
		return nil, none, err
	}
	switch frame.Kind(b[0]) {
	case frame.Refusal:
		m, err := frame.ParseRefusal(b)
		if err != nil {
			return nil, none, fmt.Errorf("%w: %w", errMalformed, err)
		}
		return nil, none, mismatchError(p.ID, m)
	case frame.Welcome:
		theirs, err := frame.ParseGreeting(b)
		if err != nil {
			return nil, none, fmt.Errorf("%w: %w", errMalformed, err)
		}
		if m := frame.Compare(mine, theirs, p.ID); m != nil {
			return nil, none, mismatchError(p.ID, *m)
		}
		return s, theirs, nil
	default:
		return nil, none, fmt.Errorf("%w: answer of kind %d to a greeting", errMalformed, b[0])
	}
}
