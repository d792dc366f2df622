package replica

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/client"
	"github.com/parley-bft/parley/statemachine/store"
)

// A cluster in which nothing happens for an hour proves what its state is now, if it is
// asked; also one in which nothing ever happened.
func TestCertifiedReadOfAnIdleCluster(t *testing.T) {
	verifyNoLeaks(t)
	var later atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	door := &clientDoor{address: make(map[string]string)}
	var c *testCluster
	c = newTestCluster(t, 4, func(i int, cfg *Config) {
		s, err := store.Open(context.Background(), store.DefaultConfig())
		require.NoError(t, err)
		cfg.Machine, err = store.NewMachine(s, texts{})
		require.NoError(t, err)
		cfg.Now = now
		door.mu.Lock()
		defer door.mu.Unlock()
		door.address[c.roster.Cluster.Members[i].ClientAddress] = cfg.ClientListener.Addr().String()
	})
	c.startAll()
	cl, err := client.Dial(c.context(), client.Config{
		Roster: c.roster, Key: clientTestKey(1), Dial: door.dial, Now: now,
		BackoffMin: 5 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cl.Close()) })

	empty, err := cl.ReadCertified(c.context(), []byte("k"), client.CertifiedOptions{MaxAge: time.Minute})
	require.NoError(t, err)
	require.False(t, empty.Proof.Present)
	put, err := cl.Do(c.context(), []byte("k=v"))
	require.NoError(t, err)
	s, err := cl.ReadCertified(c.context(), []byte("k"), client.CertifiedOptions{MinHeight: put.Ref.Height})
	require.NoError(t, err)
	for range 3 {
		later.Add(int64(time.Hour))
		fresh, err := cl.ReadCertified(c.context(), []byte("k"), client.CertifiedOptions{MaxAge: time.Minute})
		require.NoError(t, err)
		require.Greater(t, fresh.Height(), s.Height())
		require.WithinDuration(t, now(), fresh.Time(), time.Minute)
		require.Equal(t, s.Proof.Value, fresh.Proof.Value)
		s = fresh
	}
	_, err = cl.ReadCertified(c.context(), []byte("k"), client.CertifiedOptions{MaxAge: time.Nanosecond})
	require.ErrorIs(t, err, client.ErrTooOld, "nobody can prove that")
}
