package replica

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/transport/connguard"
)

// clientServer is the client-facing side of a replica: the gRPC server, the
// ingress of requests and the router of replies. It implements frontend.
type clientServer struct {
	*replyRouter
	config   clientServerConfig
	tls      *tls.Config
	counters clientCounters
	over     *overdrawn

	// Set by start.
	ingress *ingress
	service *clientService
	gate    *connguard.Guard[crypto.PublicKey]
	grpc    *grpc.Server
	health  *health.Server
	served  chan struct{}
}

var _ frontend = (*clientServer)(nil)

func init() { newFrontend = frontendOf }

// frontendOf makes the client-facing side from the configuration of a server.
func frontendOf(cfg *Config) (frontend, error) {
	self, err := cfg.Roster.FindSelf(cfg.Keys.Public())
	if err != nil {
		return nil, err
	}
	address := cfg.ClientListen
	orDefault(&address, cfg.Roster.Member(self).ClientAddress)
	return newClientServer(clientServerConfig{
		Listener: cfg.ClientListener, Address: address, Key: cfg.Keys.TLS, Roster: cfg.Roster,
		Requests: ed25519.NewVerifier(verifierKeys), Limits: cfg.Clients, Logger: cfg.Logger, trace: cfg.trace,
	})
}

// verifyAtOnce is how many requests' signatures are checked together, if so many
// wait: a signature in a batch of 256 costs a tenth less than in one of 64.
const verifyAtOnce = 256

// verifierKeys is how many clients' expanded keys are kept: 1.5 KiB each.
const verifierKeys = 4096

// clientServerConfig is what a clientServer needs.
type clientServerConfig struct {
	Listener net.Listener // the server closes it; by default it listens on Address
	Address  string
	Key      *ed25519.PrivateKey
	Roster   *roster.Roster
	Requests crypto.RequestVerifier
	Limits   ClientLimits
	Logger   *slog.Logger
	trace    *tracer
}

// clientMethods are the methods that exist on the client port; everything else is
// refused before it is looked at.
var clientMethods = map[string]bool{
	api.Parley_Session_FullMethodName:   true,
	api.Parley_Query_FullMethodName:     true,
	api.Parley_Certified_FullMethodName: true,
	api.Parley_Watch_FullMethodName:     true,
	api.Parley_Changes_FullMethodName:   true,
	api.Parley_Receipt_FullMethodName:   true,
	api.Parley_Status_FullMethodName:    true,
	api.Parley_Cluster_FullMethodName:   true,

	grpc_health_v1.Health_Check_FullMethodName: true,
	grpc_health_v1.Health_Watch_FullMethodName: true,
}

func newClientServer(c clientServerConfig) (*clientServer, error) {
	if err := c.Limits.validateFor(c.Roster.Cluster.Parameters); err != nil {
		return nil, err
	}
	certificate, err := tlsid.Certificate(c.Key)
	if err != nil {
		return nil, err
	}
	s := &clientServer{config: c, over: newOverdrawn(time.Now)}
	s.tls = tlsid.ServerConfig(certificate, s.admit)
	s.replyRouter = newReplyRouter(pbft.Epoch(c.Roster.Cluster.Epoch), c.Limits, &s.counters)
	s.replyRouter.trace = c.trace
	return s, nil
}

// Deliver implements frontend.
func (s *clientServer) Deliver(epoch pbft.Epoch, h pbft.Height, replies []statemachine.Reply) {
	s.over.answered(replies)
	s.replyRouter.Deliver(epoch, h, replies)
}

// Refused implements frontend.
func (s *clientServer) Refused(r *pbft.Request, why pbft.Drop) {
	s.over.note(r.Client, why)
	s.replyRouter.Refused(r, why)
}

func (s *clientServer) admit(key crypto.PublicKey) error {
	if !s.config.Roster.Admits(key) {
		return fmt.Errorf("client %s is not on the cluster's list", key.Hex())
	}
	return nil
}

// identify names the client behind a TLS connection.
func (s *clientServer) identify(state tls.ConnectionState) (crypto.PublicKey, error) {
	key, err := tlsid.PeerKey(state)
	if err != nil {
		return key, err
	}
	return key, s.admit(key)
}

