package replica

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/test/bufconn"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/keyfile"
	"github.com/parley-bft/parley/crypto/roster"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// clientTestCluster is a cluster of one member, for what faces clients.
type clientTestCluster struct {
	roster *roster.Roster
	keys   *keyfile.Replica
}

func newClientTestCluster(t testing.TB, edit func(*crypto.Cluster)) *clientTestCluster {
	t.Helper()
	keys, err := keyfile.GenerateReplica(rand.NewChaCha8([32]byte{1}))
	require.NoError(t, err)
	public := keys.Public()
	c := &crypto.Cluster{
		Format: crypto.ClusterFormat, Name: "test", Nonce: crypto.Digest{1}, Epoch: crypto.FirstEpoch,
		VoteScheme: crypto.VoteEd25519, Parameters: crypto.DefaultParameters(), AllowDominant: true,
		Members: []crypto.Member{{
			Name: "r0", Weight: 1, SigningKey: public.Signing, TLSKey: public.TLS, BLSKey: public.BLS, BLSProof: public.Proof,
			PeerAddress: "127.0.0.1:17000", ClientAddress: "127.0.0.1:18000",
		}},
		Clients: crypto.Clients{Admission: crypto.AdmitOpen},
	}
	if edit != nil {
		edit(c)
	}
	r, err := roster.New(c)
	require.NoError(t, err)
	return &clientTestCluster{roster: r, keys: keys}
}

func clientTestKey(n byte) *ed25519.PrivateKey { return ed25519.NewKeyFromSeed([32]byte{0xc1, n}) }

// request makes a signed request.
func (c *clientTestCluster) request(key *ed25519.PrivateKey, seq uint64, ops ...[]byte) *pbft.Request {
	if len(ops) == 0 {
		ops = [][]byte{[]byte("op")}
	}
	r := pbft.NewRequest(key.Public(), seq, seq, 1000, ops)
	d := r.Digest()
	sig, _ := crypto.SignatureOf(ed25519.NewSigner(key).Sign(c.roster.Context(crypto.KindRequest), d[:]))
	return r.WithSignature(sig)
}

// fakeBackend is a replica that does what a test says.
type fakeBackend struct {
	certified func(key []byte) (*receipt.State, error)
	mu        sync.Mutex
	executed  map[pbft.Digest]statemachine.Reply
	known     map[string]bool // by encoding
	onOffer   func([]*pbft.Request)
	offered   chan *pbft.Request
	query     func(context.Context, []byte) ([]byte, pbft.Height, error)
	queryAt   func(context.Context, pbft.Height, []byte) ([]byte, pbft.Height, error)
	await     func(context.Context, pbft.Height) error
	index     func() (pbft.Height, error)
	receipt   func(context.Context, pbft.Height, pbft.Digest, int) (*receiptParts, error)
	links     func(context.Context, feed.Position, pbft.Height) (*changedBlocks, error)
	pieces    func(context.Context, *store.PiecesQuery) (*store.FeedAnswer, error)
}

var _ backend = (*fakeBackend)(nil)

func newFakeBackend() *fakeBackend {
	return &fakeBackend{executed: make(map[pbft.Digest]statemachine.Reply), offered: make(chan *pbft.Request, 1<<16)}
}

func (b *fakeBackend) Offer(rs []*pbft.Request) {
	if b.onOffer != nil {
		b.onOffer(rs)
	}
	for _, r := range rs {
		b.offered <- r
	}
}

func (b *fakeBackend) Known(r *pbft.Request) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known[string(r.Encode())]
}

func (b *fakeBackend) Lookup(client crypto.PublicKey, seq uint64, d pbft.Digest) (statemachine.Reply, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.executed[d]
	return r, ok && r.Client == client && r.Seq == seq
}

func (b *fakeBackend) Query(ctx context.Context, q []byte) ([]byte, pbft.Height, error) {
	return b.query(ctx, q)
}

func (b *fakeBackend) AwaitExecuted(ctx context.Context, h pbft.Height) error {
	if b.await == nil {
		return nil
	}
	return b.await(ctx, h)
}

func (b *fakeBackend) QueryAt(ctx context.Context, h pbft.Height, q []byte) ([]byte, pbft.Height, error) {
	return b.queryAt(ctx, h, q)
}

