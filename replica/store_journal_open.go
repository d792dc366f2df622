package replica

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/vfs"
)

// recover reads the journal into the index and begins a new segment: what a torn end
// left behind it must never follow what is written now.
func (j *journalStore) recover() error {
	if err := j.disk.MkdirAll(j.dir, 0o700); err != nil {
		return err
	}
	if err := syncFolder(j.disk, j.base.cfg.Dir); err != nil {
		return err
	}
	note, err := j.readBase()
	if err != nil {
		return err
	}
	if err := j.tidy(note); err != nil {
		return err
	}
	if err := j.openSegments(note); err != nil {
		return err
	}
	if err := j.replay(note); err != nil {
		return err
	}
	j.durable = j.written
	j.mu.Lock()
	j.begin(note.newest + 1)
	j.next.reset()
	j.mu.Unlock()
	if err := j.create(); err != nil {
		return err
	}
	_, err = j.retire() // nothing waits to be written
	return err
}

// readBase takes the keys of the database into the index, and returns its note. Without
// one the journal is new, like its database.
func (j *journalStore) readBase() (note journalNote, err error) {
	err = j.base.scan([]byte{spaceRecords}, []byte{spaceHost + 1}, func(key []byte, value func() ([]byte, error)) error {
		k, isHost := parseHostKey(key)
		switch {
		case isHost && k.Kind == hostSync:
		case isHost && k.Kind == hostJournal:
			v, err := value()
			if err != nil {
				return err
			}
			if !note.decode(v) {
				return &CorruptError{Folder: j.base.database(), Key: keyName(key), Detail: "not a note of the journal"}
			}
		default:
			j.index.Set(string(key), place{base: true})
		}
		return nil
	})
	return note, err
}

func (j *journalStore) corrupt(number uint64, format string, args ...any) error {
	return &CorruptError{Folder: j.dir, Key: segmentName(number), Detail: fmt.Sprintf(format, args...)}
}

// tidy looks at the files that the note does not name. Those before are retired, and one
// behind was being made: it holds no frame, or the database has forgotten that it was in
// use.
func (j *journalStore) tidy(note journalNote) error {
	names, err := j.disk.List(j.dir)
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		number := parseSegmentName(filepath.Base(name))
		path := j.path(number)
		switch {
		case number == 0 || note.first <= number && number <= note.newest:
			continue
		case note.newest > 0 && number > note.newest:
			used, err := j.isUsed(number)
			if err != nil {
				return err
			}
			if used {
				return j.corrupt(number, "it is in use, and the database in %s knows segments up to %d", j.base.database(), note.newest)
			}
		case note.newest > 0 && len(j.free) < maxFree:
			j.free = append(j.free, path)
			continue
		}
		if err := j.disk.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// isUsed tells whether a segment has a frame.
func (j *journalStore) isUsed(number uint64) (bool, error) {
	seg, ok, err := j.openSegment(number)
	if err != nil || !ok {
		return false, err
	}
	defer func() { _ = seg.file.Close() }() // only read
	last, _, err := readFrames(seg.file, seg.size, seg.segmentHead, seg.first, func(int64, change, int) {})
	return last == seg.first, err
}

// openSegment opens a segment to be read; ok says that it has a head of its own.
func (j *journalStore) openSegment(number uint64) (seg *segment, ok bool, err error) {
	file, err := j.disk.Open(j.path(number))
	if err != nil {
		return nil, false, err
	}
	seg = &segment{file: file, pins: 1}
	if seg.size, err = fileSize(file); err == nil {
		var head []byte
		if head, err = readAt(file, nil, 0, min(journalPage, seg.size)); err == nil && seg.decode(head) && seg.number == number {
			return seg, true, nil
		}
	}
	_ = file.Close() // only read
	return nil, false, err
}

func fileSize(file vfs.File) (int64, error) {
	st, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// openSegments opens the segments of the note.
func (j *journalStore) openSegments(note journalNote) error {
	if note.newest == 0 {
		return nil
	}
	for number := note.first; number <= note.newest; number++ {
		if _, err := j.disk.Stat(j.path(number)); isNotExist(err) {
			return j.corrupt(number, "this file of the journal is gone")
		} else if err != nil {
			return err
		}
		seg, ok, err := j.openSegment(number)
		if err != nil {
			return err
		}
		if !ok {
			return j.corrupt(number, "its head is damaged")
		}
		j.segs = append(j.segs, seg)
	}
	return nil
}

// replay takes the records of all segments into the index.
func (j *journalStore) replay(note journalNote) error {
	for i, seg := range j.segs {
		last := uint64(math.MaxUint64)
		if i+1 < len(j.segs) {
			last = j.segs[i+1].first - 1
		}
		size := seg.size
		number, end, err := readFrames(seg.file, size, seg.segmentHead, last, func(at int64, c change, size int) {
			j.enter(string(c.key), place{seg: seg, at: at, size: size, gone: c.delete})
		})
		if err != nil {
			return err
		}
		j.written, seg.size = number, end
		if i+1 < len(j.segs) {
			if number != last {
				return j.corrupt(seg.number, "write %d cannot be read, and %d follows", number+1, last+1)
			}
			continue
		}
		if number < note.durable {
			return j.corrupt(seg.number, "%d writes are there, and %d were", number, note.durable)
		}
		later, err := laterFrames(seg.file, size, end, seg.segmentHead)
		if err != nil {
			return err
		}
		if seen := (walSeen{replayed: number, highest: later + 1}); seen.lost(number) {
			return j.corrupt(seg.number, "write %d was synced, and those after %d cannot be read", later, number)
		}
		// What a process that was killed had not synced yet counts from now on.
		if err := seg.file.Sync(); err != nil {
			return err
		}
	}
	return nil
}
