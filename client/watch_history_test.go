package client_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/internal/testcluster"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// history is a cluster's state on a store, certified now and then, and what a replica
// answers about it.
type history struct {
	t       testing.TB
	cluster *testcluster.Cluster
	machine *store.Machine

	mu     sync.Mutex
	height uint64
	now    time.Time // of the last block, and the clients' clock
	state  map[string]string
	log    []happened // all that changed
	sealed []*sealed
	news   chan struct{} // closed with the next checkpoint
}

// happened is an event as the tests compare it.
type happened struct {
	Height     uint64
	Time       int64
	Key, Value string
	Deleted    bool
}

type sealed struct {
	height uint64
	state  *receipt.State // without the proof
	events int            // of the log up to there
}

// texts is an application whose operations are "key=value" and "key-".
type texts struct{}

func (texts) Apply(t store.Txn, _ *statemachine.Block, op *statemachine.Op) statemachine.Result {
	if key, value, ok := strings.Cut(string(op.Data), "="); ok {
		t.Set([]byte(key), []byte(value))
	} else {
		t.Delete([]byte(strings.TrimSuffix(key, "-")))
	}
	return statemachine.OK(nil)
}

func (texts) Query(context.Context, store.Reader, []byte) ([]byte, error) { return nil, nil }

func newHistory(t testing.TB, c *testcluster.Cluster, edit func(*store.Config)) *history {
	cfg := store.DefaultConfig()
	cfg.FlushBytes = 4 << 10
	if edit != nil {
		edit(&cfg)
	}
	s, err := store.Open(context.Background(), cfg)
	require.NoError(t, err)
	m, err := store.NewMachine(s, texts{})
	require.NoError(t, err)
	return &history{t: t, cluster: c, machine: m, now: time.Unix(1e9, 0), state: make(map[string]string), news: make(chan struct{})}
}

// block runs a block of these operations.
func (h *history) block(ops ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.height++
	h.now = h.now.Add(time.Second)
	b := statemachine.Block{Height: h.height, Time: statemachine.Time(h.now.UnixNano())}
	after := maps.Clone(h.state)
	for _, op := range ops {
		b.Ops = append(b.Ops, statemachine.Op{Data: []byte(op)})
		if key, value, ok := strings.Cut(op, "="); ok {
			after[key] = value
		} else {
			delete(after, strings.TrimSuffix(key, "-"))
		}
	}
	h.machine.Apply(b)
	keys := slices.Sorted(maps.Keys(after))
	for key := range h.state {
		if _, still := after[key]; !still {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		was, had := h.state[key]
		now, has := after[key]
		if had != has || was != now {
			h.log = append(h.log, happened{h.height, h.now.UnixNano(), key, now, !has})
		}
	}
	h.state = after
}

// certify makes a checkpoint of the last block.
func (h *history) certify() {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := &receipt.State{
		Header: pbft.Header{Cluster: h.cluster.Roster.ID, Epoch: 1, Height: pbft.Height(h.height), View: 1, Time: pbft.TimeOf(h.now), Checkpoint: true},
		Parts:  receipt.StateParts{App: h.machine.Digest(), Sessions: crypto.Digest{1}},
	}
	st.Certificate = h.cluster.Certify(h.t, pbft.CheckpointStatement{Height: st.Header.Height, Block: st.Header.Digest(), State: st.Parts.Digest()}, 0, 1, 3)
	h.sealed = append(h.sealed, &sealed{h.height, st, len(h.log)})
	close(h.news)
	h.news = make(chan struct{})
}

// at is the checkpoint so many before the last, and what tells of the next.
func (h *history) at(back int) (*sealed, chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.sealed) <= back {
		return nil, h.news
	}
	return h.sealed[len(h.sealed)-1-back], h.news
}

func (h *history) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// pass lets time pass without a block.
func (h *history) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// last is the height of the last block, certified or not.
func (h *history) last() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.height
}

// certified is what was certified.
func (h *history) certified() []happened {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.sealed) == 0 {
		return nil
	}
	return slices.Clone(h.log[:h.sealed[len(h.sealed)-1].events])
}

func (h *history) ask(q []byte) (*store.FeedAnswer, error) {
	b, err := h.machine.Query(context.Background(), q)
	if err != nil {
		return nil, err
	}
	return store.DecodeFeedAnswer(b)
}

// links answers as an honest replica does that has no room for changes: they have to be
// asked for.
func (h *history) links(ctx context.Context, q *api.WatchRequest) (*api.WatchResponse, error) {
	m, err := h.watch(0)(ctx, q)
	if err == nil {
		m.Pieces = nil
	}
	return m, err
}

