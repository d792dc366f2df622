package pbft

import (
	"fmt"
	"time"
)

// Config is what a [Core] needs to know. Everything but Self, Timeouts and Executed must be
// the same at all replicas of the epoch.
type Config struct {
	Self    ReplicaID
	Cluster Digest
	Epoch   Epoch
	// Quorums counts votes by the members' weights.
	Quorums *QuorumSystem
	// Start is the epoch's start block.
	Start *Block

	// Window is how far votes may run ahead of execution, in blocks.
	Window Height
	// CheckpointEvery makes heights divisible by it checkpoints with a snapshot.
	CheckpointEvery Height
	// LogMax is how far votes may run ahead of the stable checkpoint, in blocks.
	// At least 2*CheckpointEvery + Window.
	LogMax Height
	// Retain is how many blocks below the stable snapshot stay available to
	// peers that lag, in blocks. Local: replicas may differ.
	Retain Height
	// MaxNewViews is how many NewViews are kept that no certificate names, as far as is
	// known here: those of views that failed. Those that one names are kept beside them
	// until they are pruned with the log, for accountability (PROTOCOL R19). 0: [DefaultMaxNewViews]. Local.
	MaxNewViews int
	// MaxBlockBytes and MaxBlockRequests bound a block.
	MaxBlockBytes    int
	MaxBlockRequests int
	// MaxOperationBytes bounds one operation.
	MaxOperationBytes int
	// MinCheckpointGap is the block time that must lie between a checkpoint and a
	// block flagged as one (PROTOCOL R15). A primary under load leaves four times as
	// much.
	MinCheckpointGap time.Duration
	// MaxAhead is how far a block's time may be ahead of the own clock.
	MaxAhead time.Duration

	// MaxPoolBytes and MaxPoolPerClient bound the requests waiting here.
	MaxPoolBytes     int
	MaxPoolPerClient int

	// Timeouts are in ticks of the host.
	Timeouts Timeouts

	// Executed is the height up to which the host has executed committed blocks,
	// after it replayed its log; 0 at first start. Local.
	Executed Height

	// Follower starts the core without a vote, to rejoin after its disk was lost
	// (PROTOCOL 14). Local.
	Follower bool

	// Incarnation is a number that no earlier process of this replica has used, for
	// instance a random one; a follower needs it to tell fresh answers from ones
	// that are older than the loss of its disk. Local.
	Incarnation uint64

	// Admissible tells whether a request may still be executed under the host's
	// executed sessions: not executed before, not expired. Only admissible requests
	// wait in the pool and have an age; blocks are never judged by it. nil: all are.
	Admissible func(*Request) bool

	// CheckCertificate verifies a certificate that nobody has verified yet (a
	// claim in a view change). A pure function. [Verifier.CheckCertificate].
	CheckCertificate func(*Certificate) error
}

// Timeouts of a [Core], in ticks.
type Timeouts struct {
	// Progress is T0: how long the next block to commit may take while work is
	// known. It grows with failed views (PROTOCOL R11).
	Progress int
	// RequestAge is how long one request may wait although others commit; at half
	// of it the request is relayed to everybody.
	RequestAge int
	// Heartbeat is the interval of an idle primary's sign of life.
	Heartbeat int
	// Idle is how long a backup hears nothing from the primary before it suspects.
	Idle int
	// Status is the interval of Status messages when idle.
	Status int
	// Retry is the pause before something that got no answer is asked or sent
	// again: about two round trips.
	Retry int
	// ReceiptDelay is how long executed blocks may stay without a checkpoint
	// before an empty flagged block is due (PROTOCOL R15).
	ReceiptDelay int
	// RotateEvery makes the primary's reign end after so many stable snapshot
	// checkpoints; 0 never (PROTOCOL 3.9).
	RotateEvery int
}

// DefaultTimeouts are for ticks of ten milliseconds.
func DefaultTimeouts() Timeouts {
	return Timeouts{Progress: 50, RequestAge: 200, Heartbeat: 10, Idle: 50, Status: 50, Retry: 5, ReceiptDelay: 2, RotateEvery: 0}
}

// Validate reports the first field that makes no sense, its value and the remedy.
func (c *Config) Validate() error {
	bad := func(field string, value any, remedy string) error {
		return fmt.Errorf("pbft config: %s is %v: %s", field, value, remedy)
	}
	switch {
	case c.Quorums == nil:
		return bad("Quorums", nil, "make one with NewQuorumSystem")
	case int(c.Self) >= c.Quorums.N():
		return bad("Self", c.Self, fmt.Sprintf("must be below the number of members, %d", c.Quorums.N()))
	case c.Start == nil:
		return bad("Start", nil, "give the epoch's start block")
	case c.Window < 1 || c.Window > 1024:
		return bad("Window", c.Window, "must be in 1..1024")
	case c.CheckpointEvery < 1:
		return bad("CheckpointEvery", c.CheckpointEvery, "must be at least 1")
	case c.LogMax < 2*c.CheckpointEvery+c.Window:
		return bad("LogMax", c.LogMax, fmt.Sprintf("must be at least 2*CheckpointEvery+Window = %d", 2*c.CheckpointEvery+c.Window))
	case c.MaxNewViews < 0:
		return bad("MaxNewViews", c.MaxNewViews, "must not be negative; 0 takes the default")
	case c.MaxBlockBytes < 1024:
		return bad("MaxBlockBytes", c.MaxBlockBytes, "must be at least 1024")
	case c.MaxBlockRequests < 1:
		return bad("MaxBlockRequests", c.MaxBlockRequests, "must be at least 1")
	case c.MaxOperationBytes < 1 || c.MaxOperationBytes > c.MaxBlockBytes:
		return bad("MaxOperationBytes", c.MaxOperationBytes, "must be in 1..MaxBlockBytes")
	case c.MinCheckpointGap < 0:
		return bad("MinCheckpointGap", c.MinCheckpointGap, "must not be negative")
	case c.MaxAhead <= 0:
		return bad("MaxAhead", c.MaxAhead, "must be positive")
	case c.MaxPoolBytes < c.MaxBlockBytes:
		return bad("MaxPoolBytes", c.MaxPoolBytes, "must be at least MaxBlockBytes")
	case c.MaxPoolPerClient < 1:
		return bad("MaxPoolPerClient", c.MaxPoolPerClient, "must be at least 1")
	case c.Follower && c.Incarnation == 0:
		return bad("Incarnation", 0, "give a follower a number that was not used before, for instance a random one")
	case c.CheckCertificate == nil:
		return bad("CheckCertificate", nil, "give Verifier.CheckCertificate")
	}
	return c.Timeouts.Validate()
}

// Validate reports the first timeout that makes no sense.
func (t *Timeouts) Validate() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"Progress", t.Progress}, {"RequestAge", t.RequestAge}, {"Heartbeat", t.Heartbeat},
		{"Idle", t.Idle}, {"Status", t.Status}, {"Retry", t.Retry}, {"ReceiptDelay", t.ReceiptDelay},
	} {
		if f.value < 1 {
			return fmt.Errorf("pbft config: Timeouts.%s is %d: must be at least 1 tick", f.name, f.value)
		}
	}
	if t.Idle <= t.Heartbeat {
		return fmt.Errorf("pbft config: Timeouts.Idle is %d: must be above Timeouts.Heartbeat, %d", t.Idle, t.Heartbeat)
	}
	if t.RotateEvery < 0 {
		return fmt.Errorf("pbft config: Timeouts.RotateEvery is %d: must not be negative", t.RotateEvery)
	}
	return nil
}
