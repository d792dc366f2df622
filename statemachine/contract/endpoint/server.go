package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/rpc"
)

// Server is a running endpoint.
type Server struct {
	cfg      Config
	listener net.Listener
	http     *http.Server
	rpc      *rpc.Server
	sockets  *sockets
	pool     *pool
	ctx      context.Context
	cancel   context.CancelFunc
	served   chan struct{}
	stop     sync.Once
}

// Start begins to serve. ctx bounds the start only.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.filled()
	if err := errors.Join(cfg.parseNames(), ctx.Err()); err != nil {
		return nil, err
	}
	if cfg.Listener == nil {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Listen)
		if err != nil {
			return nil, fmt.Errorf("endpoint: %w", err)
		}
		cfg.Listener = l
	}
	s := &Server{cfg: cfg, listener: cfg.Listener, rpc: rpc.NewServer(), served: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.sockets = newSockets(&s.cfg, s.rpc)
	s.pool = newPool(s.ctx, &s.cfg, s.sockets)
	if err := s.register(); err != nil {
		s.cancel()
		_ = s.listener.Close()
		return nil, err
	}
	s.http = &http.Server{
		Handler: s.guard(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, BaseContext: func(net.Listener) context.Context { return s.ctx },
	}
	go func() {
		defer close(s.served)
		if err := s.http.Serve(&limited{Listener: s.listener, room: make(chan struct{}, cfg.MaxConnections)}); !errors.Is(err, http.ErrServerClosed) {
			cfg.Logger.Error("endpoint", "error", err)
		}
	}()
	return s, nil
}

func (s *Server) register() error {
	s.rpc.SetBatchLimits(s.cfg.MaxBatch, s.cfg.MaxAnswerBytes)
	s.rpc.SetHTTPBodyLimit(s.cfg.MaxBodyBytes)
	reads := s.cfg.Machine.APIOf(s.cfg.Caller, s.cfg.Read)
	for _, api := range []struct {
		namespace string
		methods   any
	}{
		{"eth", reads},
		{"eth", &syncAPI{s.cfg.Behind}},
		{"eth", &sendAPI{s.pool, reads}},
		{"eth", newSubscribeAPI(s.ctx, &s.cfg, reads, s.sockets)},
		{"eth", newFilterAPI(&s.cfg, reads)},
		{"net", &netAPI{s.cfg.Machine.Genesis().ChainID}},
		{"web3", &web3API{s.cfg.Version}},
	} {
		if err := s.rpc.RegisterName(api.namespace, api.methods); err != nil {
			return fmt.Errorf("endpoint: %w", err)
		}
	}
	return nil
}

// Addr is where the endpoint listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// URL is the endpoint's, for tools; with ws in place of http it is that of subscriptions.
func (s *Server) URL() string { return "http://" + s.Addr().String() }

// Stop ends all connections and returns when no goroutine of the endpoint runs any more.
// Transactions that wait here are given up; what was handed to the cluster may run yet.
func (s *Server) Stop() {
	s.stop.Do(func() {
		s.cancel()
		s.sockets.stop()
		s.rpc.Stop()
		_ = s.http.Close()
	})
	<-s.served
	s.pool.wait()
}

// guard turns away requests that a web page makes without leave, and directs the others.
func (s *Server) guard() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.cfg.hostAllowed(r.Host) {
			http.Error(w, fmt.Sprintf("%q is none of the names that this endpoint answers to: add it to %s", r.Host, hostsSetting), http.StatusForbidden)
			return
		}
		origin := r.Header.Get("Origin")
		if origin != "" && !s.cfg.originAllowed(origin, r.Host) {
			http.Error(w, fmt.Sprintf("pages of %q may not use this endpoint: add that to %s", origin, originsSetting), http.StatusForbidden)
			return
		}
		interrupted, err := s.cfg.steady()
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			s.sockets.serve(interrupted, w, r)
			return
		}
		if origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
			w.Header().Set("Vary", "Origin")
			if r.Method == http.MethodOptions {
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		s.rpc.ServeHTTP(w, s.cfg.noteBatch(r))
	})
}

// limited accepts no more connections than there is room for.
type limited struct {
	net.Listener
	room chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.room <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { <-l.room })}, nil
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
