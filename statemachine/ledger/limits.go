package ledger

import (
	"errors"
	"fmt"
	"time"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/crypto/canon"
)

// Limits bound what one operation can cost and what a client can make the ledger keep.
// They decide how operations end, so they must be equal on all replicas; the state holds
// their digest.
type Limits struct {
	MaxAccounts   uint64 // in all
	MaxAssets     uint64 // in all
	MaxKeys       int    // of one account
	MaxActions    int    // of one transaction
	MaxSignatures int    // detached ones, of one transaction
	MaxHolds      uint32 // open at a time, of one payer
	MaxOffers     uint32 // open at a time, of one account
	MaxLines      uint32 // trust lines that one account grants credit on
	MaxProposals  uint32 // open at a time, of one proposer's key

	MaxHops      int // in the path of a payment, conversions included
	MaxPathNodes int // accounts that the searches of one transaction may go on from
	MaxPathEdges int // trust lines and offers that they may look at; 32 times that in one block, for one client

	MaxRange       int // entries in one page of an answer
	MaxResultBytes int // of such a page
	MaxExpiries    int // holds, offers, proposals and spent transactions that one block clears away

	// MaxLife is how far in the future what expires may do so: holds, offers,
	// proposals, and transactions with detached signatures.
	MaxLife time.Duration
}

// DefaultLimits suit millions of accounts.
func DefaultLimits() Limits {
	return Limits{
		MaxAccounts: 1 << 24, MaxAssets: 1 << 16, MaxKeys: 16, MaxActions: 64, MaxSignatures: 64,
		MaxHolds: 4096, MaxOffers: 64, MaxLines: 1024, MaxProposals: 64,
		MaxHops: 8, MaxPathNodes: 1024, MaxPathEdges: 8192,
		MaxRange: 1000, MaxResultBytes: 512 << 10, MaxExpiries: 1024,
		MaxLife: 366 * 24 * time.Hour,
	}
}

// ErrLimits is wrapped by every error of [Limits.Validate].
var ErrLimits = errors.New("ledger limits")

// Validate names the first field that is out of range, its value and the remedy.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name     string
		value    int64
		low, top int64
	}{
		{"MaxAccounts", int64(min(l.MaxAccounts, 1<<62)), 1, 1 << 40},
		{"MaxAssets", int64(min(l.MaxAssets, 1<<62)), 1, 1 << 32},
		{"MaxKeys", int64(l.MaxKeys), 1, 255},
		{"MaxActions", int64(l.MaxActions), 1, 4096},
		{"MaxSignatures", int64(l.MaxSignatures), 1, 4096},
		{"MaxHolds", int64(l.MaxHolds), 1, 1 << 24},
		{"MaxOffers", int64(l.MaxOffers), 1, 1 << 16},
		{"MaxLines", int64(l.MaxLines), 1, 1 << 24},
		{"MaxProposals", int64(l.MaxProposals), 1, 1 << 16},
		{"MaxHops", int64(l.MaxHops), 1, 64},
		{"MaxPathNodes", int64(l.MaxPathNodes), 1, 1 << 20},
		{"MaxPathEdges", int64(l.MaxPathEdges), 1, 1 << 20},
		{"MaxRange", int64(l.MaxRange), 1, 1 << 20},
		{"MaxResultBytes", int64(l.MaxResultBytes), smallestResult, 64 << 20},
		{"MaxExpiries", int64(l.MaxExpiries), 1, 1 << 20},
	} {
		if f.value < f.low || f.value > f.top {
			return fmt.Errorf("%w: %s is %d: set %d to %d", ErrLimits, f.name, f.value, f.low, f.top)
		}
	}
	if l.MaxLife < time.Minute || l.MaxLife > 100*366*24*time.Hour {
		return fmt.Errorf("%w: MaxLife is %v: set 1m to %v", ErrLimits, l.MaxLife, 100*366*24*time.Hour)
	}
	return nil
}

// smallestResult has room for one record with its key.
const smallestResult = 64 << 10

const domainLimits = crypto.Domain("parley/ledger-limits")

// Digest covers every field.
func (l Limits) Digest() crypto.Digest {
	var b []byte
	for _, v := range []uint64{
		l.MaxAccounts, l.MaxAssets, uint64(l.MaxKeys), uint64(l.MaxActions), uint64(l.MaxSignatures),
		uint64(l.MaxHolds), uint64(l.MaxOffers), uint64(l.MaxLines), uint64(l.MaxProposals),
		uint64(l.MaxHops), uint64(l.MaxPathNodes), uint64(l.MaxPathEdges),
		uint64(l.MaxRange), uint64(l.MaxResultBytes), uint64(l.MaxExpiries), uint64(l.MaxLife),
	} {
		b = canon.AppendUint64(b, v)
	}
	return crypto.Hash(domainLimits, b)
}
