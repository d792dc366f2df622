package replica

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/tlsid"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/receipttree"
)

// verifyNoLeaks checks after all other cleanups of the test.
func verifyNoLeaks(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
}

func TestSessionCarriesRequestsAndReplies(t *testing.T) {
	verifyNoLeaks(t)
	c, b := newClientTestCluster(t, nil), newFakeBackend()
	s := startClientServer(t, c, b, nil)
	alice, bob := clientTestKey(1), clientTestKey(2)
	first := openSession(t, dialClientServer(t, c, s, alice))
	second := openSession(t, dialClientServer(t, c, s, alice))
	other := openSession(t, dialClientServer(t, c, s, bob))

	ra, rb := c.request(alice, 1, opOf(1), opOf(2)), c.request(bob, 1)
	require.NoError(t, first.Send(&api.ClientMessage{Requests: [][]byte{ra.Encode()}}))
	require.NoError(t, other.Send(&api.ClientMessage{Requests: [][]byte{rb.Encode(), ra.Encode()}}))
	m := next(t, other) // what the thief gets is a refusal
	require.Empty(t, m.Replies)
	require.Equal(t, api.Reason_REASON_FOREIGN_CLIENT, m.Refusals[0].Reason)
	offered := map[pbft.Digest]bool{(<-b.offered).Digest(): true, (<-b.offered).Digest(): true}
	require.Equal(t, map[pbft.Digest]bool{ra.Digest(): true, rb.Digest(): true}, offered)

	s.Deliver(1, 9, []statemachine.Reply{executedReply(ra, 9, []byte("A1"), []byte("A2")), executedReply(rb, 9, []byte("B"))})
	for _, stream := range []grpc.BidiStreamingClient[api.ClientMessage, api.ReplicaMessage]{first, second} {
		m := next(t, stream)
		require.Len(t, m.Replies, 1, "its own and nothing else")
		r := m.Replies[0]
		d := ra.Digest()
		require.Equal(t, d[:], r.Request)
		require.Equal(t, uint64(9), r.Height)
		require.Equal(t, api.Outcome_OUTCOME_EXECUTED, r.Outcome)
		results, ok := statemachine.DecodeResults(r.Results, 2)
		require.True(t, ok)
		require.Equal(t, "A2", string(results[1].Data))
	}
	m = next(t, other)
	require.Len(t, m.Replies, 1)
	require.Equal(t, statemachine.AppendResults(nil, []statemachine.Result{statemachine.OK([]byte("B"))}), m.Replies[0].Results)

	for _, why := range []pbft.Drop{pbft.DropPoolFull, pbft.DropDisplaced} {
		s.Refused(ra, why)
		m = next(t, first)
		require.Equal(t, api.Reason_REASON_BUSY, m.Refusals[0].Reason)
		require.NotZero(t, m.Refusals[0].RetryAfterMs)
	}
	s.Refused(ra, pbft.DropDuplicate) // says nothing to anybody
	s.Deliver(1, 10, []statemachine.Reply{{Client: alice.Public(), Seq: 2, Status: statemachine.Expired, Height: 10}})
	m = next(t, first)
	require.Empty(t, m.Refusals)
	require.Equal(t, api.Outcome_OUTCOME_EXPIRED, m.Replies[0].Outcome)
	require.Equal(t, uint64(1), s.clientCounters().Refused["foreign_client"])
}

// One message carries the replies of many requests.
func TestRepliesArePacked(t *testing.T) {
	counters := new(clientCounters)
	router := newReplyRouter(1, DefaultClientLimits(), counters)
	k := clientTestKey(1).Public()
	s := router.open(k, func() {})
	replies := make([]statemachine.Reply, 1000)
	for i := range replies {
		replies[i] = statemachine.Reply{Client: k, Seq: uint64(i + 1), Status: statemachine.Executed, Height: 5, Results: []statemachine.Result{{Data: make([]byte, 100)}}}
	}
	router.Deliver(1, 5, replies)
	entries, more := s.take(packBytes)
	require.False(t, more)
	require.Len(t, replyMessage(entries).Replies, 1000)
}

