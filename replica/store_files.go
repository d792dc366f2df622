package replica

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble"
	"github.com/cockroachdb/pebble/record"
	"github.com/cockroachdb/pebble/vfs"
)

// walFile is one of the database's logs.
type walFile struct {
	number uint64
	name   string
}

// databaseFiles is what is in the database's folder.
type databaseFiles struct {
	current bool      // the file that names the database's list of files
	logs    []walFile // ascending
	tables  bool
}

// listDatabase is empty if there is no folder.
func listDatabase(disk vfs.FS, dir string) (files databaseFiles, err error) {
	names, err := disk.List(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return files, err
	}
	for _, name := range names {
		name = filepath.Base(name)
		files.current = files.current || name == "CURRENT"
		files.tables = files.tables || strings.HasSuffix(name, ".sst")
		if base, ok := strings.CutSuffix(name, ".log"); ok {
			if n, err := strconv.ParseUint(base, 10, 64); err == nil {
				files.logs = append(files.logs, walFile{n, name})
			}
		}
	}
	slices.SortFunc(files.logs, func(a, b walFile) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
	return files, nil
}

// headless tells whether there are logs or tables and no CURRENT, the file that
// names the list of them. The database makes CURRENT before the first of either,
// takes its absence for a new database, and would begin one on top of what is there.
func (f databaseFiles) headless() bool { return !f.current && (f.tables || len(f.logs) > 0) }

func (f databaseFiles) numbers() []uint64 {
	numbers := make([]uint64, len(f.logs))
	for i, l := range f.logs {
		numbers[i] = l.number
	}
	return numbers
}

// firstLog returns the number from which on the database in dir replays its logs,
// or 0 if its list of files names none: all before are obsolete.
func firstLog(disk vfs.FS, dir string) (uint64, error) {
	about, err := pebble.Peek(dir, disk)
	if err != nil || !about.Exists {
		return 0, err
	}
	f, err := disk.Open(about.ManifestFilename)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	return readFirstLog(f)
}

// readFirstLog reads a list of files as the database does: until the first record
// that cannot be read.
func readFirstLog(r io.Reader) (first uint64, err error) {
	records := record.NewReader(r, 0)
	for {
		rec, err := records.Next()
		if errors.Is(err, io.EOF) || record.IsInvalidRecord(err) {
			return first, nil
		}
		if err != nil {
			return 0, err
		}
		number, err := firstLogOfEdit(bufio.NewReader(rec))
		if errors.Is(err, io.EOF) || record.IsInvalidRecord(err) {
			return first, nil
		}
		if err != nil {
			return 0, err
		}
		if number != 0 {
			first = number
		}
	}
}

// The fields of a record of the list that stand before the others; the number of
// the first log is among them. A number follows each, and the comparer's name its
// length.
const (
	editComparer = 1
	editFirstLog = 2
	editNextFile = 3
	editPrevLog  = 9
)

// firstLogOfEdit returns 0 if the record names no log.
func firstLogOfEdit(r *bufio.Reader) (uint64, error) {
	for {
		field, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		if field != editComparer && field != editFirstLog && field != editNextFile && field != editPrevLog {
			return 0, nil
		}
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return 0, err
		}
		switch field {
		case editFirstLog:
			return n, nil
		case editComparer:
			if n > 1<<10 {
				return 0, nil
			}
			if _, err := r.Discard(int(n)); err != nil { //nolint:gosec // at most 1024
				return 0, err
			}
		}
	}
}
