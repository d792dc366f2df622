package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/pbft"
)

// Limits of what is sent and received in one message.
const (
	maxSendRequests = 1024
	maxSendBytes    = 8 << 20
	// maxReceive has room for the largest reply that execution permits.
	maxReceive = 72 << 20
)

// link is the connection to one replica. It comes back by itself.
type link struct {
	client *Client
	id     pbft.ReplicaID
	name   string
	conn   *grpc.ClientConn
	api    api.ParleyClient
	ready  chan struct{} // has a token when something is queued
	heard  []heard       // by the message in hand; only its reader uses it

	// Guarded by the client's mutex.
	up    bool
	err   error // why the last session ended
	queue []*pbft.Request
}

func newLink(c *Client, id pbft.ReplicaID, certificate tls.Certificate) (*link, error) {
	m := c.cfg.Roster.Member(id)
	config := tlsid.ClientConfig(certificate, m.TLSKey)
	conn, err := grpc.NewClient("passthrough:///"+m.ClientAddress,
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return c.cfg.Dial(ctx, address) }),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: c.cfg.BackoffMin, Multiplier: 1.6, Jitter: 0.2, MaxDelay: c.cfg.BackoffMax},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithInitialWindowSize(1<<20), grpc.WithInitialConnWindowSize(2<<20),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive)),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
	)
	if err != nil {
		return nil, fmt.Errorf("replica %d (%s): %w", id, m.Name, err)
	}
	return &link{client: c, id: id, name: m.Name, conn: conn, api: api.NewParleyClient(conn), ready: make(chan struct{}, 1)}, nil
}

func (l *link) close() error { return l.conn.Close() }

// run keeps a session open until the client is closed.
func (l *link) run() {
	c := l.client
	pause := c.cfg.BackoffMin
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		greeted, err := l.session(c.ctx)
		if c.ctx.Err() != nil {
			return
		}
		l.down(err)
		if greeted {
			pause = c.cfg.BackoffMin
		}
		timer.Reset(jitter(pause))
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			return
		}
		pause = min(2*pause, c.cfg.BackoffMax)
	}
}

// session opens one and serves it until it ends.
func (l *link) session(parent context.Context) (greeted bool, err error) {
	ctx, cancel := context.WithCancel(parent)
	stream, err := l.api.Session(ctx)
	if err != nil {
		cancel()
		return false, err
	}
	var sender sync.WaitGroup
	defer sender.Wait()
	defer cancel()
	for {
		m, err := stream.Recv()
		if err != nil {
			return greeted, err
		}
		if !greeted {
			greeted = true
			l.cameUp()
			sender.Go(func() { l.sendAll(ctx, stream) })
		}
		l.receive(m)
	}
}

// cameUp tells the client that the replica can be used.
func (l *link) cameUp() {
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	l.up, l.err = true, nil
	c.stats.Connects++
	now := c.cfg.Now()
	for _, p := range c.requests {
		switch {
		case p.live == 0:
		case p.attempts == 0:
			p.next = now
		default:
			l.send(p.request) // its reply may have been given while we were away
		}
	}
	close(c.connected)
	c.connected = make(chan struct{})
	c.wake()
}

// down tells the client that the session has ended: what was sent only there
// goes to everybody at once.
func (l *link) down(err error) {
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.up {
		c.logger.Info("session ended", "replica", l.name, "error", err)
		now := c.cfg.Now()
		for _, p := range c.requests {
			if p.attempts == 1 && p.target == l.id {
				p.next = now
			}
		}
		c.wake()
	}
	l.up, l.err, l.queue = false, err, nil
	close(c.connected)
	c.connected = make(chan struct{})
}

// send queues a request, once: the queue is no longer than the requests under
// way. The client's mutex is held.
func (l *link) send(r *pbft.Request) {
	if slices.Contains(l.queue, r) {
		return
	}
	l.queue = append(l.queue, r)
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// take returns what is queued, as far as it fits into one message.
func (l *link) take() *api.ClientMessage {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	m := new(api.ClientMessage)
	bytes := 0
	for len(l.queue) > 0 && len(m.Requests) < maxSendRequests {
		r := l.queue[0]
		if bytes += r.Size(); bytes > maxSendBytes && len(m.Requests) > 0 {
			break
		}
		m.Requests = append(m.Requests, r.Encode())
		l.queue[0] = nil
		l.queue = l.queue[1:]
	}
	return m
}

func (l *link) sendAll(ctx context.Context, stream grpc.BidiStreamingClient[api.ClientMessage, api.ReplicaMessage]) {
	for {
		m := l.take()
		if len(m.Requests) == 0 {
			select {
			case <-l.ready:
				continue
			case <-ctx.Done():
				return
			}
		}
		if err := stream.Send(m); err != nil {
			return // Recv has the reason
		}
	}
}
