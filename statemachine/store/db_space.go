package store

import (
	"errors"

	"github.com/parley-bft/parley/internal/diskspace"
)

// room fails if less of the disk is free than the reserve. A state that is not written is
// worth no more than time, so this is not for its sake: the log is on the same disk, and
// what the database begins, such as a compaction, it cannot take back half way. If nobody
// knows how much is free, because the folder was removed, say, the write itself will tell.
func (f *folder) room() error {
	if err := diskspace.Check(f.dir, f.cfg.Reserve, f.cfg.FreeSpace); errors.Is(err, ErrDiskFull) {
		return err
	}
	return nil
}

// open opens a database that asks for room before it writes.
func (f *folder) open(dir string) (database, error) {
	p, err := openPebble(dir, &f.cfg, f.files, f.broken)
	if err != nil {
		return nil, err
	}
	p.room = f.room
	return p, nil
}
