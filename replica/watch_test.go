package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/feed"
	"github.com/parley-bft/parley/transport"
)

// texts is an application on a store whose operations are "key=value" and "key".
type texts struct{}

func (texts) Apply(t store.Txn, _ *statemachine.Block, op *statemachine.Op) statemachine.Result {
	if key, value, ok := strings.Cut(string(op.Data), "="); ok {
		t.Set([]byte(key), []byte(value))
	} else {
		t.Delete(op.Data)
	}
	return statemachine.OK(nil)
}

func (texts) Query(_ context.Context, r store.Reader, q []byte) ([]byte, error) {
	v, _ := r.Get(q)
	return v, nil
}

// lying puts something between a server's clients and what it knows.
type lying struct{ wrap func(backend) backend }

func (lying) handler(s *Server) transport.Handler                 { return s }
func (lying) transport(t transport.Transport) transport.Transport { return t }
func (l lying) frontend(_ *Server, f frontend) frontend           { return lyingFrontend{f, l.wrap} }
func (f lyingFrontend) start(b backend) error                     { return f.frontend.start(f.wrap(b)) }

type lyingFrontend struct {
	frontend
	wrap func(backend) backend
}

// liar answers clients' watches wrongly, as mode says.
type liar struct {
	backend
	mode  atomic.Int32
	asked atomic.Int64
	old   atomic.Pointer[changedBlocks]
}

const (
	honest = iota
	dropsBlocks
	forgesValues
	withholds
	modes
)

func (l *liar) Links(ctx context.Context, after feed.Position, until pbft.Height) (*changedBlocks, error) {
	b, err := l.backend.Links(ctx, after, until)
	if err != nil {
		return b, err
	}
	switch l.mode.Load() {
	case honest:
		if until == 0 {
			l.old.Store(b)
		}
	case dropsBlocks:
		if len(b.Links) > 0 {
			b.Links = b.Links[1:]
		}
	case withholds:
		if old := l.old.Load(); old != nil && until == 0 {
			b.Links, b.Pieces, b.state, b.until = nil, nil, old.state, old.until
		}
	}
	return b, nil
}

func (l *liar) Pieces(ctx context.Context, q *store.PiecesQuery) (*store.FeedAnswer, error) {
	a, err := l.backend.Pieces(ctx, q)
	if err == nil && l.mode.Load() == forgesValues && len(a.Pieces) > 0 {
		a.Pieces[0] = append([]byte(nil), a.Pieces[0]...)
		a.Pieces[0][len(a.Pieces[0])-1] ^= 1
	}
	return a, err
}

func (l *liar) AwaitCertified(ctx context.Context, h pbft.Height) error {
	if l.mode.Load() == withholds {
		return context.DeadlineExceeded // nothing came
	}
	return l.backend.AwaitCertified(ctx, h)
}

// watchCluster is four servers of an application on a store, one of which may lie.
func watchCluster(t *testing.T, key byte) (c *testCluster, cl *client.Client, l *liar, first int) {
	return watchClusterOf(t, key, time.Now, nil)
}

// watchClusterOf is watchCluster with a clock of the client, and with stores as edit makes
// them.
func watchClusterOf(t *testing.T, key byte, now func() time.Time, edit func(*store.Config)) (c *testCluster, cl *client.Client, l *liar, first int) {
	verifyNoLeaks(t)
	public := clientTestKey(key).Public()
	first = int(public[0]) % 4
	l = new(liar)
	door := &clientDoor{address: make(map[string]string)}
	states := t.TempDir() // made here, it is removed after the stores are closed, which write to it
	stores := make([]*store.Store, 4)
	t.Cleanup(func() {
		for _, s := range stores {
			if s != nil {
				require.NoError(t, s.Close())
			}
		}
	})
	c = newTestCluster(t, 4, func(i int, cfg *Config) {
		if stores[i] != nil {
			require.NoError(t, stores[i].Close())
		}
		sc := store.DefaultConfig()
		sc.Dir, sc.FlushBytes = filepath.Join(states, fmt.Sprint(i)), 4<<10
		if edit != nil {
			edit(&sc)
		}
		var err error
		stores[i], err = store.Open(context.Background(), sc)
		require.NoError(t, err)
		cfg.Machine, err = store.NewMachine(stores[i], texts{})
		require.NoError(t, err)
		if i == first {
			cfg.between = lying{func(b backend) backend { l.backend = b; return l }}
		}
		door.mu.Lock()
		defer door.mu.Unlock()
		door.address[c.roster.Cluster.Members[i].ClientAddress] = cfg.ClientListener.Addr().String()
	})
	t.Cleanup(c.stopAll) // before the stores are closed
	c.startAll()
	cl, err := client.Dial(c.context(), client.Config{
		Roster: c.roster, Key: clientTestKey(key), Dial: door.dial, Retry: 100 * time.Millisecond, Now: now,
		BackoffMin: 5 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cl.Close()) })
	return c, cl, l, first
}

