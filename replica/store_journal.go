package replica

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/tidwall/btree"

	"github.com/parley-bft/parley/pbft"
)

// A journalStore is the [Store] of a replica: a journal of files of its own, with the
// database behind it. What a replica writes is read back after a restart, or by a peer
// that lags, and is pruned a little later; a database writes all of it twice or three
// times until then. Here a value goes to a file once, in the place where it stays, and an
// index in memory, which is built again when the journal is opened, says where the last
// value of each key is.
//
// The files, segments, have numbers and are filled one after another. What is written
// between two syncs is a frame (store_journal_frame.go) and counts as a whole or not at
// all; what is not to be synced waits in memory for that. From the oldest on, a segment
// is retired when the index names hardly anything in it, and what that is goes to the
// database. The file is used again: a sync is dear if it makes a file longer.
//
// The database has a note (journalNote) that names the segments. The order of things:
//
//   - A new segment's head and name are durable; then the note names it; then it takes
//     frames.
//   - All that was written until now is durable, since what makes a record useless may
//     have been written a moment ago; what is in use of an old segment is in the
//     database; then the note leaves the segment out; then its file goes.
//
// A journal is refused (store_journal_open.go) if a segment of the note is missing, if a
// segment lacks a frame that the next one follows, or if the last one lacks a frame that
// was durable when a later one, or the note, was written. So only the frames that no sync
// covered may be torn or missing, and are forgotten. What nothing tells: after a crash,
// that the last synced frame is damaged, or that the newest segment is cut; after a clean
// stop the note has the exact number. What holds for the database is in store_logs.go.
type journalStore struct {
	base *diskStore
	disk vfs.FS
	dir  string
	size int64 // from which on a segment is full

	// io is held by whoever writes files, and taken before mu.
	io   sync.Mutex
	file vfs.File // of the newest segment, to write to
	shut bool
	// extent is how long it is.
	extent int64
	// written and durable are the numbers of the last frames that were.
	written, durable uint64

	mu    sync.Mutex
	index btree.Map[string, place]
	segs  []*segment // ascending; the last takes new frames
	next  frame      // takes records
	// flight is the frame that is being written.
	flight frame
	spare  []byte
	free   []string // files to use again
	closed bool
}

var _ Store = (*journalStore)(nil)

const (
	// journalDir is the folder of the segments in the store's.
	journalDir = "journal"
	// segmentSize is about how large a segment is, in bytes.
	segmentSize = 32 << 20
	// maxSegments bounds the segments; beyond, the oldest is retired whatever the index
	// names in it. It is more than the default parameters can fill.
	maxSegments = 128
	// maxFree is how many files are kept for use again.
	maxFree = 8
	// extendBy is by how much a file is made longer at once, in bytes, and extendPiece in
	// how large pieces.
	extendBy    = 1 << 20
	extendPiece = 64 << 10
	// maxPending is how many bytes may wait for the next sync before they are written
	// without one.
	maxPending = 1 << 20
	// maxSpare is the largest buffer that is kept.
	maxSpare = 8 << 20
)

var zeros = make([]byte, extendPiece)

// place is where the last value of a key is.
type place struct {
	// seg is nil if it is in the database.
	seg  *segment
	at   int64
	size int // of the record
	// gone: the record deletes the key. It is remembered until the database knows.
	gone bool
	// base: the database may have a value of the key, an older one unless seg is nil.
	base bool
}

// segment is one file of the journal.
type segment struct {
	segmentHead
	file vfs.File // to read from; nil as long as nothing of it is on the disk
	size int64
	// live is the size of the records that the index names.
	live int64
	// pins are those of readers, and one until it is retired.
	pins int
}

func (j *journalStore) path(number uint64) string { return filepath.Join(j.dir, segmentName(number)) }

// openJournal opens or makes the store in cfg.Dir, whose directory chain must have been
// made durable before (see [makeDirs]).
func openJournal(cfg DiskStoreConfig) (*journalStore, error) {
	base, err := openDiskStore(cfg)
	if err != nil {
		return nil, err
	}
	j := &journalStore{
		base: base, disk: base.disk, dir: filepath.Join(cfg.Dir, journalDir),
		size: cmp.Or(cfg.segment, segmentSize),
	}
	if err := j.recover(); err != nil {
		err = base.fail("open", err)
		j.closeFiles()
		_ = base.Close()
		return nil, err
	}
	return j, nil
}

// broken is closed with the first failure.
func (j *journalStore) broken() <-chan struct{} { return j.base.broken }

func (j *journalStore) err() error { return j.base.err() }

// Write implements [Store].
func (j *journalStore) Write(records []pbft.Record, sync bool) error {
	return j.write(len(records), func(i int) change {
		r := &records[i]
		return change{recordKey(r.Key), r.Value, r.Delete}
	}, sync)
}

// WriteHost implements [Store].
func (j *journalStore) WriteHost(records []HostRecord, sync bool) error {
	return j.write(len(records), func(i int) change {
		r := &records[i]
		return change{hostKey(r.Key), r.Value, r.Delete}
	}, sync)
}

func (j *journalStore) write(n int, at func(int) change, sync bool) error {
	large, err := j.add(n, at)
	if err != nil || !sync && !large {
		return err
	}
	return j.flush(sync)
}

// usable returns why the store cannot be used. j.mu is held.
func (j *journalStore) usable() error {
	if err := j.err(); err != nil {
		return err
	}
	if j.closed {
		return &StoreError{Op: "use", Folder: j.base.cfg.Dir, Err: errStoreClosed}
	}
	return nil
}

