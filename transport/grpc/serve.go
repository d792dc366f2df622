package peergrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/transport/grpc/connguard"
	"github.com/parley-bft/parley/transport/internal/frame"
)

const (
	// lifeBytes says when a receiver tells that it is alive while data comes in: after
	// so much of it, or an interval of pings without one, whichever is first.
	lifeBytes = 1 << 20
)

// inbound is an incoming stream. The goroutine of gRPC supervises it and sends;
// another one reads and calls the handler, which may block.
type inbound struct {
	peer     *peer
	stream   grpc.ServerStream
	remote   net.Addr
	theirs   frame.Greeting
	hello    chan frame.Greeting
	accepted chan struct{}
	ended    chan struct{} // reading ended; err is why
	err      error
	pongs    chan uint64
	life     chan struct{}
	heard    atomic.Bool // since the last tick
	busy     atomic.Bool // in the handler, or waiting for its turn

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

// serve handles one incoming stream.
func (t *Transport) serve(stream grpc.ServerStream) error {
	from, _ := grpcpeer.FromContext(stream.Context())
	info, ok := from.AuthInfo.(connguard.Auth[crypto.ReplicaID])
	if !ok {
		return status.Error(codes.Unauthenticated, errNotAuthenticated.Error())
	}
	// Who it was when the connection was made may have changed with the epoch.
	id, err := t.identify(info.State)
	p := t.peer(id)
	if err != nil || id != info.Owner || p == nil {
		t.refuse(from.Addr, refusalRemoved, errRemoved)
		return status.Error(codes.PermissionDenied, errRemoved.Error())
	}
	in := &inbound{
		peer: p, stream: stream, remote: from.Addr,
		hello:    make(chan frame.Greeting, 1),
		accepted: make(chan struct{}),
		ended:    make(chan struct{}),
		pongs:    make(chan uint64, 4),
		life:     make(chan struct{}, 1),
		stopped:  make(chan struct{}),
	}
	t.wg.Go(func() {
		defer close(in.ended)
		in.err = in.read()
		// Reported here, since gRPC may end the stream for it before we do.
		if errors.Is(in.err, errMalformed) {
			in.report(in.err)
		}
	})
	if err := in.greet(); err != nil {
		in.reportUnlessRead(err)
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	p.adopt(in)
	defer p.abandon(in)
	close(in.accepted)
	err = in.supervise()
	in.reportUnlessRead(err)
	return status.Error(codes.Aborted, err.Error())
}

// reportUnlessRead is report for what the reading goroutine does not report.
func (in *inbound) reportUnlessRead(err error) {
	if !errors.Is(err, errMalformed) {
		in.report(err)
	}
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

// greet waits for the greeting and answers it.
func (in *inbound) greet() error {
	deadline := time.NewTimer(in.peer.t.cfg.HandshakeTimeout)
	defer deadline.Stop()
	select {
	case in.theirs = <-in.hello:
	case <-in.ended:
		return in.err
	case <-deadline.C:
		return errHandshakeTimeout
	case <-in.peer.ctx.Done():
		return context.Cause(in.peer.ctx)
	}
	mine := in.peer.t.members.Load().greeting
	if m := frame.Compare(mine, in.theirs, in.peer.ID); m != nil {
		// The status of the stream says it too, in words.
		_ = in.stream.SendMsg(small(m.AppendRefusal(nil)))
		return mismatchError(in.peer.ID, *m)
	}
	if err := in.stream.SendMsg(small(mine.Append(nil, frame.Welcome))); err != nil {
		return plain(err)
	}
	return nil
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
		var answer []byte
		select {
		case nonce := <-in.pongs:
			answer = frame.AppendProbe(nil, frame.Pong, nonce)
		case <-in.life:
			answer = []byte{byte(frame.Alive)}
		case <-tick.C:
			switch {
			case in.busy.Load():
				answer, silent = []byte{byte(frame.Alive)}, 0
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
		case <-in.stream.Context().Done():
			return errPeerClosed
		case <-in.ended:
			return in.err
		}
		if answer != nil {
			if err := in.stream.SendMsg(small(answer)); err != nil {
				return plain(err)
			}
		}
	}
}

// read takes the greeting, then messages, until the stream ends.
func (in *inbound) read() error {
	var buf incoming
	defer buf.free()
	if err := in.next(&buf); err != nil {
		return err
	}
	if buf.kind() != frame.Hello || len(buf.bytes()) > frame.MaxSmall {
		return fmt.Errorf("%w: frame of kind %d and %d bytes where a greeting belongs", errMalformed, buf.kind(), len(buf.bytes()))
	}
	g, err := frame.ParseGreeting(buf.bytes())
	if err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	buf.free()
	in.hello <- g
	done := in.stream.Context().Done()
	select {
	case <-in.accepted:
	case <-done:
		return errPeerClosed
	}
	// An older stream of the peer may still be in the handler.
	in.busy.Store(true)
	select {
	case in.peer.turn <- struct{}{}:
		defer func() { <-in.peer.turn }()
	case <-done:
		return errPeerClosed
	}
	in.busy.Store(false)
	return in.deliver(&buf)
}

func (in *inbound) next(buf *incoming) error {
	switch err := in.stream.RecvMsg(buf); {
	case errors.Is(err, io.EOF):
		return errPeerClosed
	case err != nil && status.Code(err) == codes.ResourceExhausted:
		return fmt.Errorf("%w: %w", errMalformed, plain(err))
	case err != nil:
		return plain(err)
	}
	in.heard.Store(true)
	return nil
}

// deliver hands messages to the handler.
func (in *inbound) deliver(buf *incoming) error {
	var (
		p         = in.peer
		assembler frame.Assembler
		entries   []frame.Entry
		bytes     int
		told      = time.Now()
		err       error
	)
	for {
		if err := in.next(buf); err != nil {
			return err
		}
		bytes += len(buf.bytes())
		switch buf.kind() {
		case frame.Ping:
			nonce, err := frame.ParseProbe(buf.bytes())
			if err != nil {
				return fmt.Errorf("%w: %w", errMalformed, err)
			}
			select {
			case in.pongs <- nonce:
				bytes, told = 0, time.Now()
			default: // more pings than an honest peer sends
			}
		case frame.Data:
			if entries, err = frame.Parse(entries[:0], buf.bytes(), p.t.cfg.MaxMessage); err != nil {
				return fmt.Errorf("%w: %w", errMalformed, err)
			}
			if err := in.handle(&assembler, entries); err != nil {
				return err
			}
			clear(entries)
		default:
			return fmt.Errorf("%w: frame of kind %d", errMalformed, buf.kind())
		}
		buf.free()
		if now := time.Now(); bytes >= lifeBytes || now.Sub(told) >= p.t.cfg.PingInterval {
			bytes, told = 0, now
			select {
			case in.life <- struct{}{}:
			default:
			}
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
