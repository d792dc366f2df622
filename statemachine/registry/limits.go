package registry

import (
	"errors"
	"fmt"
	"time"

	"github.com/parley-bft/parley/crypto/canon"
	"github.com/parley-bft/parley/statemachine/registry/schema"
)

// Limits bound what one operation can cost and what can pile up. They decide how
// operations end; they are part of the genesis and of the state.
type Limits struct {
	MaxIDBytes        int `json:"maxIDBytes"`        // of a record's id
	MaxDataBytes      int `json:"maxDataBytes"`      // of a version's data
	MaxSchemaBytes    int `json:"maxSchemaBytes"`    // of a schema's text
	MaxDepth          int `json:"maxDepth"`          // of nesting in schemas and data
	MaxSteps          int `json:"maxSteps"`          // of a validation; see schema.Limits
	MaxStatementBytes int `json:"maxStatementBytes"` // of an attestation's statement
	MaxVersions       int `json:"maxVersions"`       // of a record; it can be revoked beyond
	MaxAttestations   int `json:"maxAttestations"`   // of a record
	MaxPage           int `json:"maxPage"`           // entries in an answer
	// MaxResultBytes bounds an answer; it should not be above
	// statemachine.Limits.MaxResultBytes.
	MaxResultBytes int `json:"maxResultBytes"`
	// MaxStateBytes bounds the whole state, counting each key and value with
	// EntryOverhead; what would exceed it is refused with CodeNoSpace.
	MaxStateBytes int64 `json:"maxStateBytes"`
	// MaxSignedLifeSeconds is how far off the deadline of a signed operation may be.
	MaxSignedLifeSeconds int64 `json:"maxSignedLifeSeconds"`
}

// EntryOverhead is what a key of the state counts in [Limits.MaxStateBytes] beside its
// bytes.
const EntryOverhead = 256

// DefaultLimits allow data of 64 KiB, schemas of 64 KiB, 10 000 versions of a record,
// a state of 4 GiB, and signatures that count for 30 days.
func DefaultLimits() Limits {
	return Limits{
		MaxIDBytes: 128, MaxDataBytes: 64 << 10, MaxSchemaBytes: 64 << 10, MaxDepth: 64, MaxSteps: 100_000, MaxStatementBytes: 4 << 10,
		MaxVersions: 10_000, MaxAttestations: 1000, MaxPage: 1000, MaxResultBytes: 1 << 20, MaxStateBytes: 4 << 30, MaxSignedLifeSeconds: 30 * 24 * 3600,
	}
}

// ErrLimits is wrapped by every error of [Limits.Validate].
var ErrLimits = errors.New("registry limits")

// Validate names the first field that is out of range, its value and the remedy.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name           string
		have, min, max int64
	}{
		{"maxIDBytes", int64(l.MaxIDBytes), 1, 1024},
		{"maxDataBytes", int64(l.MaxDataBytes), 1, 16 << 20},
		{"maxStatementBytes", int64(l.MaxStatementBytes), 0, 1 << 20},
		{"maxVersions", int64(l.MaxVersions), 1, 1 << 40},
		{"maxAttestations", int64(l.MaxAttestations), 1, 1 << 40},
		{"maxPage", int64(l.MaxPage), 1, 100_000},
		{"maxResultBytes", int64(l.MaxResultBytes), int64(max(l.MaxDataBytes, l.MaxSchemaBytes, l.MaxStatementBytes)) + entryRoom, 64 << 20},
		{"maxStateBytes", l.MaxStateBytes, 1 << 12, 1 << 60},
		{"maxSignedLifeSeconds", l.MaxSignedLifeSeconds, 1, 10 * 366 * 24 * 3600},
	} {
		if f.have < f.min || f.have > f.max {
			return fmt.Errorf("%w: %s is %d: set %d to %d", ErrLimits, f.name, f.have, f.min, f.max)
		}
	}
	if err := l.schema().Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrLimits, err)
	}
	return nil
}

// entryRoom is what an entry of an answer takes at most beside data, schema or
// statement.
const entryRoom = 16 << 10

func (l *Limits) schema() schema.Limits {
	return schema.Limits{MaxSchemaBytes: l.MaxSchemaBytes, MaxDepth: l.MaxDepth, MaxSteps: l.MaxSteps}
}

func (l *Limits) signedLife() time.Duration {
	return time.Duration(l.MaxSignedLifeSeconds) * time.Second
}

func (l *Limits) code(c *canon.Codec) {
	for _, p := range []*int{
		&l.MaxIDBytes, &l.MaxDataBytes, &l.MaxSchemaBytes, &l.MaxDepth, &l.MaxSteps, &l.MaxStatementBytes,
		&l.MaxVersions, &l.MaxAttestations, &l.MaxPage, &l.MaxResultBytes,
	} {
		n := uint64(*p)
		c.Uint64(&n)
		*p = int(n)
	}
	n := uint64(l.MaxStateBytes)
	c.Uint64(&n)
	l.MaxStateBytes = int64(n)
	n = uint64(l.MaxSignedLifeSeconds)
	c.Uint64(&n)
	l.MaxSignedLifeSeconds = int64(n)
}