// add puts changes into the next frame, and tells whether that is large.
func (j *journalStore) add(n int, at func(int) change) (large bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return false, err
	}
	f := &j.next
	for i := range n {
		c := at(i)
		offset := len(f.buf)
		f.buf = appendRecord(f.buf, f.seg.seed, c)
		j.enter(string(c.key), place{seg: f.seg, at: f.at + int64(offset), size: len(f.buf) - offset, gone: c.delete})
	}
	return int64(len(f.buf)) > min(maxPending, j.size/4), nil
}

// enter takes the record at p into the index. j.mu is held.
func (j *journalStore) enter(key string, p place) {
	old, known := j.index.Get(key)
	if known {
		p.base = old.base
		if old.seg != nil {
			old.seg.live -= int64(old.size)
		}
	}
	if p.gone && !p.base {
		if known {
			j.index.Delete(key)
		}
		return
	}
	p.seg.live += int64(p.size)
	j.index.Set(key, p)
}

// flush writes what waits, and syncs it and all before.
func (j *journalStore) flush(sync bool) error {
	j.io.Lock()
	defer j.io.Unlock()
	if err := j.err(); err != nil {
		return err
	}
	if j.shut {
		return &StoreError{Op: "use", Folder: j.base.cfg.Dir, Err: errStoreClosed}
	}
	full, err := j.put(sync)
	for err == nil && full {
		full, err = j.roll()
	}
	if err != nil {
		return j.base.fail("write", withRemedy(err))
	}
	return j.err()
}

// withRemedy adds to an error of the system what to do about it.
func withRemedy(err error) error {
	if errors.Is(err, ErrStore) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrDiskFull) {
		return err // it says so itself
	}
	return &fatalError{text: err.Error(), cause: err}
}

// put writes the next frame, if there is anything in it. It tells whether the segment is
// full: the frames to come belong to one that has to be made first. j.io is held.
func (j *journalStore) put(sync bool) (full bool, err error) {
	f, end := j.take()
	if len(f.buf) > 0 {
		if uint64(len(f.buf)) > math.MaxUint32 {
			return false, fmt.Errorf("%d bytes are too many for one write", len(f.buf))
		}
		if err := j.base.guardSpace(); err != nil {
			return false, err
		}
		if err := j.extend(end); err != nil {
			return false, err
		}
		if _, err := j.file.WriteAt(f.buf, f.at); err != nil {
			return false, err
		}
		full = end >= j.size
		j.landed(f)
	}
	if sync {
		err = j.sync()
	}
	return full, err
}

// extend makes the newest segment's file as long as it has to be, and a good deal longer
// if it has to become longer at all: what is written there later costs a fifth less, and
// does not wait for the file system's own log. In small pieces, or the system counts (and
// throttles) a write of one page as one of the whole piece. j.io is held.
func (j *journalStore) extend(end int64) error {
	if end <= j.extent {
		return nil
	}
	for to := max(end, j.extent+min(extendBy, j.size)); j.extent < to; {
		n, err := j.file.WriteAt(zeros, j.extent)
		if err != nil {
			return err
		}
		j.extent += int64(n)
	}
	return nil
}

// take begins another frame and returns the one before, ready to be written, and where it
// ends in its segment.
func (j *journalStore) take() (f frame, end int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.next.buf) <= frameHead {
		return f, 0
	}
	j.written++
	j.next.seal(j.written, j.durable)
	f = j.next
	j.flight = f
	end = f.at + int64(len(f.buf))
	f.seg.size = end
	j.next = frame{seg: f.seg, at: end, buf: j.spare}
	j.spare = nil
	if end >= j.size {
		j.begin(f.seg.number + 1)
	}
	j.next.reset()
	return f, end
}

// begin has the next frame go to a new segment. j.mu is held.
func (j *journalStore) begin(number uint64) {
	seg := &segment{segmentHead: newSegmentHead(number, j.written+1), pins: 1}
	j.segs = append(j.segs, seg)
	j.next.seg, j.next.at = seg, journalPage
}

// landed has what was in the frame be read from the file.
func (j *journalStore) landed(f frame) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.flight = frame{}
	if cap(f.buf) <= maxSpare {
		j.spare = f.buf
	}
}

// sync makes durable what was written. j.io is held.
func (j *journalStore) sync() error {
	if j.durable == j.written {
		return nil
	}
	if err := j.file.SyncData(); err != nil {
		return err
	}
	j.durable = j.written
	return nil
}

// Close implements [Store]. It syncs, and notes how many frames there are.
func (j *journalStore) Close() error {
	err := j.finish()
	if berr := j.base.Close(); err == nil {
		err = berr
	}
	j.closeFiles()
	return err
}

func (j *journalStore) finish() error {
	if j.err() != nil {
		return nil
	}
	j.io.Lock()
	defer j.io.Unlock()
	if j.shut || j.err() != nil {
		return nil
	}
	j.shut = true
	full, err := j.put(true)
	if err != nil {
		return j.base.fail("close", withRemedy(err))
	}
	newest := j.next.seg.number
	if full {
		newest-- // nothing is in the next one, and it is not made
	}
	return j.saveNote(newest)
}

// closeFiles closes what nobody reads. Whoever hangs in a write of a store that has
// failed keeps the files.
func (j *journalStore) closeFiles() {
	if !j.io.TryLock() {
		return
	}
	defer j.io.Unlock()
	j.shut = true
	if j.file != nil {
		_ = j.file.Close() // it was synced, or the store has failed
		j.file = nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, seg := range j.segs {
		j.unpin(seg)
	}
	j.segs, j.closed = nil, true
}
