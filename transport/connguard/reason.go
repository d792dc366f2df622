package connguard

// Reason says why a connection was refused or closed.
type Reason uint8

const (
	// Rate: its source connects too fast; it was closed before a byte was read.
	Rate Reason = iota
	// Crowded: it gave way to a newer one before it had authenticated.
	Crowded
	// Handshake: TLS failed, or did not end in time.
	Handshake
	// Identity: TLS went well, and its key is not one that is let in.
	Identity
	// Full: all places of authenticated connections are taken.
	Full
	// Superseded: its owner has newer ones. That is how an honest owner gets rid of a
	// connection that hangs, so it is counted and not reported.
	Superseded
	// Reasons is the number of reasons.
	Reasons
)

var reasonNames = [Reasons]string{"rate", "crowded", "handshake", "identity", "full", "superseded"}

// String returns the reason's name, as used for metrics.
func (r Reason) String() string {
	if r < Reasons {
		return reasonNames[r]
	}
	return "invalid"
}

// Counts are connections by reason.
type Counts [Reasons]uint64
