package replica

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/transport/connguard"
)

// clientService implements the protocol of parley.proto. Whatever a client sends
// ends in an answer, a refusal or the end of its own connection.
type clientService struct {
	api.UnimplementedParleyServer
	limits  ClientLimits
	roster  *roster.Roster
	backend backend
	ingress *ingress
	router  *replyRouter
	calls   callLimiter
	watches callLimiter // those about the feed
	answers answerTurns // to them
	where   statusCache
	// attachments checks the signatures of attachments, attaching bounds how many do
	// so at once. It is not the verifier of requests, which remembers who has sent bad
	// ones: anybody can attach in anybody's name.
	attachments crypto.RequestVerifier
	attaching   chan struct{}
	readers     sync.WaitGroup
	stopped     context.Context // ends the waits of watches
	stopping    context.CancelFunc
	pause       func(context.Context, time.Duration) // until it has passed or the context has ended
}

// packBytes is about how much is packed into one message of a session: of entries
// that take 96 bytes at least, so that there are fewer than api.MaxEntries.
const packBytes = 1 << 20

// Session implements api.ParleyServer.
func (s *clientService) Session(stream grpc.BidiStreamingServer[api.ClientMessage, api.ReplicaMessage]) error {
	auth, err := authOf(stream.Context())
	if err != nil {
		return err
	}
	session := s.router.open(auth.Owner, func() { _ = auth.Conn.Close() })
	if session == nil {
		return status.Error(codes.Unavailable, "the replica is stopping")
	}
	defer s.router.forget(session)

	// The writer ends when the session does. The handler may not return before it,
	// and it may not wait for a reader who never reads: then the connection is cut.
	var writer sync.WaitGroup
	sent := make(chan error, 1)
	writer.Go(func() { sent <- s.write(stream, session) })
	defer writer.Wait()
	defer session.finish()

	received := make(chan error, 1)
	// Ends soon after the handler returns, because that ends the stream.
	s.readers.Go(func() { received <- s.read(stream, auth, session) })
	select {
	case err = <-received:
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	case err = <-sent:
		if err == nil {
			err = status.Error(codes.Unavailable, "the replica is stopping")
		}
		return err
	}
}

func (s *clientService) read(stream grpc.BidiStreamingServer[api.ClientMessage, api.ReplicaMessage], auth connguard.Auth[crypto.PublicKey],
	session *replySession) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		session.want(m.Replies)
		if err := s.attachAll(session, auth.State, m.Attach); err != nil {
			return err
		}
		s.slowDown(stream.Context(), session, s.ingress.accept(auth.Owner, session, m.Requests))
		if len(m.Detach) > 0 {
			s.router.detach(session, m.Detach)
		}
	}
}

const (
	// refusalPause is for how long a session is not read for each request of a client that
	// has had its share, longestRefusalPause at most at once.
	refusalPause        = 500 * time.Microsecond
	longestRefusalPause = probePause
)

// slowDown does not read on for a while where the owner of the connection floods: what
// it sends then stays in its own machine, which costs less than to refuse it. A
// session that carries others is not slowed down, since they would pay for it.
func (s *clientService) slowDown(ctx context.Context, session *replySession, over int) {
	if over == 0 || s.router.carriesAny(session) {
		return
	}
	s.router.counters.slowed.Add(1)
	s.pause(ctx, min(time.Duration(over)*refusalPause, longestRefusalPause))
}

