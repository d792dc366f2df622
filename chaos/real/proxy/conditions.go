package proxy

import (
	"fmt"
	"strings"
	"time"
)

// Conditions are what a link is like. The zero value is a link without faults.
type Conditions struct {
	// Forward is what the dialing side says, Backward what it hears.
	Forward, Backward Lane
	// Refuse cuts new connections at once, as a closed port does.
	Refuse bool
}

// Lane is one direction of a link. Faults combine.
type Lane struct {
	// Delay is added to everything, and up to Jitter more. The order is kept.
	Delay, Jitter time.Duration
	// BytesPerSecond throttles, 0 does not.
	BytesPerSecond int
	// Trickle passes on single bytes with this pause between them, 0 does not.
	Trickle time.Duration
	// Stall lets nothing through, and takes nothing: the sender's buffers fill. This
	// is what a lost cable or a partition looks like. When it ends everything that
	// waited goes on.
	Stall bool
	// Swallow takes everything and passes nothing on: the sender sees no sign of it.
	// A connection that lost bytes cannot go on and is cut when this ends.
	Swallow bool
}

// String names the faults, or says "no faults".
func (c Conditions) String() string {
	var parts []string
	if c.Forward == c.Backward {
		parts = append(parts, c.Forward.faults("")...)
	} else {
		parts = append(c.Forward.faults("there "), c.Backward.faults("back ")...)
	}
	if c.Refuse {
		parts = append(parts, "refused")
	}
	if len(parts) == 0 {
		return "no faults"
	}
	return strings.Join(parts, ", ")
}

func (l Lane) faults(prefix string) (parts []string) {
	if l.Delay > 0 || l.Jitter > 0 {
		parts = append(parts, fmt.Sprintf("%sdelay %v to %v", prefix, l.Delay, l.Delay+l.Jitter))
	}
	if l.BytesPerSecond > 0 {
		parts = append(parts, fmt.Sprintf("%s%d bytes/s", prefix, l.BytesPerSecond))
	}
	if l.Trickle > 0 {
		parts = append(parts, fmt.Sprintf("%sa byte each %v", prefix, l.Trickle))
	}
	if l.Stall {
		parts = append(parts, prefix+"stalled")
	}
	if l.Swallow {
		parts = append(parts, prefix+"swallowed")
	}
	return parts
}

// passes tells whether a connection can be made: a SYN must get there, and the
// answer back.
func (c Conditions) passes() bool {
	return !c.Forward.Stall && !c.Backward.Stall && !c.Forward.Swallow && !c.Backward.Swallow
}
