package connguard

import (
	"context"
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

// ServerHandshake authenticates a connection and learns whose it is, for gRPC.
func (g *Guard[Owner]) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, ok := raw.(*Conn[Owner])
	if !ok {
		return nil, nil, foreign(raw)
	}
	conn, info, err := g.inner.ServerHandshake(raw)
	if err != nil {
		return nil, nil, g.failed(c, err)
	}
	state, ok := info.(credentials.TLSInfo)
	if !ok {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("connection with %T, want TLS", info)
	}
	owner, err := g.enter(c, state.State)
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, Auth[Owner]{TLSInfo: state, Owner: owner, Conn: c}, nil
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
