package client_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
)

const maxAge = 10 * time.Second

// wrongClocks are by how much the clients' clocks go wrong: what they see first, and how
// long ago, is the same with each.
var wrongClocks = []time.Duration{0, 24 * time.Hour, -24 * time.Hour}

// more makes a block, certifies it, and has the watcher return its event.
func (w *watched) more(t *testing.T, watcher *client.Watcher, key string) {
	w.block(key + "=1")
	w.certify()
	e, err := watcher.Next(testContext(t))
	require.NoError(t, err)
	require.Equal(t, key, string(e.Key))
}

// A replica that shows an old state for ever is left for another. MaxAge after that has
// shown more it is asked again, and reported then: once.
func TestWatchWithAReplicaThatWithholds(t *testing.T) {
	for _, wrong := range wrongClocks {
		t.Run(fmt.Sprint("with a clock that is wrong by ", wrong), func(t *testing.T) {
			w := newWatchedBy(t, wrong, nil)
			fill(w.history)
			old, _ := w.at(0)
			again := make(chan struct{}, 1<<10)
			w.set(w.first, func(r *fakeReplica) {
				r.watch = func(_ context.Context, q *api.WatchRequest) (*api.WatchResponse, error) {
					if len(q.Chain) == 0 {
						again <- struct{}{}
					}
					return w.answer(old, q)
				}
			})
			watcher := w.client.Watch(client.WatchOptions{From: client.FromBeginning(), MaxAge: maxAge, Fault: w.fault})
			got, _ := read(t, testContext(t), watcher, len(w.certified())) // which it has
			require.Equal(t, w.certified(), got)

			w.pass(2 * maxAge) // without anything new from it
			w.more(t, watcher, "new")
			require.Empty(t, w.faults(), "the others may have had it for a moment only")
			w.pass(maxAge - 2*time.Second)
			w.more(t, watcher, "just before") // a block takes a second
			require.Empty(t, w.faults())
			require.Empty(t, again)
			w.more(t, watcher, "then")
			require.Equal(t, []string{fmt.Sprintf("r%d stale", w.first)}, w.faults())
			for i := range 3 {
				w.pass(2 * maxAge)
				w.more(t, watcher, fmt.Sprint("later", i))
			}
			require.Empty(t, w.faults(), "once is enough")
			require.Equal(t, uint64(1), watcher.Faults()[w.first].Stale)
		})
	}
}

// A replica that is always the last to have something, and one that does not get it at
// all for less than MaxAge, is accused of nothing: whatever the clock here says.
func TestWatchAccusesNobodyWhoIsLate(t *testing.T) {
	for _, wrong := range wrongClocks {
		t.Run(fmt.Sprint("with a clock that is wrong by ", wrong), func(t *testing.T) {
			w := newWatchedBy(t, wrong, nil)
			fill(w.history)
			late := func(back int) {
				w.set(w.first, func(r *fakeReplica) {
					r.watch = func(_ context.Context, q *api.WatchRequest) (*api.WatchResponse, error) {
						s, _ := w.at(back)
						return w.answer(s, q)
					}
				})
			}
			watcher := w.client.Watch(client.WatchOptions{From: client.FromBeginning(), MaxAge: maxAge, Fault: w.fault})
			got, _ := read(t, testContext(t), watcher, len(w.certified()))
			require.Equal(t, w.certified(), got)
			late(1)
			w.pass(2 * maxAge) // nobody does anything, and it is left
			for i := range 5 {
				w.more(t, watcher, fmt.Sprint("a", i))
			}
			late(0)
			w.pass(2 * maxAge)
			w.more(t, watcher, "b") // it is asked again, and has it
			stuck, _ := w.at(0)
			w.set(w.first, func(r *fakeReplica) {
				r.watch = func(_ context.Context, q *api.WatchRequest) (*api.WatchResponse, error) { return w.answer(stuck, q) }
			})
			for i := range 9 { // each takes a second
				w.more(t, watcher, fmt.Sprint("stuck", i))
			}
			late(0)
			w.pass(2 * maxAge)
			late(1)
			for i := range 30 {
				w.pass(maxAge / 3)
				w.more(t, watcher, fmt.Sprint("c", i))
			}
			require.Empty(t, w.faults())
		})
	}
}
