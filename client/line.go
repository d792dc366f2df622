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
	"google.golang.org/grpc/peer"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/pbft"
)

// Limits of what is sent and received in one message.
const (
	maxSendRequests = api.MaxRequests
	maxSendAttach   = min(api.MaxAttach, api.MaxDetach)
	maxSendBytes    = 8 << 20
	// maxReceive has room for the largest reply that execution permits.
	maxReceive = 72 << 20
)

// settledAfter is how long a session lasts that shows that all is well with a replica.
const settledAfter = 5 * time.Second

// line is a transport's connection to one replica. It comes back by itself.
//
// Its mutex may be taken with a client's held, and never the other way round.
type line struct {
	transport *Transport
	id        pbft.ReplicaID
	name      string
	conn      *grpc.ClientConn
	api       api.ParleyClient
	ready     chan struct{} // has a token when something is to be sent

	// Only the reader uses these: what the message in hand says.
	links []*link
	heard []heard

	mu       sync.Mutex
	clients  map[uint32]*link // by what they are called here
	up       bool
	primary  uint32      // whom the replica named last
	wants    api.Replies // what the replica was told, or will be with the next message
	telling  bool        // it will be
	unproved []*link     // to be attached
	gone     []uint32    // to be detached
	busy     []*link     // those that have something to send
}

func newLine(t *Transport, id pbft.ReplicaID, certificate tls.Certificate) (*line, error) {
	m := t.cfg.Roster.Member(id)
	config := tlsid.ClientConfig(certificate, m.TLSKey)
	conn, err := grpc.NewClient("passthrough:///"+m.ClientAddress,
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return t.cfg.Dial(ctx, address) }),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: t.cfg.BackoffMin, Multiplier: 1.6, Jitter: 0.2, MaxDelay: t.cfg.BackoffMax},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithInitialWindowSize(1<<20), grpc.WithInitialConnWindowSize(2<<20),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive), grpc.ForceCodecV2(api.Codec())),
		grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
	)
	if err != nil {
		return nil, fmt.Errorf("replica %d (%s): %w", id, m.Name, err)
	}
	return &line{
		transport: t, id: id, name: m.Name, conn: conn, api: api.NewParleyClient(conn), ready: make(chan struct{}, 1),
		clients: make(map[uint32]*link),
	}, nil
}

// run keeps a session open until ctx ends.
func (l *line) run(ctx context.Context) {
	cfg := &l.transport.cfg
	pause := cfg.BackoffMin
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		began := time.Now()
		greeted, err := l.session(ctx)
		if ctx.Err() != nil {
			l.down(ErrClosed)
			return
		}
		l.down(err)
		if greeted && time.Since(began) >= settledAfter {
			pause = cfg.BackoffMin
		}
		timer.Reset(jitter(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, cfg.BackoffMax)
	}
}

// session opens one and serves it until it ends.
func (l *line) session(parent context.Context) (greeted bool, err error) {
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
			binding, err := bindingOf(stream.Context())
			if err != nil {
				return false, err
			}
			greeted = true
			l.cameUp(m.Primary)
			sender.Go(func() { l.sendAll(ctx, stream, binding) })
		}
		l.receive(m)
	}
}

// bindingOf returns what clients sign to be attached to the stream's connection.
func bindingOf(ctx context.Context) ([]byte, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, fmt.Errorf("the stream has no connection")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil, fmt.Errorf("connection with %T, want TLS", p.AuthInfo)
	}
	return tlsid.Binding(info.State)
}

// cameUp starts a session: the owner of the connection can use it, the others are
// attached first.
func (l *line) cameUp(primary uint32) {
	l.mu.Lock()
	l.up, l.primary = true, primary
	l.wants, l.telling = api.Replies_REPLIES_ALL, false
	owner := l.clients[0]
	for _, k := range l.clients {
		if k != owner {
			l.unproved = append(l.unproved, k)
		}
	}
	l.mu.Unlock()
	l.kick()
	l.transport.choose()
	if owner != nil {
		owner.cameUp(primary)
	}
}

