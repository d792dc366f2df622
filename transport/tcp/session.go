package peertcp

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

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
	stream  *stream
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
	for {
		b, err := s.stream.read(frame.MaxSmall)
		if err != nil {
			return err
		}
		switch frame.Kind(b[0]) {
		case frame.Alive:
		case frame.Pong:
			nonce, err := frame.ParseProbe(b)
			if err != nil {
				return fmt.Errorf("%w: %w", errMalformed, err)
			}
			s.answered(nonce)
		case frame.Farewell:
			reason, err := frame.ParseFarewell(b)
			if err != nil {
				return fmt.Errorf("%w: %w", errMalformed, err)
			}
			return fmt.Errorf("%w: %s", errPeerClosed, reason)
		default:
			return fmt.Errorf("%w: frame of kind %d on the way back", errMalformed, b[0])
		}
		s.silent.Store(0)
	}
}

// write sends what is queued, and pings, until the stream or ctx ends. When it
// fails, read may still find the reason on the line; it gets a moment for that.
func (s *session) write(ctx context.Context) {
	if s.writeAll(ctx) != nil {
		_ = s.stream.conn.SetReadDeadline(time.Now().Add(farewellTime))
	}
}

func (s *session) writeAll(ctx context.Context) error {
	var pieces []outbound.Piece
	var buf []byte
	size := s.peer.t.cfg.FrameSize
	for {
		select {
		case <-s.pingDue:
			if err := s.ping(); err != nil {
				return err
			}
		default:
		}
		if pieces = s.peer.queue.Take(pieces[:0], size); len(pieces) > 0 {
			buf = appendPieces(newFrame(buf), pieces)
			s.peer.countSent(pieces) // before it can have arrived
			clear(pieces)
			start := time.Now()
			if err := s.stream.write(buf); err != nil {
				return err
			}
			size = adapt(size, s.peer.t.cfg.FrameSize, time.Since(start))
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.pingDue:
			if err := s.ping(); err != nil {
				return err
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
	return s.stream.write(frame.AppendProbe(newFrame(nil), frame.Ping, nonce))
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
