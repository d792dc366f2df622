package peertcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-bft/parley/transport/internal/frame"
)

const (
	// lifeBytes says when a receiver tells that it is alive while data comes in: after
	// so much of it, or an interval of pings without one, whichever is first.
	lifeBytes = 1 << 20
	// farewellTime is for what is said on a line that is about to be closed.
	farewellTime = 250 * time.Millisecond
	// acceptPause is how long nobody is let in after accepting has failed.
	acceptPause = 50 * time.Millisecond
)

// inbound is an incoming stream. One goroutine supervises it and sends; another one
// reads and calls the handler, which may block.
type inbound struct {
	peer   *peer
	stream stream
	remote net.Addr
	theirs frame.Greeting
	ended  chan struct{} // reading ended; err is why
	err    error
	pongs  chan uint64
	life   chan struct{}
	heard  atomic.Bool // since the last tick
	busy   atomic.Bool // in the handler, or waiting for its turn

	stopOnce sync.Once
	stopped  chan struct{}
	cause    error
}

// stop ends the stream for the given reason.
func (in *inbound) stop(cause error) {
	in.stopOnce.Do(func() {
		in.cause = cause
		close(in.stopped)
	})
}

// accept serves connections until the listener is closed.
func (t *Transport) accept() {
	l := t.guard.Listen(t.listener)
	for {
		raw, err := l.Accept()
		switch {
		case err == nil:
			t.wg.Go(func() {
				defer raw.Close()
				t.serve(raw)
			})
		case t.ctx.Err() != nil:
			return
		default: // too many open files, most likely
			if n, ok := t.failing.allow(err.Error(), time.Now()); ok {
				t.cfg.Logger.Error("cannot accept replicas", "address", t.Addr().String(), "error", err, "suppressed", n)
			}
			pause := time.NewTimer(acceptPause)
			select {
			case <-pause.C:
			case <-t.ctx.Done():
			}
			pause.Stop()
		}
	}
}

// serve handles one connection, which its caller closes.
func (t *Transport) serve(raw net.Conn) {
	_ = raw.SetDeadline(time.Now().Add(t.cfg.HandshakeTimeout))
	conn, owner, err := t.guard.Handshake(raw)
	if err != nil {
		return // the guard has counted it
	}
	// Who it was during the handshake may have changed with the epoch.
	id, err := t.identify(conn.ConnectionState())
	p := t.peer(id)
	if err != nil || id != owner || p == nil {
		t.refuse(raw.RemoteAddr(), refusalRemoved, errRemoved)
		return
	}
	in := &inbound{
		peer: p, stream: stream{conn: conn}, remote: raw.RemoteAddr(),
		ended:   make(chan struct{}),
		pongs:   make(chan uint64, 4),
		life:    make(chan struct{}, 1),
		stopped: make(chan struct{}),
	}
	if err = in.greet(); err == nil {
		p.adopt(in)
		defer p.abandon(in)
		t.wg.Go(func() {
			defer close(in.ended)
			in.err = in.read()
		})
		err = in.supervise()
	}
	in.report(err)
	in.farewell(err)
}

// farewell tells the peer why its stream ends, unless it knows.
func (in *inbound) farewell(err error) {
	if m := (*MismatchError)(nil); errors.As(err, &m) || errors.Is(err, errPeerClosed) {
		return
	}
	reason := err.Error()
	if !frame.Printable(reason) {
		reason = ""
	}
	_ = in.stream.conn.SetWriteDeadline(time.Now().Add(farewellTime))
	_ = in.stream.write(frame.AppendFarewell(newFrame(nil), reason))
}

// report logs and counts why the stream ended, if that is worth it: a link that
// merely broke is the dialer's business.
func (in *inbound) report(err error) {
	p := in.peer
	var mismatch *MismatchError
	switch {
	case p.ctx.Err() != nil || errors.Is(err, errSuperseded) || errors.Is(err, errPeerClosed):
		return
	case errors.As(err, &mismatch):
		p.t.refused[refusalGreeting].Add(1)
	case errors.Is(err, errMalformed):
		p.t.refused[refusalMalformed].Add(1)
		p.mu.Lock()
		p.malformed++
		p.mu.Unlock()
	case errors.Is(err, errHandshakeTimeout):
		p.t.refused[refusalSilent].Add(1)
	case !errors.Is(err, errSilent):
		return
	}
	p.failed(&p.inError, err)
	if n, ok := p.log.allow(err.Error(), time.Now()); ok {
		p.t.cfg.Logger.Warn("link from replica ended", "peer", p.ID, "remote", in.remote.String(), "error", err, "suppressed", n)
	}
}

