package client_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/internal/testcluster"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
)

func (f *fakeCluster) transport(cfg client.TransportConfig) *client.Transport {
	f.t.Helper()
	cfg.Roster, cfg.Dial = f.Roster, f.dial
	cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, 10*time.Millisecond
	tr, err := client.NewTransport(cfg)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { require.NoError(f.t, tr.Close()) })
	return tr
}

// carried is config for a client on a transport.
func (f *fakeCluster) carried(tr *client.Transport, key byte) client.Config {
	cfg := f.config(key)
	cfg.Roster, cfg.Dial, cfg.Transport = nil, nil, tr
	return cfg
}

func (f *fakeCluster) sessions() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.replicas {
		n += len(r.sessions)
	}
	return n
}

// Many clients share one session with each replica, and each gets its own results.
func TestTransportCarriesManyClients(t *testing.T) {
	f := newFakeCluster(t, []uint64{1, 1, 1, 1}, nil)
	tr := f.transport(client.TransportConfig{Key: testcluster.ClientKey(1)}) // one of them owns the connections
	var wg sync.WaitGroup
	for i := range byte(20) {
		c := f.connect(f.carried(tr, i+1))
		wg.Go(func() {
			for k := range 5 {
				op := fmt.Sprintf("%d of %d", k, i)
				r, err := c.Submit(testContext(t), []byte(op))
				assert.NoError(t, err)
				assert.Equal(t, "re: "+op, string(r.Data))
			}
		})
	}
	wg.Wait()
	require.Equal(t, 4, f.sessions())
	require.Len(t, f.ops(), 100)
}

// A session that comes back carries everybody again, and what was under way is heard.
func TestTransportAttachesAgain(t *testing.T) {
	f := newFakeCluster(t, []uint64{1, 1, 1, 1}, nil)
	tr := f.transport(client.TransportConfig{})
	a, b := f.connect(f.carried(tr, 1)), f.connect(f.carried(tr, 2))
	f.hold = true
	first, second := a.Start(testContext(t), []byte("a")), b.Start(testContext(t), []byte("b"))
	f.nextArrival()
	f.nextArrival()
	for id := range f.replicas {
		f.stop(pbft.ReplicaID(id))
		f.start(pbft.ReplicaID(id))
	}
	f.awaitSessions(a)
	f.awaitSessions(b)
	f.release()
	for _, call := range []*client.Call{first, second} {
		_, err := call.Answer()
		require.NoError(t, err)
	}
}

// A client that was closed is forgotten, and its key may come back.
func TestTransportDetaches(t *testing.T) {
	f := newFakeCluster(t, []uint64{1, 1, 1, 1}, nil)
	tr := f.transport(client.TransportConfig{})
	key := testcluster.ClientKey(1).Public()
	carries := func() (n int) { // with the mutex held
		for _, r := range f.replicas {
			for s := range r.sessions {
				if _, ok := s.carried[key]; ok {
					n++
				}
			}
		}
		return n
	}
	c := f.connect(f.carried(tr, 1))
	f.eventually(func() bool { return carries() == 4 })
	_, err := client.Dial(testContext(t), f.carried(tr, 1))
	require.ErrorIs(t, err, client.ErrConfig, "two Clients with one key")
	require.NoError(t, c.Close())
	f.eventually(func() bool { return carries() == 0 })
	again := f.connect(f.carried(tr, 1))
	_, err = again.Submit(testContext(t), []byte("x"))
	require.NoError(t, err)
}

