package replica

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

// A snapshot is removed at the start for damage that is proven, and for nothing else:
// not because the disk could not read it this time, nor because the application cannot
// take it.
func TestOnlyDamagedSnapshotsAreRemoved(t *testing.T) {
	c := newSimCluster(t, 4, 8)
	c.startAll()
	for i := 0; c.sims[3].Node().Core().Oldest() < 12; i++ {
		c.put(fmt.Sprint(i))
	}
	c.crash(3, false)
	disk := c.disks[3].snaps
	have := disk.Heights()
	newest := have[len(have)-1]

	start := func(app *journal) error {
		cfg := c.simConfig(3)
		cfg.Machine = app
		_, err := NewSim(cfg)
		return err
	}
	disk.Fault(func(op string) error {
		if op == "read" {
			return syscall.EIO
		}
		return nil
	})
	err := start(&journal{})
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorIs(t, err, ErrStore)
	require.Equal(t, have, disk.Heights())
	disk.Fault(nil)

	cannot := errors.New("of another version")
	err = start(&journal{refuses: cannot})
	require.ErrorIs(t, err, cannot)
	require.ErrorContains(t, err, "another version of the application")
	require.Equal(t, have, disk.Heights())

	limits := c.limits
	c.limits.MaxSessions++
	require.ErrorIs(t, start(&journal{}), statemachine.ErrSnapshotFormat)
	require.Equal(t, have, disk.Heights())
	c.limits = limits

	require.True(t, disk.Damage(newest))
	c.start(3)
	require.NotContains(t, disk.Heights(), newest)
}
