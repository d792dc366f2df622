package peergrpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/parley-bft/parley/transport"
	"github.com/parley-bft/parley/transport/grpc/connguard"
	"github.com/parley-bft/parley/transport/internal/frame"
)

const (
	// stableAfter is how long a link must have lived for the next pause to be the
	// shortest again.
	stableAfter = 5 * time.Second
	// smallWindow is for answers, in bytes: the least that gRPC takes.
	smallWindow = 64 << 10
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
	conn, err := grpc.NewClient("passthrough:///"+p.Address, p.dialOptions(&wire)...)
	if err != nil {
		close(opened)
		<-watched
		return false, fmt.Errorf("address %q: %w", p.Address, err)
	}
	defer conn.Close()
	defer wire.cut()
	stream, theirs, err := p.open(ctx, conn)
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

// wire holds the network connection under a gRPC one. gRPC says goodbye before it
// closes, and waits for seconds if the line takes no more; a link that is given
// up need not.
type wire struct {
	mu   sync.Mutex
	conn net.Conn
	gone bool
}

// hold takes a connection in place of the last one, which gRPC closed.
func (w *wire) hold(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn = c; w.gone {
		c.Close()
	}
}

// cut closes the connection, and any that is still to come.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone = true; w.conn != nil {
		w.conn.Close()
	}
}

func (p *peer) dialOptions(w *wire) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(connguard.Narrow(p.t.cfg.ClientTLS(p.ID), p.expect))),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := p.t.cfg.Dial(ctx, address)
			if err == nil {
				w.hold(conn)
			}
			return conn, err
		}),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(codec{}),
			grpc.MaxCallRecvMsgSize(frame.MaxSmall),
			grpc.MaxCallSendMsgSize(frame.MaxSize),
		),
		// Little comes back, so nothing is gained by measuring the line for it: with
		// a window of its own choice gRPC would answer each pong by a ping.
		grpc.WithInitialWindowSize(smallWindow), grpc.WithInitialConnWindowSize(smallWindow),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: p.t.cfg.HandshakeTimeout}),
		grpc.WithMaxHeaderListSize(maxHeaders),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveAnswer}),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0),
		grpc.WithNoProxy(),
	}
}

// open opens the stream and exchanges greetings.
func (p *peer) open(ctx context.Context, conn *grpc.ClientConn) (grpc.ClientStream, frame.Greeting, error) {
	mine := p.t.members.Load().greeting
	var none frame.Greeting
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, streamPath)
	if err != nil {
		return nil, none, plain(err)
	}
	// A failure to send shows when the answer is read, with its reason.
	_ = stream.SendMsg(small(mine.Append(nil, frame.Hello)))
	var in incoming
	defer in.free()
	if err := stream.RecvMsg(&in); err != nil {
		return nil, none, plain(err)
	}
	switch in.kind() {
	case frame.Refusal:
		m, err := frame.ParseRefusal(in.bytes())
		if err != nil {
			return nil, none, fmt.Errorf("%w: %w", errMalformed, err)
		}
		return nil, none, mismatchError(p.ID, m)
	case frame.Welcome:
		theirs, err := frame.ParseGreeting(in.bytes())
		if err != nil {
			return nil, none, fmt.Errorf("%w: %w", errMalformed, err)
		}
		if m := frame.Compare(mine, theirs, p.ID); m != nil {
			return nil, none, mismatchError(p.ID, *m)
		}
		return stream, theirs, nil
	default:
		return nil, none, fmt.Errorf("%w: answer of kind %d to a greeting", errMalformed, in.kind())
	}
}
