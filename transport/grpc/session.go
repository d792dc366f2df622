package peergrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/parley-bft/parley/transport/internal/frame"
	"github.com/parley-bft/parley/transport/internal/outbound"
)

// expect is identify for a connection that we opened: it must lead to this peer.
func (p *peer) expect(s tls.ConnectionState) error {
	id, err := p.t.identify(s)
	if err == nil && id != p.ID {
		err = fmt.Errorf("%s answers with the key of replica %d", p.Address, id)
	}
	return err
}

// session is an established outgoing stream.
type session struct {
	peer    *peer
	stream  grpc.ClientStream
	theirs  frame.Greeting
	stop    context.CancelCauseFunc
	pingDue chan struct{}
	silent  atomic.Int32 // ticks since the peer was heard

	mu     sync.Mutex
	nonce  uint64 // of the ping that is not answered yet
	asked  time.Time
	nonces uint64
}

// run returns why the stream ended, after its goroutines did.
func (s *session) run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { s.stop(s.read()) })
	wg.Go(func() { s.write(ctx) })
	s.watch(ctx)
	wg.Wait()
	return context.Cause(ctx)
}

// watch makes pings due and ends a stream on which nothing is heard.
func (s *session) watch(ctx context.Context) {
	cfg := &s.peer.t.cfg
	tick := time.NewTicker(cfg.PingInterval)
	defer tick.Stop()
	limit := int32(cfg.PingTimeout / cfg.PingInterval)
	s.duePing()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if s.silent.Add(1) > limit {
				s.stop(errSilent)
				return
			}
			s.duePing()
		}
	}
}

func (s *session) duePing() {
	select {
	case s.pingDue <- struct{}{}:
	default:
	}
}

// read takes the answers of the peer.
func (s *session) read() error {
	var in incoming
	defer in.free()
	for {
		switch err := s.stream.RecvMsg(&in); {
		case errors.Is(err, io.EOF):
			return errPeerClosed
		case err != nil:
			return plain(err)
		}
		switch in.kind() {
		case frame.Alive:
		case frame.Pong:
			nonce, err := frame.ParseProbe(in.bytes())
			if err != nil {
				return fmt.Errorf("%w: %w", errMalformed, err)
			}
			s.answered(nonce)
		default:
			return fmt.Errorf("%w: frame of kind %d on the way back", errMalformed, in.kind())
		}
		s.silent.Store(0)
	}
}

// write sends what is queued, and pings. An error of the stream ends read too,
// which learns the reason.
func (s *session) write(ctx context.Context) {
	var pieces []outbound.Piece
	size := s.peer.t.cfg.FrameSize
	for {
		select {
		case <-s.pingDue:
			if s.ping() != nil {
				return
			}
		default:
		}
		if pieces = s.peer.queue.Take(pieces[:0], size); len(pieces) > 0 {
			start := time.Now()
			if s.stream.SendMsg(pack(pieces)) != nil {
				return
			}
			size = adapt(size, s.peer.t.cfg.FrameSize, time.Since(start))
			s.peer.countSent(pieces)
			clear(pieces)
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-s.pingDue:
			if s.ping() != nil {
				return
			}
		case <-s.peer.queue.Ready():
		}
	}
}

const (
	slowFrame = 100 * time.Millisecond
	fastFrame = 10 * time.Millisecond
)

// adapt chooses the size of the next frame by how long the last one took to be
// accepted: on a slow line a large frame would hold up the votes behind it, and
// the signs of life that answer it.
func adapt(size, full int, took time.Duration) int {
	switch {
	case took > slowFrame:
		return max(size/2, outbound.MinFrame)
	case took < fastFrame:
		return min(size*2, full)
	}
	return size
}

// ping sends a ping unless the last one is still under way.
func (s *session) ping() error {
	s.mu.Lock()
	if s.nonce != 0 {
		s.mu.Unlock()
		return nil
	}
	s.nonces++
	s.nonce, s.asked = s.nonces, time.Now()
	nonce := s.nonce
	s.mu.Unlock()
	return s.stream.SendMsg(small(frame.AppendProbe(nil, frame.Ping, nonce)))
}

func (s *session) answered(nonce uint64) {
	s.mu.Lock()
	known, asked := nonce != 0 && nonce == s.nonce, s.asked
	if known {
		s.nonce = 0
	}
	s.mu.Unlock()
	if known {
		s.peer.measured(time.Since(asked))
	}
}
