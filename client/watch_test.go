package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/internal/testcluster"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// fill makes some blocks with a few checkpoints.
func fill(h *history) {
	h.block("a=1", "b=1")
	h.certify()
	h.block("a=2", "c=1", "c-", "b=1") // c was never there, b is what it was
	h.block()
	h.block("b-", "d="+strings.Repeat("d", 300))
	h.certify()
	h.block("e=1", "a=2")
	h.block("f=1", "e=2", "a-")
	h.certify()
}

func TestWatchFromTheBeginning(t *testing.T) {
	w := newWatched(t, nil)
	fill(w.history)
	watcher := w.client.Watch(client.WatchOptions{From: client.FromBeginning(), MaxAge: time.Millisecond, Fault: w.fault})
	want := w.certified()
	got, _ := read(t, testContext(t), watcher, len(want))
	require.Equal(t, want, got)
	require.Empty(t, w.faults())

	state := make(map[string]string)
	for _, e := range got {
		if e.Deleted {
			delete(state, e.Key)
		} else {
			state[e.Key] = e.Value
		}
	}
	require.Equal(t, w.state, state, "the events applied to nothing are the state")

	// What comes later comes when it is certified, and not before: a watcher that asks for the
	// third time has taken up what it heard twice.
	asked, enough := make(chan struct{}), make(chan struct{})
	for i := range w.replicas {
		w.set(i, func(r *fakeReplica) {
			r.watch = func(ctx context.Context, q *api.WatchRequest) (*api.WatchResponse, error) {
				select {
				case asked <- struct{}{}:
				case <-enough:
				}
				return w.history.watch(0)(ctx, q)
			}
		})
	}
	w.block("a=9")
	type next struct {
		client.Event
		error
	}
	later := make(chan next, 1)
	go func() {
		e, err := watcher.Next(testContext(t))
		later <- next{e, err}
	}()
	for range 3 {
		select {
		case <-asked:
		case e := <-later:
			require.Fail(t, "an event that nobody certified", "%+v", e)
		}
	}
	close(enough)
	w.certify()
	e := <-later
	require.NoError(t, e.error)
	require.Equal(t, "a", string(e.Key))
}

func TestWatchFromNow(t *testing.T) {
	w := newWatched(t, nil)
	fill(w.history)
	watcher := w.client.Watch(client.WatchOptions{Progress: true})
	e, err := watcher.Next(testContext(t))
	require.NoError(t, err)
	require.Equal(t, client.Progress, e.Kind)
	require.Equal(t, pbft.Height(6), e.Height)
	require.Equal(t, w.clock().UnixNano(), e.Time.UnixNano())
	w.block("z=1")
	w.certify()
	e, err = watcher.Next(testContext(t))
	require.NoError(t, err)
	require.Equal(t, "z", string(e.Key))
	again := w.client.Watch(client.WatchOptions{From: e.Cursor})
	w.block("y=1")
	w.certify()
	e, err = again.Next(testContext(t))
	require.NoError(t, err)
	require.Equal(t, "y", string(e.Key))
}

func TestWatchOfAPrefix(t *testing.T) {
	w := newWatched(t, nil)
	for i := range 20 {
		w.block(fmt.Sprintf("a/%02d=1", i), fmt.Sprintf("b/%02d=1", i))
	}
	w.certify()
	watcher := w.client.Watch(client.WatchOptions{From: client.FromBeginning(), Prefix: []byte("b/0"), Progress: true})
	got, last := read(t, testContext(t), watcher, 10)
	for i, e := range got {
		require.Equal(t, fmt.Sprintf("b/%02d", i), e.Key)
	}
	e, err := watcher.Next(testContext(t))
	require.NoError(t, err)
	require.Equal(t, client.Progress, e.Kind)
	require.Greater(t, e.Cursor.Height(), last.Height())
	require.Equal(t, pbft.Height(20), e.Cursor.Height())
}

