package replica

import (
	"encoding/binary"
	"io"

	"github.com/cockroachdb/pebble/vfs"
)

// journalNote is what the database knows of the journal.
type journalNote struct {
	// first and newest are the numbers of the segments that there must be.
	first, newest uint64
	// durable is the number of a frame that must be there, with all before it.
	durable uint64
}

func (n journalNote) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, n.first)
	b = binary.BigEndian.AppendUint64(b, n.newest)
	return binary.BigEndian.AppendUint64(b, n.durable)
}

func (n *journalNote) decode(b []byte) bool {
	if len(b) != 3*8 {
		return false
	}
	n.first, n.newest, n.durable = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])
	return n.first > 0 && n.first <= n.newest
}

// noteFrom is the note once all segments before a number are retired. j.io is held.
func (j *journalStore) noteFrom(first, newest uint64) change {
	return change{
		key:   hostKey(HostKey{Kind: hostJournal}),
		value: journalNote{first, newest, j.durable}.encode(),
	}
}

// saveNote makes it durable that the segments up to newest are there. j.io is held.
func (j *journalStore) saveNote(newest uint64) error {
	j.mu.Lock()
	note := j.noteFrom(j.segs[0].number, newest)
	j.mu.Unlock()
	return j.base.apply(1, func(int) change { return note }, true)
}

// roll makes the segment that the next frame belongs to, and retires old ones. It tells
// whether the new one is full already. j.io is held.
func (j *journalStore) roll() (full bool, err error) {
	if err := j.sync(); err != nil {
		return false, err
	}
	err = j.file.Close()
	j.file = nil
	if err != nil {
		return false, err
	}
	if err := j.create(); err != nil {
		return false, err
	}
	return j.retire()
}

// create makes the file of the newest segment, and notes it. j.io is held.
func (j *journalStore) create() error {
	j.mu.Lock()
	seg, reuse := j.next.seg, ""
	if n := len(j.free); n > 0 {
		reuse, j.free = j.free[n-1], j.free[:n-1]
	}
	j.mu.Unlock()
	path := j.path(seg.number)
	var out vfs.File
	var err error
	if reuse != "" {
		out, err = j.disk.ReuseForWrite(reuse, path)
	} else {
		out, err = j.disk.Create(path)
	}
	if err != nil {
		return err
	}
	j.file = out
	if j.extent, err = fileSize(out); err != nil {
		return err
	}
	if err := j.extend(journalPage); err != nil {
		return err
	}
	if _, err := out.WriteAt(seg.encode(), 0); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	if err := syncFolder(j.disk, j.dir); err != nil {
		return err
	}
	file, err := j.disk.Open(path)
	if err != nil {
		return err
	}
	j.mu.Lock()
	seg.file = file
	j.mu.Unlock()
	return j.saveNote(seg.number)
}

// outlived is a record that is in use although its segment is to be retired.
type outlived struct {
	key string
	place
}