// mirror is what a reader makes of the events: the state.
type mirror struct {
	state  map[string]string
	cursor client.Cursor
	events int
}

func (m *mirror) take(t *testing.T, e client.Event) {
	if _, had := m.state[string(e.Key)]; e.Kind == client.Deleted {
		require.True(t, had, "%s is deleted twice, or an event was lost", e.Key)
		delete(m.state, string(e.Key))
	} else {
		require.NotEqual(t, m.state[string(e.Key)], string(e.Value), "%s: an event twice", e.Key)
		m.state[string(e.Key)] = string(e.Value)
	}
	m.cursor = e.Cursor
	m.events++
}

// The watch of a real cluster: complete and in order, whatever the replica does that is
// asked first, while watchers are killed and resumed and replicas are restarted.
func TestWatchAgainstReplicas(t *testing.T) {
	var ahead atomic.Int64 // the client's clock jumps
	c, cl, l, first := watchClusterOf(t, 1, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }, nil)
	var found [4]client.FaultCounts
	note := func(w *client.Watcher) {
		for i, f := range w.Faults() {
			found[i].Forged += f.Forged
			found[i].Stale += f.Stale
		}
	}
	m := &mirror{state: make(map[string]string), cursor: client.FromBeginning()}
	want := make(map[string]string)
	// watch takes events until the mirror shows the last operation of a round.
	watch := func(round int) {
		last := fmt.Sprintf("round %d", round)
		opts := client.WatchOptions{MaxAge: time.Minute}
		for m.state[last] != "done" {
			opts.From = m.cursor
			w := cl.Watch(opts)
			for range 1 + round%5 { // then it is killed
				e, err := w.Next(c.context())
				require.NoError(t, err)
				m.take(t, e)
				if m.state[last] == "done" {
					break
				}
			}
			note(w)
		}
		require.Equal(t, want, m.state)
	}
	// stall has one watcher see what another replica than the first has, and again after
	// MaxAge.
	stall := func(round int) {
		w := cl.Watch(client.WatchOptions{From: m.cursor, MaxAge: time.Minute})
		for i := range 2 {
			_, err := cl.Submit(c.context(), fmt.Appendf(nil, "stall %d/%d=1", round, i))
			require.NoError(t, err)
			want[fmt.Sprintf("stall %d/%d", round, i)] = "1"
			e, err := w.Next(c.context())
			require.NoError(t, err)
			m.take(t, e)
			c.settle()
			ahead.Add(int64(time.Minute))
		}
		note(w)
		require.Equal(t, want, m.state)
	}
	for round := range 2 * modes {
		l.mode.Store(int32(round % modes))
		var group sync.WaitGroup
		for g := range 3 {
			for i := range 5 {
				key := fmt.Sprintf("%d/%d", g, i)
				if round%2 == 1 && i == 3 {
					delete(want, key)
				} else {
					want[key] = fmt.Sprint(round)
				}
			}
			group.Go(func() {
				for i := range 5 {
					op := fmt.Sprintf("%d/%d=%d", g, i, round)
					if round%2 == 1 && i == 3 {
						op = fmt.Sprintf("%d/%d", g, i)
					}
					_, err := cl.Submit(c.context(), []byte(op))
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if round == modes {
			c.stop((first + 1) % 4)
			c.start((first + 1) % 4)
		}
		_, err := cl.Submit(c.context(), fmt.Appendf(nil, "round %d=done", round))
		require.NoError(t, err)
		want[fmt.Sprintf("round %d", round)] = "done"
		watch(round)
		if round%modes == withholds {
			stall(round)
		}
	}
	for i := range found {
		require.Equal(t, i == first, found[i].Forged > 0, "replica %d: %+v", i, found[i])
		require.Equal(t, i == first, found[i].Stale > 0, "replica %d: %+v", i, found[i])
	}
	require.Equal(t, uint64(2), found[first].Stale, "once for each watcher that could know")

	// The same once more, from the beginning.
	again := &mirror{state: make(map[string]string)}
	w := cl.Watch(client.WatchOptions{From: client.FromBeginning()})
	for again.events < m.events {
		e, err := w.Next(c.context())
		require.NoError(t, err)
		again.take(t, e)
	}
	require.Equal(t, want, again.state)
	require.Equal(t, m.cursor, again.cursor)
}

// settle waits until all have certified what one has, as they have long before a minute is over.
func (c *testCluster) settle() {
	var newest pbft.Height
	for _, s := range c.servers {
		newest = max(newest, s.runner.seals.gate.height())
	}
	for _, s := range c.servers {
		require.NoError(c.t, s.AwaitCertified(c.context(), newest))
	}
}

func (l *liar) Certified(ctx context.Context, key []byte) (*receipt.State, error) {
	l.asked.Add(1)
	s, err := l.backend.Certified(ctx, key)
	if err != nil {
		return s, err
	}
	switch l.mode.Load() {
	case dropsBlocks:
		s.Proof.Present, s.Proof.Value = false, nil
	case forgesValues:
		s.Proof.Value = []byte("forged")
	case withholds:
		if old := l.old.Load(); old != nil {
			s.Header, s.Certificate, s.Parts = old.state.Header, old.state.Certificate, old.state.Parts
		}
	}
	return s, nil
}

// After all replicas were restarted, what was certified before is to be had, although
// nothing new happens.
func TestWatchAfterARestart(t *testing.T) {
	c, cl, _, _ := watchCluster(t, 1)
	for i := range 20 { // with a snapshot on the way
		_, err := cl.Submit(c.context(), fmt.Appendf(nil, "k%d=%d", i%3, i))
		require.NoError(t, err)
	}
	read := func() (all []client.Event) {
		w := cl.Watch(client.WatchOptions{From: client.FromBeginning()})
		for len(all) < 20 {
			e, err := w.Next(c.context())
			require.NoError(t, err)
			all = append(all, e)
		}
		return all
	}
	before := read()
	for i := range c.servers {
		c.stop(i)
	}
	c.startAll()
	require.Equal(t, before, read())
	s, err := cl.ReadCertified(c.context(), []byte("k1"), client.CertifiedOptions{MinHeight: before[19].Height})
	require.NoError(t, err)
	require.Equal(t, "19", string(s.Proof.Value))
}

// A certified read from a replica that lies: another one is asked.
func TestCertifiedReadAgainstALiar(t *testing.T) {
	c, cl, l, _ := watchCluster(t, 1)
	w := cl.Watch(client.WatchOptions{From: client.FromBeginning()})
	for i := range 2 * modes {
		a, err := cl.Do(c.context(), fmt.Appendf(nil, "k=%d", i))
		require.NoError(t, err)
		l.mode.Store(int32(i % modes))
		before := l.asked.Load()
		s, err := cl.ReadCertified(c.context(), []byte("k"), client.CertifiedOptions{MinHeight: a.Ref.Height})
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(s.Proof.Value))
		require.Greater(t, l.asked.Load(), before, "it was asked")
		for e := (client.Event{}); string(e.Value) != fmt.Sprint(i); { // an old answer to show
			e, err = w.Next(c.context())
			require.NoError(t, err)
		}
	}
}

// fedBackend has a feed with nothing new in it.
func fedBackend() *fakeBackend {
	b := newFakeBackend()
	b.links = func(context.Context, feed.Position, pbft.Height) (*changedBlocks, error) {
		return &changedBlocks{FeedAnswer: &store.FeedAnswer{State: store.FeedFound}, until: 7}, nil
	}
	b.await = func(ctx context.Context, _ pbft.Height) error { <-ctx.Done(); return ctx.Err() }
	return b
}

// Whoever watches waits in places of their own, so many for each client, and nobody's
// reading waits for that.
func TestWatchesHaveLimits(t *testing.T) {
	c := newClientTestCluster(t, nil)
	b := fedBackend()
	waiting := make(chan struct{}, 16)
	b.await = func(ctx context.Context, h pbft.Height) error {
		assert.Equal(t, pbft.Height(8), h)
		waiting <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	b.query = func(context.Context, []byte) ([]byte, pbft.Height, error) { return []byte("a"), 1, nil }
	s := startClientServer(t, c, b, func(l *ClientLimits) { l.WatchesPerClient, l.Watches, l.CallsPerClient = 2, 3, 1 })
	alice := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(1)))
	bob := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(2)))
	ctx, cancel := context.WithCancel(testContext(t))
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	start := func(p api.ParleyClient) {
		group.Go(func() { _, _ = p.Watch(ctx, &api.WatchRequest{Chain: bytes.Repeat([]byte{1}, 32), WaitMs: 1 << 30}) })
		<-waiting
	}
	start(alice)
	start(alice)
	_, err := alice.Watch(ctx, &api.WatchRequest{})
	require.Equal(t, codes.ResourceExhausted, status.Code(err), "alice's third")
	_, err = alice.Query(ctx, &api.QueryRequest{})
	require.NoError(t, err)
	start(bob)
	_, err = bob.Changes(ctx, &api.ChangesRequest{})
	require.Equal(t, codes.ResourceExhausted, status.Code(err), "there are three in all")
}

