package chaos

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"time"
)

// ErrViolation is wrapped by the error of a run that broke a promise.
var ErrViolation = errors.New("violation")

// Report is what came out of a run.
type Report struct {
	Seed uint64
	// Violations are broken promises; a run ends with the first.
	Violations []string
	// Trace is a hash over everything that happened. Equal options give equal hashes.
	Trace string
	// Virtual is how much time passed in the simulation, Real how much outside.
	Virtual, Real time.Duration
	// Recovery is how long after the storm the last client had its answer, Promise
	// how long that may take.
	Recovery, Promise time.Duration
	// Rejoining is how long it then took until those who had lost their disks could
	// vote again.
	Rejoining time.Duration
	// Events that were run, messages that arrived, blocks that were agreed on.
	Events, Messages uint64
	Blocks           int
	// Operations of clients, Unknown of them with an unknown outcome.
	Operations, Unknown int
	// Undecided: the clients' history was not judged in time.
	Undecided bool
	// Faults counts what was injected, by kind.
	Faults map[string]int
	// Sometimes counts rare situations, by name; see [Situations].
	Sometimes map[string]int
	// Transfers counts state transfers that were installed, ViewChanges the highest
	// view, Evidence proofs of misbehaviour that were found.
	Transfers, ViewChanges, Evidence int
	// Forks are pairs of honest replicas that committed different blocks, Findings how
	// often an invariant fell, with the first text: both only above the bound.
	Forks    []Fork
	Findings map[Invariant]int
	First    map[Invariant]string
}

// Err is nil if nothing was violated, and otherwise an error that wraps
// ErrViolation and says how to run the seed again.
func (r *Report) Err() error {
	if len(r.Violations) == 0 {
		return nil
	}
	return fmt.Errorf("%w in seed %d at %v: %s", ErrViolation, r.Seed, r.Virtual, strings.Join(r.Violations, "\n"))
}

// Injected is the number of faults of all kinds.
func (r *Report) Injected() int {
	n := 0
	for _, k := range r.Faults {
		n += k
	}
	return n
}

func (r *Report) String() string {
	var faults []string
	for _, k := range slices.Sorted(maps.Keys(r.Faults)) {
		faults = append(faults, fmt.Sprintf("%s:%d", k, r.Faults[k]))
	}
	return fmt.Sprintf("seed %d: %v virtual in %v, %d blocks, %d operations (%d unknown), view %d, %d transfers, %d proofs, recovered in %v, faults %v, trace %s",
		r.Seed, r.Virtual.Round(time.Millisecond), r.Real.Round(time.Millisecond), r.Blocks, r.Operations, r.Unknown, r.ViewChanges, r.Transfers, r.Evidence,
		r.Recovery.Round(time.Millisecond), faults, r.Trace)
}

// trace hashes what happens and, if somebody wants to read it, writes it down.
type trace struct {
	hash hash.Hash
	buf  []byte
	line func(string)
}

// traceBuffer is how many bytes are hashed at once.
const traceBuffer = 4 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (t *trace) init(line func(string)) { t.hash, t.line = sha256.New(), line }

// event takes something that happened: between two parties (-1: nobody), with its
// bytes. text is only for reading.
func (t *trace) event(now time.Duration, what string, from, to int, data []byte, text string) {
	t.add(now, what, from, to, len(data), crc32.Checksum(data, castagnoli), text)
}

// add is event with the length and the checksum of the bytes.
func (t *trace) add(now time.Duration, what string, from, to, size int, sum uint32, text string) {
	t.buf = binary.BigEndian.AppendUint64(t.buf, uint64(now))
	t.buf = binary.BigEndian.AppendUint16(t.buf, uint16(from))
	t.buf = binary.BigEndian.AppendUint16(t.buf, uint16(to))
	t.buf = append(t.buf, what...)
	t.buf = binary.BigEndian.AppendUint32(t.buf, uint32(size))
	t.buf = binary.BigEndian.AppendUint32(t.buf, sum)
	if len(t.buf) > traceBuffer {
		t.hash.Write(t.buf)
		t.buf = t.buf[:0]
	}
	if t.line == nil {
		return
	}
	who := ""
	switch {
	case from >= 0 && to >= 0:
		who = fmt.Sprintf("%d->%d ", from, to)
	case from >= 0:
		who = fmt.Sprintf("%d ", from)
	}
	t.line(fmt.Sprintf("%12v %s%s %s", now, who, what, text))
}

// reading tells whether texts are of use.
func (t *trace) reading() bool { return t.line != nil }

func (t *trace) sum() string {
	t.hash.Write(t.buf)
	t.buf = t.buf[:0]
	return hex.EncodeToString(t.hash.Sum(nil)[:8])
}
