package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// logLimit is how long a replica's log.txt gets before it becomes log.txt.1, which
// replaces the last one: twice as much is the most on disk.
const logLimit = 64 << 20

// boundedLog returns a writer for the log of the replica in dir. If stderr is that
// folder's log.txt, as under 'parley cluster' and scripts/local-cluster.sh, it is
// bounded; anything else is the business of whoever opened it.
func boundedLog(stderr io.Writer, dir string) io.Writer {
	f, ok := stderr.(*os.File)
	if !ok || dir == "" {
		return stderr
	}
	path := filepath.Join(dir, replicaLogName)
	open, err := f.Stat()
	if err != nil || !open.Mode().IsRegular() {
		return stderr
	}
	if named, err := os.Stat(path); err != nil || !os.SameFile(open, named) {
		return stderr
	}
	return &rotatingLog{file: f, path: path, limit: logLimit, size: open.Size()}
}

// rotatingLog writes to a file that is renamed when it is full. The file keeps its
// descriptor, so that what others write to it, such as the runtime that reports a
// crash, ends up in the new file too. Not for concurrent use: a logger's handler
// writes one record at a time.
type rotatingLog struct {
	file  *os.File
	path  string
	limit int64
	size  int64
}

func (l *rotatingLog) Write(p []byte) (int, error) {
	if l.size > 0 && l.size+int64(len(p)) > l.limit {
		l.size = 0 // also if it fails: it is tried again after as much
		if err := l.rotate(); err != nil {
			fmt.Fprintf(l.file, "this log goes on beyond %d bytes: %v\n", l.limit, err)
		}
	}
	n, err := l.file.Write(p)
	l.size += int64(n)
	return n, err
}

func (l *rotatingLog) rotate() error {
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		return err
	}
	next, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		// The old file goes on under its own name.
		return errors.Join(err, os.Rename(l.path+".1", l.path))
	}
	defer next.Close()
	if err := redirect(l.file, next); err != nil {
		return errors.Join(err, os.Rename(l.path+".1", l.path))
	}
	return nil
}