// retire gives up the oldest segments as long as hardly anything in them is in use, or
// there are too many. j.io is held.
func (j *journalStore) retire() (full bool, err error) {
	victims, left := j.victims()
	if len(victims) == 0 {
		return false, nil
	}
	// What is out of use may be so owing to a record that is not durable yet.
	if full, err = j.put(true); err != nil {
		return full, err
	}
	first := victims[len(victims)-1].number + 1
	if err := j.moveToBase(left, first); err != nil {
		return full, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, o := range left {
		now, known := j.index.Get(o.key)
		if !known || now.seg != o.seg || now.at != o.at {
			continue // written again meanwhile
		}
		if o.gone {
			j.index.Delete(o.key)
		} else {
			j.index.Set(o.key, place{base: true})
		}
	}
	j.segs = append(j.segs[:0], j.segs[len(victims):]...)
	for _, seg := range victims {
		// Another reader closes it, and then its file is of no use any more.
		if reuse := seg.pins == 1 && len(j.free) < maxFree; reuse {
			j.free = append(j.free, j.path(seg.number))
		} else {
			_ = j.disk.Remove(j.path(seg.number)) // the next start removes it
		}
		j.unpin(seg)
	}
	return full, nil
}

// victims are the segments to retire, and what is in use of them; from now on the
// database may have that.
func (j *journalStore) victims() (victims []*segment, left []outlived) {
	j.mu.Lock()
	defer j.mu.Unlock()
	live := int64(0)
	for _, seg := range j.segs[:len(j.segs)-1] {
		if seg.live > j.size/32 && len(j.segs)-len(victims) <= maxSegments {
			break
		}
		live += seg.live
		victims = append(victims, seg)
	}
	if live == 0 {
		return victims, nil
	}
	last := victims[len(victims)-1].number
	j.index.Scan(func(key string, p place) bool {
		if p.seg != nil && p.seg.number <= last {
			p.base = true
			left = append(left, outlived{key, p})
		}
		return true
	})
	for _, o := range left {
		j.index.Set(o.key, o.place)
	}
	return victims, left
}

// maxMove bounds what is written to the database at once, in bytes.
const maxMove = 4 << 20

// moveToBase writes to the database what is left of the segments before first, and then
// that these are not needed any more. j.io is held.
func (j *journalStore) moveToBase(left []outlived, first uint64) error {
	var changes []change
	size := 0
	for _, o := range left {
		c := change{key: []byte(o.key), delete: o.gone}
		if !o.gone {
			value, err := j.valueAt(o.key, o.place)
			if err != nil {
				return err
			}
			c.value = value
		}
		changes = append(changes, c)
		if size += len(c.value); size > maxMove {
			if err := j.base.apply(len(changes), func(i int) change { return changes[i] }, false); err != nil {
				return err
			}
			changes, size = changes[:0], 0
		}
	}
	j.mu.Lock()
	newest := j.next.seg
	if newest.file == nil {
		newest = j.segs[len(j.segs)-2] // the last one that is made
	}
	j.mu.Unlock()
	changes = append(changes, j.noteFrom(first, newest.number))
	return j.base.apply(len(changes), func(i int) change { return changes[i] }, true)
}

// unpin closes the file of a segment that nobody needs. j.mu is held.
func (j *journalStore) unpin(seg *segment) {
	if seg.pins--; seg.pins == 0 && seg.file != nil {
		_ = seg.file.Close() // only read
	}
}

// readFrames calls yield for the frames of a segment, in order, as long as they are whole
// and up to the one with the number last. It returns the last one's number and where it
// ends. What yield is given is valid until it returns.
func readFrames(file io.ReaderAt, size int64, h segmentHead, last uint64, yield func(at int64, c change, size int)) (number uint64, end int64, err error) {
	var buf []byte
	var changes []recordAt
	number, end = h.first-1, journalPage
	for number < last && end < size {
		frame := frameHeader{}
		if buf, err = readAt(file, buf, end, min(frameHead, size-end)); err != nil {
			return number, end, err
		}
		if !frame.decode(buf, h.nonce) || frame.number != number+1 || frame.pages() > size-end {
			return number, end, nil
		}
		if buf, err = readAt(file, buf, end+frameHead, int64(frame.length)); err != nil {
			return number, end, err
		}
		var whole bool
		if changes, whole = parseRecords(buf, h.seed, changes[:0]); !whole {
			return number, end, nil
		}
		for _, r := range changes {
			yield(end+frameHead+r.at, r.change, r.size)
		}
		number, end = number+1, end+frame.pages()
	}
	return number, end, nil
}

// recordAt is a record in a frame.
type recordAt struct {
	change
	at   int64
	size int
}

// parseRecords adds the records of a frame to rs, and tells whether all of it is records.
func parseRecords(b []byte, seed uint32, rs []recordAt) (_ []recordAt, whole bool) {
	for at := 0; at < len(b); {
		c, size, fault := parseRecord(b[at:], seed)
		if fault != "" {
			return rs, false
		}
		rs = append(rs, recordAt{c, int64(at), size})
		at += size
	}
	return rs, true
}

// laterFrames returns the highest number that a frame behind the end has as durable.
func laterFrames(file io.ReaderAt, size, end int64, h segmentHead) (durable uint64, err error) {
	const chunk = 256 * journalPage
	var buf []byte
	for ; end < size; end += chunk {
		if buf, err = readAt(file, buf, end, min(chunk, size-end)); err != nil {
			return durable, err
		}
		for page := buf; len(page) > 0; page = page[min(journalPage, len(page)):] {
			frame := frameHeader{}
			if frame.decode(page, h.nonce) {
				durable = max(durable, frame.durable)
			}
		}
	}
	return durable, nil
}

// readAt reads n bytes into buf or a larger one.
func readAt(file io.ReaderAt, buf []byte, at, n int64) ([]byte, error) {
	if int64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	_, err := io.ReadFull(io.NewSectionReader(file, at, n), buf)
	return buf, err
}
