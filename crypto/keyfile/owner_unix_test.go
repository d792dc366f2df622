//go:build unix

package keyfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func written(t *testing.T) string {
	k, err := GenerateClient(nil)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "keys", "key.json")
	require.NoError(t, k.Write(path))
	return path
}

func TestFolderThatOthersMayWrite(t *testing.T) {
	path := written(t)
	folder := filepath.Dir(path)
	for mode, good := range map[os.FileMode]bool{
		0o700: true, 0o755: true, 0o750: true, 0o500: true,
		0o702: false, 0o777: false, 0o707: false,
		0o777 | os.ModeSticky: true,
	} {
		require.NoError(t, os.Chmod(folder, mode))
		_, err := LoadClient(path)
		if good {
			require.NoError(t, err, "%v", mode)
			continue
		}
		require.ErrorIs(t, err, ErrPermissions, "%v", mode)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "chmod go-w "+folder)
	}
	// What a link leads to counts as well.
	link := filepath.Join(t.TempDir(), "link.json")
	require.NoError(t, os.Symlink(path, link))
	require.NoError(t, os.Chmod(folder, 0o777))
	_, err := LoadClient(link)
	require.ErrorIs(t, err, ErrPermissions)
	require.NoError(t, os.Chmod(folder, 0o700))
	_, err = LoadClient(link)
	require.NoError(t, err)
}

// fakeInfo is a file of any owner and mode.
type fakeInfo struct {
	fs.FileInfo
	uid, gid uint32
	mode     fs.FileMode
}

func (i fakeInfo) Mode() fs.FileMode { return i.mode }
func (i fakeInfo) Sys() any          { return &syscall.Stat_t{Uid: i.uid, Gid: i.gid} }

func TestOwners(t *testing.T) {
	u := user{uid: 1000, gid: 1000}
	require.NoError(t, u.checkFile("/k/key.json", fakeInfo{uid: 1000}))
	err := u.checkFile("/k/key.json", fakeInfo{uid: 7})
	require.ErrorIs(t, err, ErrPermissions)
	require.ErrorContains(t, err, "/k/key.json belongs to user 7, and this program runs as user 1000")
	require.ErrorContains(t, err, "chown 1000 /k/key.json")

	for _, tc := range []struct {
		who  user
		info fakeInfo
		good bool
	}{
		{u, fakeInfo{uid: 1000, gid: 1000, mode: 0o755}, true},
		{u, fakeInfo{uid: 0, gid: 0, mode: 0o755}, true},
		{u, fakeInfo{uid: 7, gid: 7, mode: 0o755}, false},
		{u, fakeInfo{uid: 1000, gid: 1000, mode: 0o775}, true}, // the user's private group
		{u, fakeInfo{uid: 1000, gid: 50, mode: 0o775}, false},
		{user{1000, 50}, fakeInfo{uid: 1000, gid: 50, mode: 0o775}, false},
		{u, fakeInfo{uid: 1000, gid: 1000, mode: 0o777}, false},
		{u, fakeInfo{uid: 0, gid: 0, mode: 0o777 | fs.ModeSticky}, true},
	} {
		err := tc.who.checkFolder("/k/key.json", "/k", tc.info)
		if tc.good {
			require.NoError(t, err, "%+v", tc.info)
		} else {
			require.ErrorIs(t, err, ErrPermissions, "%+v", tc.info)
			require.ErrorContains(t, err, "/k/key.json lies in /k", "%+v", tc.info)
		}
	}
}

func TestOwnerOfARealFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := written(t)
	require.NoError(t, os.Chown(path, 12345, -1))
	_, err := LoadClient(path)
	require.ErrorIs(t, err, ErrPermissions)
	require.ErrorContains(t, err, "belongs to user 12345")
}