// A lie is what a replica makes of an honest answer. It is called by the goroutine of a
// server, which asserts: it must not end the test.
type lie struct {
	name  string
	kind  client.FaultKind
	watch func(w *watched, q *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse
	// changes is nil where the lie is in the first answer.
	changes func(m *api.ChangesResponse)
}

// remade is a piece with other changes, its digest in order.
func remade(t assert.TestingT, piece []byte, edit func([]feed.Change) []feed.Change) []byte {
	changes, next, err := feed.OpenPiece(piece, crypto.Hash("parley/store/feed/piece", piece))
	if !assert.NoError(t, err) || !assert.True(t, next.IsZero()) {
		return piece
	}
	var p feed.Pieces
	for _, c := range edit(changes) {
		p.Add(&c)
	}
	pieces, _ := p.Finish()
	return pieces[0]
}

// firstLink makes of an answer one with its first link only, and more to be asked for.
func firstLink(t *testing.T) func(*watched, *api.WatchRequest, *api.WatchResponse) *api.WatchResponse {
	return func(_ *watched, _ *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
		ls, err := feed.DecodeLinks(m.Links)
		assert.NoError(t, err)
		if len(ls) > 1 {
			m.Links, m.More = feed.AppendLinks(nil, ls[:1]), true
		}
		return m
	}
}

// More blocks than one answer names, and a replica that takes long for every piece of what
// they changed: others are asked for most.
func TestWatchFarBehind(t *testing.T) {
	w := newWatched(t, func(c *store.Config) { c.FlushBytes = 1 << 20 })
	for i := range feed.MaxLinks + 10 {
		w.block(fmt.Sprint("k=", i))
	}
	w.certify()
	w.pass(time.Minute)
	asked := make([]int, 4)
	for i := range w.replicas {
		w.set(i, func(r *fakeReplica) {
			r.watch = w.history.links
			r.changes = func(ctx context.Context, q *api.ChangesRequest) (*api.ChangesResponse, error) {
				m, err := w.history.changes(ctx, q)
				w.mu.Lock()
				defer w.mu.Unlock()
				asked[i]++
				if i == (w.first+1)%4 { // the first is left since it is old
					w.pass(4 * time.Second)
					m.Pieces = m.Pieces[:1]
				}
				return m, err
			}
		})
	}
	watcher := w.client.Watch(client.WatchOptions{From: client.FromBeginning()})
	want := w.certified()
	got, _ := read(t, testContext(t), watcher, len(want))
	require.Equal(t, want, got)
	w.mu.Lock()
	require.Equal(t, 1, asked[(w.first+1)%4])
	w.mu.Unlock()

	// Whoever begins to name the blocks, and does not end, is left after MaxCatchUp; also if
	// it says that this is over before it is so here.
	for name, end := range map[string]func(context.Context) error{
		"silent": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"early":  func(context.Context) error { return status.Error(codes.DeadlineExceeded, "it is over here") },
	} {
		t.Run(name, func(t *testing.T) {
			w.set(w.first, func(r *fakeReplica) {
				r.watch = func(ctx context.Context, q *api.WatchRequest) (*api.WatchResponse, error) {
					if q.Until != 0 {
						return nil, end(ctx)
					}
					return w.history.watch(0)(ctx, q)
				}
			})
			cfg := w.config(1)
			cfg.Now, cfg.MaxCatchUp = w.clock, 20*time.Millisecond
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			var found client.WatchFault
			watcher := w.connect(cfg).Watch(client.WatchOptions{From: client.FromBeginning(), Fault: func(f client.WatchFault) {
				if found.Err == nil {
					found = f
				}
				cancel()
			}})
			_, _ = watcher.Next(ctx)
			require.Equal(t, client.FaultSilent, found.Kind)
			require.Equal(t, pbft.ReplicaID(w.first), found.Replica)
			require.ErrorContains(t, found.Err, "within 20ms: set Config.MaxCatchUp higher")
		})
	}
}

func lies(t *testing.T) []lie {
	links := func(edit func([]feed.Link) []feed.Link) func(*watched, *api.WatchRequest, *api.WatchResponse) *api.WatchResponse {
		return func(_ *watched, _ *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			ls, err := feed.DecodeLinks(m.Links)
			if assert.NoError(t, err) && assert.NotEmpty(t, ls) {
				m.Links = feed.AppendLinks(nil, edit(ls))
			}
			return m
		}
	}
	piece := func(edit func([]feed.Change) []feed.Change) func(*watched, *api.WatchRequest, *api.WatchResponse) *api.WatchResponse {
		return func(_ *watched, _ *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			if len(m.Pieces) > 0 {
				m.Pieces[0] = remade(t, m.Pieces[0], edit)
			}
			return m
		}
	}
	other := newHistory(t, testcluster.New(t, []uint64{1, 1, 1, 1}, func(c *crypto.Cluster) { c.Nonce = crypto.Digest{9} }), nil)
	fill(other)
	return []lie{
		{name: "drops a change", kind: client.FaultForged, watch: piece(func(c []feed.Change) []feed.Change { return c[1:] })},
		{name: "reorders changes", kind: client.FaultForged, watch: func(_ *watched, _ *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			if len(m.Pieces) > 1 {
				m.Pieces[0], m.Pieces[1] = m.Pieces[1], m.Pieces[0]
			}
			return m
		}},
		{name: "swaps the changes of a block", kind: client.FaultForged, watch: piece(func(c []feed.Change) []feed.Change { slices.Reverse(c); return c })},
		{name: "forges a value", kind: client.FaultForged, watch: piece(func(c []feed.Change) []feed.Change { c[0].Value = []byte("forged"); return c })},
		{name: "forges a deletion", kind: client.FaultForged, watch: piece(func(c []feed.Change) []feed.Change { c[0].Deleted = true; return c })},
		{name: "adds a change", kind: client.FaultForged, watch: piece(func(c []feed.Change) []feed.Change {
			return append(c, feed.Change{Key: []byte("zz"), Value: []byte("1")})
		})},
		{name: "cuts a block in two", kind: client.FaultForged, watch: func(_ *watched, _ *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			if len(m.Pieces) > 0 {
				one := remade(t, m.Pieces[0], func(c []feed.Change) []feed.Change { return c[:1] })
				two := remade(t, m.Pieces[0], func(c []feed.Change) []feed.Change { return c[1:] })
				m.Pieces = slices.Insert(m.Pieces[1:], 0, one, two)
			}
			return m
		}},
		{name: "leaves out the rest of a piece", kind: client.FaultForged, watch: func(_ *watched, _ *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			if len(m.Pieces) > 0 {
				m.Pieces[0] = m.Pieces[0][:len(m.Pieces[0])-3]
			}
			return m
		}},
		{name: "drops the first block", kind: client.FaultForged, watch: links(func(l []feed.Link) []feed.Link { return l[1:] })},
		{name: "drops the last block", kind: client.FaultForged, watch: links(func(l []feed.Link) []feed.Link { return l[:len(l)-1] })},
		{name: "drops all blocks", kind: client.FaultForged, watch: links(func([]feed.Link) []feed.Link { return nil })},
		{name: "reorders blocks", kind: client.FaultForged, watch: links(func(l []feed.Link) []feed.Link { slices.Reverse(l); return l })},
		{name: "repeats a block", kind: client.FaultForged, watch: links(func(l []feed.Link) []feed.Link { return append(l[:1:1], l...) })},
		{name: "swaps the times of blocks", kind: client.FaultForged, watch: links(func(l []feed.Link) []feed.Link { l[0].Time, l[1].Time = l[1].Time, l[0].Time; return l })},
		{name: "moves a block", kind: client.FaultForged, watch: links(func(l []feed.Link) []feed.Link { l[2].Height--; return l })},
		{name: "shows what is not certified yet", kind: client.FaultForged, watch: func(w *watched, q *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			a, err := w.ask((&store.LinksQuery{After: feed.Beginning(), Until: w.last()}).Encode())
			if assert.NoError(t, err) && assert.Equal(t, w.last(), a.Links[len(a.Links)-1].Height) {
				m.Links = feed.AppendLinks(nil, a.Links)
			}
			return m
		}},
		{name: "goes on for ever", kind: client.FaultForged, watch: func(_ *watched, _ *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			m.More = true
			if len(m.Links) == 0 {
				m.Links = (&feed.Link{Height: 3}).Append(nil)
			}
			return m
		}},
		{name: "gives links one by one", kind: client.FaultForged, watch: firstLink(t)},
		{name: "proves nothing", kind: client.FaultForged, watch: func(_ *watched, _ *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			m.Proof = nil
			return m
		}},
		{name: "speaks for another cluster", kind: client.FaultForged, watch: func(_ *watched, q *api.WatchRequest, _ *api.WatchResponse) *api.WatchResponse {
			m, err := other.watch(0)(context.Background(), q)
			assert.NoError(t, err)
			return m
		}},
		{name: "makes no sense", kind: client.FaultForged, watch: func(_ *watched, _ *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			m.State = 77
			return m
		}},
		{name: "says that it is compacted", watch: func(_ *watched, q *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			m.State, m.OldestHeight, m.OldestChain = api.WatchState_WATCH_STATE_COMPACTED, 6, bytes.Repeat([]byte{1}, 32)
			return m
		}},
		{name: "says that the cursor is none", watch: func(_ *watched, _ *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			m.State = api.WatchState_WATCH_STATE_UNKNOWN
			return m
		}},
		{name: "says that nothing is certified", watch: func(*watched, *api.WatchRequest, *api.WatchResponse) *api.WatchResponse {
			return &api.WatchResponse{State: api.WatchState_WATCH_STATE_NOT_CERTIFIED}
		}},
		{name: "forges the changes that are asked for", kind: client.FaultForged, watch: func(_ *watched, _ *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			m.Pieces = nil
			return m
		}, changes: func(m *api.ChangesResponse) { m.Pieces[0][40] ^= 1 }},
		{name: "has no changes", watch: func(_ *watched, _ *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			m.Pieces = nil
			return m
		}, changes: func(m *api.ChangesResponse) { m.Pieces = nil }},
		{name: "says that the changes are compacted", watch: func(_ *watched, _ *api.WatchRequest, m *api.WatchResponse) *api.WatchResponse {
			m.Pieces = nil
			return m
		}, changes: func(m *api.ChangesResponse) { m.State, m.Pieces = api.WatchState_WATCH_STATE_COMPACTED, nil }},
	}
}

// Three of four replicas lie, in every way that there is: each that was asked is found
// out, and what comes is right, in order, complete and nothing twice.
func TestWatchWithLiars(t *testing.T) {
	w := newWatched(t, nil)
	fill(w.history)
	w.block("late=1")           // which is not certified
	honest := (w.first + 3) % 4 // the last to be asked
	for _, l := range lies(t) {
		t.Run(l.name, func(t *testing.T) {
			for i := range w.replicas {
				if i == honest {
					continue
				}
				w.set(i, func(r *fakeReplica) {
					r.watch = func(ctx context.Context, q *api.WatchRequest) (*api.WatchResponse, error) {
						m, err := w.history.watch(0)(ctx, q)
						if err == nil {
							m = l.watch(w, q, m)
						}
						return m, err
					}
					r.changes = func(ctx context.Context, q *api.ChangesRequest) (*api.ChangesResponse, error) {
						m, err := w.history.changes(ctx, q)
						if err == nil && l.changes != nil {
							l.changes(m)
						}
						return m, err
					}
				})
			}
			watcher := w.client.Watch(client.WatchOptions{From: client.FromBeginning(), Fault: w.fault})
			want := w.certified()
			got, _ := read(t, testContext(t), watcher, len(want))
			require.Equal(t, want, got)
			found := w.faults()
			if l.kind == 0 {
				require.Empty(t, found, "it may be true")
				return
			}
			require.NotEmpty(t, found)
			require.Contains(t, found, fmt.Sprintf("r%d %v", w.first, l.kind))
			require.NotContains(t, strings.Join(found, ", "), fmt.Sprintf("r%d ", honest))
			require.NotZero(t, watcher.Faults()[w.first].Forged)
		})
	}
}

// Replicas that do not answer, are not there or refuse are left for others.
func TestWatchWithReplicasThatDoNotAnswer(t *testing.T) {
	w := newWatched(t, nil)
	fill(w.history)
	w.set((w.first+1)%4, func(r *fakeReplica) {
		r.watch = func(context.Context, *api.WatchRequest) (*api.WatchResponse, error) {
			return nil, status.Error(codes.InvalidArgument, "refused")
		}
	})
	w.stop(pbft.ReplicaID(w.first))
	w.set((w.first+2)%4, func(r *fakeReplica) {
		r.changes = func(context.Context, *api.ChangesRequest) (*api.ChangesResponse, error) {
			return nil, status.Error(codes.ResourceExhausted, "busy")
		}
		r.watch = w.history.links
	})
	watcher := w.client.Watch(client.WatchOptions{From: client.FromBeginning()})
	got, _ := read(t, testContext(t), watcher, len(w.certified()))
	require.Equal(t, w.certified(), got)
}

func TestWatchIsRefused(t *testing.T) {
	w := newWatched(t, nil)
	fill(w.history)
	for i := range 2 {
		w.set((w.first+i)%4, func(r *fakeReplica) {
			r.watch = func(context.Context, *api.WatchRequest) (*api.WatchResponse, error) {
				return nil, status.Error(codes.InvalidArgument, "access: not for you")
			}
		})
	}
	watcher := w.client.Watch(client.WatchOptions{})
	_, err := watcher.Next(testContext(t))
	require.ErrorIs(t, err, client.ErrNoWatch)
	require.ErrorContains(t, err, "not for you")
}

func TestWatchCompacted(t *testing.T) {
	w := newWatched(t, func(c *store.Config) { c.FeedBlocks = 4 })
	for i := range 10 {
		w.block(fmt.Sprintf("k=%d", i))
	}
	w.certify()
	watcher := w.client.Watch(client.WatchOptions{From: client.FromBeginning()})
	_, err := watcher.Next(testContext(t))
	var compacted *client.CompactedError
	require.ErrorAs(t, err, &compacted)
	require.ErrorIs(t, err, client.ErrCompacted)
	require.Equal(t, pbft.Height(6), compacted.Oldest.Height())
	watcher = w.client.Watch(client.WatchOptions{From: compacted.Oldest})
	got, last := read(t, testContext(t), watcher, 4)
	require.Equal(t, w.certified()[6:], got)

	// One replica that keeps more is enough.
	rich := newHistory(t, w.Cluster, nil)
	for i := range 10 {
		rich.block(fmt.Sprintf("k=%d", i))
	}
	rich.certify()
	w.set((w.first+2)%4, func(r *fakeReplica) { r.watch, r.changes = rich.watch(0), rich.changes })
	watcher = w.client.Watch(client.WatchOptions{From: client.FromBeginning()})
	got, end := read(t, testContext(t), watcher, 10)
	require.Equal(t, rich.certified(), got)
	require.Equal(t, last, end)
}

// compactedAfter is the answer of a replica that keeps the changes after a position.
func compactedAfter(p feed.Position) func(*api.WatchResponse) {
	return func(m *api.WatchResponse) {
		m.State, m.OldestHeight, m.OldestChain = api.WatchState_WATCH_STATE_COMPACTED, p.Height, p.Chain[:]
	}
}

// What replicas come to that have nothing for a cursor: however they say so, there is a
// verdict, and no replica alone chooses where it says that a watch can begin.
func TestWatchVerdict(t *testing.T) {
	w := newWatched(t, nil)
	fill(w.history)
	unknown := func(m *api.WatchResponse) { m.State = api.WatchState_WATCH_STATE_UNKNOWN }
	at := func(h uint64) func(*api.WatchResponse) {
		return compactedAfter(feed.Position{Height: h, Chain: crypto.Digest{byte(h)}})
	}
	s, _ := w.at(0)
	proof, err := w.answer(s, &api.WatchRequest{})
	require.NoError(t, err)
	end, err := receipt.DecodeState(proof.Proof)
	require.NoError(t, err)
	head, err := feed.DecodePosition(end.Proof.Value)
	require.NoError(t, err)
	for _, c := range []struct {
		name   string
		says   []func(*api.WatchResponse)
		err    error
		oldest uint64
	}{
		{"all the same", []func(*api.WatchResponse){at(3), at(3), at(3), at(3)}, client.ErrCompacted, 3},
		{"one lower", []func(*api.WatchResponse){at(3), at(1), at(3), at(3)}, client.ErrCompacted, 3},
		{"two and two", []func(*api.WatchResponse){at(4), at(3), at(4), at(3)}, client.ErrCompacted, 3},
		{"all others", []func(*api.WatchResponse){at(1), at(2), at(3), at(4)}, client.ErrCompacted, head.Height},
		{"one does not know it", []func(*api.WatchResponse){at(3), unknown, at(3), at(1)}, client.ErrCompacted, 3},
		{"two do not know it", []func(*api.WatchResponse){unknown, at(3), at(3), unknown}, client.ErrCursor, 0},
		{"nobody knows it", []func(*api.WatchResponse){unknown, unknown, unknown, unknown}, client.ErrCursor, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i := range w.replicas {
				w.set((w.first+i)%4, func(r *fakeReplica) {
					r.watch = func(ctx context.Context, q *api.WatchRequest) (*api.WatchResponse, error) {
						m, err := w.history.watch(0)(ctx, q)
						if err == nil {
							c.says[i](m)
						}
						return m, err
					}
				})
			}
			_, err := w.client.Watch(client.WatchOptions{From: client.FromBeginning()}).Next(testContext(t))
			require.ErrorIs(t, err, c.err)
			var compacted *client.CompactedError
			if errors.As(err, &compacted) {
				require.Equal(t, pbft.Height(c.oldest), compacted.Oldest.Height())
				if c.oldest == head.Height {
					require.Equal(t, cursorAt(t, head, 0), compacted.Oldest)
				}
			}
		})
	}
}

