package tlsid

import (
	stded25519 "crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
)

// What both ends of a connection must say that they speak (ALPN).
const (
	// ALPN is HTTP/2, for gRPC, between a client and a replica.
	ALPN = "h2"
	// LinkALPN is the protocol of package transport/tcp between replicas.
	LinkALPN = "parley-link"
)

// ErrWrongPeer is wrapped by errors about a peer whose key is not the expected one.
var ErrWrongPeer = errors.New("peer presented another TLS key")

// ErrNoKey is wrapped by errors about a connection without exactly one
// certificate of an Ed25519 key.
var ErrNoKey = errors.New("peer presented no Ed25519 certificate")

// The certificate's dates are fixed: nobody looks at them, and so the certificate
// of a key is always the same.
var (
	notBefore = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) // RFC 5280: no expiry
)

// Certificate returns a self-signed certificate of the key; equal keys give equal
// certificates.
func Certificate(key *ed25519.PrivateKey) (tls.Certificate, error) {
	public := key.Public()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "parley " + public.Hex()[:32]},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	private := key.Standard()
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the TLS certificate of %s: %w", public, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read the TLS certificate of %s back: %w", public, err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}, nil
}

// ServerConfig returns the configuration of a listener that presents cert, wants
// an Ed25519 certificate from whoever connects, and asks accept about its key; an
// error from accept ends the handshake. accept must be safe for concurrent use.
func ServerConfig(cert tls.Certificate, accept func(crypto.PublicKey) error) *tls.Config {
	return serverConfig(cert, ALPN, accept)
}

// LinkServerConfig is ServerConfig for the links between replicas.
func LinkServerConfig(cert tls.Certificate, accept func(crypto.PublicKey) error) *tls.Config {
	return serverConfig(cert, LinkALPN, accept)
}

func serverConfig(cert tls.Certificate, protocol string, accept func(crypto.PublicKey) error) *tls.Config {
	c := config(cert, protocol)
	c.ClientAuth = tls.RequireAnyClientCert
	c.VerifyConnection = func(state tls.ConnectionState) error {
		key, err := peerKey(state, protocol)
		if err != nil {
			return err
		}
		return accept(key)
	}
	return c
}

// ClientConfig returns the configuration of a connection that presents cert and
// is made with the owner of the key want and nobody else.
func ClientConfig(cert tls.Certificate, want crypto.PublicKey) *tls.Config {
	return clientConfig(cert, ALPN, want)
}

// LinkClientConfig is ClientConfig for the links between replicas.
func LinkClientConfig(cert tls.Certificate, want crypto.PublicKey) *tls.Config {
	return clientConfig(cert, LinkALPN, want)
}

func clientConfig(cert tls.Certificate, protocol string, want crypto.PublicKey) *tls.Config {
	c := config(cert, protocol)
	// No names, no authorities: the key is the identity, and VerifyConnection,
	// which runs on every handshake, checks that.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(state tls.ConnectionState) error {
		key, err := peerKey(state, protocol)
		if err != nil {
			return fmt.Errorf("want TLS key %s: %w", want.Hex(), err)
		}
		if key != want {
			return fmt.Errorf("%w: want %s, have %s", ErrWrongPeer, want.Hex(), key.Hex())
		}
		return nil
	}
	return c
}

func config(cert tls.Certificate, protocol string) *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{cert},
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{protocol},
		SessionTicketsDisabled: true, // every connection proves its key anew
	}
}

// peerKey is PeerKey, for a handshake that must have settled on the protocol too.
// (The library lets a peer pass that offers no protocol at all.)
func peerKey(state tls.ConnectionState, protocol string) (crypto.PublicKey, error) {
	if state.NegotiatedProtocol != protocol {
		return crypto.PublicKey{}, fmt.Errorf("peer speaks protocol %q, want %q", state.NegotiatedProtocol, protocol)
	}
	return PeerKey(state)
}

// PeerKey returns the Ed25519 key of the other end of a connection whose
// handshake is complete. The handshake has proved possession of it.
func PeerKey(state tls.ConnectionState) (crypto.PublicKey, error) {
	if len(state.PeerCertificates) != 1 {
		return crypto.PublicKey{}, fmt.Errorf("%w: %d certificates, want 1", ErrNoKey, len(state.PeerCertificates))
	}
	public, ok := state.PeerCertificates[0].PublicKey.(stded25519.PublicKey)
	if !ok {
		return crypto.PublicKey{}, fmt.Errorf("%w: its key is a %s", ErrNoKey, state.PeerCertificates[0].PublicKeyAlgorithm)
	}
	return crypto.PublicKey(public), nil
}
