package replica

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/pbft"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// stateDiskCluster is a simulated cluster whose applications keep their states on disks.
type stateDiskCluster struct {
	*storedCluster
	states []*store.MemoryDisk
	// wrap, if not nil, may put something around the application of replica 3.
	wrap func(m *store.Machine) statemachine.StateMachine
}

func newStateDiskCluster(t *testing.T, seed uint64) *stateDiskCluster {
	c := &stateDiskCluster{storedCluster: &storedCluster{simCluster: newSimCluster(t, 4, seed), machines: make([]*store.Machine, 4)}, states: make([]*store.MemoryDisk, 4)}
	for i := range c.sims {
		c.states[i] = store.NewMemoryDisk()
		require.NoError(t, c.begin(i))
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

func (c *stateDiskCluster) open(i int) (statemachine.StateMachine, error) {
	cfg := store.DefaultConfig()
	cfg.Disk, cfg.Keep, cfg.FlushBytes = c.states[i], 2, 2<<10
	s, err := store.Open(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	m, err := store.NewMachine(s, lists{})
	if err != nil {
		return nil, err
	}
	c.machines[i] = m
	if i == 3 && c.wrap != nil {
		return c.wrap(m), nil
	}
	return m, nil
}

// begin starts a replica from what its disks have.
func (c *stateDiskCluster) begin(i int) error {
	cfg := c.simConfig(i)
	var err error
	if cfg.Machine, err = c.open(i); err != nil {
		return err
	}
	cfg.Reopen = func(error) (statemachine.StateMachine, error) {
		c.states[i].Clear()
		return c.open(i)
	}
	cfg.StatePatience = 64
	cfg.Alarm = func(a pbft.Alarm) {
		require.NotNil(c.t, a.Divergence, "replica %d: %s", i, a.Reason)
		c.alarms++
	}
	cfg.Healed = func(*pbft.Divergence) { c.healed++ }
	cfg.Hooks.Synced = func(_ pbft.Height, stats statemachine.StateSyncStats, err error) {
		if err != nil {
			c.failed++
			return
		}
		c.synced++
		c.changed += stats.Changed
	}
	s, err := NewSim(cfg)
	if err != nil {
		return err
	}
	c.sims[i] = s
	c.states[i].Beside(s.Beside)
	s.Start(pbft.TimeOf(c.now))
	return nil
}

// end crashes a replica, which loses what was not synced.
func (c *stateDiskCluster) end(i int) {
	c.states[i].Crash(func(int) int { return 0 })
	c.sims[i].Close()
	c.crash(i, false)
}

// A replica that crashes goes on from the state on its disk; one whose state is gone or damaged gets
// it from the others; and what is needed of earlier heights stays, and goes.
func TestSimStatesOnDisks(t *testing.T) {
	c := newStateDiskCluster(t, 41)
	c.run("first", 30)
	require.NotZero(t, c.sims[3].Node().Core().SnapshotHeight())
	for range 3 {
		c.end(3)
		require.NoError(t, c.begin(3))
		require.NotZero(t, c.sims[3].Restored())
		c.run("after a crash", 5)
	}
	require.Zero(t, c.synced, "it asked nobody")
	oldest, _ := c.machines[3].Store().Heights()
	require.Greater(t, oldest, uint64(8))

	c.end(3)
	c.states[3].Clear()
	require.NoError(t, c.begin(3))
	require.True(t, c.sims[3].Stateless())
	c.run("with nothing", 5)
	require.Equal(t, 1, c.synced)
	c.same()

	for seed := range 20 {
		c.end(3)
		n := seed * 7919
		require.NotEmpty(t, c.states[3].Rot(func(most int) int { n++; return n % most }))
		require.NoError(t, c.begin(3))
		c.run(fmt.Sprint("with damage ", seed), 4)
		c.sims[3].Scrub()
		c.until("it is repaired", 3000, c.level)
		c.same()
	}
	require.NotZero(t, c.healed)
	require.Equal(t, c.alarms, c.healed)
	require.Zero(t, c.failed)
}

// A vote for a checkpoint leaves when a crash would leave its state, also where nothing has been
// synced that somebody did not have to wait for.
func TestSimVotesWaitForTheState(t *testing.T) {
	c := newStateDiskCluster(t, 42)
	c.stuck = func(i int, w Work) bool { return i == 3 && w == WorkState }
	voted := 0
	c.tamper = func(m simMail) []byte {
		if v, ok := decoded(c.t, m.raw).(*pbft.CheckpointVote); ok && m.from == 3 && v.Height%c.core.CheckpointEvery == 0 {
			voted++
			app, ok := c.disks[3].snaps.AppDigest(v.Height)
			require.True(t, ok)
			require.True(t, c.states[3].Holds(uint64(v.Height), app), "the state at %d", v.Height)
		}
		return m.raw
	}
	c.run("some", 40)
	require.Greater(t, voted, 3)
}

func decoded(t testing.TB, raw []byte) pbft.Message {
	_, m, err := pbft.Decode(raw)
	require.NoError(t, err)
	return m
}

// miscounts is an application that takes its state for another one than it is.
type miscounts struct{ *store.Machine }

func (m miscounts) Digest() crypto.Digest {
	d := m.Machine.Digest()
	d[0] ^= 1
	return d
}

// A replica whose application makes another state than the certified one of the very parts that are
// certified stops, and says so. It does not get them again and again.
func TestSimStateThatIsNeverRight(t *testing.T) {
	c := newStateDiskCluster(t, 43)
	c.run("first", 3)
	c.end(3)
	for c.sims[0].Node().Core().Oldest() < 12 {
		c.run(fmt.Sprint("while away ", c.seq), 1)
	}
	c.states[3].Clear()
	c.disks[3] = simDisk{NewMemoryStore(), NewMemorySnapshots(1 << 10), false}
	c.wrap = func(m *store.Machine) statemachine.StateMachine { return miscounts{m} }
	require.NoError(t, c.begin(3))
	c.stuck = func(i int, w Work) bool { return i == 3 && w == WorkExecute }
	stopped := c.sims[3]
	for range 3000 {
		c.round()
		for stopped.Do(WorkExecute) {
		}
		if stopped.Err() != nil {
			c.sims[3] = nil // the others go on
			break
		}
	}
	require.ErrorIs(t, stopped.Err(), statemachine.ErrStateMismatch)
	require.Equal(t, 1, c.synced)
}

var errFullDisk = errors.New("full")

// A replica whose state's disk fails when it begins with the first block does not start: it would
// stop with that block.
func TestSimStateThatCannotBegin(t *testing.T) {
	c := newStateDiskCluster(t, 44)
	c.end(3)
	require.NotZero(t, c.machines[0].Store().Durable()+1)
	c.states[3].Fault(func(op string) error {
		if op == "write" {
			return errFullDisk
		}
		return nil
	})
	require.ErrorIs(t, c.begin(3), errFullDisk)
	c.states[3].Fault(nil)
	require.NoError(t, c.begin(3))
	c.run("then", 3)
	c.same()
}
