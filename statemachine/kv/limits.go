package kv

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/kv/kvop"
)

// Limits bound keys, values and what one operation can cost. They decide how
// operations end, so they must be equal on all replicas; the digest covers them.
type Limits struct {
	MaxKeyBytes   int // of one key, at least 1
	MaxValueBytes int // of one value
	MaxTxnOps     int // compares, and operations in each branch, of a transaction
	MaxRangeKeys  int // keys in the answer to one range
	// MaxResultBytes bounds the encoded result of one operation. A range that
	// reaches it stops and says that there is more; a value read in a transaction
	// that does not fit is left out and marked so. It should not be above
	// statemachine.Limits.MaxResultBytes.
	MaxResultBytes int
	// MaxStateBytes bounds the whole content, counting each key and value with
	// EntryOverhead; a write beyond it is refused with CodeNoSpace.
	MaxStateBytes int64
}

// EntryOverhead is what a key counts in [Limits.MaxStateBytes] beside its bytes.
const EntryOverhead = 256

// DefaultLimits allow keys of 4 KiB, values of 128 KiB, results of 1 MiB and a
// content of 4 GiB.
func DefaultLimits() Limits {
	return Limits{
		MaxKeyBytes:    4 << 10,
		MaxValueBytes:  128 << 10,
		MaxTxnOps:      128,
		MaxRangeKeys:   10_000,
		MaxResultBytes: 1 << 20,
		MaxStateBytes:  4 << 30,
	}
}

// ErrLimits is wrapped by every error of [Limits.Validate].
var ErrLimits = errors.New("kv limits")

// Validate names the first field that is out of range, its value and the remedy.
func (l Limits) Validate() error {
	switch {
	case l.MaxKeyBytes < 1 || l.MaxKeyBytes > 1<<20:
		return fmt.Errorf("%w: MaxKeyBytes is %d: set 1 to %d", ErrLimits, l.MaxKeyBytes, 1<<20)
	case l.MaxValueBytes < 1 || l.MaxValueBytes > 32<<20:
		return fmt.Errorf("%w: MaxValueBytes is %d: set 1 to %d", ErrLimits, l.MaxValueBytes, 32<<20)
	case l.MaxTxnOps < 1 || l.MaxTxnOps > kvop.MaxTxnOps:
		return fmt.Errorf("%w: MaxTxnOps is %d: set 1 to %d", ErrLimits, l.MaxTxnOps, kvop.MaxTxnOps)
	case l.MaxRangeKeys < 1 || l.MaxRangeKeys > 1<<20:
		return fmt.Errorf("%w: MaxRangeKeys is %d: set 1 to %d", ErrLimits, l.MaxRangeKeys, 1<<20)
	case l.MaxResultBytes < l.smallestResult() || l.MaxResultBytes > 64<<20:
		return fmt.Errorf("%w: MaxResultBytes is %d: set %d (for these keys, values and transactions) to %d",
			ErrLimits, l.MaxResultBytes, l.smallestResult(), 64<<20)
	case l.MaxStateBytes < 1<<10:
		return fmt.Errorf("%w: MaxStateBytes is %d: set at least 1024", ErrLimits, l.MaxStateBytes)
	}
	return nil
}

// smallestResult has room for one whole key and value, and for a transaction
// whose every answer has lost its value.
func (l Limits) smallestResult() int {
	return max(resultFixed+entryFixed+l.MaxKeyBytes+l.MaxValueBytes, resultFixed+l.MaxTxnOps*(bodyFixed+entryFixed+l.MaxKeyBytes))
}

const domainLimits = crypto.Domain("parley/kv-limits")

// Digest covers every field.
func (l Limits) Digest() crypto.Digest {
	b := canon.AppendUint64(nil, uint64(l.MaxKeyBytes))
	b = canon.AppendUint64(b, uint64(l.MaxValueBytes))
	b = canon.AppendUint64(b, uint64(l.MaxTxnOps))
	b = canon.AppendUint64(b, uint64(l.MaxRangeKeys))
	b = canon.AppendUint64(b, uint64(l.MaxResultBytes))
	b = canon.AppendUint64(b, uint64(l.MaxStateBytes))
	return crypto.Hash(domainLimits, b)
}
