package replica

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/gofrs/flock"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store"
)

// What an application keeps on the disk ([Config.OpenMachine]) is worth no more than time:
// it can be made anew from the last snapshot and the log, or from peers. So damage to it
// is got over by doing without it.

// DiscardState deletes the state that an application keeps in a replica's data folder. The
// replica must not run; its next start makes the state anew. It tells whether there was any.
// Errors: ErrLocked, those of the file system.
func DiscardState(dataDir string) (found bool, err error) {
	if _, err := os.Stat(filepath.Join(dataDir, identityFile)); err != nil {
		return false, fmt.Errorf("%s is no replica's data folder: %w", dataDir, err)
	}
	lock := flock.New(filepath.Join(dataDir, lockFile))
	ok, err := lock.TryLock()
	if err != nil {
		return false, fmt.Errorf("lock the data folder %s: %w", dataDir, err)
	}
	if !ok {
		return false, fmt.Errorf("%w: %s: stop the replica first", ErrLocked, dataDir)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	return discardState(dataDir)
}

// discardState is DiscardState for who has the folder.
func discardState(dataDir string) (found bool, err error) {
	dir := filepath.Join(dataDir, StateDir)
	// Out of the way first, so that a crash does not leave half of it.
	gone := dir + ".discarded"
	if err := os.RemoveAll(gone); err != nil {
		return false, err
	}
	switch err := os.Rename(dir, gone); {
	case errors.Is(err, os.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	if err := syncDir(dataDir); err != nil {
		return true, err
	}
	return true, os.RemoveAll(gone)
}

// adviseStorage adds to a failure of an application's own storage what to do about it.
func (s *Server) adviseStorage(err error) error {
	return adviseStorage(err, s.cfg.DataDir)
}

func adviseStorage(err error, dataDir string) error {
	var halt statemachine.Halt
	switch {
	case !errors.As(err, &halt) && !errors.Is(err, statemachine.ErrHalted):
		return err
	case errors.Is(err, ErrDiskFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, store.ErrLocked), errors.Is(err, fs.ErrPermission):
		return err // nothing is damaged, and the error says what to do
	}
	if _, missing := os.Stat(filepath.Join(dataDir, StateDir)); missing != nil {
		return fmt.Errorf("%w: what failed is not in the data folder %s, the application has its own storage elsewhere: repair or empty that, and start the replica again, which makes the state anew from its last snapshot or from the other replicas", err, dataDir)
	}
	return fmt.Errorf("%w: the files of the application's state may be damaged: run 'parley doctor --heal %s' and start the replica again, which makes the state anew from its last snapshot or from the other replicas", err, dataDir)
}
