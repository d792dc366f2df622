package replica

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/pbft"
)

// sickSim is a simulated cluster in which the state of replica 3 has become wrong. It
// crashes after so many pieces of work, and is started again.
type sickSim struct {
	*simCluster
	steps   int // pieces of work of replica 3 since its state is wrong
	crashAt int
	crashed bool
	alarms  int
	healed  int
}

func newSickSim(t *testing.T, crashAt int) *sickSim {
	c := &sickSim{simCluster: newSimCluster(t, 4, 24), crashAt: crashAt}
	for i := range c.sims {
		c.begin(i)
	}
	return c
}

func (c *sickSim) begin(i int) {
	cfg := c.simConfig(i)
	cfg.Alarm = func(a pbft.Alarm) {
		require.True(c.t, i == 3 && a.Divergence != nil, "replica %d: %s", i, a.Reason)
		c.alarms++
	}
	cfg.Healed = func(*pbft.Divergence) { c.healed++ }
	cfg.Evidence = func(e *pbft.Evidence) { require.FailNow(c.t, "an honest replica is accused", "%v", e) }
	s, err := NewSim(cfg)
	require.NoError(c.t, err)
	c.sims[i] = s
	s.Start(pbft.TimeOf(c.now))
}

// sicken makes the state wrong, and has the crash come between two pieces of work.
func (c *sickSim) sicken() {
	c.apps[3].rot()
	c.stuck = func(i int, w Work) bool {
		s := c.sims[i]
		if s == nil {
			return true
		}
		if i == 3 && s.Pending(w) > 0 {
			if c.steps++; c.steps == c.crashAt && !c.crashed {
				c.crashed = true
				c.crash(3, false)
				return true
			}
		}
		return false
	}
}

func (c *sickSim) everybody() bool {
	for i := range c.sims {
		if c.sims[i] == nil {
			c.begin(i)
		}
		n := c.sims[i].Node().Core()
		if n.Diverged() != nil || n.ExecutedHeight() != c.sims[0].Node().Core().ExecutedHeight() || n.Committed() != n.ExecutedHeight() {
			return false
		}
		if len(c.apps[i].list()) != len(c.apps[0].list()) {
			return false
		}
	}
	return true
}

// A replica whose state became wrong is healed, wherever it crashes on the way: it begins
// with no snapshot of the wrong state, and in the end none is left.
func TestSimCrashDuringARepair(t *testing.T) {
	notShort(t)
	crashes, alarms := 0, 0
	for at, more := 1, true; more; at += 4 {
		c := newSickSim(t, at)
		for i := range 10 {
			c.put(fmt.Sprint(i))
		}
		c.sicken()
		for i := 10; i < 40; i++ {
			c.offer(fmt.Sprint(i))
			for range 3 {
				c.round()
				if c.sims[3] == nil {
					c.begin(3)
				}
			}
		}
		c.until("all are level and healthy", 3000, c.everybody)
		want := c.apps[0].list()
		for i := range c.sims {
			require.Equal(t, want, c.apps[i].list(), "crash after %d", at)
			for _, h := range c.disks[i].snaps.Heights() {
				state, _ := c.disks[i].snaps.State(h)
				if other, ok := c.disks[0].snaps.State(h); ok {
					require.Equal(t, other, state, "replica %d keeps a snapshot of another state at %d; crash after %d", i, h, at)
				}
			}
		}
		require.NotContains(t, want, "rotten")
		if c.crashed {
			crashes++
		}
		alarms += c.alarms
		more = c.crashed
	}
	require.Greater(t, crashes, 5)
	require.Positive(t, alarms)
}

// Snapshots that were written of a wrong state before anybody knew are deleted when it is
// known, also by a replica that crashed right after it had learned it.
func TestSimWrongSnapshotsAreForgotten(t *testing.T) {
	for _, crash := range []bool{false, true} {
		c := newSickSim(t, 0)
		for i := range 10 {
			c.put(fmt.Sprint(i))
		}
		hidden := true // replica 3 hears nothing of what is certified
		c.tamper = func(m simMail) []byte {
			if k := pbft.KindOf(m.raw); m.to == 3 && hidden && (k == pbft.KindCheckpointVote || k == pbft.KindBundle) {
				return nil
			}
			return m.raw
		}
		c.apps[3].rot()
		wrong := func() (found []pbft.Height) {
			for _, h := range c.disks[3].snaps.Heights() {
				own, _ := c.disks[3].snaps.State(h)
				if right, ok := c.disks[0].snaps.State(h); ok && own != right {
					found = append(found, h)
				}
			}
			return found
		}
		for i := 10; len(wrong()) == 0; i++ {
			require.Less(t, i, 40)
			c.put(fmt.Sprint(i))
		}
		// Now it hears of them, and its disk waits: votes for these snapshots may be on their
		// way still, and after a crash it would say again what they say.
		hidden = false
		waits := WorkDisk
		c.stuck = func(i int, w Work) bool {
			return i == 3 && w == waits && c.sims[3].Node().Core().Diverged() != nil
		}
		c.until("it has learned it", 500, func() bool { return c.sims[3].Node().Core().Diverged() != nil })
		c.round()
		require.NotEmpty(t, wrong(), "nothing says on its disk that it has learned it")
		waits = WorkExecute
		c.round() // its records are written
		require.NotEmpty(t, wrong(), "the work that would delete it waits")
		c.stuck = nil
		if crash {
			c.crash(3, false)
			c.begin(3)
			require.Empty(t, wrong(), "a start begins with deleting them")
		} else {
			for c.sims[3].Do(WorkExecute) {
			}
			require.Empty(t, wrong())
		}
		c.until("all are level and healthy", 3000, c.everybody)
		require.Equal(t, c.apps[0].list(), c.apps[3].list())
	}
}