// A server that stops does not wait for those who wait for something to change.
func TestWatchesEndWithTheServer(t *testing.T) {
	c := newClientTestCluster(t, nil)
	b := fedBackend()
	waiting, ended := make(chan struct{}), make(chan error, 1)
	b.await = func(ctx context.Context, _ pbft.Height) error {
		close(waiting)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	s := startClientServer(t, c, b, nil)
	p := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(1)))
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		_, _ = p.Watch(testContext(t), &api.WatchRequest{Chain: bytes.Repeat([]byte{1}, 32), WaitMs: 1 << 30})
	})
	<-waiting
	require.NoError(t, s.stop(testContext(t)))
	require.ErrorIs(t, <-ended, context.Canceled, "the wait had not ended by itself")
}

func TestWatchCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClientTestCluster(t, nil)
		b := fedBackend()
		s := startClientServerOn(t, bufconn.Listen(1<<16), c, b, func(l *ClientLimits) { l.CallTimeout = 100 * time.Millisecond })
		p := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(1)))
		chain := bytes.Repeat([]byte{1}, crypto.DigestSize)

		m, err := p.Watch(testContext(t), &api.WatchRequest{Chain: chain, WaitMs: 1 << 30})
		require.NoError(t, err, "the wait ends before the call must")
		require.Equal(t, api.WatchState_WATCH_STATE_FOUND, m.State)
		_, err = p.Watch(testContext(t), &api.WatchRequest{Chain: chain[1:]})
		require.Equal(t, codes.InvalidArgument, status.Code(err))
		_, err = p.Watch(testContext(t), &api.WatchRequest{Height: 4, Chain: make([]byte, crypto.DigestSize)})
		require.Equal(t, codes.InvalidArgument, status.Code(err), "zero stands for no chain")

		for want, err := range map[codes.Code]error{
			codes.Unimplemented: ErrNoQueries, codes.Unavailable: store.ErrFailed, codes.InvalidArgument: errors.New("not for you"),
		} {
			b.links = func(context.Context, feed.Position, pbft.Height) (*changedBlocks, error) { return nil, err }
			b.pieces = func(context.Context, *store.PiecesQuery) (*store.FeedAnswer, error) { return nil, err }
			_, err := p.Watch(testContext(t), &api.WatchRequest{Chain: chain})
			require.Equal(t, want, status.Code(err))
			_, err = p.Changes(testContext(t), &api.ChangesRequest{})
			require.Equal(t, want, status.Code(err))
		}
		for _, err := range []error{ErrNotCertified, ErrPruned} {
			b.links = func(context.Context, feed.Position, pbft.Height) (*changedBlocks, error) { return nil, err }
			m, err := p.Watch(testContext(t), &api.WatchRequest{Chain: chain})
			require.NoError(t, err)
			require.Equal(t, api.WatchState_WATCH_STATE_NOT_CERTIFIED, m.State)
		}

		// What is compacted by the time that it is asked for is asked for again.
		b.links = func(context.Context, feed.Position, pbft.Height) (*changedBlocks, error) {
			return &changedBlocks{FeedAnswer: &store.FeedAnswer{State: store.FeedFound, Links: make([]feed.Link, 2), More: true}, until: 7}, nil
		}
		b.pieces = func(_ context.Context, q *store.PiecesQuery) (*store.FeedAnswer, error) {
			return &store.FeedAnswer{State: store.FeedCompacted}, nil
		}
		m, err = p.Watch(testContext(t), &api.WatchRequest{Chain: chain})
		require.NoError(t, err)
		require.Len(t, m.Links, 2*feed.LinkBytes)
		require.True(t, m.More)
		require.Empty(t, m.Pieces)
		r, err := p.Changes(testContext(t), &api.ChangesRequest{})
		require.NoError(t, err)
		require.Equal(t, api.WatchState_WATCH_STATE_COMPACTED, r.State)
	})
}

