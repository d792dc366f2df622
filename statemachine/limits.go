package statemachine

import (
	"errors"
	"fmt"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Limits bound what clients can make every replica remember. They decide which
// requests run, so they must be equal on all replicas: their digest is part of
// the certified state.
type Limits struct {
	// MaxInFlight is the number of requests of one client, beyond the ones it has
	// had answers for, that may be executed in any order. A multiple of 64.
	MaxInFlight int
	// MaxLife is how far in the future of block time a request's deadline may lie.
	// The longer, the longer a session must be kept after its last request.
	MaxLife time.Duration
	// MaxSessions is the number of clients that are remembered at once.
	MaxSessions int
	// MaxResultBytes bounds the data of one result; a longer one is replaced by
	// CodeResultTooLarge.
	MaxResultBytes int
	// MaxReplyBytes bounds the data of all results of one request together. A result that
	// is over it is replaced by CodeResultTooLarge.
	MaxReplyBytes int
	// MaxCacheBytes bounds the results kept for clients that ask again, over all
	// sessions, each answer counted with [EntryOverhead] for its bookkeeping. The
	// oldest answers go first. What has been executed stays remembered. It bounds the
	// results of one block, too: one of more than 1 KiB for which those before it have
	// left no room is replaced by CodeResultTooLarge.
	MaxCacheBytes int64
	// MaxOpWork bounds what one operation reads, and MaxBlockWork what those of a block do
	// together, in entries and KiB; one client has a quarter of the latter, or MaxOpWork if that
	// is more: see [Meter]. What is beyond them is rejected, with CodeTooMuchWork and CodeBlockWorked.
	MaxOpWork    int64
	MaxBlockWork int64
}

// EntryOverhead is what a remembered answer and each of its results count in
// [Limits.MaxCacheBytes] beside the data.
const (
	EntryOverhead  = 192
	resultOverhead = 32
)

// DefaultLimits suit a cluster with tens of thousands of clients.
func DefaultLimits() Limits {
	return Limits{
		MaxInFlight:    64,
		MaxLife:        10 * time.Minute,
		MaxSessions:    65536,
		MaxResultBytes: 1 << 20,
		MaxReplyBytes:  4 << 20,
		MaxCacheBytes:  128 << 20,
		MaxOpWork:      1 << 16,
		MaxBlockWork:   1 << 18,
	}
}

// ErrLimits is wrapped by every error of [Limits.Validate].
var ErrLimits = errors.New("statemachine limits")

// Validate names the first field that is out of range, its value and the remedy.
func (l Limits) Validate() error {
	switch {
	case l.MaxInFlight < 64 || l.MaxInFlight > 4096 || l.MaxInFlight%64 != 0:
		return fmt.Errorf("%w: MaxInFlight is %d: set a multiple of 64 from 64 to 4096", ErrLimits, l.MaxInFlight)
	case l.MaxLife < time.Second || l.MaxLife > 30*24*time.Hour:
		return fmt.Errorf("%w: MaxLife is %v: set 1s to 720h", ErrLimits, l.MaxLife)
	case l.MaxSessions < 1 || l.MaxSessions > 1<<24:
		return fmt.Errorf("%w: MaxSessions is %d: set 1 to %d", ErrLimits, l.MaxSessions, 1<<24)
	case l.MaxResultBytes < 64 || l.MaxResultBytes > 64<<20:
		return fmt.Errorf("%w: MaxResultBytes is %d: set 64 to %d", ErrLimits, l.MaxResultBytes, 64<<20)
	case l.MaxReplyBytes < l.MaxResultBytes || l.MaxReplyBytes > 64<<20:
		return fmt.Errorf("%w: MaxReplyBytes is %d: set MaxResultBytes (%d) to %d", ErrLimits, l.MaxReplyBytes, l.MaxResultBytes, 64<<20)
	case l.MaxCacheBytes < int64(l.MaxReplyBytes) || l.MaxCacheBytes > 1<<40:
		return fmt.Errorf("%w: MaxCacheBytes is %d: set MaxReplyBytes (%d) to %d", ErrLimits, l.MaxCacheBytes, l.MaxReplyBytes, int64(1)<<40)
	case l.MaxOpWork < 1<<10 || l.MaxOpWork > 1<<40:
		return fmt.Errorf("%w: MaxOpWork is %d: set %d to %d", ErrLimits, l.MaxOpWork, 1<<10, int64(1)<<40)
	case l.MaxBlockWork < l.MaxOpWork || l.MaxBlockWork > 1<<40:
		return fmt.Errorf("%w: MaxBlockWork is %d: set MaxOpWork (%d) to %d", ErrLimits, l.MaxBlockWork, l.MaxOpWork, int64(1)<<40)
	}
	return nil
}

const domainLimits = crypto.Domain("parley/execution-limits")

// Digest covers every field.
func (l Limits) Digest() crypto.Digest {
	b := canon.AppendUint64(nil, uint64(l.MaxInFlight))
	b = canon.AppendUint64(b, uint64(l.MaxLife))
	b = canon.AppendUint64(b, uint64(l.MaxSessions))
	b = canon.AppendUint64(b, uint64(l.MaxResultBytes))
	b = canon.AppendUint64(b, uint64(l.MaxReplyBytes))
	b = canon.AppendUint64(b, uint64(l.MaxCacheBytes))
	b = canon.AppendUint64(b, uint64(l.MaxOpWork))
	b = canon.AppendUint64(b, uint64(l.MaxBlockWork))
	return crypto.Hash(domainLimits, b)
}