// One replica that shows its answer of long ago does not hide what all others say: that
// the cursor is compacted.
func TestWatchCompactedBesideAnOldAnswer(t *testing.T) {
	w := newWatched(t, func(c *store.Config) { c.FeedBlocks = 4 })
	w.block("k=1")
	w.certify()
	old, _ := w.at(0)
	q := &api.WatchRequest{Chain: feedBeginning()}
	m, err := w.answer(old, q)
	require.NoError(t, err)
	ls, err := feed.DecodeLinks(m.Links)
	require.NoError(t, err)
	from := cursorAt(t, feed.Beginning().Next(&ls[0]), 0)
	m.Links, m.Pieces = nil, nil
	w.set(w.first, func(r *fakeReplica) {
		r.watch = func(context.Context, *api.WatchRequest) (*api.WatchResponse, error) { return m, nil }
	})
	for i := range 10 {
		w.block(fmt.Sprintf("k=%d", 10+i))
	}
	w.certify()
	w.pass(time.Minute)
	watcher := w.client.Watch(client.WatchOptions{From: from, MaxAge: 10 * time.Millisecond})
	_, err = watcher.Next(testContext(t))
	require.ErrorIs(t, err, client.ErrCompacted)
}

// What nobody has the changes of was not shown: no progress event says that it was.
func TestWatchTellsNoProgressOfWhatItGaveUp(t *testing.T) {
	w := newWatched(t, nil)
	fill(w.history)
	var mu sync.Mutex
	have := false
	for i := range w.replicas {
		w.set(i, func(r *fakeReplica) {
			r.watch = w.history.links
			r.changes = func(ctx context.Context, q *api.ChangesRequest) (*api.ChangesResponse, error) {
				mu.Lock()
				defer mu.Unlock()
				if have {
					return w.history.changes(ctx, q)
				}
				have = i == (w.first+3)%4 // the last to be asked
				return &api.ChangesResponse{State: api.WatchState_WATCH_STATE_COMPACTED}, nil
			}
		})
	}
	watcher := w.client.Watch(client.WatchOptions{From: client.FromBeginning(), Progress: true})
	want := w.certified()
	got, _ := read(t, testContext(t), watcher, len(want))
	require.Equal(t, want, got)
}

