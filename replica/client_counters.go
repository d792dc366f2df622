package replica

import (
	"strings"
	"sync/atomic"

	"github.com/parley-bft/parley/client/api"
)

// reasonCount bounds the reasons of refusals in parley.proto.
const reasonCount = int(api.Reason_REASON_EXPIRED) + 1

// clientCounters count what the client-facing side does. They only grow, except
// where said otherwise.
type clientCounters struct {
	requests    atomic.Uint64 // received, good or bad
	verified    atomic.Uint64 // with a good signature
	known       atomic.Uint64 // repeated: the signature was checked before
	fromCache   atomic.Uint64 // answered without being ordered again
	replies     atomic.Uint64 // handed to sessions
	unheard     atomic.Uint64 // replies of clients without a session here
	slowReaders atomic.Uint64 // sessions cut off because they were not read
	calls       atomic.Uint64 // Query, Receipt, Status, Cluster
	callsBusy   atomic.Uint64 // of these, refused because too many were under way
	sessions    atomic.Int64  // open now
	slowed      atomic.Uint64 // times that a session was not read for a while, since its client floods
	refused     [reasonCount]atomic.Uint64
	unchecked   [reasonCount]atomic.Uint64 // of these, before the signature was looked at, since the client has had its share
}

func (c *clientCounters) refuse(why api.Reason) {
	if why >= 0 && int(why) < reasonCount {
		c.refused[why].Add(1)
	}
}

func (c *clientCounters) refuseUnchecked(why api.Reason) {
	c.refuse(why)
	c.unchecked[why].Add(1)
}

// byName has an entry for each reason that occurred.
func byName(counts *[reasonCount]atomic.Uint64) (named map[string]uint64) {
	for why := range counts {
		if n := counts[why].Load(); n > 0 {
			if named == nil {
				named = make(map[string]uint64)
			}
			named[strings.ToLower(strings.TrimPrefix(api.Reason(why).String(), "REASON_"))] = n
		}
	}
	return named
}

// ClientCounters are what the client-facing side of a replica has seen since it
// started.
type ClientCounters struct {
	Requests       uint64 `json:"requests"`
	Verified       uint64 `json:"verified"`
	Known          uint64 `json:"known"`
	FromCache      uint64 `json:"fromCache"`
	Replies        uint64 `json:"replies"`
	Unheard        uint64 `json:"unheard"`
	SlowReaders    uint64 `json:"slowReaders"`
	Evicted        uint64 `json:"evicted"`
	BadHandshakes  uint64 `json:"badHandshakes"`
	Calls          uint64 `json:"calls"`
	CallsBusy      uint64 `json:"callsBusy"`
	Sessions       int64  `json:"sessions"`
	Connections    int64  `json:"connections"`
	QueuedRequests int    `json:"queuedRequests"`
	QueuedBytes    int    `json:"queuedBytes"`
	QueuedClients  int    `json:"queuedClients"`
	// TurnedAway counts connections that were closed, by why: rate (its address
	// connects too fast), crowded (gave way to a newer one before it authenticated),
	// handshake, identity (not a listed client), full, superseded (its client has newer
	// ones). Evicted and BadHandshakes are sums of these.
	TurnedAway map[string]uint64 `json:"turnedAway,omitempty"`
	// Refused has one entry for each reason that occurred, by its name in
	// parley.proto without the prefix, in lower case.
	Refused map[string]uint64 `json:"refused,omitempty"`
	// Unchecked are those of Refused whose signatures were not looked at, because their
	// clients ask for more than their share.
	Unchecked map[string]uint64 `json:"unchecked,omitempty"`
	// Slowed is how often a session was not read for a while because its client floods.
	Slowed uint64 `json:"slowed"`
}
