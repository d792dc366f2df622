package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/vfs"
)

// The database replays the logs that it finds and misses none: if the newest is
// gone, or one of several, it comes up without what they held, votes among it. So
// the store keeps a note beside the database's folder, of the logs that were made
// and are not known to be obsolete, and of how many synced writes were durable when
// each was made. A log is in the note after its name is durable in its folder and
// before anything is written to it. The note is written when a log is made, once in
// 32 MiB, and when the store is closed; a synced write costs nothing more.
//
// A store is refused if
//   - a log of the note is missing which the database's list of files (MANIFEST)
//     has not declared obsolete, or the first log that the list asks for is, though
//     that or a later one was made;
//   - there is no log at all although one was made: by the note, or because there
//     are tables. The database deletes a log only when the next one is there;
//   - a log lacks the synced writes that were durable when the next one was made;
//   - the database comes up with fewer synced writes than the note has as durable.
//
// What nothing tells:
//   - after a crash, that the newest log is cut, or emptied without being removed: so
//     looks a log whose last writes a crash tore. After a clean stop the note has the
//     exact number, and it is told.
//   - that the last synced write of an older log is cut off at the end of a record,
//     or that an older log is emptied which had only one.
//   - that the note is lost together with a log that is not the first which the list
//     of files asks for, or with that one if it was the only one and an obsolete log
//     is there still: that looks like the store of a program that kept no note, and
//     as if its start had been interrupted before it made its log. Without the note
//     alone nothing is lost, and the next start writes it again.
//   - that the whole store, with the note, was replaced by an older copy.
//
// If the database is gone as a whole, with its CURRENT, its logs and its tables, a
// new one begins, which openDataDir knows for the log of a follower.

// logsFile is the name of the note, in the store's folder.
const logsFile = "logs"

// maxLogsFile limits what is read of a damaged note, in bytes.
const maxLogsFile = 1 << 20

// logNote is one log in the note.
type logNote struct {
	number uint64
	// durable is how many synced writes were durable when it was made, or fewer.
	durable uint64
}

// logsNote is the note.
type logsNote struct {
	mu      sync.Mutex
	durable uint64
	logs    []logNote // ascending
	// written is what the file holds.
	written []byte
	opened  bool // by the database: logs that it makes now add to the others
}

// encode has the numbers in 8 bytes each.
func (n *logsNote) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, n.durable)
	for _, l := range n.logs {
		b = binary.BigEndian.AppendUint64(b, l.number)
		b = binary.BigEndian.AppendUint64(b, l.durable)
	}
	return seal([]byte(logsFile), b)
}

// decode returns what is wrong with b.
func (n *logsNote) decode(b []byte) (fault string) {
	value, fault := unseal([]byte(logsFile), b)
	if fault != "" {
		return fault
	}
	if len(value)%16 != 8 {
		return fmt.Sprintf("%d bytes are no list of logs", len(value))
	}
	n.durable = binary.BigEndian.Uint64(value)
	n.logs = nil
	for value = value[8:]; len(value) > 0; value = value[16:] {
		l := logNote{binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:])}
		if k := len(n.logs); k > 0 && (n.logs[k-1].number >= l.number || n.logs[k-1].durable > l.durable) {
			return "the logs are not in order"
		}
		n.logs = append(n.logs, l)
	}
	n.written = b
	return ""
}

// first makes number the only log: the database has just opened, and has put what
// the logs before held into tables.
func (n *logsNote) first(number uint64) {
	n.logs = []logNote{{number, n.durable}}
}

// add notes a log that was made after the first.
func (n *logsNote) add(number, durable uint64) {
	n.durable = max(n.durable, durable)
	n.logs = append(n.logs, logNote{number, n.durable})
}

// drop forgets a log that is obsolete.
func (n *logsNote) drop(number uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.logs = slices.DeleteFunc(n.logs, func(l logNote) bool { return l.number == number })
}

// save writes the note, if it has changed: after a crash the old or the new one is
// there, whole.
func (n *logsNote) save(disk vfs.FS, dir string) error {
	b := n.encode()
	if slices.Equal(b, n.written) {
		return nil
	}
	path := filepath.Join(dir, logsFile)
	f, err := disk.Create(path + ".tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := disk.Rename(path+".tmp", path); err != nil {
		return err
	}
	if err := syncFolder(disk, dir); err != nil {
		return err
	}
	n.written = b
	return nil
}

// load reads the note; none is an empty one.
func (n *logsNote) load(disk vfs.FS, dir string) error {
	f, err := disk.Open(filepath.Join(dir, logsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxLogsFile))
	if err != nil {
		return err
	}
	if fault := n.decode(b); fault != "" {
		return &CorruptError{Folder: dir, Key: logsFile, Detail: fault}
	}
	return nil
}

// remove forgets the logs of a database that is gone, before a new one has logs
// with the same numbers.
func (n *logsNote) remove(disk vfs.FS, dir string) error {
	n.durable, n.logs, n.written = 0, nil, nil
	err := disk.Remove(filepath.Join(dir, logsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncFolder(disk, dir)
}

// missing returns the lowest log that must be there and is not, if begin is the
// first log that the database's list of files asks for, and 0 if none is. A start
// that was interrupted leaves a list that asks for a log that was not made yet, and
// its number is above all that were.
func (n *logsNote) missing(begin uint64, files databaseFiles) uint64 {
	must := make([]uint64, 0, len(n.logs)+1)
	for _, l := range n.logs {
		must = append(must, l.number)
	}
	made := slices.Concat(must, files.numbers())
	if begin > 0 && len(made) > 0 && slices.Max(made) >= begin {
		must = append(must, begin)
	}
	slices.Sort(must)
	for _, number := range must {
		if number >= begin && !slices.Contains(files.numbers(), number) {
			return number
		}
	}
	return 0
}

// within returns the highest synced write that is known to be in a log: it was
// durable when the next one was made, and began after this one was. The one after
// those that were durable then may have been under way, and be in the log before.
func (n *logsNote) within(number uint64) (durable uint64, known bool) {
	for i, l := range n.logs {
		if l.number == number && i+1 < len(n.logs) && n.logs[i+1].durable >= l.durable+2 {
			return n.logs[i+1].durable, true
		}
	}
	return 0, false
}

// syncFolder is syncDir on the store's disk.
func syncFolder(disk vfs.FS, dir string) error {
	d, err := disk.OpenDir(dir)
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return nil
		}
		return err
	}
	err = errors.Join(d.Sync(), d.Close())
	if errors.Is(err, errors.ErrUnsupported) || isInvalid(err) {
		return nil
	}
	return err
}
