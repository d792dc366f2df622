package connguard

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// Handshake authenticates a connection that came through Listen, and learns whose it
// is. What it takes too long for is for the connection's deadline to say. If it fails,
// the caller closes the connection.
func (g *Guard[Owner]) Handshake(raw net.Conn) (*tls.Conn, Owner, error) {
	var nobody Owner
	c, ok := raw.(*Conn[Owner])
	if !ok {
		return nil, nobody, foreign(raw)
	}
	conn := tls.Server(raw, g.tls)
	if err := conn.Handshake(); err != nil {
		return nil, nobody, g.failed(c, err)
	}
	owner, err := g.enter(c, conn.ConnectionState())
	if err != nil {
		return nil, nobody, err
	}
	return conn, owner, nil
}

// failed counts a connection whose handshake failed. It returns why, in plain words.
func (g *Guard[Owner]) failed(c *Conn[Owner], err error) error {
	why := Handshake
	if e := (*identityError)(nil); errors.As(err, &e) {
		why, err = Identity, e.error
	}
	g.refuseUnlessClosed(c, why, err)
	return err
}

// enter gives an authenticated connection its place among those of its owner.
func (g *Guard[Owner]) enter(c *Conn[Owner], state tls.ConnectionState) (Owner, error) {
	// The same question as during the handshake, now for its answer.
	owner, err := g.cfg.Identify(state)
	why := Identity
	if err == nil {
		why, err = g.authenticated(c, owner)
	}
	if err != nil {
		g.refuseUnlessClosed(c, why, err)
	}
	return owner, err
}

// refuseUnlessClosed leaves out connections that the guard itself has closed: they
// were counted then, or everything ends.
func (g *Guard[Owner]) refuseUnlessClosed(c *Conn[Owner], why Reason, err error) {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, errClosed) {
		return
	}
	g.refuse(c.RemoteAddr(), why, err)
}

// identityError marks what the verification of a connection said, among the other
// errors of a handshake.
type identityError struct{ error }

func (e *identityError) Unwrap() error { return e.error }

// Narrow returns a copy of c with TLS 1.3 only, no resumption and no
// renegotiation, which speaks one protocol and asks verify, after c's own
// VerifyConnection, before the handshake ends. The same goes for the configurations
// that c's GetConfigForClient returns.
func Narrow(c *tls.Config, protocol string, verify func(tls.ConnectionState) error) *tls.Config {
	c = c.Clone()
	c.MinVersion, c.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	c.SessionTicketsDisabled = true
	c.ClientSessionCache = nil
	c.Renegotiation = tls.RenegotiateNever
	c.NextProtos = []string{protocol}
	first := c.VerifyConnection
	c.VerifyConnection = func(s tls.ConnectionState) error {
		// The library lets an end pass that names no protocol at all.
		if s.NegotiatedProtocol != protocol {
			return fmt.Errorf("the other end speaks protocol %q, want %q", s.NegotiatedProtocol, protocol)
		}
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
			return Narrow(fresh, protocol, verify), nil
		}
	}
	return c
}
