package replica

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// When there is no room where the application's state is, which may be another disk than
// that of the log, the replica stops as it does for the log, lost nothing, and is not told
// to throw its state away.
func TestFullDiskOfTheStateStopsCleanly(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 30)
	c := newTestCluster(t, 4, func(i int, cfg *Config) {
		cfg.Machine = nil
		cfg.OpenMachine = func(ctx context.Context, dir string) (statemachine.StateMachine, error) {
			sc := store.DefaultConfig()
			sc.Dir, sc.FlushBytes = dir, 1<<10
			sc.FreeSpace = func(string) (uint64, error) {
				if i != 1 {
					return 1 << 30, nil
				}
				return free.Load(), nil
			}
			s, err := store.Open(ctx, sc)
			if err != nil {
				return nil, err
			}
			return store.NewMachine(s, counts{})
		}
	})
	c.startAll()
	text := strings.Repeat("text", 500)
	c.submit(1, text)
	free.Store(1000)
	c.submit(0, text+"a")
	<-c.servers[1].Failed()
	err := c.servers[1].Err()
	require.ErrorIs(t, err, ErrDiskFull)
	require.ErrorContains(t, err, "1000 bytes free where "+filepath.Join(c.folder(1), StateDir)+" is, 268435456 are the reserve")
	require.NotContains(t, err.Error(), "--heal")
	c.submit(2, text)
	c.stop(1)
	free.Store(1 << 30)
	c.start(1)
	c.submit(1, text+"b")
	var n []byte
	c.eventually("the replica to have what it missed", func() bool {
		var err error
		n, _, err = c.servers[1].Query(t.Context(), []byte(text))
		require.NoError(t, err)
		return string(n) == "\x02"
	})
}
