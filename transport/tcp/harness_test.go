package peertcp

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/transport"
	"github.com/parley-bft/parley/transport/internal/frame"
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
	dial      func(ctx context.Context, address string) (net.Conn, error)
}

func newCluster(t testing.TB, n int) *cluster {
	var listeners []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		listeners = append(listeners, l)
	}
	return clusterOn(t, listeners, func(ctx context.Context, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	})
}

// inBubble runs a test with a cluster whose connections are in memory and whose time passes
// when everybody waits for it: how long a machine takes for what is to be done in time is
// none of the test's business.
func inBubble(t *testing.T, n int, test func(*testing.T, *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var listeners []net.Listener
		pipes := make(map[string]*pipeListener)
		for i := range n {
			l := &pipeListener{address: fmt.Sprintf("replica-%d:1", i), conns: make(chan net.Conn), closed: make(chan struct{})}
			listeners, pipes[l.address] = append(listeners, l), l
		}
		test(t, clusterOn(t, listeners, func(ctx context.Context, address string) (net.Conn, error) { return pipes[address].dial(ctx) }))
	})
}

// pipeListener accepts connections in memory.
type pipeListener struct {
	address string
	conns   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	mine, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return mine, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr(l.address) }

type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }

func clusterOn(t testing.TB, listeners []net.Listener, dial func(ctx context.Context, address string) (net.Conn, error)) *cluster {
	c := &cluster{t: t, listeners: listeners, dial: dial}
	for i, l := range listeners {
		c.keys = append(c.keys, testKey(i))
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
		ServerTLS:        tlsid.LinkServerConfig(cert, func(crypto.PublicKey) error { return nil }),
		ClientTLS:        func(p crypto.ReplicaID) *tls.Config { return tlsid.LinkClientConfig(cert, c.keys[p].Public()) },
		Identify:         c.identify,
		PingInterval:     50 * time.Millisecond,
		PingTimeout:      patient,
		BackoffMin:       time.Millisecond,
		BackoffMax:       50 * time.Millisecond,
		RefusedBackoff:   50 * time.Millisecond,
		UnreachableAfter: patient,
		AcceptRate:       10000,
		Dial:             c.dial,
		Logger:           slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for j, a := range c.addresses {
		if j != i {
			cfg.Peers = append(cfg.Peers, Peer{ID: crypto.ReplicaID(j), Address: a, Key: c.keys[j].Public()})
		}
	}
	return cfg
}

// logBook keeps what a transport logs.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *logBook) keep(cfg *Config) { cfg.Logger = slog.New(slog.NewTextHandler(b, nil)) }

func (b *logBook) has(what string) bool { return b.count(what) > 0 }

func (b *logBook) count(what string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.text.String(), what)
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

// inError is why the peer's link to us failed last.
func inError(tr *Transport, id crypto.ReplicaID) string {
	p := tr.peer(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inError.text
}

// tap is a TCP connection whose writes can be held up and that can fall silent.
type tap struct {
	net.Conn
	gate   *gate
	closed chan struct{}
	once   sync.Once
}

func (c *tap) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// gate holds up the writes of all its connections while it is shut.
type gate struct {
	mu      sync.Mutex
	open    chan struct{} // closed while open
	written int
	conns   []*tap
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &tap{Conn: conn, gate: g, closed: make(chan struct{})}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns = append(g.conns, c)
	return c, nil
}

// alone leads the links of a replica through the gate, with no ping but the first: a
// ping that waits at the gate would hold up what is sent after it.
func (g *gate) alone(cfg *Config) {
	cfg.Dial, cfg.PingInterval, cfg.PingTimeout = g.dial, time.Hour, 2*time.Hour
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

func (g *gate) state() (open chan struct{}, written, conns int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open, g.written, len(g.conns)
}

func (c *tap) Write(b []byte) (int, error) {
	open, _, _ := c.gate.state()
	select {
	case <-open:
	case <-c.closed:
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Write(b)
	c.gate.mu.Lock()
	c.gate.written += n
	c.gate.mu.Unlock()
	return n, err
}

// raw is a peer that speaks the link protocol by hand.
type raw struct {
	t testing.TB
	stream
}

// dialRaw connects to a transport with the key of replica as, without a greeting.
func (c *cluster) dialRaw(to *Transport, as int) *raw {
	c.t.Helper()
	wire, err := c.dial(context.Background(), to.Addr().String())
	require.NoError(c.t, err)
	conn := tls.Client(wire, c.config(as).ClientTLS(to.cfg.Self))
	c.t.Cleanup(func() { conn.Close() })
	require.NoError(c.t, conn.SetDeadline(time.Now().Add(patient)))
	require.NoError(c.t, conn.Handshake())
	return &raw{c.t, stream{conn: conn}}
}

// greet sends a proper greeting, waits for the welcome, and goes on.
func (c *cluster) greet(r *raw, as int) {
	c.t.Helper()
	r.send(c.config(as).greeting(uint64(as)).Append(nil, frame.Hello))
	require.Equal(c.t, frame.Welcome, r.answer())
	r.send(frame.AppendProbe(nil, frame.Ping, 1))
	require.Equal(c.t, frame.Pong, r.answer())
}

func (r *raw) send(b []byte) { _ = r.write(append(newFrame(nil), b...)) }

// answer returns the kind of the next frame that is not a sign of life.
func (r *raw) answer() frame.Kind {
	r.t.Helper()
	for {
		b, err := r.read(frame.MaxSmall)
		require.NoError(r.t, err)
		if k := frame.Kind(b[0]); k != frame.Alive {
			return k
		}
	}
}

// end waits for the stream to end and returns why, in the words of the other side.
func (r *raw) end() error {
	r.t.Helper()
	var reason string
	for {
		b, err := r.read(frame.MaxSmall)
		if err != nil {
			require.ErrorIs(r.t, err, errPeerClosed)
			return fmt.Errorf("%s", reason)
		}
		if frame.Kind(b[0]) == frame.Farewell {
			reason, err = frame.ParseFarewell(b)
			require.NoError(r.t, err)
		}
	}
}
