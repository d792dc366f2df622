package pbft

import (
	"cmp"
	"fmt"
	"time"

	"github.com/parley-bft/parley/crypto"
)

// ReplicaID is the index of a replica in its epoch's members.
type ReplicaID = crypto.ReplicaID

// Digest is a SHA-256 digest under a domain tag.
type Digest = crypto.Digest

// Everyone as the recipient of an [Envelope] means every member, the sender
// included when the envelope is a durable one.
const Everyone ReplicaID = 0xFFFF

// Epoch numbers the configurations of a cluster. A [Core] lives in one epoch.
type Epoch uint64

// View numbers the reigns of primaries within an epoch.
type View uint64

// Height numbers the blocks of the log. The epoch's start block has the height of
// the last block of the epoch before; in the first epoch that is 0.
type Height uint64

// Time is block time: nanoseconds since 1970 UTC. It never goes back along the
// chain; no rule of safety depends on it.
type Time uint64

// TimeOf converts a wall clock reading; times before 1970 become 0.
func TimeOf(t time.Time) Time {
	if ns := t.UnixNano(); ns > 0 {
		return Time(ns)
	}
	return 0
}

// Add returns t+d, without wrapping around at the ends.
func (t Time) Add(d time.Duration) Time {
	s := t + Time(d)
	if d >= 0 && s < t {
		return ^Time(0)
	}
	if d < 0 && s > t {
		return 0
	}
	return s
}

// Rank orders certificates: by the view of the vote, then by height. The view in
// a block's header plays no part (ranking by it is a fork).
type Rank struct {
	View   View
	Height Height
}

// Compare returns -1, 0 or +1.
func (r Rank) Compare(s Rank) int {
	if c := cmp.Compare(r.View, s.View); c != 0 {
		return c
	}
	return cmp.Compare(r.Height, s.Height)
}

// Less tells whether r ranks below s.
func (r Rank) Less(s Rank) bool { return r.Compare(s) < 0 }

func (r Rank) String() string { return fmt.Sprintf("(%d,%d)", r.View, r.Height) }

// BlockRef names a block.
type BlockRef struct {
	Height Height
	Digest Digest
}

func (b BlockRef) String() string { return fmt.Sprintf("%d:%v", b.Height, b.Digest) }