// A session that is not read is cut; what delivers never waits, and others
// notice nothing.
func TestSlowReaderIsCut(t *testing.T) {
	verifyNoLeaks(t)
	c, b := newClientTestCluster(t, nil), newFakeBackend()
	s := startClientServer(t, c, b, func(l *ClientLimits) { l.SessionBytes = 1 << 20 })
	slow, good := clientTestKey(1), clientTestKey(2)
	asleep := openSession(t, dialClientServer(t, c, s, slow))
	awake := openSession(t, dialClientServer(t, c, s, good))
	big := make([]byte, 256<<10)
	deadline := time.Now().Add(20 * time.Second)
	for i := uint64(1); s.counters.slowReaders.Load() == 0; i++ {
		require.True(t, time.Now().Before(deadline), "the slow reader is never cut")
		s.Deliver(1, pbft.Height(i), []statemachine.Reply{
			{Client: slow.Public(), Seq: i, Height: i, Status: statemachine.Executed, Results: []statemachine.Result{{Data: big}}},
			{Client: good.Public(), Seq: i, Height: i, Status: statemachine.Executed},
		})
		for got := uint64(0); got < i; {
			m := next(t, awake)
			got = m.Replies[len(m.Replies)-1].Seq
		}
	}
	var err error
	for err == nil {
		_, err = asleep.Recv()
	}
	require.NotErrorIs(t, err, io.EOF)
	require.Equal(t, uint64(1), s.counters.slowReaders.Load())
}

func TestSessionQueueBounds(t *testing.T) {
	limits := DefaultClientLimits()
	limits.SessionEntries, limits.SessionBytes = 3, 64<<10
	counters := new(clientCounters)
	router := newReplyRouter(1, limits, counters)
	k := clientTestKey(1).Public()
	cut := 0
	s := router.open(k, func() { cut++ })
	huge := statemachine.Reply{Client: k, Results: []statemachine.Result{{Data: make([]byte, 1<<20)}}}
	router.Deliver(1, 1, []statemachine.Reply{huge})
	require.Zero(t, cut, "one reply passes, however large")
	entries, _ := s.take(packBytes)
	require.Len(t, entries, 1)
	small := statemachine.Reply{Client: k}
	router.Deliver(1, 2, []statemachine.Reply{small, small, small})
	require.Zero(t, cut)
	router.Deliver(1, 2, []statemachine.Reply{small, small})
	require.Equal(t, 1, cut, "once")
	entries, _ = s.take(packBytes)
	require.Empty(t, entries, "nothing is kept of a session that was cut")
	router.forget(s)
	router.Deliver(1, 3, []statemachine.Reply{small})
	require.Equal(t, uint64(1), counters.unheard.Load())
	router.close()
	require.Nil(t, router.open(k, func() {}))
}

func TestOnlyListedMethodsExist(t *testing.T) {
	verifyNoLeaks(t)
	c, b := newClientTestCluster(t, nil), newFakeBackend()
	s := startClientServer(t, c, b, nil)
	conn := dialClientServer(t, c, s, clientTestKey(1))
	h, err := grpc_health_v1.NewHealthClient(conn).Check(testContext(t), &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, h.Status)
	_, err = grpc_health_v1.NewHealthClient(conn).List(testContext(t), &grpc_health_v1.HealthListRequest{})
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	err = conn.Invoke(testContext(t), "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &api.StatusRequest{}, &api.StatusResponse{})
	require.Equal(t, codes.Unimplemented, status.Code(err))
	st, err := api.NewParleyClient(conn).Status(testContext(t), &api.StatusRequest{})
	require.NoError(t, err)
	require.Equal(t, uint32(2), st.Primary)
	cl, err := api.NewParleyClient(conn).Cluster(testContext(t), &api.ClusterRequest{})
	require.NoError(t, err)
	require.Equal(t, c.roster.ID[:], cl.Cluster)
}

func TestConnectionsNeedAKeyThatIsAdmitted(t *testing.T) {
	verifyNoLeaks(t)
	listed := clientTestKey(1)
	c := newClientTestCluster(t, func(f *crypto.Cluster) {
		f.Clients = crypto.Clients{Admission: crypto.AdmitList, Keys: []crypto.PublicKey{listed.Public()}}
	})
	s := startClientServer(t, c, newFakeBackend(), nil)
	openSession(t, dialClientServer(t, c, s, listed))
	_, err := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(2))).Status(testContext(t), &api.StatusRequest{})
	require.Equal(t, codes.Unavailable, status.Code(err))

	for name, edit := range map[string]func(*tls.Config){
		"no certificate": func(c *tls.Config) { c.Certificates = nil },
		"TLS 1.2":        func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 },
		"no protocol":    func(c *tls.Config) { c.NextProtos = nil },
	} {
		t.Run(name, func(t *testing.T) {
			certificate, err := tlsid.Certificate(listed)
			require.NoError(t, err)
			config := tlsid.ClientConfig(certificate, c.roster.Member(0).TLSKey)
			config.VerifyConnection = nil
			edit(config)
			conn, err := tls.Dial("tcp", s.config.Listener.Addr().String(), config)
			if err != nil {
				return
			}
			defer conn.Close()
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
			_, err = conn.Read(make([]byte, 1))
			require.Error(t, err, "the server hangs up")
			var timeout net.Error
			require.False(t, errors.As(err, &timeout) && timeout.Timeout())
		})
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	verifyNoLeaks(t)
	c := newClientTestCluster(t, nil)
	s := startClientServer(t, c, newFakeBackend(), func(l *ClientLimits) { l.ConnectionsPerClient, l.MaxConnections = 2, 3 })
	k := clientTestKey(1)
	first := openSession(t, dialClientServer(t, c, s, k))
	openSession(t, dialClientServer(t, c, s, k))
	openSession(t, dialClientServer(t, c, s, k))
	_, err := first.Recv()
	require.Error(t, err, "the oldest gave way")
	openSession(t, dialClientServer(t, c, s, clientTestKey(2)))
	_, err = api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(3))).Status(testContext(t), &api.StatusRequest{})
	require.Equal(t, codes.Unavailable, status.Code(err), "the port is full")
}

