package client_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/pbft"
)

// outspoken are the replicas that answer without being asked, with the mutex held.
func (f *fakeCluster) outspoken() (ids []int) {
	for id, r := range f.replicas {
		for s := range r.sessions {
			if !s.quiet {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// favourites waits until the client has as many as it needs, the primary (0) among them,
// and returns the others.
func (f *fakeCluster) favourites(others int) (ids []int) {
	f.t.Helper()
	f.eventually(func() bool {
		ids = f.outspoken()
		return len(ids) == 1+others && ids[0] == 0
	})
	return ids[1:]
}

func (f *fakeCluster) submit(c *client.Client, op string) {
	f.t.Helper()
	r, err := c.Submit(testContext(f.t), []byte(op))
	require.NoError(f.t, err)
	require.Equal(f.t, "re: "+op, string(r.Data))
}

// More than F weight answers, and the others are silent.
func TestFavouritesAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		weights []uint64
		others  int
	}{
		"four":      {[]uint64{1, 1, 1, 1}, 1},
		"seven":     {[]uint64{1, 1, 1, 1, 1, 1, 1}, 2},
		"by weight": {[]uint64{2, 2, 2, 1, 1, 1, 1}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, test.weights, func(t *testing.T, f *fakeCluster) {
				c := f.connect(f.config(1))
				f.favourites(test.others)
				f.submit(c, "x")
				require.Zero(t, c.Stats().Retries)
				require.Len(t, f.arrivals, 1, "at the primary, and nowhere else")
			})
		})
	}
}

// A favourite that is silent or lies costs one question to the others, and its place.
// Retry is a minute here, so nothing waits for that.
func TestFavouriteDisappoints(t *testing.T) {
	for name, spoil := range map[string]func(*fakeReplica){
		"silent": func(r *fakeReplica) { r.mute = true },
		"lies":   func(r *fakeReplica) { r.lie = func(m *api.Reply) { m.Height++ } },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, four, func(t *testing.T, f *fakeCluster) {
				c := f.connect(f.config(1))
				bad := f.favourites(1)[0]
				f.submit(c, "how long it takes")
				f.set(bad, spoil)
				f.submit(c, "first")
				require.Equal(t, uint64(1), c.Stats().Retries)
				f.eventually(func() bool { return len(f.outspoken()) == 2 && !slices.Contains(f.outspoken(), bad) })
				f.submit(c, "second")
				require.Equal(t, uint64(1), c.Stats().Retries, "the other one has answered")
			})
		})
	}
}

// With all but two gone, those two are favourites, whatever they were before.
func TestFavouritesAreForgiven(t *testing.T) {
	f := newFakeCluster(t, []uint64{1, 1, 1, 1}, nil)
	c := f.connect(f.config(1))
	bad := f.favourites(1)[0]
	f.submit(c, "how long it takes")
	f.set(bad, func(r *fakeReplica) { r.mute = true })
	f.submit(c, "first")
	f.eventually(func() bool { return !slices.Contains(f.outspoken(), bad) })
	f.set(bad, func(r *fakeReplica) { r.mute = false })
	for id := 1; id < 4; id++ {
		if id != bad {
			f.stop(pbft.ReplicaID(id))
		}
	}
	f.eventually(func() bool { return slices.Equal(f.outspoken(), []int{0, bad}) })
	f.submit(c, "second")
}

// What a favourite was to answer when its connection ended, the others are asked for.
func TestFavouriteGoesAway(t *testing.T) {
	f := newFakeCluster(t, []uint64{1, 1, 1, 1}, nil)
	c := f.connect(f.config(1))
	gone := f.favourites(1)[0]
	f.hold = true
	call := c.Start(testContext(t), []byte("x"))
	require.Equal(t, pbft.ReplicaID(0), f.nextArrival().at)
	f.stop(pbft.ReplicaID(gone))
	require.NotEqual(t, pbft.ReplicaID(gone), f.nextArrival().at)
	f.release()
	_, err := call.Answer()
	require.NoError(t, err)
}

// One that hangs up loses its place, although it comes back.
func TestFavouriteHangsUp(t *testing.T) {
	f := newFakeCluster(t, []uint64{1, 1, 1, 1}, nil)
	c := f.connect(f.config(1))
	bad := f.favourites(1)[0]
	f.set(bad, func(r *fakeReplica) {
		for s := range r.sessions {
			s.end()
		}
	})
	f.eventually(func() bool { return c.Stats().Connects == 5 })
	f.eventually(func() bool {
		all := f.outspoken()
		return len(f.replicas[bad].sessions) == 1 && len(all) == 2 && all[0] == 0 && !slices.Contains(all, bad)
	})
}

// One that greets and hangs up, each time, is called less and less often.
func TestHangingUpIsNoSuccess(t *testing.T) {
	inBubble(t, four, func(t *testing.T, f *fakeCluster) {
		f.set(3, func(r *fakeReplica) { r.hangsUp = true })
		cfg := f.config(1)
		cfg.BackoffMax = time.Minute
		c, err := client.Dial(testContext(t), cfg)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		calls := func() int {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.replicas[3].greeted
		}
		advance(time.Second)
		first := calls()
		require.Greater(t, first, 5)
		require.Less(t, first, 15)
		advance(10 * time.Second)
		require.LessOrEqual(t, calls(), first+5, "pauses double")
		require.Greater(t, calls(), first, "but it is not given up")
	})
}

// A cluster of whom nobody answers in time is asked as a whole, as ever.
func TestFavouritesAllSilent(t *testing.T) {
	f := newFakeCluster(t, []uint64{1, 1, 1, 1}, nil)
	cfg := f.config(1)
	cfg.Retry = 50 * time.Millisecond
	c := f.connect(cfg)
	other := f.favourites(1)[0]
	for _, id := range []int{0, other} {
		f.set(id, func(r *fakeReplica) { r.mute = true })
	}
	f.submit(c, "x")
}
