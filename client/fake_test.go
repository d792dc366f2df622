package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/internal/testcluster"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/ed25519"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
)

// fakeCluster is a cluster whose replicas agree by calling each other: requests
// run on a real executor, so the rules of sessions are the real ones.
type fakeCluster struct {
	t        *testing.T
	inMemory bool
	*testcluster.Cluster
	replicas []*fakeReplica
	verifier *ed25519.Verifier

	mu       sync.Mutex
	executor *statemachine.Executor
	app      *echo
	height   uint64
	hold     bool
	held     []*pbft.Request
	ran      []*pbft.Request
	arrivals chan arrival // every request that arrives anywhere
}

type arrival struct {
	at      pbft.ReplicaID
	request *pbft.Request
}

// echo answers each operation with itself and remembers it.
type echo struct{ ops []string }

func (e *echo) Apply(b statemachine.Block) []statemachine.Result {
	var results []statemachine.Result
	for _, op := range b.Ops {
		e.ops = append(e.ops, string(op.Data))
		results = append(results, statemachine.OK([]byte("re: "+string(op.Data))))
	}
	return results
}
func (e *echo) Digest() crypto.Digest                    { return crypto.Digest{} }
func (e *echo) Snapshot() (statemachine.Snapshot, error) { return nil, errors.New("none") }
func (e *echo) Restore(io.Reader) error                  { return errors.New("none") }

// fakeReplica is one of them. Its flags are guarded by the cluster's mutex.
type fakeReplica struct {
	api.UnimplementedParleyServer
	cluster *fakeCluster
	id      pbft.ReplicaID
	server  *grpc.Server
	dial    dialer // nil: it is down

	deaf    bool                // does not hand requests on
	mute    bool                // does not reply
	refuse  api.Reason          // what it does with requests
	lie     func(*api.Reply)    // what it makes of its replies
	times   int                 // how often each is in its message; 0 is once
	primary uint32              // whom it names
	noise   *api.ReplicaMessage // sent before each reply
	receipt func(*api.ReceiptRequest) (*api.ReceiptResponse, error)
	query   func(context.Context, *api.QueryRequest) (*api.QueryResponse, error)
	proof   func(context.Context, *api.CertifiedRequest) (*api.CertifiedResponse, error)
	watch   func(context.Context, *api.WatchRequest) (*api.WatchResponse, error)
	changes func(context.Context, *api.ChangesRequest) (*api.ChangesResponse, error)
	hang    bool // does not even greet
	hangsUp bool // does no more than that

	sessions map[*fakeSession]bool
	full     bool // attaches nobody
	attached int  // so many attachments were asked for
	greeted  int  // so many sessions were begun
}

type fakeSession struct {
	client  crypto.PublicKey
	carried map[crypto.PublicKey]uint32
	quiet   bool                 // it wants the replies that it asked for
	asked   map[pbft.Digest]bool // these
	out     chan *api.ReplicaMessage
	end     context.CancelFunc
}

func newFakeCluster(t *testing.T, weights []uint64, edit func(*crypto.Cluster)) *fakeCluster {
	return fakeClusterOn(t, false, weights, edit)
}

func fakeClusterOn(t *testing.T, inMemory bool, weights []uint64, edit func(*crypto.Cluster)) *fakeCluster {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	f := &fakeCluster{t: t, inMemory: inMemory, Cluster: testcluster.New(t, weights, edit), verifier: ed25519.NewVerifier(16), arrivals: make(chan arrival, 1<<16), app: new(echo)}
	limits := statemachine.DefaultLimits()
	limits.MaxInFlight = int(f.File.Parameters.MaxInFlight)
	limits.MaxLife = time.Duration(f.File.Parameters.MaxRequestLife)
	limits.MaxSessions = int(f.File.Parameters.MaxSessions)
	f.executor = statemachine.NewExecutor(f.app, limits)
	for id := range weights {
		f.replicas = append(f.replicas, &fakeReplica{cluster: f, id: pbft.ReplicaID(id), sessions: make(map[*fakeSession]bool)})
		f.start(pbft.ReplicaID(id))
	}
	t.Cleanup(func() {
		for id := range f.replicas {
			f.stop(pbft.ReplicaID(id))
		}
	})
	return f
}

