package tlsid_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/tlsid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(n byte) *ed25519.PrivateKey { return ed25519.NewKeyFromSeed([32]byte{n}) }

func certificate(t *testing.T, n byte) tls.Certificate {
	c, err := tlsid.Certificate(key(n))
	require.NoError(t, err)
	return c
}

// connect makes a connection over loopback, sends a byte from the server (a client
// of TLS 1.3 learns that it was refused only when it reads) and returns both sides'
// states.
func connect(t *testing.T, server, client *tls.Config) (s, c tls.ConnectionState, serverErr, clientErr error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	done := make(chan error, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		conn := tls.Server(raw, server)
		_, err = conn.Write([]byte{1}) // after the handshake
		s = conn.ConnectionState()
		_ = conn.Close()
		done <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	conn := tls.Client(raw, client)
	var one [1]byte
	_, clientErr = conn.Read(one[:])
	c = conn.ConnectionState()
	_ = conn.Close()
	serverErr = <-done
	return s, c, serverErr, clientErr
}

func anybody(crypto.PublicKey) error { return nil }

func TestMutualPinning(t *testing.T) {
	var accepted []crypto.PublicKey
	server := tlsid.ServerConfig(certificate(t, 1), func(k crypto.PublicKey) error {
		accepted = append(accepted, k)
		return nil
	})
	s, c, serverErr, clientErr := connect(t, server, tlsid.ClientConfig(certificate(t, 2), key(1).Public()))
	require.NoError(t, serverErr)
	require.NoError(t, clientErr)
	require.Equal(t, []crypto.PublicKey{key(2).Public()}, accepted)
	for state, want := range map[*tls.ConnectionState]crypto.PublicKey{&s: key(2).Public(), &c: key(1).Public()} {
		have, err := tlsid.PeerKey(*state)
		require.NoError(t, err)
		require.Equal(t, want, have)
		require.Equal(t, uint16(tls.VersionTLS13), state.Version)
		require.Equal(t, "h2", state.NegotiatedProtocol)
		require.False(t, state.DidResume)
	}
}

func TestWrongServer(t *testing.T) {
	_, _, _, err := connect(t, tlsid.ServerConfig(certificate(t, 3), anybody), tlsid.ClientConfig(certificate(t, 2), key(1).Public()))
	require.ErrorIs(t, err, tlsid.ErrWrongPeer)
	require.ErrorContains(t, err, key(1).Public().Hex())
	require.ErrorContains(t, err, key(3).Public().Hex())
}

func TestRefusedClient(t *testing.T) {
	refusal := errors.New("not a member")
	server := tlsid.ServerConfig(certificate(t, 1), func(crypto.PublicKey) error { return refusal })
	_, _, serverErr, clientErr := connect(t, server, tlsid.ClientConfig(certificate(t, 2), key(1).Public()))
	require.ErrorIs(t, serverErr, refusal)
	require.Error(t, clientErr)
}

// A certificate with somebody else's key and no private key for it.
func TestStolenCertificate(t *testing.T) {
	stolen := certificate(t, 1)
	stolen.PrivateKey = key(9).Standard()
	_, _, serverErr, clientErr := connect(t, tlsid.ServerConfig(stolen, anybody), tlsid.ClientConfig(certificate(t, 2), key(1).Public()))
	require.Error(t, errors.Join(serverErr, clientErr))
	stolen = certificate(t, 2)
	stolen.PrivateKey = key(9).Standard()
	_, _, serverErr, clientErr = connect(t, tlsid.ServerConfig(certificate(t, 1), anybody), tlsid.ClientConfig(stolen, key(1).Public()))
	require.Error(t, errors.Join(serverErr, clientErr))
}

func TestOtherPeersAreRefused(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	other := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
	twice := certificate(t, 2)
	twice.Certificate = append(twice.Certificate, certificate(t, 3).Certificate[0])

	for name, change := range map[string]func(*tls.Config){
		"no certificate":    func(c *tls.Config) { c.Certificates = nil },
		"another algorithm": func(c *tls.Config) { c.Certificates = []tls.Certificate{other} },
		"two certificates":  func(c *tls.Config) { c.Certificates = []tls.Certificate{twice} },
		"TLS 1.2":           func(c *tls.Config) { c.MinVersion, c.MaxVersion = 0, tls.VersionTLS12 },
		"another protocol":  func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} },
		"no protocol":       func(c *tls.Config) { c.NextProtos = nil; c.VerifyConnection = nil },
	} {
		client := tlsid.ClientConfig(certificate(t, 2), key(1).Public())
		change(client)
		_, _, serverErr, _ := connect(t, tlsid.ServerConfig(certificate(t, 1), anybody), client)
		require.Error(t, serverErr, name)

		if name == "no certificate" {
			continue
		}
		server := tlsid.ServerConfig(certificate(t, 1), anybody)
		change(server)
		_, _, serverErr, clientErr := connect(t, server, tlsid.ClientConfig(certificate(t, 2), key(1).Public()))
		require.Error(t, clientErr, name)
		_ = serverErr
	}
	_, err = tlsid.PeerKey(tls.ConnectionState{})
	require.ErrorIs(t, err, tlsid.ErrNoKey)
}

func TestCertificateIsDeterministic(t *testing.T) {
	require.Equal(t, certificate(t, 1).Certificate, certificate(t, 1).Certificate)
	require.NotEqual(t, certificate(t, 1).Certificate, certificate(t, 2).Certificate)
}
