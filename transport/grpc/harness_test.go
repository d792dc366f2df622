package peergrpc

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patient = 10 * time.Second

// eventually waits for a condition that nothing signals.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, patient, time.Millisecond, what)
}

// cluster is a roster of keys and addresses, and the transports that run.
type cluster struct {
	t         testing.TB
	keys      []*ed25519.PrivateKey
	listeners []net.Listener
	addresses []string
}

func newCluster(t testing.TB, n int) *cluster {
	c := &cluster{t: t}
	for i := range n {
		c.keys = append(c.keys, testKey(i))
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		c.listeners = append(c.listeners, l)
		c.addresses = append(c.addresses, l.Addr().String())
	}
	t.Cleanup(func() {
		for _, l := range c.listeners {
			if l != nil {
				l.Close()
			}
		}
	})
	return c
}

// testKey returns the key of replica i, the same in every run.
func testKey(i int) *ed25519.PrivateKey {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(i)+1)
	return ed25519.NewKeyFromSeed(seed)
}

func certificate(t testing.TB, key *ed25519.PrivateKey) tls.Certificate {
	cert, err := tlsid.Certificate(key)
	require.NoError(t, err)
	return cert
}

func (c *cluster) identify(s tls.ConnectionState) (crypto.ReplicaID, error) {
	key, err := tlsid.PeerKey(s)
	if err != nil {
		return 0, err
	}
	for i, k := range c.keys {
		if k.Public() == key {
			return crypto.ReplicaID(i), nil
		}
	}
	return 0, fmt.Errorf("key %s belongs to no replica", key)
}

// config is that of replica i with times short enough for tests.
func (c *cluster) config(i int) Config {
	cert := certificate(c.t, c.keys[i])
	cfg := Config{
		Membership:       Membership{Epoch: 1, Self: crypto.ReplicaID(i)},
		Cluster:          crypto.Digest{1},
		Build:            fmt.Sprintf("test-%d", i),
		Listen:           c.addresses[i],
		ServerTLS:        tlsid.ServerConfig(cert, func(crypto.PublicKey) error { return nil }),
		ClientTLS:        func(p crypto.ReplicaID) *tls.Config { return tlsid.ClientConfig(cert, c.keys[p].Public()) },
		Identify:         c.identify,
		PingInterval:     50 * time.Millisecond,
		PingTimeout:      500 * time.Millisecond,
		BackoffMin:       time.Millisecond,
		BackoffMax:       50 * time.Millisecond,
		RefusedBackoff:   50 * time.Millisecond,
		UnreachableAfter: patient,
		Logger:           slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for j, a := range c.addresses {
		if j != i {
			cfg.Peers = append(cfg.Peers, Peer{ID: crypto.ReplicaID(j), Address: a, Key: c.keys[j].Public()})
		}
	}
	return cfg
}

// start runs replica i with its listener, bound anew if it ran before.
func (c *cluster) start(i int, h transport.Handler, change ...func(*Config)) *Transport {
	c.t.Helper()
	cfg := c.config(i)
	cfg.Listener, c.listeners[i] = c.listeners[i], nil
	for _, f := range change {
		f(&cfg)
	}
	tr, err := New(cfg, h)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { require.NoError(c.t, tr.Close()) })
	return tr
}

// inbox collects what arrives.
type inbox struct {
	mu  sync.Mutex
	got map[crypto.ReplicaID][][]byte
	n   int
}

func (b *inbox) Receive(from crypto.ReplicaID, message []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.got == nil {
		b.got = map[crypto.ReplicaID][][]byte{}
	}
	b.got[from] = append(b.got[from], message)
	b.n++
}

func (b *inbox) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n
}

func (b *inbox) from(id crypto.ReplicaID) [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([][]byte(nil), b.got[id]...)
}

func linked(tr *Transport) func() bool {
	return func() bool {
		for _, p := range tr.Peers() {
			if !p.Connected || !p.Receiving {
				return false
			}
		}
		return true
	}
}

func statusOf(tr *Transport, id crypto.ReplicaID) transport.PeerStatus {
	for _, p := range tr.Peers() {
		if p.ID == id {
			return p
		}
	}
	return transport.PeerStatus{}
}