func (f *fakeCluster) start(id pbft.ReplicaID) {
	r := f.replicas[id]
	certificate, err := tlsid.Certificate(f.Replicas[id].TLS)
	require.NoError(f.t, err)
	l, dial := f.listen()
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(tlsid.ServerConfig(certificate, func(crypto.PublicKey) error { return nil }))),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}))
	api.RegisterParleyServer(server, r)
	f.mu.Lock()
	r.server, r.dial = server, dial
	f.mu.Unlock()
	go func() { _ = server.Serve(l) }()
}

func (f *fakeCluster) stop(id pbft.ReplicaID) {
	f.mu.Lock()
	server := f.replicas[id].server
	f.replicas[id].server, f.replicas[id].dial = nil, nil
	f.mu.Unlock()
	if server != nil {
		server.Stop()
	}
}

// set changes a replica's behaviour.
func (f *fakeCluster) set(id int, change func(*fakeReplica)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.replicas[id])
}

func (f *fakeCluster) dial(ctx context.Context, address string) (net.Conn, error) {
	f.mu.Lock()
	var dial dialer
	for id := range f.replicas {
		if f.File.Members[id].ClientAddress == address {
			dial = f.replicas[id].dial
		}
	}
	f.mu.Unlock()
	if dial == nil {
		return nil, errors.New("replica is down")
	}
	return dial(ctx)
}

type dialer func(context.Context) (net.Conn, error)

// listen opens a port for a replica.
func (f *fakeCluster) listen() (net.Listener, dialer) {
	if f.inMemory {
		l := bufconn.Listen(1 << 16)
		return l, l.DialContext
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(f.t, err)
	return l, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", l.Addr().String())
	}
}

// inBubble runs a test with a cluster whose connections are in memory and whose time
// passes when everybody waits for it.
func inBubble(t *testing.T, weights []uint64, test func(*testing.T, *fakeCluster)) {
	t.Helper()
	inBubbleOf(t, weights, nil, test)
}

// inBubbleOf is inBubble with a cluster that is edited.
func inBubbleOf(t *testing.T, weights []uint64, edit func(*crypto.Cluster), test func(*testing.T, *fakeCluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, fakeClusterOn(t, true, weights, edit)) })
}

// advance lets so much of a bubble's time pass, and all that falls into it happen.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// config is fast and patient: Retry is long, so that only tests that want
// retries see them.
func (f *fakeCluster) config(key byte) client.Config {
	return client.Config{
		Roster: f.Roster, Key: testcluster.ClientKey(key), Dial: f.dial,
		Retry: time.Minute, MaxRetry: time.Minute, Linger: time.Minute,
		BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond,
	}
}

func (f *fakeCluster) connect(cfg client.Config) *client.Client {
	f.t.Helper()
	c, err := client.Dial(testContext(f.t), cfg)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { require.NoError(f.t, c.Close()) })
	f.awaitSessions(c)
	return c
}

// awaitSessions waits until the client has a session with all replicas that are up.
func (f *fakeCluster) awaitSessions(c *client.Client) {
	f.eventually(func() bool {
		up := 0
		for _, r := range f.replicas {
			if r.server != nil && !r.hang {
				up++
			}
		}
		return c.Stats().Connected == up
	})
}