func TestWatchFromACursorOfAnotherHistory(t *testing.T) {
	w := newWatched(t, nil)
	fill(w.history)
	for name, cursor := range map[string]client.Cursor{
		"another chain":    cursorAt(t, feed.Position{Height: 4, Chain: crypto.Digest{1}}, 0),
		"too many changes": cursorAt(t, feed.Beginning(), 3),
	} {
		t.Run(name, func(t *testing.T) {
			watcher := w.client.Watch(client.WatchOptions{From: cursor})
			_, err := watcher.Next(testContext(t))
			require.ErrorIs(t, err, client.ErrCursor)
			_, err = watcher.Next(testContext(t))
			require.ErrorIs(t, err, client.ErrCursor, "and still")
		})
	}
}

// However often a watcher is killed, and wherever, and whichever replicas are there: what
// the next one begins with is what comes next.
func TestWatchKilledAndResumed(t *testing.T) {
	w := newWatched(t, func(c *store.Config) { c.FlushBytes = 1 << 10 })
	rapid.Check(t, func(r *rapid.T) {
		h := newHistory(t, w.Cluster, func(c *store.Config) { c.FlushBytes = 1 << 10 })
		defer func() { require.NoError(r, h.machine.Store().Close()) }()
		for i := range w.replicas {
			behind := rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(r, "behind")
			if i == 0 {
				behind = 0
			}
			w.set(i, func(f *fakeReplica) { f.watch, f.changes = h.watch(behind), h.changes })
		}
		long := rapid.Bool().Draw(r, "long") // blocks of several pieces
		for range rapid.IntRange(1, 12).Draw(r, "blocks") {
			var ops []string
			for range rapid.IntRange(0, 8).Draw(r, "ops") {
				key := string(rapid.RuneFrom([]rune("abcdefgh")).Draw(r, "key"))
				value := fmt.Sprint(rapid.IntRange(0, 3).Draw(r, "value"))
				if long {
					value = strings.Repeat(value, feed.PieceBytes/2)
				}
				if rapid.IntRange(0, 3).Draw(r, "delete") == 0 {
					ops = append(ops, key+"-")
				} else {
					ops = append(ops, key+"="+value)
				}
			}
			h.block(ops...)
			if rapid.IntRange(0, 2).Draw(r, "checkpoint") == 0 {
				h.certify()
			}
		}
		h.certify()
		want := h.certified()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		var got []happened
		cursor := client.FromBeginning()
		for len(got) < len(want) {
			back, err := client.ParseCursor(cursor.String())
			require.NoError(r, err)
			watcher := w.client.Watch(client.WatchOptions{From: back})
			n := rapid.IntRange(1, len(want)-len(got)).Draw(r, "events until it is killed")
			part, last := read(r, ctx, watcher, n)
			got, cursor = append(got, part...), last
		}
		require.Equal(r, want, got)
	})
}