// Replicas without room are asked again later; with too many of them Dial waits.
func TestTransportWithoutRoom(t *testing.T) {
	f := newFakeCluster(t, []uint64{1, 1, 1, 1}, nil)
	for id := range 3 {
		f.set(id, func(r *fakeReplica) { r.full = true })
	}
	tr := f.transport(client.TransportConfig{})
	ctx, cancel := context.WithCancel(testContext(t))
	failed := make(chan error)
	go func() {
		_, err := client.Dial(ctx, f.carried(tr, 1))
		failed <- err
	}()
	f.eventually(func() bool { return f.replicas[0].attached > 2 && f.replicas[3].attached > 0 })
	cancel()
	err := <-failed
	require.ErrorIs(t, err, client.ErrUnavailable)
	require.ErrorContains(t, err, "busy")
	for id := range 3 {
		f.set(id, func(r *fakeReplica) { r.full = false })
	}
	f.connect(f.carried(tr, 1))
}

// What a refused attachment was to be followed by ends with its session: in the next one
// everybody is attached anyway.
func TestTransportAsksAgainInTheSameSession(t *testing.T) {
	inBubble(t, four, func(t *testing.T, f *fakeCluster) {
		f.set(3, func(r *fakeReplica) { r.full = true })
		tr, err := client.NewTransport(client.TransportConfig{Roster: f.Roster, Dial: f.dial, BackoffMin: time.Millisecond, BackoffMax: time.Minute})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, tr.Close()) })
		c, err := client.Dial(testContext(t), f.carried(tr, 1))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		asked := func() int {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.replicas[3].attached
		}
		advance(time.Second)
		require.Equal(t, 1, asked())
		f.stop(3)
		f.set(3, func(r *fakeReplica) { r.full, r.attached = false, 0 })
		f.start(3)
		f.awaitSessions(c)
		advance(2 * time.Minute) // the old session's pause is over
		require.Equal(t, 1, asked())
	})
}

// Answers to attachments that nobody asked for change nothing.
func TestTransportUnaskedAnswers(t *testing.T) {
	f := newFakeCluster(t, []uint64{1, 1, 1, 1}, nil)
	tr := f.transport(client.TransportConfig{})
	c := f.connect(f.carried(tr, 1))
	for id := range f.replicas {
		f.set(id, func(r *fakeReplica) {
			r.noise = &api.ReplicaMessage{Attached: []*api.Attached{
				{Identity: 1, Reason: api.Reason_REASON_BUSY}, {Identity: 1}, {Identity: 1, Reason: api.Reason_REASON_BUSY}, {Identity: 0}, {Identity: 7},
			}}
		})
	}
	for range 10 {
		f.submit(c, "x")
	}
	require.Equal(t, uint64(4), c.Stats().Connects)
	require.Equal(t, 4, c.Stats().Connected)
	f.eventually(func() bool { return f.replicas[0].attached == 1 })
}

func TestTransportConfig(t *testing.T) {
	f := newFakeCluster(t, []uint64{1, 1, 1, 1}, func(c *crypto.Cluster) {
		c.Clients = crypto.Clients{Admission: crypto.AdmitList, Keys: []crypto.PublicKey{testcluster.ClientKey(1).Public()}}
	})
	_, err := client.NewTransport(client.TransportConfig{})
	require.ErrorIs(t, err, client.ErrConfig)
	_, err = client.NewTransport(client.TransportConfig{Roster: f.Roster})
	require.ErrorIs(t, err, client.ErrNotAdmitted, "a new key, where clients are listed")
	tr := f.transport(client.TransportConfig{Key: testcluster.ClientKey(1)})
	_, err = client.Dial(testContext(t), f.carried(tr, 2))
	require.ErrorIs(t, err, client.ErrNotAdmitted)
	f.connect(f.carried(tr, 1))
	cfg := f.carried(tr, 1)
	cfg.Roster = testcluster.New(t, []uint64{1, 1, 1, 1}, func(c *crypto.Cluster) { c.Name = "another" }).Roster
	_, err = client.Dial(testContext(t), cfg)
	require.ErrorIs(t, err, client.ErrConfig)
	require.NoError(t, tr.Close())
	_, err = client.Dial(testContext(t), f.carried(tr, 1))
	require.Error(t, err)
}