// Who connects too fast is closed at once, and counted.
func TestRateOfClientConnections(t *testing.T) {
	verifyNoLeaks(t)
	c := newClientTestCluster(t, nil)
	s := startClientServer(t, c, newFakeBackend(), func(l *ClientLimits) { l.AcceptRate, l.AcceptBurst = 1, 1 })
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", s.config.Listener.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		return s.clientCounters().TurnedAway["rate"] > 1
	}, 10*time.Second, time.Millisecond)
}

// Connections that never authenticate are closed for newer ones.
func TestIdleHandshakesGiveWay(t *testing.T) {
	verifyNoLeaks(t)
	c := newClientTestCluster(t, nil)
	s := startClientServer(t, c, newFakeBackend(), func(l *ClientLimits) { l.MaxHandshakes, l.HandshakeTimeout = 4, time.Minute })
	idle, err := net.Dial("tcp", s.config.Listener.Addr().String())
	require.NoError(t, err)
	defer idle.Close()
	later, err := net.Dial("tcp", s.config.Listener.Addr().String())
	require.NoError(t, err)
	defer later.Close()
	require.NoError(t, idle.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err = idle.Read(make([]byte, 1))
	var timeout net.Error
	require.Error(t, err)
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "closed by the server")
	openSession(t, dialClientServer(t, c, s, clientTestKey(1)))
}

func TestReceiptCall(t *testing.T) {
	verifyNoLeaks(t)
	c, b := newClientTestCluster(t, nil), newFakeBackend()
	s := startClientServer(t, c, b, nil)
	api1 := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(1)))
	r := c.request(clientTestKey(1), 1)
	d := r.Digest()
	leaf := receipttree.Leaf{
		Height: 5, Request: d, Status: uint8(statemachine.Executed), Result: []byte("res"),
	}
	parts := &receiptParts{
		Epoch: 1, Leaf: leaf, Body: r, Index: 0, Count: 1,
		Certificate: &pbft.CheckpointCertificate{
			CheckpointStatement: pbft.CheckpointStatement{Height: 8, Results: receipttree.Root([]crypto.Digest{leaf.Digest()})},
			Signers:             crypto.NewBitmap(1),
		},
	}
	answers := map[pbft.Height]error{1: ErrNotCertified, 2: ErrPruned, 3: ErrNoSuchResult, 4: errors.New("disk on fire at /secret/path"), 5: nil}
	b.receipt = func(_ context.Context, h pbft.Height, got pbft.Digest, op int) (*receiptParts, error) {
		require.Equal(t, d, got)
		return parts, answers[h]
	}
	for h, want := range map[uint64]api.ReceiptResponse_State{
		1: api.ReceiptResponse_STATE_NOT_CERTIFIED, 2: api.ReceiptResponse_STATE_PRUNED,
		3: api.ReceiptResponse_STATE_UNKNOWN, 5: api.ReceiptResponse_STATE_FOUND,
	} {
		m, err := api1.Receipt(testContext(t), &api.ReceiptRequest{Height: h, Request: d[:]})
		require.NoError(t, err)
		require.Equal(t, want, m.State)
		if want == api.ReceiptResponse_STATE_FOUND {
			rec, err := receipt.Decode(m.Receipt)
			require.NoError(t, err)
			require.NoError(t, rec.CheckRequest(r))
			require.NoError(t, rec.CheckOperation(r.Ops[0]))
			require.Equal(t, "res", string(rec.Result.Data))
		}
	}
	_, err := api1.Receipt(testContext(t), &api.ReceiptRequest{Height: 4, Request: d[:]})
	require.Equal(t, codes.Internal, status.Code(err))
	require.NotContains(t, err.Error(), "secret")
	_, err = api1.Receipt(testContext(t), &api.ReceiptRequest{Height: 4, Request: d[:5]})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	_, err = api1.Receipt(testContext(t), &api.ReceiptRequest{Height: 4, Request: d[:], Operation: 1 << 30})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