// Every bit of an answer matters: of the proof, of the links and of the changes.
func TestEveryBitOfAWatchMatters(t *testing.T) {
	if testing.Short() {
		t.Skip("a signature for each bit; it has one goroutine, and make test runs it")
	}
	w := newWatched(t, nil)
	w.block("a=1", "b=2")
	w.block("b-")
	w.certify()
	for i := range w.replicas {
		if i != w.first {
			w.stop(pbft.ReplicaID(i))
		}
	}
	good, err := w.history.watch(0)(context.Background(), &api.WatchRequest{Chain: feedBeginning()})
	require.NoError(t, err)
	require.Len(t, good.Pieces, 2)
	want := w.certified()
	certificate := bytes.Index(good.Proof, w.sealed[0].state.Certificate.Encode())
	require.Positive(t, certificate)
	end := certificate + len(w.sealed[0].state.Certificate.Encode())

	var mu sync.Mutex
	var bent *api.WatchResponse
	w.set(w.first, func(r *fakeReplica) {
		r.watch = func(context.Context, *api.WatchRequest) (*api.WatchResponse, error) {
			mu.Lock()
			defer mu.Unlock()
			return bent, nil
		}
		r.changes = func(context.Context, *api.ChangesRequest) (*api.ChangesResponse, error) {
			return nil, status.Error(codes.Unavailable, "none")
		}
	})
	try := func(what string, field func(*api.WatchResponse) []byte, bit int) {
		mu.Lock()
		bent = &api.WatchResponse{State: good.State, Proof: bytes.Clone(good.Proof), Links: bytes.Clone(good.Links), Pieces: [][]byte{bytes.Clone(good.Pieces[0]), bytes.Clone(good.Pieces[1])}}
		if field != nil {
			field(bent)[bit/8] ^= 1 << (bit % 8)
		}
		mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		found := false
		watcher := w.client.Watch(client.WatchOptions{From: client.FromBeginning(), Fault: func(f client.WatchFault) {
			require.Equal(t, client.FaultForged, f.Kind)
			found = true
			cancel()
		}})
		for i := 0; ; i++ {
			e, err := watcher.Next(ctx)
			if err != nil {
				break
			}
			require.Less(t, i, len(want))
			require.Equal(t, want[i], event(e), "%s, bit %d: a wrong event", what, bit)
			if i == len(want)-1 {
				break
			}
		}
		require.Equal(t, field != nil, found, "%s, bit %d", what, bit)
	}
	try("as it is", nil, 0)
	for bit := range 8 * len(good.Proof) {
		if bit < 8*certificate || bit >= 8*end || bit%41 == 0 || !testing.Short() { // a bit of the certificate costs milliseconds
			try("proof", func(m *api.WatchResponse) []byte { return m.Proof }, bit)
		}
	}
	for bit := range 8 * len(good.Links) {
		try("links", func(m *api.WatchResponse) []byte { return m.Links }, bit)
	}
	for i := range good.Pieces {
		for bit := range 8 * len(good.Pieces[i]) {
			try("piece", func(m *api.WatchResponse) []byte { return m.Pieces[i] }, bit)
		}
	}
}