// pause is the service's.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// write sends what is queued for the session until that has finished and nothing
// is left. The first message says who is primary and has nothing else.
func (s *clientService) write(stream grpc.BidiStreamingServer[api.ClientMessage, api.ReplicaMessage], session *replySession) error {
	send := func(m *api.ReplicaMessage) error {
		m.View, m.Primary = s.where.primary()
		return stream.Send(m)
	}
	if err := send(new(api.ReplicaMessage)); err != nil {
		return err
	}
	for {
		entries, more := session.take(packBytes)
		if len(entries) > 0 {
			if err := send(replyMessage(entries)); err != nil {
				return err
			}
			s.router.trace.written(entries)
		}
		if more {
			continue
		}
		select {
		case <-session.ready:
			continue
		default:
		}
		select {
		case <-session.ready:
		case <-session.done:
			if entries, _ := session.take(0); len(entries) == 0 {
				return nil
			} else if err := send(replyMessage(entries)); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// Receipt implements api.ParleyServer.
func (s *clientService) Receipt(ctx context.Context, q *api.ReceiptRequest) (*api.ReceiptResponse, error) {
	if len(q.Request) != crypto.DigestSize {
		return nil, status.Errorf(codes.InvalidArgument, "request digest of %d bytes, want %d", len(q.Request), crypto.DigestSize)
	}
	if q.Operation >= pbft.MaxOpsPerRequest {
		return nil, status.Errorf(codes.InvalidArgument, "operation %d, at most %d", q.Operation, pbft.MaxOpsPerRequest-1)
	}
	parts, err := s.backend.ReceiptAt(ctx, pbft.Height(q.Height), pbft.Digest(q.Request), int(q.Operation))
	state := api.ReceiptResponse_STATE_FOUND
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case errors.Is(err, ErrPruned):
		state = api.ReceiptResponse_STATE_PRUNED
	case errors.Is(err, ErrNoSuchResult):
		state = api.ReceiptResponse_STATE_UNKNOWN
	case errors.Is(err, ErrNotCertified):
		state = api.ReceiptResponse_STATE_NOT_CERTIFIED
	case errors.Is(err, ErrStopped), errors.Is(err, ErrNotServing):
		return nil, status.Error(codes.Unavailable, ErrNotServing.Error())
	default:
		return nil, status.Error(codes.Internal, "the receipt cannot be read")
	}
	if state != api.ReceiptResponse_STATE_FOUND {
		return &api.ReceiptResponse{State: state}, nil
	}
	r, err := makeReceipt(s.roster.ID, parts)
	if err != nil {
		return nil, status.Error(codes.Internal, "the receipt cannot be read")
	}
	return &api.ReceiptResponse{State: state, Receipt: r.Encode()}, nil
}

func makeReceipt(cluster crypto.Digest, p *receiptParts) (*receipt.Receipt, error) {
	return receipt.New(receipt.Parts{
		Cluster: cluster, Epoch: p.Epoch, Leaf: p.Leaf, Body: p.Body,
		Position: p.Index, Count: p.Count, Path: p.Path, Certificate: p.Certificate,
	})
}

// Status implements api.ParleyServer.
func (s *clientService) Status(context.Context, *api.StatusRequest) (*api.StatusResponse, error) {
	st := s.backend.Status()
	r := &api.StatusResponse{
		Cluster: st.Cluster[:], Epoch: uint64(st.Epoch), Replica: uint32(st.Replica), Name: st.Name, Build: st.Build,
		View: uint64(st.View), Primary: uint32(st.Primary), Open: st.Open, Suspects: st.Suspects, Follower: st.Follower,
		Committed: uint64(st.Committed), Executed: uint64(st.Executed), Stable: uint64(st.Stable),
		Oldest: uint64(st.Oldest), Snapshot: uint64(st.Snapshot), Pool: uint32(st.Pool), Halted: st.Halted,
		Transfer: uint64(st.Transfer), TransferChunks: uint32(st.TransferChunks), TransferTotal: uint32(st.TransferTotal),
		Diverged: uint64(st.Diverged), Split: uint64(st.Split),
	}
	for _, p := range st.Peers {
		r.Peers = append(r.Peers, &api.Peer{Replica: uint32(p.Replica), Connected: p.Connected, RttMicros: p.RTTMicros})
	}
	return r, nil
}

// Cluster implements api.ParleyServer.
func (s *clientService) Cluster(context.Context, *api.ClusterRequest) (*api.ClusterResponse, error) {
	return &api.ClusterResponse{Cluster: s.roster.ID[:], Epoch: s.roster.Cluster.Epoch, Name: s.roster.Cluster.Name}, nil
}

// authOf returns who is at the other end of a call.
func authOf(ctx context.Context) (connguard.Auth[crypto.PublicKey], error) {
	if p, ok := peer.FromContext(ctx); ok {
		if auth, ok := p.AuthInfo.(connguard.Auth[crypto.PublicKey]); ok {
			return auth, nil
		}
	}
	return connguard.Auth[crypto.PublicKey]{}, status.Error(codes.Unauthenticated, "no client certificate")
}

// callLimiter bounds single calls under way, in all and for each client.
type callLimiter struct {
	total, each int
	mu          sync.Mutex
	count       int
	clients     map[crypto.PublicKey]int
}

func (l *callLimiter) enter(client crypto.PublicKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count >= l.total || l.clients[client] >= l.each {
		return false
	}
	l.count++
	l.clients[client]++
	return true
}

func (l *callLimiter) leave(client crypto.PublicKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count--
	if l.clients[client]--; l.clients[client] == 0 {
		delete(l.clients, client)
	}
}

// statusCache spares the replica a status for each message to a client.
type statusCache struct {
	get func() Status
	now func() time.Time
	mu  sync.Mutex
	at  time.Time
	who uint32
	in  uint64
}

const statusMaxAge = 50 * time.Millisecond

func (c *statusCache) primary() (view uint64, primary uint32) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || now.Sub(c.at) > statusMaxAge {
		st := c.get()
		c.at, c.in, c.who = now, uint64(st.View), uint32(st.Primary)
	}
	return c.in, c.who
}
