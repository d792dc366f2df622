package replica

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// lists has each operation as a key, beside some that are there from the beginning.
type lists struct{}

func (lists) Found(t store.Txn) {
	for i := range 300 {
		t.Set(fmt.Appendf(nil, "founded %d", i), []byte("long ago"))
	}
}

func (lists) Apply(t store.Txn, b *statemachine.Block, op *statemachine.Op) statemachine.Result {
	t.Set(op.Data, fmt.Append(nil, b.Height))
	return statemachine.OK(nil)
}

func (lists) Query(context.Context, store.Reader, []byte) ([]byte, error) { return nil, nil }

// storedCluster is a simulated cluster with applications on stores.
type storedCluster struct {
	*simCluster
	machines []*store.Machine
	last     crypto.Digest // of the request that was made last
	// synced is how often replica 3 got a state part by part, failed how often it could not;
	// changed are keys.
	synced, failed, changed int
	syncedAt                pbft.Height
	liars                   []pbft.ReplicaID
	alarms, healed          int
}

func newStoredCluster(t *testing.T, seed uint64) *storedCluster {
	c := &storedCluster{simCluster: newSimCluster(t, 4, seed), machines: make([]*store.Machine, 4)}
	for i := range c.sims {
		c.begin(i)
	}
	t.Cleanup(func() {
		for _, s := range c.sims {
			if s != nil {
				s.Close()
			}
		}
	})
	return c
}

func (c *storedCluster) begin(i int) {
	s, err := store.Open(context.Background(), store.DefaultConfig())
	require.NoError(c.t, err)
	c.machines[i], err = store.NewMachine(s, lists{})
	require.NoError(c.t, err)
	cfg := c.simConfig(i)
	cfg.Machine, cfg.StatePatience = c.machines[i], 64
	cfg.Alarm = func(a pbft.Alarm) {
		require.NotNil(c.t, a.Divergence, "replica %d: %s", i, a.Reason)
		c.alarms++
	}
	cfg.Healed = func(*pbft.Divergence) { c.healed++ }
	cfg.Hooks.Lied = func(from pbft.ReplicaID, _ error) { c.liars = append(c.liars, from) }
	cfg.Hooks.Synced = func(h pbft.Height, stats statemachine.StateSyncStats, err error) {
		if err != nil {
			c.failed++
			return
		}
		c.syncedAt = h
		c.synced++
		c.changed += stats.Changed
	}
	c.sims[i], err = NewSim(cfg)
	require.NoError(c.t, err)
	c.sims[i].Start(pbft.TimeOf(c.now))
}

// end crashes a replica.
func (c *storedCluster) end(i int, wipe bool) {
	c.sims[i].Close()
	c.crash(i, wipe)
}

// run has so many operations executed by all replicas that are up.
func (c *storedCluster) run(what string, n int) {
	for i := range n {
		r := c.request(fmt.Sprint(what, " ", i))
		c.last = r.Digest()
		for _, s := range c.sims {
			if s != nil {
				s.Offer([]*pbft.Request{r})
			}
		}
		c.until("it is executed", 3000, c.level)
	}
}

// level tells whether everybody has executed the same, and what was asked for last.
func (c *storedCluster) level() bool {
	first := c.sims[0].Node().Core()
	for _, s := range c.sims {
		if s == nil {
			continue
		}
		n := s.Node().Core()
		if n.Diverged() != nil || n.ExecutedHeight() != first.ExecutedHeight() || n.Committed() != n.ExecutedHeight() || s.Waits() {
			return false
		}
		if _, ok := s.Executor().Lookup(c.client.Public(), c.seq, c.last); !ok {
			return false
		}
	}
	return true
}

// same demands that all replicas that are up have the same state.
func (c *storedCluster) same() {
	want, _, err := c.sims[0].Executor().Digests()
	require.NoError(c.t, err)
	for i, s := range c.sims {
		if s != nil {
			got, _, err := s.Executor().Digests()
			require.NoError(c.t, err)
			require.Equal(c.t, want, got, "replica %d", i)
		}
	}
}

// away runs the others until replica 3 needs a state.
func (c *storedCluster) away() {
	c.run("first", 3)
	c.end(3, false)
	for c.sims[0].Node().Core().Oldest() < 12 {
		c.run(fmt.Sprint("while away ", c.seq), 1)
	}
}

