package peergrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"

	"github.com/parley-bft/parley/crypto"
)

// connectionsPerPeer is how many authenticated connections a peer may have: the
// present one and the one that replaces it.
const connectionsPerPeer = 2

// guard owns every accepted connection from the first moment. It bounds those
// that have not authenticated, and those of one peer that have: the oldest is
// closed in favour of the newest, since an honest peer needs a connection for
// milliseconds before it authenticates, and an attacker holds on to his.
type guard struct {
	inner     credentials.TransportCredentials
	identify  func(tls.ConnectionState) (crypto.ReplicaID, error)
	failed    func(remote net.Addr, err error)
	limit     int
	limitHost int

	mu      sync.Mutex
	closed  bool
	waiting []*guardedConn // not authenticated, oldest first
	peers   map[crypto.ReplicaID][]*guardedConn
	evicted uint64
}

// guardedConn is an accepted connection that tells its guard when it is closed.
type guardedConn struct {
	net.Conn
	guard *guard
	host  string
	peer  crypto.ReplicaID
	known bool
}

func (c *guardedConn) Close() error {
	c.guard.forget(c)
	return c.Conn.Close()
}

// linkInfo is what gRPC hands to the stream handler about its connection.
type linkInfo struct {
	credentials.TLSInfo
	peer crypto.ReplicaID
}

// guardedListener accepts connections on behalf of a guard.
type guardedListener struct {
	net.Listener
	guard *guard
}

func (l guardedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.guard.admit(c), nil
}

func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

var errCrowded = errors.New("too many connections that have not authenticated: the oldest gave way")

// admit starts to watch a new connection.
func (g *guard) admit(raw net.Conn) net.Conn {
	c := &guardedConn{Conn: raw, guard: g, host: hostOf(raw.RemoteAddr())}
	g.mu.Lock()
	closed := g.closed
	var victim *guardedConn
	if !closed {
		g.waiting = append(g.waiting, c)
		sameHost, oldest := 0, (*guardedConn)(nil)
		for _, w := range g.waiting {
			if w.host == c.host {
				if sameHost++; oldest == nil {
					oldest = w
				}
			}
		}
		switch {
		case sameHost > g.limitHost:
			victim = oldest
		case len(g.waiting) > g.limit:
			victim = g.waiting[0]
		}
		if victim != nil {
			g.evicted++
		}
	}
	g.mu.Unlock()
	if closed {
		c.Close()
	}
	if victim != nil {
		g.failed(victim.RemoteAddr(), errCrowded)
		victim.Close()
	}
	return c
}

func remove(list []*guardedConn, c *guardedConn) []*guardedConn {
	for i, x := range list {
		if x == c {
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}

func (g *guard) forget(c *guardedConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = remove(g.waiting, c)
	if c.known {
		g.peers[c.peer] = remove(g.peers[c.peer], c)
	}
}

// authenticated moves c to the connections of its peer, unless it was closed
// meanwhile.
func (g *guard) authenticated(c *guardedConn, peer crypto.ReplicaID) {
	g.mu.Lock()
	var victim *guardedConn
	for _, w := range g.waiting {
		if w != c {
			continue
		}
		g.waiting = remove(g.waiting, c)
		c.known, c.peer = true, peer
		g.peers[peer] = append(g.peers[peer], c)
		if len(g.peers[peer]) > connectionsPerPeer {
			victim = g.peers[peer][0]
		}
		break
	}
	g.mu.Unlock()
	if victim != nil {
		victim.Close()
	}
}

// close ends every connection, and every one that is still to come.
func (g *guard) close() {
	g.mu.Lock()
	g.closed = true
	all := append([]*guardedConn(nil), g.waiting...)
	for _, list := range g.peers {
		all = append(all, list...)
	}
	g.mu.Unlock()
	for _, c := range all {
		c.Close()
	}
}

// cut ends the connections of one peer.
func (g *guard) cut(peer crypto.ReplicaID) {
	g.mu.Lock()
	all := append([]*guardedConn(nil), g.peers[peer]...)
	g.mu.Unlock()
	for _, c := range all {
		c.Close()
	}
}

func (g *guard) counts() (waiting int, evicted uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting), g.evicted
}

// ServerHandshake authenticates a connection and learns whose it is.
func (g *guard) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, ok := raw.(*guardedConn)
	if !ok {
		return nil, nil, fmt.Errorf("connection of type %T was not accepted by the guard", raw)
	}
	conn, info, err := g.inner.ServerHandshake(raw)
	if err != nil {
		g.failed(raw.RemoteAddr(), err)
		return nil, nil, err
	}
	state, ok := info.(credentials.TLSInfo)
	if !ok {
		conn.Close()
		return nil, nil, fmt.Errorf("connection with %T, want TLS", info)
	}
	id, err := g.identify(state.State)
	if err != nil {
		g.failed(raw.RemoteAddr(), err)
		conn.Close()
		return nil, nil, err
	}
	g.authenticated(c, id)
	return conn, linkInfo{state, id}, nil
}

// ClientHandshake is not for a guard to do.
func (g *guard) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("the guard of a listener does not dial")
}

// Info describes the protocol.
func (g *guard) Info() credentials.ProtocolInfo { return g.inner.Info() }

// Clone returns the guard itself: it is never changed by gRPC.
func (g *guard) Clone() credentials.TransportCredentials { return g }

// OverrideServerName does nothing: a listener has no server name.
func (g *guard) OverrideServerName(string) error { return nil }

// narrow returns a copy of c with TLS 1.3 only, no resumption and no
// renegotiation, that asks identify before the handshake ends.
func narrow(c *tls.Config, identify func(tls.ConnectionState) (crypto.ReplicaID, error)) *tls.Config {
	c = c.Clone()
	c.MinVersion, c.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	c.SessionTicketsDisabled = true
	c.ClientSessionCache = nil
	c.Renegotiation = tls.RenegotiateNever
	c.NextProtos = []string{"h2"}
	first := c.VerifyConnection
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if first != nil {
			if err := first(s); err != nil {
				return err
			}
		}
		_, err := identify(s)
		return err
	}
	if load := c.GetConfigForClient; load != nil {
		c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			fresh, err := load(h)
			if fresh == nil || err != nil {
				return fresh, err
			}
			return narrow(fresh, identify), nil
		}
	}
	return c
}