// down tells all clients that the session has ended.
func (l *line) down(err error) {
	l.mu.Lock()
	l.up, l.unproved, l.gone = false, nil, nil
	for _, k := range l.busy {
		k.queue = nil
	}
	l.busy = nil
	all := make([]*link, 0, len(l.clients))
	for _, k := range l.clients {
		k.rest()
		all = append(all, k)
	}
	favourite := l.wants == api.Replies_REPLIES_ALL
	l.mu.Unlock()
	l.transport.disappointed(func(id pbft.ReplicaID) bool { return id == l.id })
	l.transport.choose()
	for _, k := range all {
		k.down(err, favourite)
	}
}

// add takes up a client.
func (l *line) add(k *link) {
	l.mu.Lock()
	l.clients[k.identity] = k
	up, primary := l.up, l.primary
	l.attach(k)
	l.mu.Unlock()
	if up && k.identity == 0 {
		k.cameUp(primary)
	}
}

// attach asks for a client to be attached, with the mutex held.
func (l *line) attach(k *link) {
	if l.up && k.identity != 0 {
		l.unproved = append(l.unproved, k)
		l.kick()
	}
}

// attachAgain does that later, for one that was refused.
func (l *line) attachAgain(k *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients[k.identity] != k {
		return
	}
	var again *time.Timer
	again = time.AfterFunc(jitter(l.transport.cfg.BackoffMax), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.again == again { // else the session that it was for has ended
			k.again = nil
			l.attach(k)
		}
	})
	k.again = again
}

// remove forgets a client.
func (l *line) remove(k *link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.clients, k.identity)
	k.rest()
	k.queue = nil // take passes over it
	if l.up && k.identity != 0 {
		l.gone = append(l.gone, k.identity)
		l.kick()
	}
}

// send queues a request of a client, once: its queue is no longer than its requests
// under way.
func (l *line) send(k *link, r *pbft.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up || l.clients[k.identity] != k || slices.Contains(k.queue, r) {
		return
	}
	if len(k.queue) == 0 {
		l.busy = append(l.busy, k)
	}
	k.queue = append(k.queue, r)
	l.kick()
}

func (l *line) kick() {
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// take returns what is to be sent, as far as it fits into one message, and whom to
// attach with it.
func (l *line) take() (m *api.ClientMessage, attach []*link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m = new(api.ClientMessage)
	if l.telling {
		m.Replies, l.telling = l.wants, false
	}
	attach = l.unproved[:min(len(l.unproved), maxSendAttach)]
	if l.unproved = l.unproved[len(attach):]; len(l.unproved) == 0 {
		l.unproved = nil
	}
	for _, k := range attach {
		k.asked = true
	}
	m.Detach = l.gone[:min(len(l.gone), maxSendAttach)]
	if l.gone = l.gone[len(m.Detach):]; len(l.gone) == 0 {
		l.gone = nil
	}
	bytes := 0
	for len(l.busy) > 0 {
		k := l.busy[0]
		for len(k.queue) > 0 {
			r := k.queue[0]
			full := len(m.Requests) > 0 && bytes+r.Size() > maxSendBytes
			if full || len(m.Requests) == maxSendRequests {
				return m, attach
			}
			bytes += r.Size()
			m.Requests = append(m.Requests, r.Encode())
			k.queue[0] = nil
			k.queue = k.queue[1:]
		}
		k.queue = nil
		l.busy[0] = nil
		l.busy = l.busy[1:]
	}
	l.busy = nil
	return m, attach
}

func (l *line) sendAll(ctx context.Context, stream grpc.BidiStreamingClient[api.ClientMessage, api.ReplicaMessage], binding []byte) {
	context := l.transport.cfg.Roster.Context(crypto.KindAttach)
	for {
		m, attach := l.take()
		for _, k := range attach {
			key := k.client.signer.Public()
			m.Attach = append(m.Attach, &api.Attachment{Identity: k.identity, Client: key[:], Signature: k.client.signer.Sign(context, binding)})
		}
		if len(m.Requests) == 0 && len(m.Attach) == 0 && len(m.Detach) == 0 && m.Replies == api.Replies_REPLIES_UNSPECIFIED {
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