// watch answers as an honest replica does that is so many checkpoints behind.
func (h *history) watch(back int) func(context.Context, *api.WatchRequest) (*api.WatchResponse, error) {
	return func(ctx context.Context, q *api.WatchRequest) (*api.WatchResponse, error) {
		wait, cancel := context.WithTimeout(ctx, time.Duration(q.WaitMs)*time.Millisecond)
		defer cancel()
		for {
			s, news := h.at(back)
			m := &api.WatchResponse{State: api.WatchState_WATCH_STATE_NOT_CERTIFIED}
			if s != nil {
				var err error
				if m, err = h.answer(s, q); err != nil {
					return nil, err
				}
				if m.State != api.WatchState_WATCH_STATE_FOUND || len(m.Links) > 0 || q.Until != 0 || len(q.Chain) == 0 {
					return m, nil
				}
			}
			select {
			case <-news:
			case <-wait.Done():
				return m, nil
			}
		}
	}
}

func (h *history) answer(s *sealed, q *api.WatchRequest) (*api.WatchResponse, error) {
	lq := store.LinksQuery{After: feed.Position{Height: q.Height}, Until: q.Until, Prove: q.Until == 0}
	copy(lq.After.Chain[:], q.Chain)
	if lq.Prove {
		lq.Until = s.height
	}
	a, err := h.ask(lq.Encode())
	if err != nil {
		return nil, err
	}
	m := &api.WatchResponse{State: api.WatchState(map[store.FeedState]api.WatchState{store.FeedFound: 1, store.FeedCompacted: 3, store.FeedUnknown: 4}[a.State])}
	m.Links, m.More = feed.AppendLinks(nil, a.Links), a.More
	if lq.Prove {
		st := *s.state
		st.Proof = a.Proof
		m.Proof = st.Encode()
	}
	m.OldestHeight, m.OldestChain = a.Oldest.Height, a.Oldest.Chain[:]
	if len(a.Links) > 0 {
		p, err := h.ask((&store.PiecesQuery{Height: a.Links[0].Height, Until: lq.Until}).Encode())
		if err != nil {
			return nil, err
		}
		m.Pieces = p.Pieces
	}
	return m, nil
}

func (h *history) changes(_ context.Context, q *api.ChangesRequest) (*api.ChangesResponse, error) {
	p, err := h.ask((&store.PiecesQuery{Height: q.Height, Index: q.Piece, Until: q.Until}).Encode())
	if err != nil {
		return nil, err
	}
	if p.State != store.FeedFound {
		return &api.ChangesResponse{State: api.WatchState_WATCH_STATE_COMPACTED}, nil
	}
	return &api.ChangesResponse{State: api.WatchState_WATCH_STATE_FOUND, Pieces: p.Pieces}, nil
}

// watched is a cluster of four whose replicas answer honestly about a history.
type watched struct {
	*fakeCluster
	*history
	client *client.Client
	// first is the replica that a watcher asks first.
	first int
	mu    sync.Mutex
	found []client.WatchFault
}

func newWatched(t *testing.T, edit func(*store.Config)) *watched {
	return newWatchedBy(t, 0, edit)
}

// newWatchedBy is newWatched with a client whose clock goes wrong by so much.
func newWatchedBy(t *testing.T, wrong time.Duration, edit func(*store.Config)) *watched {
	return watchedOn(t, newFakeCluster(t, []uint64{1, 1, 1, 1}, nil), wrong, edit)
}

// watchedOn is newWatchedBy of a cluster that is there already.
func watchedOn(t *testing.T, f *fakeCluster, wrong time.Duration, edit func(*store.Config)) *watched {
	h := newHistory(t, f.Cluster, edit)
	w := &watched{fakeCluster: f, history: h}
	for i := range f.replicas {
		f.set(i, func(r *fakeReplica) { r.watch, r.changes = h.watch(0), h.changes })
	}
	cfg := f.config(1)
	cfg.Now = func() time.Time { return h.clock().Add(wrong) }
	key := cfg.Key.Public()
	w.first = int(key[0]) % 4
	w.client = f.connect(cfg)
	return w
}

// fault is for the options.
func (w *watched) fault(f client.WatchFault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found = append(w.found, f)
}

// faults returns what was reported, and forgets it.
func (w *watched) faults() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.found {
		all = append(all, fmt.Sprint(f.Name, " ", f.Kind))
	}
	w.found = nil
	return all
}

// event is an event as the tests compare it.
func event(e client.Event) happened {
	return happened{uint64(e.Height), e.Time.UnixNano(), string(e.Key), string(e.Value), e.Kind == client.Deleted}
}

// read takes n events.
func read(t require.TestingT, ctx context.Context, w *client.Watcher, n int) (all []happened, last client.Cursor) {
	last = w.Cursor()
	for range n {
		e, err := w.Next(ctx)
		require.NoError(t, err)
		require.Equal(t, e.Cursor, w.Cursor())
		all, last = append(all, event(e)), e.Cursor
	}
	return all, last
}

// cursorAt is a cursor that no watcher gave.
func cursorAt(t testing.TB, p feed.Position, taken uint64) client.Cursor {
	place := fmt.Sprint(p.Height)
	if taken > 0 {
		place = fmt.Sprint(place, "+", taken)
	}
	c, err := client.ParseCursor(place + "-" + p.Chain.Hex())
	require.NoError(t, err)
	return c
}
