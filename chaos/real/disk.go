package real

import (
	"errors"
	"os"
	"path/filepath"
)

// errNotHere says that this machine does not permit what was wanted.
var errNotHere = errors.New("not permitted here")

// disk is where one replica keeps its data.
type disk interface {
	// data is the replica's data folder.
	data() string
	// cut takes the power: what was not synced is gone. restore makes the disk usable
	// again.
	cut() error
	restore() error
	// fill leaves no room, free takes that back.
	fill() error
	free() error
	// close gives back what the system lent.
	close() error
	// can says what works.
	can() (power, full bool)
}

// folderDisk is an ordinary folder.
type folderDisk struct{ dir string }

func newFolderDisk(dir string) (disk, error) { return folderDisk{dir}, os.MkdirAll(dir, 0o700) }

func (d folderDisk) data() string          { return filepath.Join(d.dir, "data") }
func (folderDisk) cut() error              { return errNotHere }
func (folderDisk) restore() error          { return errNotHere }
func (folderDisk) fill() error             { return errNotHere }
func (folderDisk) free() error             { return errNotHere }
func (folderDisk) close() error            { return nil }
func (folderDisk) can() (power, full bool) { return false, false }