// greet waits for the greeting, answers it, and waits for the frame after it.
func (in *inbound) greet() error {
	_ = in.stream.conn.SetDeadline(time.Now().Add(in.peer.t.cfg.HandshakeTimeout))
	b, err := in.stream.read(frame.MaxSmall)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errHandshakeTimeout
	case err != nil:
		return err
	case frame.Kind(b[0]) != frame.Hello:
		return fmt.Errorf("%w: frame of kind %d where a greeting belongs", errMalformed, b[0])
	}
	if in.theirs, err = frame.ParseGreeting(b); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	mine := in.peer.t.members.Load().greeting
	if m := frame.Compare(mine, in.theirs, in.peer.ID); m != nil {
		_ = in.stream.write(m.AppendRefusal(newFrame(nil)))
		return mismatchError(in.peer.ID, *m)
	}
	if err := in.stream.write(mine.Append(newFrame(nil), frame.Welcome)); err != nil {
		return err
	}
	// A peer that has given this attempt up may have a newer stream already, which this
	// one must not replace. Who goes on has not: a ping comes at once.
	if _, err = in.stream.read(frame.MaxSize); errors.Is(err, os.ErrDeadlineExceeded) {
		return errHandshakeTimeout
	}
	return errors.Join(err, in.stream.conn.SetDeadline(time.Time{}))
}

// supervise answers pings, tells that we are alive and watches for silence until
// the stream ends.
func (in *inbound) supervise() error {
	cfg := &in.peer.t.cfg
	tick := time.NewTicker(cfg.PingInterval)
	defer tick.Stop()
	// Twice what the dialer waits: it is the one who repairs the link.
	limit, silent := int(2*cfg.PingTimeout/cfg.PingInterval), 0
	for {
		answer := newFrame(nil)
		select {
		case nonce := <-in.pongs:
			answer = frame.AppendProbe(answer, frame.Pong, nonce)
		case <-in.life:
			answer = append(answer, byte(frame.Alive))
		case <-tick.C:
			switch {
			case in.busy.Load():
				answer, silent = append(answer, byte(frame.Alive)), 0
			case in.heard.Swap(false):
				silent = 0
			default:
				if silent++; silent > limit {
					return errSilent
				}
			}
		case <-in.stopped:
			return in.cause
		case <-in.peer.ctx.Done():
			return context.Cause(in.peer.ctx)
		case <-in.ended:
			return in.err
		}
		if len(answer) > lengthSize {
			// A peer that takes no answers for so long hears nothing either.
			_ = in.stream.conn.SetWriteDeadline(time.Now().Add(cfg.PingTimeout))
			if err := in.stream.write(answer); err != nil {
				return err
			}
		}
	}
}

// read hands messages to the handler until the stream ends, from the frame on that
// was read last.
func (in *inbound) read() error {
	p := in.peer
	// An older stream of the peer may still be in the handler.
	in.busy.Store(true)
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-in.stopped:
		return errPeerClosed
	case <-p.ctx.Done():
		return errPeerClosed
	}
	in.busy.Store(false)
	var (
		assembler frame.Assembler
		entries   []frame.Entry
		bytes     int
		told      = time.Now()
		err       error
	)
	for b := in.stream.frame; ; {
		in.heard.Store(true)
		bytes += len(b)
		switch frame.Kind(b[0]) {
		case frame.Ping:
			nonce, err := frame.ParseProbe(b)
			if err != nil {
				return fmt.Errorf("%w: %w", errMalformed, err)
			}
			select {
			case in.pongs <- nonce:
				bytes, told = 0, time.Now()
			default: // more pings than an honest peer sends
			}
		case frame.Data:
			if entries, err = frame.Parse(entries[:0], b, p.t.cfg.MaxMessage); err != nil {
				return fmt.Errorf("%w: %w", errMalformed, err)
			}
			if err := in.handle(&assembler, entries); err != nil {
				return err
			}
			clear(entries)
		default:
			return fmt.Errorf("%w: frame of kind %d", errMalformed, b[0])
		}
		if now := time.Now(); bytes >= lifeBytes || now.Sub(told) >= p.t.cfg.PingInterval {
			bytes, told = 0, now
			select {
			case in.life <- struct{}{}:
			default:
			}
		}
		if b, err = in.stream.read(frame.MaxSize); err != nil {
			return err
		}
	}
}

func (in *inbound) handle(a *frame.Assembler, entries []frame.Entry) error {
	p := in.peer
	in.busy.Store(true)
	defer in.busy.Store(false)
	for _, e := range entries {
		message, err := a.Add(e)
		if err != nil {
			return fmt.Errorf("%w: %w", errMalformed, err)
		}
		if message == nil {
			continue
		}
		if in.gone() {
			return errPeerClosed
		}
		p.mu.Lock()
		p.received[e.Priority].Add(len(message))
		p.mu.Unlock()
		p.t.handler.Receive(p.ID, message)
	}
	return nil
}

// gone tells whether the stream was ended by us: then nothing more is delivered.
func (in *inbound) gone() bool {
	select {
	case <-in.stopped:
		return true
	case <-in.peer.ctx.Done():
		return true
	default:
		return false
	}
}
