package peertcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/parley-bft/parley/transport/internal/frame"
	"github.com/parley-bft/parley/transport/internal/outbound"
)

// lengthSize is what stands in front of each frame: its length, big-endian.
const lengthSize = 4

// stream carries frames over a TLS connection. One goroutine reads, one at a time
// writes.
type stream struct {
	conn  net.Conn // TLS
	frame []byte   // the last one read; its memory is that of the next one too
}

// read returns the next frame, of at most limit bytes. It is valid until the next
// call. Errors are those of the connection, or wrap errMalformed.
func (s *stream) read(limit int) ([]byte, error) {
	// Both reads are mostly served by what TLS has decrypted already.
	var length [lengthSize]byte
	if _, err := io.ReadFull(s.conn, length[:]); err != nil {
		return nil, plain(err)
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || uint64(n) > uint64(limit) {
		return nil, fmt.Errorf("%w: frame of %d bytes, limit %d", errMalformed, n, limit)
	}
	if int(n) > cap(s.frame) {
		s.frame = make([]byte, n)
	}
	s.frame = s.frame[:n]
	if _, err := io.ReadFull(s.conn, s.frame); err != nil {
		return nil, plain(err)
	}
	return s.frame, nil
}

// write sends a frame that was begun with newFrame.
func (s *stream) write(b []byte) error {
	binary.BigEndian.PutUint32(b, uint32(len(b)-lengthSize)) //nolint:gosec // frames are short
	_, err := s.conn.Write(b)
	return plain(err)
}

// newFrame empties b, and leaves room for the length of a frame to be appended.
func newFrame(b []byte) []byte { return append(b[:0], make([]byte, lengthSize)...) }

// appendPieces appends a data frame.
func appendPieces(b []byte, pieces []outbound.Piece) []byte {
	b = append(b, byte(frame.Data))
	for _, p := range pieces {
		part := p.Message[p.Offset:p.End]
		b = frame.AppendHeader(b, frame.Entry{
			Priority: p.Priority, Part: !p.Whole(), Total: len(p.Message), Offset: p.Offset, Bytes: part,
		})
		b = append(b, part...)
	}
	return b
}

// plain makes one of the many errors that say that the other end is gone.
func plain(err error) error {
	for _, gone := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, gone) {
			return errPeerClosed
		}
	}
	return err
}
