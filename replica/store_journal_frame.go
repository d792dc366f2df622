package replica

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// The format of a segment. It begins with a page that has its head:
//
//	magic (8) number (8) nonce (8) first (8) checksum of these (4), zeros
//
// first is the number of its first frame; all frames of a store are numbered. The nonce
// is random: what the file held before it was used again has another one, and a client,
// whose bytes are in the journal too, cannot know it and make them look like a frame.
//
// Frames follow, each filled up to whole pages, so that no write touches a page that was
// synced before:
//
//	checksum of the rest of the head (4) length (4) nonce (8) number (8) durable (8), records
//
// The length is that of the records. durable is the number of the last frame that was
// durable when this one was made: who finds this one knows that that one must be there.
// A record has a checksum, and with those of the head and of all records a frame is whole:
//
//	checksum of the rest (4) operation (1) length of the key (1) length of the value (4), key, value
//
// The checksum begins with the nonce, so a record that the disk left from an earlier use
// of the file is none; and the key is in it, so a misdirected one is noticed.
const (
	journalMagic = "PARLEYJ1"
	journalPage  = 4096
	frameHead    = 4 + 4 + 8 + 8 + 8
	recordHead   = 4 + 1 + 1 + 4

	opSet    = 1
	opDelete = 2

	segmentSuffix = ".seg"
)

// segmentHead is what a segment says of itself.
type segmentHead struct {
	number, nonce uint64
	// first is the number of the first frame.
	first uint64
	// seed is what the checksums of its records begin with; it follows from the nonce.
	seed uint32
}

func segmentName(number uint64) string { return fmt.Sprintf("%08d%s", number, segmentSuffix) }

// parseSegmentName returns 0 for other files.
func parseSegmentName(name string) uint64 {
	base, ok := strings.CutSuffix(name, segmentSuffix)
	n, err := strconv.ParseUint(base, 10, 64)
	if !ok || err != nil || segmentName(n) != name {
		return 0
	}
	return n
}

func newSegmentHead(number, first uint64) segmentHead {
	var nonce [8]byte
	_, _ = rand.Read(nonce[:]) // does not fail
	return segmentHead{number, binary.BigEndian.Uint64(nonce[:]), first, crc32.Checksum(nonce[:], castagnoli)}
}

func (h *segmentHead) encode() []byte {
	b := make([]byte, 0, journalPage)
	b = append(b, journalMagic...)
	b = binary.BigEndian.AppendUint64(b, h.number)
	b = binary.BigEndian.AppendUint64(b, h.nonce)
	b = binary.BigEndian.AppendUint64(b, h.first)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:journalPage]
}

func (h *segmentHead) decode(b []byte) bool {
	const n = len(journalMagic) + 3*8
	if len(b) < n+4 || string(b[:len(journalMagic)]) != journalMagic ||
		binary.BigEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli) {
		return false
	}
	h.number, h.nonce, h.first = binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])
	h.seed = crc32.Checksum(b[16:24], castagnoli)
	return true
}

// frame is one that takes records or is being written.
type frame struct {
	seg *segment
	at  int64 // where it begins in the segment
	buf []byte
}

// reset makes room for the head.
func (f *frame) reset() {
	f.buf = append(f.buf[:0], make([]byte, frameHead)...)
}

// seal fills in the head, and fills the last page up.
func (f *frame) seal(number, durable uint64) {
	length := len(f.buf) - frameHead
	f.buf = append(f.buf, make([]byte, -len(f.buf)&(journalPage-1))...)
	h := frameHeader{length: uint32(length), number: number, durable: durable} //nolint:gosec // a write has 4 GiB at most
	h.encode(f.buf, f.seg.nonce)
}

// frameHeader is what a frame says of itself.
type frameHeader struct {
	length          uint32
	number, durable uint64
}

func (h *frameHeader) encode(b []byte, nonce uint64) {
	binary.BigEndian.PutUint32(b[4:], h.length)
	binary.BigEndian.PutUint64(b[8:], nonce)
	binary.BigEndian.PutUint64(b[16:], h.number)
	binary.BigEndian.PutUint64(b[24:], h.durable)
	binary.BigEndian.PutUint32(b, crc32.Checksum(b[4:frameHead], castagnoli))
}

func (h *frameHeader) decode(b []byte, nonce uint64) bool {
	if len(b) < frameHead || binary.BigEndian.Uint64(b[8:]) != nonce ||
		binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:frameHead], castagnoli) {
		return false
	}
	h.length, h.number, h.durable = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])
	return true
}

// pages is how much of a segment the frame takes.
func (h *frameHeader) pages() int64 {
	return (frameHead + int64(h.length) + journalPage - 1) &^ (journalPage - 1)
}

func appendRecord(b []byte, seed uint32, c change) []byte {
	start := len(b)
	op := byte(opSet)
	if c.delete {
		op, c.value = opDelete, nil
	}
	b = append(b, 0, 0, 0, 0, op, byte(len(c.key)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(c.value))) //nolint:gosec // a write has 4 GiB at most
	b = append(b, c.key...)
	b = append(b, c.value...)
	binary.BigEndian.PutUint32(b[start:], crc32.Update(seed, castagnoli, b[start+4:]))
	return b
}

// parseRecord reads the record that b begins with; key and value alias b. It returns the
// record's size, and 0 and what is wrong if there is none.
func parseRecord(b []byte, seed uint32) (c change, size int, fault string) {
	if len(b) < recordHead {
		return c, 0, fmt.Sprintf("%d bytes are too few for any value", len(b))
	}
	k := recordHead + int(b[5])
	n := uint64(k) + uint64(binary.BigEndian.Uint32(b[6:])) //nolint:gosec // not negative
	if n > uint64(len(b)) {
		return c, 0, "it does not end where it should"
	}
	size = int(n) //nolint:gosec // at most len(b)
	if want, got := binary.BigEndian.Uint32(b), crc32.Update(seed, castagnoli, b[4:size]); want != got {
		return c, 0, fmt.Sprintf("checksum %08x, should be %08x", got, want)
	}
	if b[4] != opSet && b[4] != opDelete {
		return c, 0, fmt.Sprintf("operation %d is unknown", b[4])
	}
	return change{key: b[recordHead:k:k], value: b[k:size:size], delete: b[4] == opDelete}, size, ""
}