func feedBeginning() []byte {
	p := feed.Beginning()
	return p.Chain[:]
}

func TestCursorText(t *testing.T) {
	for _, text := range []string{"now", "beginning", "7-" + strings.Repeat("0a", 32), "7+12-" + strings.Repeat("0a", 32)} {
		c, err := client.ParseCursor(text)
		require.NoError(t, err)
		require.Equal(t, text, c.String())
	}
	for _, text := range []string{
		"", "7", "-", "7-", "07-" + strings.Repeat("0a", 32), "7+0-" + strings.Repeat("0a", 32), "7+-" + strings.Repeat("0a", 32),
		"7-" + strings.Repeat("0A", 32), "7-" + strings.Repeat("0a", 33), "-7-" + strings.Repeat("0a", 32), "+7-" + strings.Repeat("0a", 32),
		"Now", "0-" + strings.Repeat("00", 32), "4-" + strings.Repeat("00", 32), "4+2-" + strings.Repeat("00", 32), "0+2-" + strings.Repeat("00", 32),
	} {
		_, err := client.ParseCursor(text)
		require.ErrorIs(t, err, client.ErrCursor, text)
	}
}

// An event is the caller's own: it holds no piece in memory.
func TestWatchEventsAreCopies(t *testing.T) {
	w := newWatched(t, nil)
	w.block("a=1", "b="+strings.Repeat("2", 1000))
	w.certify()
	watcher := w.client.Watch(client.WatchOptions{From: client.FromBeginning()})
	e, err := watcher.Next(testContext(t))
	require.NoError(t, err)
	apart := uintptr(unsafe.Pointer(&e.Value[0])) - uintptr(unsafe.Pointer(&e.Key[0]))
	require.NotEqual(t, uintptr(1+4), apart, "they are where they are in a piece: key, length, value")
}

