// Package canon is the canonical encoding of everything that is hashed, signed
// or sent between replicas: fixed-size big-endian numbers, byte strings with a
// 32-bit length in front, nothing optional, one encoding for a value.
//
// A [Reader] never panics and never allocates more than its input holds: every
// length is checked against a limit and against what is left before anything is
// taken. It remembers the first error, so a decoder reads all fields and asks
// once, at the end ([Reader.Close], which also refuses trailing bytes).
package canon

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by every error of a [Reader].
var ErrMalformed = errors.New("malformed encoding")

// AppendUint8 appends one byte.
func AppendUint8(b []byte, v uint8) []byte { return append(b, v) }

// AppendUint16 appends v in two bytes, big-endian.
func AppendUint16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }

// AppendUint32 appends v in four bytes, big-endian.
func AppendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

// AppendUint64 appends v in eight bytes, big-endian.
func AppendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// AppendBool appends 1 or 0.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendBytes appends the length of v in four bytes, then v.
func AppendBytes(b, v []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
	return append(b, v...)
}

// AppendString appends s as [AppendBytes] would.
func AppendString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// Reader takes values off an encoding in order. The zero Reader reads nothing.
type Reader struct {
	rest []byte
	err  error
}

// NewReader returns a Reader of b. Byte strings that it returns alias b.
func NewReader(b []byte) *Reader { return &Reader{rest: b} }

// Err returns the first error, or nil.
func (r *Reader) Err() error { return r.err }

// Len returns the number of bytes not yet read.
func (r *Reader) Len() int { return len(r.rest) }

// Rest returns what is not yet read, aliasing the input.
func (r *Reader) Rest() []byte { return r.rest }

// Fail records err, wrapped in [ErrMalformed], unless an earlier error stands.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
		r.rest = nil
	}
}

// Close returns the first error; bytes left over are one.
func (r *Reader) Close() error {
	if len(r.rest) > 0 {
		r.Fail("%d trailing bytes", len(r.rest))
	}
	return r.err
}

// Fixed returns the next n bytes, aliasing the input, or nil after an error.
func (r *Reader) Fixed(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.rest) {
		r.Fail("%d bytes wanted, %d left", n, len(r.rest))
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// Copy fills dst with the next len(dst) bytes.
func (r *Reader) Copy(dst []byte) { copy(dst, r.Fixed(len(dst))) }

// Uint8 returns the next byte.
func (r *Reader) Uint8() uint8 {
	if b := r.Fixed(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 returns the next two bytes.
func (r *Reader) Uint16() uint16 {
	if b := r.Fixed(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// Uint32 returns the next four bytes.
func (r *Reader) Uint32() uint32 {
	if b := r.Fixed(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Uint64 returns the next eight bytes.
func (r *Reader) Uint64() uint64 {
	if b := r.Fixed(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Bool returns the next byte as a truth value; anything but 0 and 1 is an error.
func (r *Reader) Bool() bool {
	switch v := r.Uint8(); v {
	case 0:
		return false
	case 1:
		return true
	default:
		r.Fail("truth value %d", v)
		return false
	}
}

// Bytes returns the next byte string, aliasing the input; longer than limit is
// an error.
func (r *Reader) Bytes(limit int) []byte {
	n := r.Uint32()
	if r.err != nil {
		return nil
	}
	if uint64(n) > uint64(limit) {
		r.Fail("byte string of %d bytes, limit %d", n, limit)
		return nil
	}
	return r.Fixed(int(n))
}

// Count returns a 32-bit number of elements that follow; above limit, or more
// than could be left with at least minSize bytes each, is an error. A decoder may
// therefore allocate for the count at once.
func (r *Reader) Count(limit, minSize int) int {
	n := r.Uint32()
	if r.err != nil {
		return 0
	}
	if uint64(n) > uint64(limit) {
		r.Fail("%d elements, limit %d", n, limit)
		return 0
	}
	if minSize > 0 && uint64(n)*uint64(minSize) > uint64(len(r.rest)) {
		r.Fail("%d elements of at least %d bytes, %d bytes left", n, minSize, len(r.rest))
		return 0
	}
	return int(n)
}
