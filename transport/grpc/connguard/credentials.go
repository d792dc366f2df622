package connguard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc/credentials"
)

// Auth is what gRPC hands to the handlers about a connection.
type Auth[Owner comparable] struct {
	credentials.TLSInfo
	Owner Owner
	Conn  *Conn[Owner]
}

// ServerHandshake authenticates a connection and learns whose it is.
func (g *Guard[Owner]) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, ok := raw.(*Conn[Owner])
	if !ok {
		return nil, nil, foreign(raw)
	}
	conn, info, err := g.inner.ServerHandshake(raw)
	if err != nil {
		why := Handshake
		if e := (*identityError)(nil); errors.As(err, &e) {
			why, err = Identity, e.error
		}
		g.refuseUnlessClosed(c, why, err)
		return nil, nil, err
	}
	state, ok := info.(credentials.TLSInfo)
	if !ok {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("connection with %T, want TLS", info)
	}
	// The same question as during the handshake, now for its answer.
	owner, err := g.cfg.Identify(state.State)
	why := Identity
	if err == nil {
		why, err = g.authenticated(c, owner)
	}
	if err != nil {
		g.refuseUnlessClosed(c, why, err)
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, Auth[Owner]{TLSInfo: state, Owner: owner, Conn: c}, nil
}

// refuseUnlessClosed leaves out connections that the guard itself has closed: they
// were counted then, or everything ends.
func (g *Guard[Owner]) refuseUnlessClosed(c *Conn[Owner], why Reason, err error) {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, errClosed) {
		return
	}
	g.refuse(c.RemoteAddr(), why, err)
}

// ClientHandshake is not for a guard to do.
func (g *Guard[Owner]) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("the guard of a listener does not dial")
}

// Info describes the protocol.
func (g *Guard[Owner]) Info() credentials.ProtocolInfo { return g.inner.Info() }

// Clone returns the guard itself: gRPC does not change it.
func (g *Guard[Owner]) Clone() credentials.TransportCredentials { return g }

// OverrideServerName does nothing: a listener has no server name.
func (g *Guard[Owner]) OverrideServerName(string) error { return nil }

// identityError marks what the verification of a connection said, among the other
// errors of a handshake.
type identityError struct{ error }

func (e *identityError) Unwrap() error { return e.error }

// Narrow returns a copy of c with TLS 1.3 only, no resumption and no
// renegotiation, which speaks HTTP/2 and asks verify, after c's own
// VerifyConnection, before the handshake ends. The same goes for the configurations
// that c's GetConfigForClient returns.
func Narrow(c *tls.Config, verify func(tls.ConnectionState) error) *tls.Config {
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
				return &identityError{err}
			}
		}
		if err := verify(s); err != nil {
			return &identityError{err}
		}
		return nil
	}
	if load := c.GetConfigForClient; load != nil {
		c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			fresh, err := load(h)
			if fresh == nil || err != nil {
				return fresh, err
			}
			return Narrow(fresh, verify), nil
		}
	}
	return c
}