// eventually waits for a condition, which is asked with the mutex held.
func (f *fakeCluster) eventually(condition func() bool) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return condition()
	}, 20*time.Second, time.Millisecond)
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (r *fakeReplica) Session(stream grpc.BidiStreamingServer[api.ClientMessage, api.ReplicaMessage]) error {
	key, err := clientOf(stream.Context())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	s := &fakeSession{client: key, carried: map[crypto.PublicKey]uint32{key: 0}, asked: make(map[pbft.Digest]bool), out: make(chan *api.ReplicaMessage, 1<<12), end: cancel}
	f := r.cluster
	f.mu.Lock()
	primary, hang, hangsUp := r.primary, r.hang, r.hangsUp
	r.greeted++
	if !hang {
		r.sessions[s] = true // whoever was greeted misses nothing
	}
	f.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	defer func() {
		f.mu.Lock()
		delete(r.sessions, s)
		f.mu.Unlock()
	}()
	if err := stream.Send(&api.ReplicaMessage{Primary: primary}); err != nil {
		return err
	}
	if hangsUp {
		return errors.New("enough")
	}
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	wait.Go(func() {
		for {
			select {
			case m := <-s.out:
				if stream.Send(m) != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	received := make(chan error, 1)
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				received <- err
				return
			}
			if m.Replies != api.Replies_REPLIES_UNSPECIFIED {
				f.mu.Lock()
				s.quiet = m.Replies == api.Replies_REPLIES_ASKED
				f.mu.Unlock()
			}
			for _, a := range m.Attach {
				r.attach(s, stream.Context(), a)
			}
			for _, b := range m.Requests {
				q, err := pbft.DecodeRequest(b)
				if err != nil {
					received <- err
					return
				}
				r.arrived(s, q)
			}
			r.detach(s, m.Detach)
		}
	}()
	select {
	case err := <-received:
		return err
	case <-ctx.Done():
		return errors.New("session ended by the test")
	}
}

// attach checks the signature as a replica does.
func (r *fakeReplica) attach(s *fakeSession, ctx context.Context, a *api.Attachment) {
	p, _ := peer.FromContext(ctx)
	binding, err := tlsid.Binding(p.AuthInfo.(credentials.TLSInfo).State)
	if err != nil {
		panic(err)
	}
	f, key := r.cluster, crypto.PublicKey(a.Client)
	f.mu.Lock()
	defer f.mu.Unlock()
	r.attached++
	if !f.verifier.Verify(key, f.Roster.Context(crypto.KindAttach), binding, crypto.Signature(a.Signature)) || a.Identity == 0 {
		panic("an attachment that proves nothing")
	}
	answer := &api.Attached{Identity: a.Identity}
	used := false
	for carried, identity := range s.carried {
		used = used || identity == a.Identity && carried != key
	}
	if r.full || used {
		answer.Reason = api.Reason_REASON_BUSY
	} else {
		s.carried[key] = a.Identity
	}
	s.out <- &api.ReplicaMessage{Primary: r.primary, Attached: []*api.Attached{answer}}
}

func (r *fakeReplica) detach(s *fakeSession, identities []uint32) {
	r.cluster.mu.Lock()
	defer r.cluster.mu.Unlock()
	for key, identity := range s.carried {
		if slices.Contains(identities, identity) {
			delete(s.carried, key)
		}
	}
}

func (r *fakeReplica) arrived(s *fakeSession, q *pbft.Request) {
	f := r.cluster
	f.mu.Lock()
	defer f.mu.Unlock()
	d := q.Digest()
	identity, ours := s.carried[q.Client]
	if !ours || !f.verifier.Verify(q.Client, f.Roster.Context(crypto.KindRequest), d[:], q.Signature) {
		panic("a client sent what it may not")
	}
	f.arrivals <- arrival{r.id, q}
	s.asked[d] = true
	switch {
	case r.refuse != api.Reason_REASON_UNSPECIFIED:
		s.out <- &api.ReplicaMessage{Primary: r.primary, Refusals: []*api.Refusal{{Identity: identity, Request: d[:], Reason: r.refuse, RetryAfterMs: 1}}}
		return
	case r.deaf:
		return
	}
	if reply, known := f.executor.Lookup(q.Client, q.Seq, d); known {
		r.say(reply)
		return
	}
	if f.hold {
		if !slices.ContainsFunc(f.held, func(h *pbft.Request) bool { return h.Digest() == d }) {
			f.held = append(f.held, q)
		}
		return
	}
	f.execute(q)
}

// execute runs a request in a block of its own and lets everybody reply.
func (f *fakeCluster) execute(q *pbft.Request) {
	f.height++
	x, err := f.executor.Execute(statemachine.RequestBlock{
		Height: f.height, Time: statemachine.Time(pbft.TimeOf(time.Now())),
		Requests: []statemachine.Request{{Client: q.Client, Seq: q.Seq, Low: q.Low, Deadline: statemachine.Time(q.Deadline), Digest: q.Digest(), Ops: q.Ops}},
	})
	if err != nil {
		panic(err)
	}
	if x.Replies[0].Status == statemachine.Executed {
		f.ran = append(f.ran, q)
	}
	for _, r := range f.replicas {
		r.say(x.Replies[0])
	}
}

// release runs what was held, and holds no longer.
func (f *fakeCluster) release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = false
	for _, q := range f.held {
		f.execute(q)
	}
	f.held = nil
}