func TestCallsAreBounded(t *testing.T) {
	verifyNoLeaks(t)
	c, b := newClientTestCluster(t, nil), newFakeBackend()
	entered, release := make(chan struct{}), make(chan struct{})
	b.query = func(ctx context.Context, q []byte) ([]byte, pbft.Height, error) {
		if string(q) == "bad" {
			return nil, 0, errors.New("no such query")
		}
		entered <- struct{}{}
		select {
		case <-release:
			return append([]byte("re: "), q...), 7, nil
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	s := startClientServer(t, c, b, func(l *ClientLimits) { l.CallsPerClient, l.MaxQueryBytes = 1, 100 })
	one, two := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(1))), api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(2)))
	type result struct {
		m   *api.QueryResponse
		err error
	}
	results := make(chan result, 2)
	ask := func(p api.ParleyClient) {
		m, err := p.Query(testContext(t), &api.QueryRequest{Query: []byte("q")})
		results <- result{m, err}
	}
	go ask(one)
	<-entered
	_, err := one.Query(testContext(t), &api.QueryRequest{Query: []byte("q")})
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	_, err = two.Query(testContext(t), &api.QueryRequest{Query: []byte("bad")})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	_, err = two.Query(testContext(t), &api.QueryRequest{Query: make([]byte, 101)})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	close(release)
	r := <-results
	require.NoError(t, r.err)
	require.Equal(t, "re: q", string(r.m.Answer))
	require.Equal(t, uint64(7), r.m.Height)
}

// What waits for sessions is sent before the replica stops; a reader who never
// reads cannot delay it beyond the context.
func TestStop(t *testing.T) {
	verifyNoLeaks(t)
	c, b := newClientTestCluster(t, nil), newFakeBackend()
	s := startClientServer(t, c, b, nil)
	k := clientTestKey(1)
	stream := openSession(t, dialClientServer(t, c, s, k))
	s.Deliver(1, 1, []statemachine.Reply{{Client: k.Public(), Seq: 1, Height: 1, Status: statemachine.Executed}})
	require.NoError(t, s.stop(testContext(t)))
	require.Len(t, next(t, stream).Replies, 1)
	_, err := stream.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err))

	stuck := startClientServer(t, c, newFakeBackend(), nil)
	openSession(t, dialClientServer(t, c, stuck, k))
	huge := statemachine.Reply{Client: k.Public(), Seq: 1, Height: 1, Results: []statemachine.Result{{Data: make([]byte, 8<<20)}}}
	stuck.Deliver(1, 1, []statemachine.Reply{huge})
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	require.ErrorIs(t, stuck.stop(ctx), context.Canceled)
}

func TestMessageWithTooManyElements(t *testing.T) {
	verifyNoLeaks(t)
	c, b := newClientTestCluster(t, nil), newFakeBackend()
	s := startClientServer(t, c, b, nil)
	conn := dialClientServer(t, c, s, clientTestKey(1))
	for _, m := range []*api.ClientMessage{
		{Requests: make([][]byte, api.MaxRequests+1)}, {Attach: slices.Repeat([]*api.Attachment{{}}, api.MaxAttach+1)}, {Detach: make([]uint32, api.MaxDetach+1)},
	} {
		stream := openSession(t, conn)
		require.NoError(t, stream.Send(m))
		_, err := stream.Recv()
		require.Equal(t, codes.Internal, status.Code(err), "it does not decode")
		require.ErrorContains(t, err, "elements")
	}
}

func TestClientLimitsValidate(t *testing.T) {
	l := DefaultClientLimits()
	require.NoError(t, l.Validate())
	l.SessionBytes = 0
	require.ErrorContains(t, l.Validate(), "SessionBytes is 0")
	l = DefaultClientLimits()
	l.CallTimeout = 0
	require.ErrorContains(t, l.Validate(), "CallTimeout is 0s")
}
