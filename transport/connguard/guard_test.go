package connguard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/tlsid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errStranger = errors.New("a stranger")

// port is a guard on a loopback port, whose server authenticates connections and
// then holds them.
type port struct {
	t     *testing.T
	guard *Guard[crypto.PublicKey]
	key   *ed25519.PrivateKey
	addr  string

	refused chan Reason
}

func key(i byte) *ed25519.PrivateKey { return ed25519.NewKeyFromSeed([32]byte{i}) }

func certificate(t *testing.T, k *ed25519.PrivateKey) tls.Certificate {
	c, err := tlsid.Certificate(k)
	require.NoError(t, err)
	return c
}

// open serves on a guard that lets the keys 1 to 9 in.
func open(t *testing.T, edit func(*Config[crypto.PublicKey])) *port {
	p := &port{t: t, key: key(100), refused: make(chan Reason, 1000)}
	cfg := Config[crypto.PublicKey]{
		TLS: tlsid.ServerConfig(certificate(t, p.key), func(crypto.PublicKey) error { return nil }),
		Identify: func(s tls.ConnectionState) (crypto.PublicKey, error) {
			k, err := tlsid.PeerKey(s)
			for i := byte(1); i < 10; i++ {
				if k == key(i).Public() {
					return k, err
				}
			}
			return k, errStranger
		},
		MaxHandshakes: 16, PerOwner: 2, AcceptRate: 1, AcceptBurst: 1000,
		Refused: func(_ net.Addr, why Reason, err error) {
			if err == nil {
				panic("a refusal without a reason")
			}
			p.refused <- why
		},
	}
	edit(&cfg)
	p.guard = New(cfg)
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.addr = raw.Addr().String()
	l := p.guard.Listen(raw)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				conn, info, err := p.guard.ServerHandshake(c)
				if err != nil {
					_ = c.Close()
					return
				}
				defer conn.Close()
				auth := info.(Auth[crypto.PublicKey])
				_, _ = conn.Write(auth.Owner[:])
				_, _ = io.Copy(io.Discard, conn)
			})
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		p.guard.Close()
		all.Wait()
		require.Equal(t, 0, p.guard.Stats().Waiting)
		require.Equal(t, 0, p.guard.Stats().Authenticated)
	})
	return p
}

// dial connects without a handshake.
func (p *port) dial() net.Conn {
	c, err := net.Dial("tcp", p.addr)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = c.Close() })
	require.NoError(p.t, c.SetDeadline(time.Now().Add(10*time.Second)))
	return c
}

// enter connects as the owner of key i and waits until the guard knows it.
func (p *port) enter(i byte) (net.Conn, error) {
	c := tls.Client(p.dial(), tlsid.ClientConfig(certificate(p.t, key(i)), p.key.Public()))
	var owner crypto.PublicKey
	if _, err := io.ReadFull(c, owner[:]); err != nil {
		return c, err
	}
	require.Equal(p.t, key(i).Public(), owner)
	return c, nil
}

func (p *port) mustEnter(i byte) net.Conn {
	c, err := p.enter(i)
	require.NoError(p.t, err)
	return c
}

// requireClosed waits until the other end hangs up.
func requireClosed(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err)
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "still open")
}

func (p *port) requireRefused(why Reason) {
	p.t.Helper()
	require.Equal(p.t, why.String(), (<-p.refused).String())
}

func TestWhoIsLetIn(t *testing.T) {
	p := open(t, func(*Config[crypto.PublicKey]) {})
	p.mustEnter(1)
	require.Equal(t, 1, p.guard.Connections(key(1).Public()))
	require.Equal(t, Stats{Authenticated: 1}, p.guard.Stats())

	_, err := p.enter(50)
	require.Error(t, err)
	p.requireRefused(Identity)

	c := p.dial()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	require.NoError(t, err)
	p.requireRefused(Handshake)

	require.NoError(t, p.dial().Close())
	p.requireRefused(Handshake)
	require.Equal(t, Counts{Handshake: 2, Identity: 1}, p.guard.Stats().Counts)
}

func TestTooFast(t *testing.T) {
	p := open(t, func(c *Config[crypto.PublicKey]) { c.AcceptRate, c.AcceptBurst = 0, 3 }) // however long it takes
	for range 3 {
		p.mustEnter(1)
	}
	for range 2 {
		requireClosed(t, p.dial())
		p.requireRefused(Rate)
	}
	require.EqualValues(t, 2, p.guard.Stats().Counts[Rate])
}

func TestTheOldestGivesWay(t *testing.T) {
	p := open(t, func(*Config[crypto.PublicKey]) {})
	idle := make([]net.Conn, 6)
	for i := range idle {
		idle[i] = p.dial()
		if i >= 4 { // a quarter of 16 for one source
			p.requireRefused(Crowded)
			requireClosed(t, idle[i-4])
		}
	}
	require.Equal(t, 4, p.guard.Stats().Waiting)
	p.mustEnter(1)
	p.requireRefused(Crowded)
	require.Equal(t, Counts{Crowded: 3}, p.guard.Stats().Counts)

	// Of the connections of one owner too; that is no refusal.
	second := p.mustEnter(2)
	p.mustEnter(2)
	p.mustEnter(2)
	requireClosed(t, second)
	require.Equal(t, 2, p.guard.Connections(key(2).Public()))
	require.EqualValues(t, 1, p.guard.Stats().Counts[Superseded])
}

