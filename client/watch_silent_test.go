package client_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/statemachine/store"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// silences is a cluster in a bubble of which some replicas are to be silent.
type silences struct {
	*watched
	// trickle makes the bytes of a replica come one in a second.
	trickle []*atomic.Bool
}

// inSilence runs a test of a watch in a bubble: what takes a watcher seconds of patience
// takes no time, and may be measured.
func inSilence(t *testing.T, test func(*testing.T, *silences)) {
	inBubble(t, []uint64{1, 1, 1, 1}, func(t *testing.T, f *fakeCluster) {
		s := &silences{trickle: make([]*atomic.Bool, len(f.replicas))}
		for i := range f.replicas {
			s.trickle[i] = new(atomic.Bool)
			f.set(i, func(r *fakeReplica) {
				dial := r.dial
				r.dial = func(ctx context.Context) (net.Conn, error) {
					c, err := dial(ctx)
					return &trickling{Conn: c, on: s.trickle[i], closed: make(chan struct{})}, err
				}
			})
		}
		s.watched = watchedOn(t, f, 0, func(c *store.Config) { c.FlushBytes = 1 << 20 })
		t.Cleanup(func() { require.NoError(t, s.machine.Store().Close()) })
		test(t, s)
	})
}

// trickling is a connection whose bytes come one in a second while on is set.
type trickling struct {
	net.Conn
	on     *atomic.Bool
	rest   []byte // came, and was not read
	once   sync.Once
	closed chan struct{}
}

func (c *trickling) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (c *trickling) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		came := make([]byte, len(b))
		n, err := c.Conn.Read(came)
		if n == 0 {
			return 0, err
		}
		c.rest = came[:n]
	}
	if c.on.Load() {
		select {
		case <-time.After(time.Second):
		case <-c.closed:
			return 0, net.ErrClosed
		}
		b = b[:1]
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// mute is a call that a replica takes and never answers.
func mute[Q, M any](ctx context.Context, _ *Q) (*M, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// patience is the longest that a watcher waits for one replica: it asks it to wait for
// news for up to four seconds, and gives it five to answer.
const patience = 9 * time.Second

// A replica that takes a call and does not answer it, or does so too slowly to be of use,
// is named when its time is over, and what it owes comes from another.
func TestWatchNamesWhoIsSilent(t *testing.T) {
	for _, c := range []struct {
		name string
		// silence makes the replica silent, before anything is asked or, if later, when the
		// watcher has everything and waits for more.
		silence func(s *silences, r *fakeReplica)
		blocks  int
		later   bool
	}{
		{name: "to the first call", silence: func(_ *silences, r *fakeReplica) { r.watch = mute }},
		{name: "to a call that waits for news", later: true, silence: func(_ *silences, r *fakeReplica) { r.watch = mute }},
		{name: "to the call for changes", silence: func(s *silences, r *fakeReplica) {
			r.changes = mute
			r.watch = s.history.links
		}},
		{name: "between the pages of an answer", blocks: feed.MaxLinks + 2, silence: func(s *silences, r *fakeReplica) {
			r.watch = func(ctx context.Context, q *api.WatchRequest) (*api.WatchResponse, error) {
				if q.Until != 0 {
					return mute[api.WatchRequest, api.WatchResponse](ctx, q)
				}
				return s.history.watch(0)(ctx, q)
			}
		}},
		{name: "but for a byte a second", silence: func(s *silences, r *fakeReplica) { s.trickle[r.id].Store(true) }},
		{name: "but for a byte a second of the news", later: true, silence: func(s *silences, r *fakeReplica) { s.trickle[r.id].Store(true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inSilence(t, func(t *testing.T, s *silences) {
				fill(s.history)
				for i := range c.blocks {
					s.block(fmt.Sprint("k=", i))
				}
				s.certify()
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				defer cancel()
				watcher := s.client.Watch(client.WatchOptions{From: client.FromBeginning(), Fault: s.fault})
				var got []happened
				if c.later {
					got, _ = read(t, ctx, watcher, len(s.certified()))
				}
				s.set(s.first, func(r *fakeReplica) { c.silence(s, r) })
				if c.later {
					s.block("news=1")
					s.certify()
				}
				began := time.Now()
				more, _ := read(t, ctx, watcher, len(s.certified())-len(got))
				took := time.Since(began)
				require.Equal(t, s.certified(), append(got, more...))
				require.Equal(t, []string{fmt.Sprintf("r%d silent", s.first)}, s.faults(), "it, and nobody else")
				faults := make([]client.FaultCounts, 4)
				faults[s.first].Silent = 1
				require.Equal(t, faults, watcher.Faults())
				require.LessOrEqual(t, took, patience+time.Second, "in the time of the bubble")
			})
		})
	}
}

// Three of four are silent, in three ways: each costs its time, once, and is named.
func TestWatchAmongTheSilent(t *testing.T) {
	inSilence(t, func(t *testing.T, s *silences) {
		fill(s.history)
		var want []string
		for i := range 3 {
			id := (s.first + i) % 4
			want = append(want, fmt.Sprintf("r%d silent", id))
			s.set(id, func(r *fakeReplica) {
				switch i {
				case 0:
					r.watch = mute
				case 1:
					s.trickle[id].Store(true)
				case 2:
					r.watch = s.history.links
					r.changes = mute
				}
			})
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		watcher := s.client.Watch(client.WatchOptions{From: client.FromBeginning(), Fault: s.fault})
		began := time.Now()
		got, _ := read(t, ctx, watcher, len(s.certified()))
		took := time.Since(began)
		require.Equal(t, s.certified(), got)
		require.Equal(t, want, s.faults())
		require.LessOrEqual(t, took, 3*(patience+time.Second))
		// From now on it is the fourth that is asked.
		s.block("news=1")
		s.certify()
		got, _ = read(t, ctx, watcher, 1)
		require.Equal(t, "news", got[0].Key)
		require.Empty(t, s.faults())
	})
}