func (b *fakeBackend) ReadIndex(context.Context) (pbft.Height, error) {
	if b.index == nil {
		return 0, ErrNoReadIndex
	}
	return b.index()
}

func (b *fakeBackend) Certified(_ context.Context, key []byte) (*receipt.State, error) {
	if b.certified != nil {
		return b.certified(key)
	}
	return nil, ErrNotCertified
}

func (b *fakeBackend) Links(ctx context.Context, after feed.Position, until pbft.Height) (*changedBlocks, error) {
	return b.links(ctx, after, until)
}

func (b *fakeBackend) Pieces(ctx context.Context, q *store.PiecesQuery) (*store.FeedAnswer, error) {
	return b.pieces(ctx, q)
}

func (b *fakeBackend) Refresh() {}

func (b *fakeBackend) AwaitCertified(ctx context.Context, h pbft.Height) error {
	return b.await(ctx, h)
}

func (b *fakeBackend) ReceiptAt(ctx context.Context, h pbft.Height, d pbft.Digest, op int) (*receiptParts, error) {
	return b.receipt(ctx, h, d, op)
}

func (b *fakeBackend) Status() Status { return Status{View: 3, Primary: 2, Name: "r0"} }

func executedReply(r *pbft.Request, height uint64, data ...[]byte) statemachine.Reply {
	reply := statemachine.Reply{Client: r.Client, Seq: r.Seq, Request: r.Digest(), Status: statemachine.Executed, Height: height}
	for _, d := range data {
		reply.Results = append(reply.Results, statemachine.OK(d))
	}
	return reply
}

// startClientServer starts a server on a loopback port; it is shut down, and
// must leave nothing behind, when the test ends.
func startClientServer(t *testing.T, c *clientTestCluster, b backend, edit func(*ClientLimits)) *clientServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return startClientServerOn(t, l, c, b, edit)
}

// startClientServerOn is startClientServer on a listener: on one in memory, in a bubble, time
// passes when everybody waits for it, so that it is of no account how long a machine takes.
func startClientServerOn(t *testing.T, l net.Listener, c *clientTestCluster, b backend, edit func(*ClientLimits)) *clientServer {
	t.Helper()
	limits := DefaultClientLimits()
	if edit != nil {
		edit(&limits)
	}
	s, err := newClientServer(clientServerConfig{
		Listener: l, Key: c.keys.TLS, Roster: c.roster, Requests: ed25519.NewVerifier(64),
		Limits: limits, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	require.NoError(t, s.start(b))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, s.stop(ctx))
	})
	return s
}

// dialClientServer connects as the owner of key; the connection is closed when
// the test ends.
func dialClientServer(t *testing.T, c *clientTestCluster, s *clientServer, key *ed25519.PrivateKey) *grpc.ClientConn {
	t.Helper()
	return dialClientServerWith(t, c, s, key)
}

func dialClientServerWith(t *testing.T, c *clientTestCluster, s *clientServer, key *ed25519.PrivateKey, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	certificate, err := tlsid.Certificate(key)
	require.NoError(t, err)
	options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(tlsid.ClientConfig(certificate, c.roster.Member(0).TLSKey))))
	if l, ok := s.config.Listener.(*bufconn.Listener); ok {
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	}
	conn, err := grpc.NewClient("passthrough:///"+s.config.Listener.Addr().String(), options...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// openSession opens a session and takes its greeting.
func openSession(t *testing.T, conn *grpc.ClientConn) grpc.BidiStreamingClient[api.ClientMessage, api.ReplicaMessage] {
	t.Helper()
	stream, err := api.NewParleyClient(conn).Session(testContext(t))
	require.NoError(t, err)
	m, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, uint32(2), m.Primary)
	require.Equal(t, uint64(3), m.View)
	return stream
}

// testContext ends with the test, or long before the test's own deadline.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// next returns the next message that has a reply or refusal.
func next(t *testing.T, stream grpc.BidiStreamingClient[api.ClientMessage, api.ReplicaMessage]) *api.ReplicaMessage {
	t.Helper()
	m, err := stream.Recv()
	require.NoError(t, err)
	return m
}

func opOf(n int) []byte { return fmt.Appendf(nil, "op %d", n) }