// start implements frontend.
func (s *clientServer) start(b backend) error {
	c := &s.config
	if c.Listener == nil {
		l, err := net.Listen("tcp", c.Address)
		if err != nil {
			return fmt.Errorf("listen for clients on %q: %w", c.Address, err)
		}
		c.Listener = l
	}
	l := c.Limits
	s.gate = connguard.New(connguard.Config[crypto.PublicKey]{
		TLS: s.tls, Identify: s.identify, MaxHandshakes: l.MaxHandshakes, PerOwner: l.ConnectionsPerClient,
		MaxConnections: l.MaxConnections, AcceptRate: l.AcceptRate, AcceptBurst: l.AcceptBurst,
	})
	s.ingress = newIngress(ingressLimits{
		Workers: l.Verifiers, Batch: verifyAtOnce, ClientRequests: l.ClientRequests, ClientBytes: l.ClientBytes,
		TotalRequests: l.TotalRequests, TotalBytes: l.TotalBytes,
	}, c.Roster, c.Requests, b, s.replyRouter, &s.counters)
	s.ingress.trace, s.ingress.over = c.trace, s.over
	stopped, stopping := context.WithCancel(context.Background())
	s.service = &clientService{
		stopped: stopped, stopping: stopping,
		limits: l, roster: c.Roster, backend: b, ingress: s.ingress, router: s.replyRouter,
		calls:       callLimiter{total: l.Calls, each: l.CallsPerClient, clients: make(map[crypto.PublicKey]int)},
		watches:     callLimiter{total: l.Watches, each: l.WatchesPerClient, clients: make(map[crypto.PublicKey]int)},
		answers:     answerTurns{most: runtime.GOMAXPROCS(0), limit: l.WatchBytes, patience: l.CallTimeout / 4},
		where:       statusCache{get: b.Status, now: time.Now},
		attachments: ed25519.NewVerifier(1), attaching: make(chan struct{}, l.Verifiers), pause: pause,
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(s.gate),
		grpc.ConnectionTimeout(l.HandshakeTimeout),
		grpc.MaxConcurrentStreams(uint32(l.StreamsPerConnection)),
		grpc.MaxRecvMsgSize(max(l.MaxMessageBytes, maxRequestBytes(c.Roster.Cluster.Parameters)+1024)),
		grpc.ForceServerCodecV2(newAnswerCodec()),
		grpc.StatsHandler(answerStats{}),
		grpc.MaxHeaderListSize(16<<10),
		grpc.InitialWindowSize(1<<20), grpc.InitialConnWindowSize(2<<20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: 20 * time.Second, Timeout: 10 * time.Second, MaxConnectionAge: 12 * time.Hour, MaxConnectionAgeGrace: time.Minute,
		}),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
	)
	s.health = health.NewServer()
	api.RegisterParleyServer(s.grpc, s.service)
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	s.served = make(chan struct{})
	s.ingress.start()
	go func() {
		defer close(s.served)
		if err := s.grpc.Serve(s.gate.Listen(c.Listener)); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			c.Logger.Error("client port failed", "error", err)
		}
	}()
	return nil
}

// stop implements frontend: no new sessions; what waits for the present ones is
// sent; then everything is closed, at the latest when ctx ends, and that is its
// error. It may be called without start, and again.
func (s *clientServer) stop(ctx context.Context) error {
	s.replyRouter.close()
	if s.grpc == nil {
		if s.config.Listener != nil {
			_ = s.config.Listener.Close()
		}
		return nil
	}
	s.service.stopping() // nobody waits for what will not come
	s.health.Shutdown()
	graceful := make(chan struct{})
	go func() { s.grpc.GracefulStop(); close(graceful) }()
	var err error
	select {
	case <-graceful:
	case <-ctx.Done():
		err = fmt.Errorf("client port: connections were cut: %w", context.Cause(ctx))
		s.gate.Close()
		s.grpc.Stop()
		<-graceful
	}
	s.gate.Close()
	s.service.readers.Wait()
	s.ingress.close()
	<-s.served
	return err
}

func (s *clientServer) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if !clientMethods[info.FullMethod] {
		return nil, status.Error(codes.PermissionDenied, "not on this port")
	}
	auth, err := authOf(ctx)
	if err != nil {
		return nil, err
	}
	s.counters.calls.Add(1)
	limiter := &s.service.calls
	ofFeed := info.FullMethod == api.Parley_Watch_FullMethodName || info.FullMethod == api.Parley_Changes_FullMethodName
	if ofFeed {
		limiter = &s.service.watches // they wait for long, and must not keep others from reading
	}
	if !limiter.enter(auth.Owner) {
		s.counters.callsBusy.Add(1)
		return nil, status.Error(codes.ResourceExhausted, "too many calls under way; try again")
	}
	defer limiter.leave(auth.Owner)
	ctx, cancel := context.WithTimeout(statemachine.WithCaller(ctx, auth.Owner), s.service.limits.CallTimeout)
	defer cancel()
	if !ofFeed {
		return handler(ctx, request)
	}
	turn := &answerTurn{turns: &s.service.answers, client: auth.Owner, conn: auth.Conn, slow: func() { s.counters.slowReaders.Add(1) }}
	answer, err := handler(context.WithValue(ctx, turnKey{}, turn), request)
	m, ok := answer.(proto.Message)
	if err != nil || !ok {
		turn.end()
		return answer, err
	}
	return &turned{Message: m, turn: turn}, nil
}

func (s *clientServer) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if !clientMethods[info.FullMethod] {
		return status.Error(codes.PermissionDenied, "not on this port")
	}
	return handler(srv, stream)
}

// clientCounters returns what was counted so far.
func (s *clientServer) clientCounters() ClientCounters {
	c := &s.counters
	r := ClientCounters{
		Requests: c.requests.Load(), Verified: c.verified.Load(), Known: c.known.Load(), FromCache: c.fromCache.Load(), Replies: c.replies.Load(),
		Unheard: c.unheard.Load(), SlowReaders: c.slowReaders.Load(),
		Calls: c.calls.Load(), CallsBusy: c.callsBusy.Load(), Sessions: c.sessions.Load(),
	}
	if s.gate != nil {
		g := s.gate.Stats()
		r.Connections = int64(g.Authenticated)
		r.Evicted = g.Counts[connguard.Crowded] + g.Counts[connguard.Superseded]
		r.BadHandshakes = g.Counts[connguard.Handshake] + g.Counts[connguard.Identity] + g.Counts[connguard.Full]
		r.TurnedAway = make(map[string]uint64, connguard.Reasons)
		for why, n := range g.Counts {
			r.TurnedAway[connguard.Reason(why).String()] = n
		}
	}
	if s.ingress != nil {
		r.QueuedRequests, r.QueuedBytes, r.QueuedClients = s.ingress.load()
	}
	r.Refused, r.Unchecked, r.Slowed = byName(&c.refused), byName(&c.unchecked), c.slowed.Load()
	return r
}
