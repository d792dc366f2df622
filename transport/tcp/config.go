package peertcp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/transport"
	"github.com/parley-bft/parley/transport/internal/frame"
	"github.com/parley-bft/parley/transport/internal/outbound"
)

// Peer is another member of the cluster.
type Peer struct {
	ID      crypto.ReplicaID
	Address string // host:port it listens on for replicas

	// Key is the public key it authenticates with. The transport only compares it,
	// to see in [Transport.Reconfigure] whether the member is still the same.
	Key crypto.PublicKey
}

// Membership is what an epoch determines.
type Membership struct {
	Epoch        uint64
	ConfigDigest crypto.Digest    // of the epoch's configuration
	Self         crypto.ReplicaID // our index in it
	Peers        []Peer           // the others
}

// Limits bounds one lane of one peer's queue.
type Limits struct {
	Messages int
	Bytes    int
}

// Config says who we are, whom to link with and within which limits. Fields that
// are zero get the default that is named with them.
type Config struct {
	Membership

	Cluster crypto.Digest
	Build   string // of this program, for people; at most 64 bytes of printable ASCII

	// Listen is the address (host:port) for other replicas. Listener, if set, is
	// used in its place; the transport closes it.
	Listen   string
	Listener net.Listener

	// ServerTLS must ask for and check a certificate. ClientTLS gives the
	// configuration for dialing a peer, with that peer's key pinned. Both are
	// copied and narrowed to TLS 1.3 without resumption.
	ServerTLS *tls.Config
	ClientTLS func(peer crypto.ReplicaID) *tls.Config

	// Identify names the replica whose key ended the handshake. It is asked during
	// the handshake, on both sides; an error, or an id that is not a peer, refuses
	// the connection before a byte of our protocol is read.
	Identify func(tls.ConnectionState) (crypto.ReplicaID, error)

	// Control and Bulk bound what waits for one peer: by default 8192 messages and
	// 16 MiB, 1024 messages and 64 MiB. A message sent to many peers is one slice
	// in all their queues.
	Control Limits
	Bulk    Limits

	// MaxMessage is the longest message in bytes, sent or received: 16 MiB. A peer
	// that sends its longest messages in parts makes us hold at most twice that in
	// each priority.
	MaxMessage int

	// FrameSize is how much is packed into a frame, and into how large parts a
	// message is cut: 64 KiB. About two frames are what a vote waits for behind a
	// block.
	FrameSize int

	// MaxHandshakes bounds connections that have not authenticated yet: 64, and a
	// quarter of that from one address. The oldest gives way to a new one, so that
	// idle connections never keep an honest peer out.
	MaxHandshakes int

	// AcceptRate is how many connections from one source, an IPv4 address or an IPv6
	// /64, are accepted in a second, 50; AcceptBurst how many at once, 256. The others
	// are closed before a byte of them is read. All replicas of one machine share it.
	AcceptRate  int
	AcceptBurst int

	// HandshakeTimeout bounds each of: TLS, our own handshake. 5 s.
	HandshakeTimeout time.Duration

	// PingInterval is the time between pings, 1 s. A link on which nothing was
	// heard for PingTimeout, 4 s and at least twice the interval, is dead. It must
	// be similar at all replicas.
	PingInterval time.Duration
	PingTimeout  time.Duration

	// BackoffMin and BackoffMax bound the pause between attempts to dial, 20 ms and
	// 1 s; it doubles with each failure and is shortened by a random part. A peer
	// that dials us ends the pause. RefusedBackoff is the pause after a peer was
	// reached and refused us, or we it: 10 s.
	BackoffMin     time.Duration
	BackoffMax     time.Duration
	RefusedBackoff time.Duration

	// UnreachableAfter is how long a peer may be gone before what waits for it is
	// dropped, 5 s: it would be stale, and the protocol asks for what is missing.
	UnreachableAfter time.Duration

	// Dial replaces the TCP dialer, for tests and proxies.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	// Logger is slog.Default if nil.
	Logger *slog.Logger
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (c Config) withDefaults() Config {
	orDefault(&c.Control.Messages, 8192)
	orDefault(&c.Control.Bytes, 16<<20)
	orDefault(&c.Bulk.Messages, 1024)
	orDefault(&c.Bulk.Bytes, 64<<20)
	orDefault(&c.MaxMessage, 16<<20)
	orDefault(&c.FrameSize, 64<<10)
	orDefault(&c.MaxHandshakes, 64)
	orDefault(&c.AcceptRate, 50)
	orDefault(&c.AcceptBurst, 256)
	orDefault(&c.HandshakeTimeout, 5*time.Second)
	orDefault(&c.PingInterval, time.Second)
	orDefault(&c.PingTimeout, max(4*time.Second, 2*c.PingInterval))
	orDefault(&c.BackoffMin, 20*time.Millisecond)
	orDefault(&c.BackoffMax, max(time.Second, c.BackoffMin))
	orDefault(&c.RefusedBackoff, 10*time.Second)
	orDefault(&c.UnreachableAfter, 5*time.Second)
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// ErrConfig is wrapped by every error of [Config.Validate].
var ErrConfig = errors.New("transport configuration")

func configError(field, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrConfig, field, fmt.Sprintf(format, args...))
}

// maxFrameSize leaves room for the guaranteed share of bulk above FrameSize.
const maxFrameSize = frame.MaxSize * 3 / 4

// Validate checks the configuration with its defaults filled in. Every error
// wraps [ErrConfig] and names the field, the value and the remedy.
func (c Config) Validate() error {
	c = c.withDefaults()
	if c.Listener == nil {
		if _, _, err := net.SplitHostPort(c.Listen); err != nil {
			return configError("Listen", "%q is not host:port (%v); give an address like 10.0.0.1:7001", c.Listen, err)
		}
	}
	switch {
	case c.ServerTLS == nil:
		return configError("ServerTLS", "missing; links need mutual TLS")
	case c.ServerTLS.ClientAuth != tls.RequireAnyClientCert && c.ServerTLS.ClientAuth != tls.RequireAndVerifyClientCert:
		return configError("ServerTLS", "ClientAuth is %v; set RequireAnyClientCert (with a pinned key) or RequireAndVerifyClientCert", c.ServerTLS.ClientAuth)
	case c.ClientTLS == nil:
		return configError("ClientTLS", "missing; links need mutual TLS")
	case c.Identify == nil:
		return configError("Identify", "missing; a peer is known by its TLS key")
	case len(c.Build) > frame.MaxBuild || !frame.Printable(c.Build):
		return configError("Build", "%q is not printable ASCII of at most %d bytes", c.Build, frame.MaxBuild)
	}
	if err := c.validateLimits(); err != nil {
		return err
	}
	if err := c.validateTimes(); err != nil {
		return err
	}
	return c.Membership.validate()
}

func (c Config) validateLimits() error {
	for _, l := range []struct {
		field  string
		limits Limits
	}{{"Control", c.Control}, {"Bulk", c.Bulk}} {
		if l.limits.Messages < 1 {
			return configError(l.field+".Messages", "%d; must be at least 1", l.limits.Messages)
		}
		if l.limits.Bytes < c.MaxMessage {
			return configError(l.field+".Bytes", "%d; must be at least MaxMessage (%d), or the largest message can never be sent", l.limits.Bytes, c.MaxMessage)
		}
	}
	switch {
	case c.MaxMessage < 1 || c.MaxMessage > 1<<30:
		return configError("MaxMessage", "%d; must be from 1 to 1 GiB", c.MaxMessage)
	case c.FrameSize < outbound.MinFrame || c.FrameSize > maxFrameSize:
		return configError("FrameSize", "%d; must be from %d to %d", c.FrameSize, outbound.MinFrame, maxFrameSize)
	case c.MaxHandshakes < 4:
		return configError("MaxHandshakes", "%d; must be at least 4", c.MaxHandshakes)
	case c.AcceptRate < 1:
		return configError("AcceptRate", "%d; must be at least 1", c.AcceptRate)
	case c.AcceptBurst < 1:
		return configError("AcceptBurst", "%d; must be at least 1", c.AcceptBurst)
	}
	return nil
}

func (c Config) validateTimes() error {
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"HandshakeTimeout", c.HandshakeTimeout}, {"PingInterval", c.PingInterval}, {"PingTimeout", c.PingTimeout},
		{"BackoffMin", c.BackoffMin}, {"BackoffMax", c.BackoffMax}, {"RefusedBackoff", c.RefusedBackoff},
		{"UnreachableAfter", c.UnreachableAfter},
	} {
		if d.value < time.Millisecond {
			return configError(d.field, "%v; must be at least 1ms", d.value)
		}
	}
	switch {
	case c.PingTimeout < 2*c.PingInterval:
		return configError("PingTimeout", "%v; must be at least twice PingInterval (%v), or one late answer cuts a link", c.PingTimeout, c.PingInterval)
	case c.BackoffMax < c.BackoffMin:
		return configError("BackoffMax", "%v; must not be below BackoffMin (%v)", c.BackoffMax, c.BackoffMin)
	}
	return nil
}

func (m Membership) validate() error {
	seen := map[crypto.ReplicaID]bool{m.Self: true}
	for i, p := range m.Peers {
		field := fmt.Sprintf("Peers[%d]", i)
		if int(p.ID) >= crypto.MaxReplicas {
			return configError(field+".ID", "%d; must be below %d", p.ID, crypto.MaxReplicas)
		}
		if seen[p.ID] {
			return configError(field+".ID", "%d is named twice or is our own; list every other replica once", p.ID)
		}
		seen[p.ID] = true
		if _, _, err := net.SplitHostPort(p.Address); err != nil {
			return configError(field+".Address", "%q is not host:port (%v)", p.Address, err)
		}
	}
	return nil
}

func (c Config) greeting(instance uint64) frame.Greeting {
	return frame.Greeting{
		Version: frame.Version, Cluster: c.Cluster, Epoch: c.Epoch, Config: c.ConfigDigest,
		Sender: c.Self, Instance: instance, Build: c.Build,
	}
}

var _ transport.Transport = (*Transport)(nil)
