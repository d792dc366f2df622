package crypto

import (
	"fmt"
	"time"

	"github.com/parley-bft/parley/crypto/canon"
)

// Parameters are the limits of the protocol that all members of a cluster must
// share, because votes depend on them. Local settings (timeouts, queue lengths,
// paths) are not here.
type Parameters struct {
	// Window is how many blocks the ordering may run ahead of execution, 1 to
	// 1024. An epoch ends Window blocks after the change that ends it.
	Window uint64 `json:"window"`

	// CheckpointEvery: heights divisible by it are checkpoints with a snapshot,
	// 1 to 1 Mi.
	CheckpointEvery uint64 `json:"checkpointEvery"`

	// LogMax is how far votes may run ahead of the stable checkpoint, in blocks;
	// at least 2*CheckpointEvery + Window, or the next checkpoint could never
	// become stable while one is outstanding.
	LogMax uint64 `json:"logMax"`

	// MaxBlockBytes bounds a block's encoded payload, 64 KiB to 64 MiB.
	MaxBlockBytes uint32 `json:"maxBlockBytes"`

	// MaxBlockRequests bounds the requests in a block, 1 to 65536.
	MaxBlockRequests uint32 `json:"maxBlockRequests"`

	// MaxOperationBytes bounds one operation and the sum of the operations of one
	// request; with RequestOverhead it must fit into a block.
	MaxOperationBytes uint32 `json:"maxOperationBytes"`

	// MaxRequestOperations bounds the operations in one request, 1 to 65536.
	MaxRequestOperations uint32 `json:"maxRequestOperations"`

	// MinCheckpointGap is the block time between a checkpoint and the next one
	// that the primary may declare before it falls idle.
	MinCheckpointGap Duration `json:"minCheckpointGap"`

	// MaxAhead is how far a block's time may be ahead of the own clock of a
	// replica that votes for it; beyond, the block is held.
	MaxAhead Duration `json:"maxAhead"`

	// MaxRequestLife is how far a request's deadline may lie ahead of block time.
	// Sessions are kept so long at least.
	MaxRequestLife Duration `json:"maxRequestLife"`

	// MaxInFlight is how many sequence numbers above its oldest unfinished one a
	// client may use, a multiple of 64 up to 65536.
	MaxInFlight uint32 `json:"maxInFlight"`

	// MaxSessions bounds the session table, 1 to 16 Mi.
	MaxSessions uint32 `json:"maxSessions"`
}

// RequestOverhead is an upper bound of what a request weighs in a block beside
// its operations: key, numbers, signature, lengths.
const RequestOverhead = 1024

// DefaultParameters returns the parameters of a new cluster.
func DefaultParameters() Parameters {
	return Parameters{
		Window:               32,
		CheckpointEvery:      1024,
		LogMax:               2*1024 + 2*32,
		MaxBlockBytes:        1 << 20,
		MaxBlockRequests:     4096,
		MaxOperationBytes:    256 << 10,
		MaxRequestOperations: 1024,
		MinCheckpointGap:     Duration(250 * time.Millisecond),
		MaxAhead:             Duration(10 * time.Second),
		MaxRequestLife:       Duration(time.Hour),
		MaxInFlight:          1024,
		MaxSessions:          65536,
	}
}

// Validate returns an error that names the first field that is out of range, its
// value and what to write instead.
func (p Parameters) Validate() error {
	ranges := []struct {
		name             string
		value, low, high uint64
	}{
		{"window", p.Window, 1, 1024},
		{"checkpointEvery", p.CheckpointEvery, 1, 1 << 20},
		{"logMax", p.LogMax, 2*p.CheckpointEvery + p.Window, 1 << 24},
		{"maxBlockBytes", uint64(p.MaxBlockBytes), 64 << 10, 64 << 20},
		{"maxBlockRequests", uint64(p.MaxBlockRequests), 1, 65536},
		{"maxOperationBytes", uint64(p.MaxOperationBytes), 1, uint64(p.MaxBlockBytes) - RequestOverhead},
		{"maxRequestOperations", uint64(p.MaxRequestOperations), 1, 65536},
		{"maxInFlight", uint64(p.MaxInFlight), 64, 65536},
		{"maxSessions", uint64(p.MaxSessions), 1, 16 << 20},
	}
	for _, r := range ranges {
		if r.value < r.low || r.value > r.high {
			return fmt.Errorf("parameter %s is %d: write a number from %d to %d", r.name, r.value, r.low, r.high)
		}
	}
	if p.MaxInFlight%64 != 0 {
		return fmt.Errorf("parameter maxInFlight is %d: write a multiple of 64", p.MaxInFlight)
	}
	durations := []struct {
		name             string
		value, low, high Duration
	}{
		{"minCheckpointGap", p.MinCheckpointGap, Duration(time.Millisecond), Duration(time.Hour)},
		{"maxAhead", p.MaxAhead, Duration(10 * time.Millisecond), Duration(time.Hour)},
		{"maxRequestLife", p.MaxRequestLife, Duration(time.Second), Duration(30 * 24 * time.Hour)},
	}
	for _, d := range durations {
		if d.value < d.low || d.value > d.high {
			return fmt.Errorf("parameter %s is %s: write a duration from %s to %s", d.name, d.value, d.low, d.high)
		}
	}
	return nil
}

func (p Parameters) append(b []byte) []byte {
	b = canon.AppendUint64(b, p.Window)
	b = canon.AppendUint64(b, p.CheckpointEvery)
	b = canon.AppendUint64(b, p.LogMax)
	b = canon.AppendUint32(b, p.MaxBlockBytes)
	b = canon.AppendUint32(b, p.MaxBlockRequests)
	b = canon.AppendUint32(b, p.MaxOperationBytes)
	b = canon.AppendUint32(b, p.MaxRequestOperations)
	b = canon.AppendUint64(b, uint64(p.MinCheckpointGap))
	b = canon.AppendUint64(b, uint64(p.MaxAhead))
	b = canon.AppendUint64(b, uint64(p.MaxRequestLife))
	b = canon.AppendUint32(b, p.MaxInFlight)
	return canon.AppendUint32(b, p.MaxSessions)
}
