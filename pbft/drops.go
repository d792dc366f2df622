package pbft

// Drop is the reason why a message or request was not used. What a peer or client
// can cause is counted under one of these and is never an error of the core.
type Drop uint8

// The reasons. NoDrop means that the message was used.
const (
	NoDrop            Drop = iota
	DropEpoch              // of another epoch
	DropCluster            // of another cluster
	DropNotMember          // sender or signer is not a member
	DropSignature          // a signature does not verify
	DropMalformed          // structure or limits
	DropOldView            // of a view that was left
	DropFutureView         // of a view not entered yet
	DropNotPrimary         // only the view's primary may send it
	DropHeight             // outside of what is held: too low or too high
	DropDuplicate          // known already
	DropConflict           // contradicts what the same sender said before
	DropParent             // does not extend the chain
	DropLimits             // a block over its limits
	DropFlag               // a checkpoint flag that is not due (PROTOCOL R15)
	DropTime               // block time below its parent's
	DropUnwanted           // an answer to nothing that was asked
	DropBase               // a NewView whose base does not follow from its claims
	DropClaim              // a claim that cannot be true
	DropPoolFull           // no room for the request
	DropClientFull         // the client has too many requests waiting
	DropExpired            // past its deadline
	DropBound              // a bounded buffer is full
	DropFollower           // a replica that is rejoining does not use it
	DropCommittedFork      // contradicts what is committed here: more than F are guilty
	DropDisplaced          // made room for a client that has less waiting
	DropWindow             // its number or its deadline is too far ahead of what has run here
	Drops
)

var dropNames = [Drops]string{"none", "epoch", "cluster", "not-member", "signature", "malformed", "old-view", "future-view",
	"not-primary", "height", "duplicate", "conflict", "parent", "limits", "flag", "time", "unwanted", "base", "claim",
	"pool-full", "client-full", "expired", "bound", "follower", "committed-fork", "displaced", "window"}

func (d Drop) String() string {
	if d < Drops {
		return dropNames[d]
	}
	return "?"
}

// Counters are what a [Core] has seen since it started.
type Counters struct {
	Dropped        [messageKinds][Drops]uint64
	DroppedRequest [Drops]uint64
	// DroppedNewView are the NewViews that a replica does not keep for the blame walk,
	// or no longer: the messages that brought them may have been of use all the same.
	DroppedNewView [Drops]uint64
	Proposed       uint64
	Committed      uint64
	ViewChanges    uint64
	Suspicions     [SuspicionCauses]uint64
}

// DroppedBy calls f for each reason that occurred at least once.
func (c *Counters) DroppedBy(f func(kind MessageKind, why Drop, n uint64)) {
	for k := range c.Dropped {
		for d, n := range c.Dropped[k] {
			if n > 0 {
				f(MessageKind(k), Drop(d), n)
			}
		}
	}
}

// Cause is why a replica suspects the primary.
type Cause uint8

// The causes of suspicion (PROTOCOL R12).
const (
	CauseProgress   Cause = iota // the next block took too long
	CauseRequestAge              // one request waited too long
	CauseIdle                    // no sign of life
	CauseOthers                  // a blocking set suspects
	CauseProof                   // a valid proof against the primary
	CauseClock                   // block time lags behind
	CauseRotation                // the reign is over
	CauseAbdication              // the primary itself asks to be replaced
	CauseLink                    // it cannot be reached
	CauseSlow                    // it idles although requests wait
	SuspicionCauses
)

var causeNames = [SuspicionCauses]string{"progress", "request-age", "idle", "others", "proof", "clock", "rotation", "abdication", "link", "slow"}

func (c Cause) String() string {
	if c < SuspicionCauses {
		return causeNames[c]
	}
	return "?"
}
