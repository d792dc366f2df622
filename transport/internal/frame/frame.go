// Package frame is the format of what travels on a link between two replicas.
//
// A frame is one message of the underlying stream. Its first byte is its kind;
// a data frame then carries any number of entries up to its end, each a whole
// message or a part of one:
//
//	whole: tag(1) length(4) bytes
//	part:  tag(1) total(4) offset(4) length(4) bytes
//
// The tag holds the priority and whether it is a part. Numbers are big-endian.
package frame

import (
	"fmt"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/transport"
)

// Kind is the first byte of a frame.
type Kind uint8

// The kinds of frames. Hello opens a link; Welcome or Refusal answers it; Data
// and Ping go from the one who opened it, Pong and Alive the other way, and so does
// Farewell, which is the last.
const (
	Hello    Kind = 1
	Welcome  Kind = 2
	Refusal  Kind = 3
	Data     Kind = 4
	Ping     Kind = 5
	Pong     Kind = 6
	Alive    Kind = 7
	Farewell Kind = 8
)

const (
	// MaxSize is the largest frame in bytes.
	MaxSize = 256 << 10
	// MaxSmall is the largest frame that is not data.
	MaxSmall = 1 << 10

	tagBulk = 1
	tagPart = 2
)

// Entry is a message or a part of one. Its bytes alias the frame.
type Entry struct {
	Priority transport.Priority
	Part     bool
	Total    int // length of the whole message
	Offset   int // of the part within it
	Bytes    []byte
}

// AppendHeader appends what stands in front of the entry's bytes; e.Bytes is
// read for its length only.
func AppendHeader(dst []byte, e Entry) []byte {
	tag := byte(0)
	if e.Priority == transport.Bulk {
		tag |= tagBulk
	}
	if !e.Part {
		return canon.AppendUint32(append(dst, tag), uint32(len(e.Bytes)))
	}
	dst = append(dst, tag|tagPart)
	dst = canon.AppendUint32(dst, uint32(e.Total))
	dst = canon.AppendUint32(dst, uint32(e.Offset))
	return canon.AppendUint32(dst, uint32(len(e.Bytes)))
}

// HeaderSize is the number of bytes AppendHeader appends.
func HeaderSize(part bool) int {
	if part {
		return 13
	}
	return 5
}

// Parse appends the entries of a data frame to dst. No message in it is longer
// than maxMessage, none is empty, and a part is shorter than its whole. On an
// error nothing of the frame may be used.
func Parse(dst []Entry, b []byte, maxMessage int) ([]Entry, error) {
	if len(b) > MaxSize {
		return dst, fmt.Errorf("%w: frame of %d bytes, limit %d", canon.ErrMalformed, len(b), MaxSize)
	}
	r := canon.NewReader(b)
	if k := Kind(r.Uint8()); r.Err() == nil && k != Data {
		r.Fail("frame of kind %d, want data", k)
	}
	if r.Err() == nil && r.Len() == 0 {
		r.Fail("data frame without an entry")
	}
	for r.Err() == nil && r.Len() > 0 {
		dst = append(dst, parseEntry(r, maxMessage))
	}
	return dst, r.Close()
}

func parseEntry(r *canon.Reader, maxMessage int) Entry {
	var e Entry
	tag := r.Uint8()
	if tag&^(tagBulk|tagPart) != 0 {
		r.Fail("entry tag %#x", tag)
	}
	if tag&tagBulk != 0 {
		e.Priority = transport.Bulk
	}
	if e.Part = tag&tagPart != 0; !e.Part {
		e.Bytes = r.Bytes(maxMessage)
		e.Total = len(e.Bytes)
	} else {
		total, offset := uint64(r.Uint32()), uint64(r.Uint32())
		e.Bytes = r.Bytes(maxMessage)
		switch n := uint64(len(e.Bytes)); {
		case total > uint64(maxMessage):
			r.Fail("message of %d bytes announced, limit %d", total, maxMessage)
		case n >= total || offset > total-n:
			r.Fail("part of %d bytes at %d of a message of %d", n, offset, total)
		}
		e.Total, e.Offset = int(total), int(offset)
	}
	if r.Err() == nil && len(e.Bytes) == 0 {
		r.Fail("empty entry")
	}
	return e
}

// AppendProbe appends a Ping or Pong with its nonce.
func AppendProbe(dst []byte, k Kind, nonce uint64) []byte {
	return canon.AppendUint64(append(dst, byte(k)), nonce)
}

// ParseProbe reads what AppendProbe wrote, after the kind was looked at.
func ParseProbe(b []byte) (nonce uint64, err error) {
	r := canon.NewReader(b)
	r.Uint8()
	nonce = r.Uint64()
	return nonce, r.Close()
}
