package store

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// record is what a key was mapped to from a height on.
type record struct {
	value   []byte
	height  uint64 // of the block that wrote it; 0 if that is not known
	deleted bool
}

func (r *record) is(value []byte, deleted bool) bool {
	return r.deleted == deleted && string(r.value) == string(value)
}

var errRecordFormat = errors.New("malformed record")

// encode returns the record as it stands in the database.
func (r *record) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 9+len(r.value)), r.height)
	if r.deleted {
		return append(b, 1)
	}
	return append(append(b, 0), r.value...)
}

// decodeRecord reads what encode wrote; the value aliases b. With an error that is all
// of b, for whoever wants to see the damage.
func decodeRecord(b []byte) (r record, err error) {
	if len(b) < 9 || b[8] > 1 || b[8] == 1 && len(b) > 9 {
		return record{value: b}, fmt.Errorf("%w: %w: %d bytes", ErrCorrupt, errRecordFormat, len(b))
	}
	r.height, r.deleted = binary.BigEndian.Uint64(b), b[8] == 1
	if !r.deleted {
		r.value = b[9:len(b):len(b)]
	}
	return r, nil
}
