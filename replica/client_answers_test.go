package replica

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// state is how many answers are being made and wait, and the bytes of those that are made.
func (t *answerTurns) state() (making, waiting, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.making, len(t.waiting), t.bytes
}

// eventually waits for a state of the turns.
func (t *answerTurns) eventually(test *testing.T, ok func(making, waiting, bytes int) bool) {
	test.Helper()
	require.Eventually(test, func() bool { return ok(t.state()) }, 20*time.Second, time.Millisecond)
}

func idle(making, waiting, bytes int) bool { return making == 0 && waiting == 0 && bytes == 0 }

var anyChain = bytes.Repeat([]byte{1}, crypto.DigestSize)

// A checkpoint wakes all who wait, and then a few of them are answered at a time.
func TestWokenWatchesAreAnsweredAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // who waits for a turn has patience, however long the machine takes
		c := newClientTestCluster(t, nil)
		b := fedBackend()
		news, waiting := make(chan struct{}), make(chan struct{}, 1<<10)
		var certified atomic.Bool
		b.await = func(ctx context.Context, _ pbft.Height) error {
			waiting <- struct{}{}
			select {
			case <-news:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		var made atomic.Int64
		proceed := make(chan struct{})
		b.links = func(context.Context, feed.Position, pbft.Height) (*changedBlocks, error) {
			a := &changedBlocks{FeedAnswer: &store.FeedAnswer{State: store.FeedFound}, until: 7}
			if certified.Load() {
				a.Links = make([]feed.Link, 1)
			}
			return a, nil
		}
		b.pieces = func(ctx context.Context, _ *store.PiecesQuery) (*store.FeedAnswer, error) {
			made.Add(1)
			select {
			case <-proceed:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return &store.FeedAnswer{State: store.FeedFound, Pieces: [][]byte{make([]byte, feed.PieceBytes)}}, nil
		}
		s := startClientServerOn(t, bufconn.Listen(1<<16), c, b, nil)
		var group sync.WaitGroup
		few := runtime.GOMAXPROCS(0)
		clients, each := max(4, few), 8 // one answer is made for each client
		for i := range clients {
			p := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(byte(1+i))))
			for range each {
				group.Go(func() {
					m, err := p.Watch(testContext(t), &api.WatchRequest{Chain: anyChain, WaitMs: 1 << 30})
					if err != nil || len(m.Pieces) != 1 {
						t.Errorf("%v, %v", m, err)
					}
				})
			}
		}
		for range clients * each {
			<-waiting
		}
		turns := &s.service.answers
		turns.eventually(t, idle) // whoever waits holds nothing
		certified.Store(true)
		close(news)
		turns.eventually(t, func(making, waiting, _ int) bool { return making == few && waiting == clients*each-few })
		require.LessOrEqual(t, made.Load(), int64(few))
		close(proceed)
		group.Wait()
		require.Equal(t, int64(clients*each), made.Load())
		turns.eventually(t, idle)
	})
}

// unread is a call for changes whose client does not read the answer.
func unread(t *testing.T, c *clientTestCluster, s *clientServer, key byte) (grpc.ClientStream, context.CancelFunc) {
	conn := dialClientServerWith(t, c, s, clientTestKey(key), grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10))
	ctx, cancel := context.WithCancel(testContext(t))
	t.Cleanup(cancel)
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, api.Parley_Changes_FullMethodName)
	require.NoError(t, err)
	require.NoError(t, stream.SendMsg(new(api.ChangesRequest)))
	require.NoError(t, stream.CloseSend())
	return stream, cancel
}

// longAnswers is a backend whose answers are longer than a connection takes unread.
func longAnswers() *fakeBackend {
	b := fedBackend()
	b.pieces = func(context.Context, *store.PiecesQuery) (*store.FeedAnswer, error) {
		return &store.FeedAnswer{State: store.FeedFound, Pieces: [][]byte{make([]byte, feed.PieceBytes)}}, nil
	}
	return b
}

// As long as answers that nobody reads take what all may, no other one is begun.
func TestAnswersThatHaveNotLeftHoldUpOthers(t *testing.T) {
	c := newClientTestCluster(t, nil)
	b := longAnswers()
	s := startClientServer(t, c, b, func(l *ClientLimits) { l.WatchBytes, l.CallTimeout = feed.PieceBytes, time.Hour })
	turns := &s.service.answers
	_, cancel := unread(t, c, s, 1)
	turns.eventually(t, func(_, _, bytes int) bool { return bytes > feed.PieceBytes })
	p := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(2)))
	done := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := p.Changes(testContext(t), new(api.ChangesRequest))
			done <- err
		}()
	}
	turns.eventually(t, func(making, waiting, _ int) bool { return making == 0 && waiting == 2 })
	cancel() // and its answer is dropped
	require.NoError(t, <-done)
	require.NoError(t, <-done)
	turns.eventually(t, idle)

	// Who gives up leaves no place behind.
	_, cancel = unread(t, c, s, 1)
	turns.eventually(t, func(_, _, bytes int) bool { return bytes > feed.PieceBytes })
	ctx, giveUp := context.WithCancel(testContext(t))
	go func() {
		_, err := p.Changes(ctx, new(api.ChangesRequest))
		done <- err
	}()
	turns.eventually(t, func(_, waiting, _ int) bool { return waiting == 1 })
	giveUp()
	require.Equal(t, codes.Canceled, status.Code(<-done))
	turns.eventually(t, func(_, waiting, _ int) bool { return waiting == 0 })
	cancel()
	turns.eventually(t, idle)
}

