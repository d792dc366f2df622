package replica

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/tidwall/btree"

	"github.com/parley-bft/parley/pbft"
)

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// Get implements [Store].
func (j *journalStore) Get(key pbft.RecordKey) ([]byte, error) { return j.get(recordKey(key), key) }

// GetHost implements [Store].
func (j *journalStore) GetHost(key HostKey) ([]byte, error) { return j.get(hostKey(key), key) }

func (j *journalStore) get(key []byte, name fmt.Stringer) ([]byte, error) {
	p, ok, err := j.find(string(key))
	if err != nil || !ok || p.gone {
		return nil, err
	}
	if p.seg == nil {
		return j.base.get(key, name)
	}
	defer j.release(p.seg)
	value, err := j.valueAt(string(key), p)
	if err != nil {
		return nil, j.base.fail("read "+name.String(), err)
	}
	return value, nil
}

// find returns where a key's value is, and pins the segment.
func (j *journalStore) find(key string) (p place, ok bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return p, false, err
	}
	if p, ok = j.index.Get(key); ok && !p.gone && p.seg != nil {
		p.seg.pins++
	}
	return p, ok, nil
}

func (j *journalStore) release(segs ...*segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, seg := range segs {
		j.unpin(seg)
	}
}

// valueAt reads the record at p, whose segment must be pinned.
func (j *journalStore) valueAt(key string, p place) ([]byte, error) {
	b := j.unwritten(p)
	if b == nil {
		var err error
		if b, err = readAt(p.seg.file, nil, p.at, int64(p.size)); err != nil {
			return nil, fmt.Errorf("%s: %w", segmentName(p.seg.number), err)
		}
	}
	c, size, fault := parseRecord(b, p.seg.seed)
	switch {
	case fault != "":
	case size != p.size || c.delete || string(c.key) != key:
		fault = "holds the value of another key"
	default:
		return c.value, nil
	}
	return nil, &CorruptError{Folder: j.dir, Key: keyName([]byte(key)), Detail: fault + " in " + segmentName(p.seg.number)}
}

// unwritten returns a copy of the record at p, or nil if it is in its file.
func (j *journalStore) unwritten(p place) []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range [...]*frame{&j.next, &j.flight} {
		if f.seg == p.seg && p.at >= f.at {
			at := p.at - f.at
			return slices.Clone(f.buf[at : at+int64(p.size)])
		}
	}
	return nil
}

// scan calls yield for the keys in [from, to) as they are now, in order. What is in the
// database is as of the time that it is read, and nil if it is gone by then.
func (j *journalStore) scan(from, to []byte, yield func(key []byte, value func() ([]byte, error)) error) error {
	index, pinned, err := j.snapshot()
	if err != nil {
		return err
	}
	defer j.release(pinned...)
	index.Ascend(string(from), func(key string, p place) bool {
		if key >= string(to) {
			return false
		}
		if !p.gone {
			err = yield([]byte(key), func() ([]byte, error) {
				if p.seg == nil {
					return j.base.get([]byte(key), namedKey(key))
				}
				value, err := j.valueAt(key, p)
				if err != nil {
					return nil, j.base.fail("read", err)
				}
				return value, nil
			})
		}
		return err == nil
	})
	return err
}

// snapshot returns the index as it is now, and pins the segments.
func (j *journalStore) snapshot() (index *btree.Map[string, place], pinned []*segment, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return nil, nil, err
	}
	for _, seg := range j.segs {
		seg.pins++
	}
	return j.index.Copy(), slices.Clone(j.segs), nil
}

// namedKey is a key of the database that tells its name.
type namedKey string

func (k namedKey) String() string { return keyName([]byte(k)) }

func (j *journalStore) malformed(key []byte, detail string) error {
	return j.base.malformed(key, detail)
}

// Load implements [Store].
func (j *journalStore) Load(want func(pbft.RecordKey) bool, yield func(pbft.Record) error) error {
	return load(j, want, yield)
}

// Seek implements [Store].
func (j *journalStore) Seek(kind pbft.RecordKind, from uint64, yield func(pbft.Record) bool) error {
	return seek(j, kind, from, yield)
}

// ScanHost implements [Store].
func (j *journalStore) ScanHost(kind HostKind, from, to pbft.Height, yield func(HostKey, []byte) error) error {
	return scanHost(j, kind, from, to, yield)
}
