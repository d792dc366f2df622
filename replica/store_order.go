package replica

import (
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/vfs"
)

// orderedDisk makes the names of tables durable before the database's list of files
// says that they are there. The database means to do so itself, but when it writes
// two tables at once, one may go into the list while the sync of the folder that
// has both has only begun. File systems with a journal keep that order anyhow; on
// any other a power cut in between would leave a list that asks for a table which
// is gone. The list is written once per table, so the cost is small.
type orderedDisk struct{ vfs.FS }

func (d orderedDisk) Create(name string) (vfs.File, error) {
	f, err := d.FS.Create(name)
	if err != nil || !strings.HasPrefix(filepath.Base(name), "MANIFEST-") {
		return f, err
	}
	return orderedFile{f, d.FS, filepath.Dir(name)}, nil
}

type orderedFile struct {
	vfs.File
	disk vfs.FS
	dir  string
}

func (f orderedFile) Sync() error {
	if err := syncFolder(f.disk, f.dir); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f orderedFile) SyncData() error { return f.Sync() }