// A replica that lags gets the parts of the state that differ, and no whole snapshot.
func TestSimStateByParts(t *testing.T) {
	c := newStoredCluster(t, 31)
	c.away()
	chunks := 0
	c.tamper = func(m simMail) []byte {
		if pbft.KindOf(m.raw) == pbft.KindChunk {
			chunks++
		}
		return m.raw
	}
	c.begin(3)
	c.run("after", 3)
	require.Equal(t, 1, c.synced)
	require.Zero(t, c.failed)
	require.Empty(t, c.liars)
	changed := c.changed
	require.Positive(t, changed)
	require.Less(t, changed, 100, "it had most of the state")
	require.Positive(t, chunks)
	require.Less(t, chunks, c.disks[0].snaps.Chunks(), "and got the rest of it from nowhere else")
	c.same()
	c.end(3, true)
	c.begin(3)
	c.run("with another disk", 3)
	require.Equal(t, 2, c.synced)
	require.Greater(t, c.changed, 2*changed)
	c.same()
}

// The same seed gives the same run.
func TestSimStateByPartsIsDeterministic(t *testing.T) {
	run := func() (trace crypto.Digest) {
		c := newStoredCluster(t, 32)
		c.tamper = func(m simMail) []byte {
			trace = crypto.Hash("trace", trace[:], []byte{byte(m.from), byte(m.to)}, m.raw)
			return m.raw
		}
		c.away()
		c.begin(3)
		c.run("after", 3)
		require.Equal(t, 1, c.synced)
		return trace
	}
	require.Equal(t, run(), run())
}

// A peer that lies is named, whoever else answers is not, and what comes is the state.
func TestSimStateByPartsAmongLiars(t *testing.T) {
	c := newStoredCluster(t, 33)
	c.away()
	lies := 0
	c.tamper = func(m simMail) []byte {
		epoch, d, err := pbft.Decode(m.raw)
		s, ok := d.(*pbft.State)
		switch {
		case err != nil || !ok || m.to != 3:
		case m.from == 1:
			lies++
			bad := append([]byte(nil), s.Data...)
			bad[len(bad)-1] ^= 1
			return pbft.Encode(epoch, &pbft.State{ID: s.ID, Data: bad})
		case lies == 0:
			return nil
		}
		return m.raw
	}
	c.begin(3)
	c.run("after", 3)
	require.Equal(t, 1, lies, "it is not asked again")
	require.Equal(t, []pbft.ReplicaID{1}, c.liars)
	require.Equal(t, 1, c.synced)
	c.same()
}

// What nobody has is asked again, and after a time not any more: then the whole snapshot
// comes, and nothing is executed on the state of which only some parts are there. What
// nobody answers is asked again as well.
func TestSimStateByPartsThatNobodyHas(t *testing.T) {
	c := newStoredCluster(t, 34)
	c.away()
	asked, answered := 0, 0
	c.tamper = func(m simMail) []byte {
		switch {
		case m.from == 3 && pbft.KindOf(m.raw) == pbft.KindGetState:
			asked++
		case m.to == 3 && pbft.KindOf(m.raw) == pbft.KindState:
			if answered++; answered > 1 && answered < 6 {
				return nil
			} else if answered > 1 {
				epoch, d, err := pbft.Decode(m.raw)
				require.NoError(t, err)
				return pbft.Encode(epoch, &pbft.State{ID: d.(*pbft.State).ID})
			}
		}
		return m.raw
	}
	c.begin(3)
	c.run("after", 3)
	require.Greater(t, asked, 6, "it was asked again")
	require.Positive(t, c.failed)
	require.Zero(t, c.synced)
	require.False(t, c.sims[3].runner.parts.missing.Load())
	c.same()
}

// A crash between any two answers leaves nothing behind: no goroutine, no state of which
// only some parts are there.
func TestSimCrashWhileAStateComesByParts(t *testing.T) {
	crashes := 0
	for at, more := 1, true; more; at++ {
		c := newStoredCluster(t, 35)
		c.away()
		steps := 0
		more = false
		c.stuck = func(i int, w Work) bool {
			s := c.sims[i]
			if i != 3 || s == nil || w != WorkExecute || !s.Waits() || s.Pending(w) == 0 {
				return s == nil
			}
			if steps++; steps == at {
				c.end(3, false)
				crashes++
				more = true
				return true
			}
			return false
		}
		c.begin(3)
		c.until("it is there, or has crashed", 3000, func() bool { return c.sims[3] == nil || c.synced > 0 })
		if c.sims[3] == nil {
			c.begin(3)
		}
		c.run("after", 2)
		require.Equal(t, 1, c.synced)
		c.same()
	}
	require.Greater(t, crashes, 2)
}
