//go:build unix

package keyfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// user is who this program runs as.
type user struct{ uid, gid int }

// checkOwner refuses a key file of another user, and one that others could replace.
func checkOwner(path string, info fs.FileInfo) error {
	self := user{os.Geteuid(), os.Getegid()}
	if err := self.checkFile(path, info); err != nil {
		return err
	}
	// A link can be replaced where it is and where it leads to.
	folders := []string{filepath.Dir(path)}
	if real, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(real) != folders[0] {
		folders = append(folders, filepath.Dir(real))
	}
	for _, folder := range folders {
		info, err := os.Stat(folder)
		if err != nil {
			return fmt.Errorf("folder of the key file %s: %w", path, err)
		}
		if err := self.checkFolder(path, folder, info); err != nil {
			return err
		}
	}
	return nil
}

func (u user) checkFile(path string, info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != u.uid {
		return fmt.Errorf("%w: %s belongs to user %d, and this program runs as user %d: run it as that user, or run chown %d %s if the key is meant for this one",
			ErrPermissions, path, stat.Uid, u.uid, u.uid, path)
	}
	return nil
}

func (u user) checkFolder(path, folder string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if owner := int(stat.Uid); owner != u.uid && owner != 0 {
		return fmt.Errorf("%w: %s lies in %s, which belongs to user %d, and this program runs as user %d: move the key file to a folder of your own",
			ErrPermissions, path, folder, owner, u.uid)
	}
	mode := info.Mode()
	if mode&fs.ModeSticky != 0 {
		return nil
	}
	others := mode.Perm() & 0o022
	if int(stat.Gid) == u.uid && u.uid == u.gid {
		others &^= 0o020
	}
	if others != 0 {
		return fmt.Errorf("%w: %s lies in %s, whose mode %04o lets others put another file in its place: run chmod go-w %s",
			ErrPermissions, path, folder, mode.Perm(), folder)
	}
	return nil
}
