package replica

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/store"
)

// Only what may be damaged is to be deleted: not a state that another process has open,
// or that this one may not read.
func TestAdviceIsForDamage(t *testing.T) {
	here := t.TempDir()
	damage := &store.Failure{Op: "open", Err: store.ErrCorrupt}
	require.NotContains(t, adviseStorage(damage, here).Error(), "--heal", "there is no state in the data folder")
	require.ErrorContains(t, adviseStorage(damage, here), "has its own storage elsewhere")
	require.NoError(t, os.Mkdir(filepath.Join(here, StateDir), 0o700))
	for _, cause := range []error{store.ErrLocked, store.ErrDiskFull, syscall.ENOSPC, fs.ErrPermission} {
		require.NotContains(t, adviseStorage(&store.Failure{Op: "open", Err: cause}, here).Error(), "--heal", cause.Error())
	}
	require.ErrorContains(t, adviseStorage(damage, here), "parley doctor --heal "+here)
	require.NotContains(t, adviseStorage(errors.New("other"), here).Error(), "--heal")
}