// say sends a reply to its client's sessions.
func (r *fakeReplica) say(reply statemachine.Reply) {
	if r.mute {
		return
	}
	m := &api.Reply{Epoch: 1, Height: reply.Height, Request: append([]byte(nil), reply.Request[:]...), Seq: reply.Seq, Outcome: api.Outcome(reply.Status)}
	m.Results = statemachine.AppendResults(nil, reply.Results)
	if r.lie != nil {
		r.lie(m)
	}
	for s := range r.sessions {
		if identity, ours := s.carried[reply.Client]; ours && (!s.quiet || s.asked[reply.Request]) {
			m := proto.Clone(m).(*api.Reply)
			m.Identity = identity
			if r.noise != nil {
				s.out <- r.noise
			}
			s.out <- &api.ReplicaMessage{Primary: r.primary, Replies: slices.Repeat([]*api.Reply{m}, max(r.times, 1))}
		}
	}
}

func (r *fakeReplica) Query(ctx context.Context, q *api.QueryRequest) (*api.QueryResponse, error) {
	r.cluster.mu.Lock()
	f := r.query
	r.cluster.mu.Unlock()
	if f != nil {
		return f(ctx, q)
	}
	return &api.QueryResponse{Answer: append([]byte{byte(r.id)}, q.Query...), Height: 7}, nil
}

func (r *fakeReplica) Certified(ctx context.Context, q *api.CertifiedRequest) (*api.CertifiedResponse, error) {
	r.cluster.mu.Lock()
	f := r.proof
	r.cluster.mu.Unlock()
	return f(ctx, q)
}

func (r *fakeReplica) Watch(ctx context.Context, q *api.WatchRequest) (*api.WatchResponse, error) {
	r.cluster.mu.Lock()
	f := r.watch
	r.cluster.mu.Unlock()
	return f(ctx, q)
}

func (r *fakeReplica) Changes(ctx context.Context, q *api.ChangesRequest) (*api.ChangesResponse, error) {
	r.cluster.mu.Lock()
	f := r.changes
	r.cluster.mu.Unlock()
	return f(ctx, q)
}

func (r *fakeReplica) Status(context.Context, *api.StatusRequest) (*api.StatusResponse, error) {
	return &api.StatusResponse{Replica: uint32(r.id)}, nil
}

func (r *fakeReplica) Receipt(_ context.Context, q *api.ReceiptRequest) (*api.ReceiptResponse, error) {
	r.cluster.mu.Lock()
	f := r.receipt
	r.cluster.mu.Unlock()
	return f(q)
}

// nextArrival returns the next request that arrived anywhere.
func (f *fakeCluster) nextArrival() arrival {
	f.t.Helper()
	select {
	case a := <-f.arrivals:
		return a
	case <-time.After(20 * time.Second):
		require.FailNow(f.t, "no request arrives")
		return arrival{}
	}
}

// ops returns what the application has applied.
func (f *fakeCluster) ops() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.app.ops)
}

func clientOf(ctx context.Context) (crypto.PublicKey, error) {
	p, _ := peer.FromContext(ctx)
	return tlsid.PeerKey(p.AuthInfo.(credentials.TLSInfo).State)
}
