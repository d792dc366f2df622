package real

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSweepSparesWhatIsInUse(t *testing.T) {
	image := func() (dir, file string) {
		dir = t.TempDir()
		file = filepath.Join(dir, "cluster", "replica-0", "disk."+imageMark)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
		return dir, file
	}
	dead, left := image()
	live, used := image()
	lock, err := lockFolder(live)
	require.NoError(t, err)
	require.Equal(t, []string{left}, sweep([]string{dead, live, t.TempDir()}))
	require.NoFileExists(t, left)
	require.FileExists(t, used)
	_, err = lockFolder(live)
	require.ErrorContains(t, err, "another run uses the folder")
	require.NoError(t, lock.Close())
	require.Equal(t, []string{used}, sweep([]string{live}))
}
