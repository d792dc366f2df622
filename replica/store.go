package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/parley-bft/parley/internal/diskspace"
	"github.com/parley-bft/parley/pbft"
)

// Store is the durable memory of a replica: the protocol's records and, under
// keys of their own, the host's.
//
// Write and WriteHost apply all of their records or none. With sync they return
// when that and everything written before is on the disk. Without sync a crash may
// lose the tail of what was written, never something in the middle.
//
// An error of any method other than a miss is final: the store has failed, every
// later call returns the same error, and whoever owns it must stop taking part. A
// failed sync is never tried again, because the system may have marked the data
// that it could not write as clean.
//
// All methods are safe for concurrent use.
type Store interface {
	// Write applies records in order.
	Write(records []pbft.Record, sync bool) error

	// Load calls yield for every record that want accepts (nil: all), in ascending
	// order of keys, and stops at the first error. The value is yield's to keep.
	Load(want func(pbft.RecordKey) bool, yield func(pbft.Record) error) error

	// Get returns a record's value, or nil if there is none.
	Get(key pbft.RecordKey) ([]byte, error)

	// Seek calls yield for the records of one kind with Height >= from, in ascending
	// order of keys, until it returns false.
	Seek(kind pbft.RecordKind, from uint64, yield func(pbft.Record) (more bool)) error

	// WriteHost applies the host's records in order.
	WriteHost(records []HostRecord, sync bool) error

	// GetHost returns the value of a host's key, or nil if there is none.
	GetHost(key HostKey) ([]byte, error)

	// ScanHost calls yield for the host's keys of one kind with from <= Height < to
	// in ascending order, and stops at the first error.
	ScanHost(kind HostKind, from, to pbft.Height, yield func(HostKey, []byte) error) error

	// Close releases the store; what was not synced may be lost.
	Close() error
}

// HostKind tells what a host's record holds.
type HostKind uint8

// The kinds of the host's records. The numbers are part of the storage format.
const (
	// HostBorn is the single record that says that this store was started once, and
	// how; see [Born].
	HostBorn HostKind = 1
	// HostReplies holds the replies of the block at Height.
	HostReplies HostKind = 2
	// HostLeaves holds the leaves of the block at Height, as digests.
	HostLeaves HostKind = 3
	// HostCertified holds the certificate of the checkpoint at Height.
	HostCertified HostKind = 4
	// HostSplit is a single record, with the height of a checkpoint for which no certificate
	// can exist, until a later one has one.
	HostSplit HostKind = 7
	// hostSync counts the synced writes of the database; see walMark.
	hostSync HostKind = 5
	// hostJournal is the database's note of the journal; see journalNote.
	hostJournal HostKind = 6
)

// HostKey identifies one of the host's records.
type HostKey struct {
	Kind   HostKind
	Height pbft.Height
}

func (k HostKey) String() string { return fmt.Sprintf("host(%d)/%d", k.Kind, k.Height) }

// HostRecord is a key and a value, or the deletion of a key.
type HostRecord struct {
	Key    HostKey
	Value  []byte
	Delete bool
}

// Errors of stores; test with errors.Is.
var (
	// ErrStore is wrapped by everything that goes wrong with a store.
	ErrStore = errors.New("store failed")
	// ErrDiskFull: there is less space left than the reserve, or none. It is that of
	// statemachine/store, too.
	ErrDiskFull = diskspace.ErrFull
	// ErrCorrupt: a value is not the one that was written under its key.
	ErrCorrupt = errors.New("stored value is corrupt")
	// ErrLocked: another process has the data folder open.
	ErrLocked = errors.New("data folder is in use")
	// ErrIdentity: the data folder belongs to somebody else.
	ErrIdentity = errors.New("data folder has another identity")
)

// StoreError says which operation failed and where.
type StoreError struct {
	Op     string
	Folder string
	Err    error
}

func (e *StoreError) Error() string {
	return fmt.Sprintf("store in %s: %s: %v", e.Folder, e.Op, e.Err)
}

// Unwrap returns the cause and [ErrStore].
func (e *StoreError) Unwrap() []error { return []error{ErrStore, e.Err} }

// DiskFullError reports too little space. It is [ErrDiskFull].
type DiskFullError = diskspace.FullError

// CorruptError reports a value that is not the one that was written. It is never
// repaired on the quiet: an acknowledged vote may be among what was lost.
type CorruptError struct {
	Folder string
	Key    string
	Detail string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%v: %s in %s: %s: the disk lost something that this replica may have signed; "+
		"do not restore an older copy, move the folder away and start with an empty one: the replica rejoins as a follower",
		ErrCorrupt, e.Key, e.Folder, e.Detail)
}

// Unwrap returns [ErrCorrupt].
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// storeFailure makes a StoreError of err, and of the system's "no space" one that
// is also an ErrDiskFull.
func storeFailure(op, folder string, err error) error {
	return &StoreError{Op: op, Folder: folder, Err: diskspace.Explain(folder, err)}
}

// A stored value is: format, checksum, length of the key, the key, the value. The
// key is in it so that a block of the disk that ended up in the place of another,
// or an old one that a write did not replace, is noticed.
const (
	sealFormat   = 1
	sealOverhead = 1 + 4 + 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func seal(key, value []byte) []byte {
	b := make([]byte, sealOverhead, sealOverhead+len(key)+len(value))
	b[0] = sealFormat
	b[5] = byte(len(key))
	b = append(b, key...)
	b = append(b, value...)
	binary.BigEndian.PutUint32(b[1:], crc32.Checksum(b[5:], castagnoli))
	return b
}

// unseal returns the value, which aliases b, or what is wrong with it.
func unseal(key, b []byte) (value []byte, fault string) {
	if len(b) < sealOverhead {
		return nil, fmt.Sprintf("%d bytes are too few for any value", len(b))
	}
	if b[0] != sealFormat {
		return nil, fmt.Sprintf("format %d, this program knows %d", b[0], sealFormat)
	}
	if want, got := binary.BigEndian.Uint32(b[1:]), crc32.Checksum(b[5:], castagnoli); want != got {
		return nil, fmt.Sprintf("checksum %08x, should be %08x", got, want)
	}
	n := int(b[5])
	if len(b) < sealOverhead+n || string(b[sealOverhead:sealOverhead+n]) != string(key) {
		return nil, "holds the value of another key"
	}
	return b[sealOverhead+n:], ""
}

// The first byte of a key in the database tells the two namespaces apart.
const (
	spaceRecords = 1
	spaceHost    = 2
)

func recordKey(k pbft.RecordKey) []byte {
	return k.Append(append(make([]byte, 0, 1+pbft.RecordKeySize), spaceRecords))
}

func hostKey(k HostKey) []byte { return appendHostKey(make([]byte, 0, 10), k) }

func appendHostKey(b []byte, k HostKey) []byte {
	return binary.BigEndian.AppendUint64(append(b, spaceHost, byte(k.Kind)), uint64(k.Height))
}

// seekRange is the range of keys of one kind from a height on.
func seekRange(kind pbft.RecordKind, from uint64) (lo, hi []byte) {
	lo = binary.BigEndian.AppendUint64([]byte{spaceRecords, byte(kind)}, from)
	return lo, []byte{spaceRecords, byte(kind) + 1}
}

func parseHostKey(b []byte) (HostKey, bool) {
	if len(b) != 10 || b[0] != spaceHost {
		return HostKey{}, false
	}
	return HostKey{Kind: HostKind(b[1]), Height: pbft.Height(binary.BigEndian.Uint64(b[2:]))}, true
}