// Options that make no sense are refused, and no replica is asked, let alone accused.
func TestWatchRefusesOptions(t *testing.T) {
	w := newWatched(t, nil)
	fill(w.history)
	_, err := w.client.Watch(client.WatchOptions{MaxAge: -1, Fault: w.fault}).Next(testContext(t))
	require.ErrorContains(t, err, "MaxAge")
	require.Empty(t, w.faults())
}

// A cursor is stored as its text wherever an encoding takes text, and is a key of maps.
func TestCursorIsEncoded(t *testing.T) {
	type bookmark struct {
		Cursor client.Cursor         `json:"cursor"`
		Others map[client.Cursor]int `json:"others"`
	}
	inside := "7+12-" + strings.Repeat("0a", 32)
	c, err := client.ParseCursor(inside)
	require.NoError(t, err)
	require.Equal(t, pbft.Height(7), c.Height())
	in := bookmark{Cursor: c, Others: map[client.Cursor]int{{}: 1, client.FromBeginning(): 2, c: 3}}
	encoded, err := json.Marshal(in)
	require.NoError(t, err)
	require.JSONEq(t, `{"cursor":"`+inside+`","others":{"now":1,"beginning":2,"`+inside+`":3}}`, string(encoded))
	var out bookmark
	require.NoError(t, json.Unmarshal(encoded, &out))
	require.Equal(t, in, out)
	require.True(t, in.Cursor == out.Cursor)
	require.ErrorIs(t, json.Unmarshal([]byte(`{"cursor":"7"}`), &out), client.ErrCursor)
	for i := range reflect.TypeFor[client.Cursor]().NumField() {
		require.False(t, reflect.TypeFor[client.Cursor]().Field(i).IsExported(), "nobody puts a cursor together from parts")
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("now")
	f.Add("7+12-" + strings.Repeat("0a", 32))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := client.ParseCursor(text)
		if err == nil {
			require.Equal(t, text, c.String())
		}
	})
}
