package replica

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"

	"github.com/cockroachdb/pebble/vfs"
)

// The database ends its write-ahead log at the first record that it cannot read: a
// write that a crash tore, so it says. A disk that damages a record in the middle
// looks the same, and then everything after it is forgotten, votes that have left
// this replica among it. To tell the two apart every synced write carries a
// number, and a synced write begins only after the one before has ended: whoever
// finds number n knows that n-1 and all before it were durable, and misses them if
// the database does not come up with them. The limits: nothing tells damage to the
// last synced write from its interruption, and damage to a header hides the rest
// of its block of the log, 32 KiB.
//
// Numbers are looked for only where the log's own structure says that a record
// begins, never by searching bytes: what clients write is in the log too.

// walMark is the first change of a synced batch.
func walMark(n uint64) change {
	return change{key: hostKey(HostKey{Kind: hostSync}), value: binary.BigEndian.AppendUint64(nil, n)}
}

func parseWALMark(value []byte) (uint64, bool) {
	if len(value) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(value), true
}

// The format of the log: blocks that begin with a chunk and are filled with them;
// a chunk has a header of checksum, length, type and the log's number, and holds a
// record or a part of one.
const (
	walBlock  = 32 << 10
	walHeader = 11
	walFull   = 5
	walFirst  = 6
	walMiddle = 7
	walLast   = 8
)

// walSeen is what a log says of itself.
type walSeen struct {
	// replayed is the highest number before the first record that cannot be read,
	// highest that of all.
	replayed, highest uint64
	// head is how the record begins that goes on in the next block, as far as its
	// number may be in it.
	head []byte
}

// markedHead is more than a record's bytes up to the end of its number.
const markedHead = 64

// suspicious tells whether the log needs a closer look.
func (w walSeen) suspicious() bool { return w.highest > w.replayed }

// lost tells whether a database that came up with this number forgot something.
func (w walSeen) lost(number uint64) bool { return w.highest > number+1 }

// scanWAL reads one log of the database in dir.
func scanWAL(disk vfs.FS, dir string, log walFile) (walSeen, error) {
	f, err := disk.Open(filepath.Join(dir, log.name))
	if err != nil {
		return walSeen{}, err
	}
	defer func() { _ = f.Close() }()
	return readWAL(f, uint32(log.number)) //nolint:gosec // the log has the low 32 bits
}

func readWAL(r io.Reader, number uint32) (walSeen, error) {
	var seen walSeen
	intact := true
	block := make([]byte, walBlock)
	for {
		n, err := io.ReadFull(r, block)
		if n > 0 && !seen.block(block[:n], number, intact) {
			intact = false
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return seen, nil
		}
		if err != nil {
			return seen, err
		}
	}
}

// block takes the marks of one block, and tells whether all of it can be read. A
// chunk of which only the content is damaged does not hide those after it.
func (w *walSeen) block(b []byte, number uint32, intact bool) bool {
	for len(b) >= walHeader {
		length := int(binary.LittleEndian.Uint16(b[4:]))
		kind := b[6]
		if kind < walFull || kind > walLast || binary.LittleEndian.Uint32(b[7:]) != number || walHeader+length > len(b) {
			w.head = nil
			return false
		}
		chunk := b[:walHeader+length]
		b = b[len(chunk):]
		if binary.LittleEndian.Uint32(chunk) != walChecksum(chunk[6:]) {
			intact = false
			w.head = nil
			continue
		}
		data := chunk[walHeader:]
		if kind == walMiddle || kind == walLast {
			if w.head == nil {
				continue
			}
			data = append(w.head, data[:min(len(data), markedHead)]...)
		}
		w.head = nil
		if kind != walFull && kind != walLast && len(data) < markedHead {
			w.head = bytes.Clone(data)
			continue
		}
		if n, ok := markOfBatch(data); ok {
			w.highest = max(w.highest, n)
			if intact {
				w.replayed = max(w.replayed, n)
			}
		}
	}
	return intact
}

func walChecksum(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// markOfBatch reads the number in a batch, which begins with 12 bytes of its own
// and then has its changes: a kind (1 sets), and key and value with their lengths.
func markOfBatch(b []byte) (uint64, bool) {
	key := hostKey(HostKey{Kind: hostSync})
	prefix := append([]byte{1, byte(len(key))}, key...)
	if len(b) < 12 || !bytes.HasPrefix(b[12:], prefix) {
		return 0, false
	}
	b = b[12+len(prefix):]
	size := sealOverhead + len(key) + 8
	if len(b) < 1+size || int(b[0]) != size {
		return 0, false
	}
	value, fault := unseal(key, b[1:1+size])
	if fault != "" {
		return 0, false
	}
	return parseWALMark(value)
}

// lostWrites is the error of a log with damage in its middle.
func lostWrites(dir string, came, seen uint64) error {
	return &CorruptError{Folder: dir, Key: "write-ahead log",
		Detail: fmt.Sprintf("synced write %d is there, and those after %d cannot be read", seen, came)}
}