// What is wrong with a store is told to its operator, not to clients: its errors name
// folders.
func TestCertifiedReadOfAStoreThatFails(t *testing.T) {
	c := newClientTestCluster(t, nil)
	b := newFakeBackend()
	s := startClientServer(t, c, b, nil)
	p := api.NewParleyClient(dialClientServer(t, c, s, clientTestKey(1)))
	for _, reason := range []error{store.ErrFailed, store.ErrCorrupt, store.ErrClosed, store.ErrIncomplete} {
		b.certified = func([]byte) (*receipt.State, error) { return nil, fmt.Errorf("open /secret/folder: %w", reason) }
		_, err := p.Certified(testContext(t), &api.CertifiedRequest{})
		require.Equal(t, codes.Unavailable, status.Code(err), reason)
		require.NotContains(t, err.Error(), "folder")
	}
	b.certified = func([]byte) (*receipt.State, error) { return nil, errors.New("not for you") }
	_, err := p.Certified(testContext(t), &api.CertifiedRequest{})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

// A certificate may be here before the state is, or after: only of both something can be
// proved, and the newest counts.
func TestSealedStatesComeInAnyOrder(t *testing.T) {
	var s sealedStates
	require.Nil(t, s.last())
	c := func(h byte) (*pbft.Bundle, func()) {
		x := statemachine.CheckpointInfo{Height: uint64(h), AppDigest: crypto.Digest{h}}
		r := &runner{}
		st := r.statement(&x, crypto.Digest{})
		b := &pbft.Bundle{Header: pbft.Header{Height: pbft.Height(h)}, Checkpoint: &pbft.CheckpointCertificate{CheckpointStatement: st}}
		return b, func() { s.add(pbft.Height(h), r.seals.parts[0].StateParts) }
	}
	one, stateOne := c(1)
	two, stateTwo := c(2)
	three, stateThree := c(3)
	stateOne()
	require.Nil(t, s.last())
	s.stable(one)
	require.Equal(t, one, s.last().bundle)
	s.stable(three) // ahead of the execution
	s.stable(two)
	require.Equal(t, one, s.last().bundle)
	stateTwo()
	require.Equal(t, two, s.last().bundle)
	stateThree()
	require.Equal(t, three, s.last().bundle)
	s.stable(two)
	require.Equal(t, three, s.last().bundle)
	require.Equal(t, pbft.Height(3), s.gate.height())
}