func TestTheOldestOfAllSourcesGivesWay(t *testing.T) {
	g := New(Config[int]{TLS: &tls.Config{}, MaxHandshakes: 8, PerOwner: 1, AcceptRate: 1, AcceptBurst: 10})
	var conns []*fakeConn
	for i := range 10 {
		c := &fakeConn{from: textAddr(fmt.Sprintf("10.0.0.%d:1", i)), closed: make(chan struct{})}
		conns = append(conns, c)
		require.NotNil(t, g.admit(c))
	}
	<-conns[0].closed
	<-conns[1].closed
	require.Equal(t, Stats{Waiting: 8, Counts: Counts{Crowded: 2}}, g.Stats())
	g.Close()
	<-conns[9].closed
	late := &fakeConn{from: textAddr("10.0.0.99:1"), closed: make(chan struct{})}
	require.Nil(t, g.admit(late))
	<-late.closed
}

// Connections of one owner that authenticate at the same moment make as many older ones give way.
func TestOneOwnerAtTheSameMoment(t *testing.T) {
	for range 10 {
		sameMoment(t, 1000)
	}
}

func sameMoment(t *testing.T, n int) {
	const perOwner = 2
	g := New(Config[int]{TLS: &tls.Config{}, MaxHandshakes: 4 * n, PerOwner: perOwner, AcceptRate: 1, AcceptBurst: n})
	var conns []*fakeConn
	var waiting []*Conn[int]
	for range n {
		c := &fakeConn{from: textAddr("10.0.0.1:1"), closed: make(chan struct{})}
		conns, waiting = append(conns, c), append(waiting, g.admit(c).(*Conn[int]))
	}
	var all sync.WaitGroup
	for first := range 8 {
		all.Go(func() {
			for i := first; i < n; i += 8 {
				_, err := g.authenticated(waiting[i], 7)
				assert.NoError(t, err)
			}
		})
	}
	all.Wait()
	require.Equal(t, perOwner, g.Connections(7))
	require.Equal(t, perOwner, g.Stats().Authenticated)
	require.EqualValues(t, n-perOwner, g.Stats().Counts[Superseded])
	open := 0
	for _, c := range conns {
		select {
		case <-c.closed:
		default:
			open++
		}
	}
	require.Equal(t, perOwner, open)
	g.Close()
}

type fakeConn struct {
	net.Conn
	from   net.Addr
	once   sync.Once
	closed chan struct{}
}

func (c *fakeConn) RemoteAddr() net.Addr { return c.from }

func (c *fakeConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func TestFull(t *testing.T) {
	p := open(t, func(c *Config[crypto.PublicKey]) { c.MaxConnections = 2 })
	p.mustEnter(1)
	second := p.mustEnter(2)
	_, err := p.enter(3)
	require.Error(t, err)
	p.requireRefused(Full)
	p.mustEnter(1) // who has one gets another
	require.Equal(t, 3, p.guard.Stats().Authenticated)

	p.guard.Cut(key(1).Public())
	require.Equal(t, 0, p.guard.Connections(key(1).Public()))
	p.mustEnter(3)
	p.guard.Close()
	requireClosed(t, second)
	requireClosed(t, p.dial())
}

func TestForeignConnectionsAndCalls(t *testing.T) {
	g := New(Config[int]{TLS: &tls.Config{}})
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	_, _, err := g.ServerHandshake(a)
	require.ErrorContains(t, err, "did not come through the guard")
	_, _, err = g.ClientHandshake(context.Background(), "", a)
	require.Error(t, err)
	require.Same(t, g, g.Clone())
	require.NoError(t, g.OverrideServerName("x"))
	require.Equal(t, "tls", g.Info().SecurityProtocol)
	require.Equal(t, "invalid", Reasons.String())
}

// A configuration that is too lax is narrowed, also one that is chosen for each
// connection.
func TestNarrow(t *testing.T) {
	leaf := certificate(t, key(1)).Leaf
	lax := tlsid.ServerConfig(certificate(t, key(100)), func(crypto.PublicKey) error { return nil })
	lax.MinVersion, lax.SessionTicketsDisabled = tls.VersionTLS10, false
	asked := false
	verify := func(tls.ConnectionState) error {
		asked = true
		return errStranger
	}
	lax.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		chosen := lax.Clone()
		chosen.GetConfigForClient = nil
		return chosen, nil
	}
	check := func(n *tls.Config) {
		t.Helper()
		require.EqualValues(t, tls.VersionTLS13, n.MinVersion)
		require.True(t, n.SessionTicketsDisabled)
		require.Equal(t, []string{"h2"}, n.NextProtos)
		asked = false
		state := tls.ConnectionState{NegotiatedProtocol: "h2", PeerCertificates: []*x509.Certificate{leaf}}
		require.ErrorIs(t, n.VerifyConnection(state), errStranger)
		require.True(t, asked)
		asked = false
		require.ErrorIs(t, n.VerifyConnection(tls.ConnectionState{NegotiatedProtocol: "h2"}), tlsid.ErrNoKey)
		state.NegotiatedProtocol = ""
		require.ErrorContains(t, n.VerifyConnection(state), `want "h2"`)
		require.False(t, asked, "the first check comes first")
	}
	n := Narrow(lax, "h2", verify)
	check(n)
	chosen, err := n.GetConfigForClient(nil)
	require.NoError(t, err)
	check(chosen)
	require.EqualValues(t, tls.VersionTLS10, lax.MinVersion, "the caller's is not changed")
}