// Whoever does not take an answer loses the connection, and others get their turns.
func TestUnreadAnswersCostTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClientTestCluster(t, nil)
		b := longAnswers()
		s := startClientServerOn(t, bufconn.Listen(1<<16), c, b, func(l *ClientLimits) { l.WatchBytes, l.CallTimeout = feed.PieceBytes, 200*time.Millisecond })
		turns := &s.service.answers
		stream, _ := unread(t, c, s, 1)
		turns.eventually(t, func(_, _, bytes int) bool { return bytes > feed.PieceBytes })
		turns.eventually(t, idle)
		require.Equal(t, uint64(1), s.clientCounters().SlowReaders)
		for {
			if err := stream.RecvMsg(new(api.ChangesResponse)); err != nil {
				require.Equal(t, codes.Unavailable, status.Code(err))
				break
			}
		}
		p := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(2)))
		_, err := p.Changes(testContext(t), new(api.ChangesRequest))
		require.NoError(t, err)
		turns.eventually(t, idle)
	})
}

// What is refused, and what is so short that it counts for nothing, gives its turn back.
func TestTurnsAreGivenBack(t *testing.T) {
	c := newClientTestCluster(t, nil)
	b := fedBackend()
	s := startClientServer(t, c, b, nil)
	p := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(1)))
	b.pieces = func(context.Context, *store.PiecesQuery) (*store.FeedAnswer, error) { return nil, ErrNoQueries }
	for range 3 * runtime.GOMAXPROCS(0) {
		_, err := p.Changes(testContext(t), new(api.ChangesRequest))
		require.Equal(t, codes.Unimplemented, status.Code(err))
		_, err = p.Watch(testContext(t), &api.WatchRequest{Chain: []byte{1}})
		require.Equal(t, codes.InvalidArgument, status.Code(err))
		_, err = p.Watch(testContext(t), &api.WatchRequest{})
		require.NoError(t, err)
		_, err = p.Watch(testContext(t), &api.WatchRequest{Chain: anyChain, WaitMs: 1})
		require.NoError(t, err)
	}
	s.service.answers.eventually(t, idle)
}

// Who waits too long for a turn is told to try again, and takes nobody's place.
func TestTurnsDoNotComeInTime(t *testing.T) {
	turns := &answerTurns{most: 1, limit: 10, patience: time.Millisecond}
	one, two := &answerTurn{turns: turns}, &answerTurn{turns: turns}
	require.NoError(t, one.begin(context.Background()))
	require.Equal(t, codes.ResourceExhausted, status.Code(two.begin(context.Background())))
	two.end()
	require.Equal(t, codes.ResourceExhausted, status.Code(two.begin(context.Background())))
	one.end()
	one.end()
	require.NoError(t, two.begin(context.Background()))
	two.end()
	require.True(t, idle(turns.state()))
}

// endsBetween has a call end between its headers and its answer.
type endsBetween struct {
	answerStats
	end func()
}

func (e endsBetween) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutHeader); ok {
		e.end()
		<-ctx.Done()
	}
	e.answerStats.HandleRPC(ctx, s)
}

type oneAnswer struct {
	api.UnimplementedParleyServer
	turns *answerTurns
}

func (o oneAnswer) answer(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
	return &turned{Message: &api.ChangesResponse{Pieces: [][]byte{make([]byte, feed.PieceBytes)}}, turn: &answerTurn{turns: o.turns}}, nil
}

// An answer to a call that its client ends while it is on its way to the queue of its connection
// counts no longer, though gRPC does not say that it is done with it.
func TestAnswerToAnEndedCallCountsNoLonger(t *testing.T) {
	for range 20 { // the loop that writes may come before or after
		turns := &answerTurns{most: 1, limit: 1 << 30, patience: time.Hour}
		ctx, cancel := context.WithCancel(testContext(t))
		o := oneAnswer{turns: turns}
		server := grpc.NewServer(grpc.ForceServerCodecV2(newAnswerCodec()), grpc.StatsHandler(endsBetween{end: cancel}), grpc.UnaryInterceptor(o.answer))
		api.RegisterParleyServer(server, o)
		l := bufconn.Listen(1 << 16)
		served := make(chan error)
		go func() { served <- server.Serve(l) }()
		conn, err := grpc.NewClient("passthrough:///", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
		require.NoError(t, err)
		_, err = api.NewParleyClient(conn).Changes(ctx, new(api.ChangesRequest))
		require.Equal(t, codes.Canceled, status.Code(err))
		turns.eventually(t, idle)
		require.NoError(t, conn.Close())
		server.Stop()
		require.NoError(t, <-served)
	}
}
