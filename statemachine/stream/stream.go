// Package stream writes and reads the canonical encoding of package canon as a
// stream, for snapshots too large to hold in memory. Fixed-size numbers are
// big-endian; byte strings have a 32-bit length in front.
package stream

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrMalformed is wrapped by every error of a [Reader] that the bytes cause, also
// by a premature end. An error of the underlying reader is passed on as it is.
var ErrMalformed = errors.New("malformed stream")

// Writer encodes to an io.Writer and remembers the first error.
type Writer struct {
	w   *bufio.Writer
	n   int64
	err error
	buf [8]byte
}

// NewWriter returns a Writer; [Writer.Flush] must be called at the end.
func NewWriter(w io.Writer) *Writer { return &Writer{w: bufio.NewWriterSize(w, 64<<10)} }

// Fixed writes b as it is.
func (w *Writer) Fixed(b []byte) {
	if w.err == nil {
		var n int
		n, w.err = w.w.Write(b)
		w.n += int64(n)
	}
}

// Uint8 writes one byte.
func (w *Writer) Uint8(v uint8) { w.buf[0] = v; w.Fixed(w.buf[:1]) }

// Uint32 writes four bytes.
func (w *Writer) Uint32(v uint32) {
	binary.BigEndian.PutUint32(w.buf[:], v)
	w.Fixed(w.buf[:4])
}

// Uint64 writes eight bytes.
func (w *Writer) Uint64(v uint64) {
	binary.BigEndian.PutUint64(w.buf[:], v)
	w.Fixed(w.buf[:8])
}

// Bytes writes the length of b, then b.
func (w *Writer) Bytes(b []byte) { w.Uint32(uint32(len(b))); w.Fixed(b) }

// String writes s as Bytes would.
func (w *Writer) String(s string) {
	w.Uint32(uint32(len(s)))
	if w.err == nil {
		var n int
		n, w.err = w.w.WriteString(s)
		w.n += int64(n)
	}
}

// Err returns the first error.
func (w *Writer) Err() error { return w.err }

// Flush writes out what is buffered and returns the number of bytes written so
// far and the first error.
func (w *Writer) Flush() (int64, error) {
	if w.err == nil {
		w.err = w.w.Flush()
	}
	return w.n, w.err
}

// Reader decodes and remembers the first error, after which it returns zeros. It
// never allocates much more than it has read, whatever a length claims.
type Reader struct {
	r   *bufio.Reader
	n   int64
	err error
	buf [8]byte
}

// NewReader returns a Reader. If r is a *bufio.Reader of some size it is used as
// it is, so that nothing is read ahead of what it holds.
func NewReader(r io.Reader) *Reader {
	if b, ok := r.(*bufio.Reader); ok {
		return &Reader{r: b}
	}
	return &Reader{r: bufio.NewReaderSize(r, 64<<10)}
}

// Read is the number of bytes decoded so far.
func (r *Reader) Read() int64 { return r.n }

// Rest is what has not been decoded yet.
func (r *Reader) Rest() *bufio.Reader { return r.r }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Fail records an error that wraps ErrMalformed, unless an earlier one stands.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
}

// failed records what reading the source returned.
func (r *Reader) failed(err error) {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		r.Fail("it ends too early")
	} else if r.err == nil {
		r.err = err
	}
}

// Fixed fills dst.
func (r *Reader) Fixed(dst []byte) {
	if r.err != nil {
		clear(dst)
		return
	}
	n, err := io.ReadFull(r.r, dst)
	if r.n += int64(n); err != nil {
		clear(dst)
		r.failed(err)
	}
}

// Uint8 reads one byte.
func (r *Reader) Uint8() uint8 { r.Fixed(r.buf[:1]); return r.buf[0] }

// Uint32 reads four bytes.
func (r *Reader) Uint32() uint32 { r.Fixed(r.buf[:4]); return binary.BigEndian.Uint32(r.buf[:4]) }

// Uint64 reads eight bytes.
func (r *Reader) Uint64() uint64 { r.Fixed(r.buf[:8]); return binary.BigEndian.Uint64(r.buf[:8]) }

// growth is how much is allocated ahead of what has arrived.
const growth = 64 << 10

// Bytes reads a byte string of at most limit bytes into memory of its own. An
// empty one is nil.
func (r *Reader) Bytes(limit int) []byte {
	n := int64(r.Uint32())
	if r.err != nil || n == 0 {
		return nil
	}
	if n > int64(limit) {
		r.Fail("byte string of %d bytes, limit %d", n, limit)
		return nil
	}
	b := make([]byte, min(n, growth))
	for have := int64(0); ; {
		r.Fixed(b[have:])
		if r.err != nil {
			return nil
		}
		if have = int64(len(b)); have == n {
			return b
		}
		more := make([]byte, min(n, 2*have))
		copy(more, b)
		b = more
	}
}

// End checks that nothing is left.
func (r *Reader) End() error {
	if r.err == nil {
		switch _, err := r.r.ReadByte(); err {
		case nil:
			r.Fail("trailing bytes")
		case io.EOF:
		default:
			r.err = err
		}
	}
	return r.err
}
