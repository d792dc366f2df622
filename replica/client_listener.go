package replica

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/tlsid"
)

// clientGate owns every connection to the client port from the first moment: it
// bounds those that have not authenticated, in all and from one address, and
// those of one client. The oldest gives way to the newest: who is honest
// authenticates within milliseconds, and comes back with one connection.
type clientGate struct {
	inner    credentials.TransportCredentials
	limits   ClientLimits
	counters *clientCounters

	mu      sync.Mutex
	closed  bool
	waiting []*clientConn
	known   map[crypto.PublicKey][]*clientConn
	count   int
}

// clientConn is a connection that the gate watches.
type clientConn struct {
	net.Conn
	gate *clientGate
	host string
	key  crypto.PublicKey
	auth bool
}

// Close closes the connection and tells the gate.
func (c *clientConn) Close() error {
	c.gate.forget(c)
	return c.Conn.Close()
}

// clientAuth is what gRPC hands to the handlers about a connection.
type clientAuth struct {
	credentials.TLSInfo
	key  crypto.PublicKey
	conn *clientConn
}

// gatedListener accepts connections on behalf of the gate.
type gatedListener struct {
	net.Listener
	gate *clientGate
}

func (l gatedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.gate.admit(c), nil
}

func newClientGate(config *tls.Config, limits ClientLimits, counters *clientCounters) *clientGate {
	return &clientGate{
		inner: credentials.NewTLS(config), limits: limits, counters: counters,
		known: make(map[crypto.PublicKey][]*clientConn),
	}
}

// admit starts to watch a new connection.
func (g *clientGate) admit(raw net.Conn) net.Conn {
	c := &clientConn{Conn: raw, gate: g, host: addressHost(raw.RemoteAddr())}
	g.mu.Lock()
	closed := g.closed
	var victim *clientConn
	if !closed {
		g.waiting = append(g.waiting, c)
		same, oldest := 0, (*clientConn)(nil)
		for _, w := range g.waiting {
			if w.host == c.host {
				if same++; oldest == nil {
					oldest = w
				}
			}
		}
		switch {
		case same > max(1, g.limits.MaxHandshakes/4):
			victim = oldest
		case len(g.waiting) > g.limits.MaxHandshakes:
			victim = g.waiting[0]
		}
	}
	g.mu.Unlock()
	if closed {
		_ = c.Close()
	}
	if victim != nil {
		g.counters.evicted.Add(1)
		_ = victim.Close()
	}
	return c
}

func addressHost(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

func withoutConn(list []*clientConn, c *clientConn) []*clientConn {
	for i, x := range list {
		if x == c {
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}

func (g *clientGate) forget(c *clientConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.auth {
		g.waiting = withoutConn(g.waiting, c)
		return
	}
	before := len(g.known[c.key])
	list := withoutConn(g.known[c.key], c)
	if len(list) == before {
		return // forgotten already
	}
	g.count--
	g.counters.connections.Add(-1)
	if len(list) == 0 {
		delete(g.known, c.key)
	} else {
		g.known[c.key] = list
	}
}

var (
	errGateClosed = errors.New("the client port is closing")
	errGateFull   = errors.New("too many connections of clients")
)

// authenticated moves c to the connections of its client.
func (g *clientGate) authenticated(c *clientConn, key crypto.PublicKey) error {
	g.mu.Lock()
	present := len(g.waiting)
	g.waiting = withoutConn(g.waiting, c)
	switch {
	case g.closed || len(g.waiting) == present: // closed meanwhile
		g.mu.Unlock()
		return errGateClosed
	case g.count >= g.limits.MaxConnections && len(g.known[key]) == 0:
		g.mu.Unlock()
		return errGateFull
	}
	c.auth, c.key = true, key
	var victim *clientConn
	if list := g.known[key]; len(list) >= g.limits.ConnectionsPerClient {
		victim = list[0]
	}
	g.known[key] = append(g.known[key], c)
	g.count++
	g.counters.connections.Add(1)
	g.mu.Unlock()
	if victim != nil {
		g.counters.evicted.Add(1)
		_ = victim.Close()
	}
	return nil
}

// close ends every connection, and every one that is still to come.
func (g *clientGate) close() {
	g.mu.Lock()
	g.closed = true
	all := append([]*clientConn(nil), g.waiting...)
	for _, list := range g.known {
		all = append(all, list...)
	}
	g.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}

// ServerHandshake authenticates a connection.
func (g *clientGate) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, ok := raw.(*clientConn)
	if !ok {
		return nil, nil, fmt.Errorf("connection of type %T did not come through the gate", raw)
	}
	conn, info, err := g.inner.ServerHandshake(raw)
	if err != nil {
		g.counters.handshakes.Add(1)
		return nil, nil, err
	}
	state, ok := info.(credentials.TLSInfo)
	if !ok {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("connection with %T, want TLS", info)
	}
	key, err := tlsid.PeerKey(state.State)
	if err == nil {
		err = g.authenticated(c, key)
	}
	if err != nil {
		g.counters.handshakes.Add(1)
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, clientAuth{TLSInfo: state, key: key, conn: c}, nil
}

// ClientHandshake is not for a listener to do.
func (g *clientGate) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("the gate of a listener does not dial")
}

// Info describes the protocol.
func (g *clientGate) Info() credentials.ProtocolInfo { return g.inner.Info() }

// Clone returns the gate itself: gRPC does not change it.
func (g *clientGate) Clone() credentials.TransportCredentials { return g }

// OverrideServerName does nothing: a listener has no server name.
func (g *clientGate) OverrideServerName(string) error { return nil }
