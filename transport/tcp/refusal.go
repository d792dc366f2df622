package peertcp

import (
	"net"
	"time"

	"github.com/parley-bft/parley/transport"
	"github.com/parley-bft/parley/transport/connguard"
)

// refusal says why somebody who reached the replica port was not let in: first the
// reasons of connguard, then those of peers whose key is known.
type refusal uint8

const (
	// refusalGreeting: the peer is of another cluster, epoch or configuration, or
	// speaks another version.
	refusalGreeting = refusal(connguard.Reasons) + iota
	// refusalRemoved: it left the membership after it had connected.
	refusalRemoved
	// refusalSilent: it did not greet in time.
	refusalSilent
	// refusalMalformed: it broke the format of frames.
	refusalMalformed
	refusals
)

var refusalNames = [...]string{"greeting", "removed", "silent", "malformed"}

// String returns the name for metrics.
func (r refusal) String() string {
	if r < refusal(connguard.Reasons) {
		return connguard.Reason(r).String()
	}
	return refusalNames[r-refusal(connguard.Reasons)]
}

// strangerGap is how soon after a line about a refusal the next one of the same
// reason may be logged. Whoever connects must not be able to fill the log.
const strangerGap = 10 * time.Second

// refuse counts and logs somebody who was not let in.
func (t *Transport) refuse(remote net.Addr, why refusal, err error) {
	t.refused[why].Add(1)
	if t.ctx.Err() != nil {
		return
	}
	if n, ok := t.strangers[why].allowEvery(strangerGap, time.Now()); ok {
		t.cfg.Logger.Warn("connection to the replica port refused",
			"reason", why.String(), "remote", remote.String(), "error", err, "suppressed", n)
	}
}

var _ transport.Refuser = (*Transport)(nil)

// Refused implements [transport.Refuser]. The reasons are rate (its address connects
// too fast), crowded (gave way to newer ones before it had authenticated), handshake
// (TLS failed), identity (not a member's key), greeting (a member with another
// cluster file or version), removed, silent, malformed; superseded counts connections
// that a peer has replaced by newer ones.
func (t *Transport) Refused() map[string]uint64 {
	all := make(map[string]uint64, refusals)
	for why := range refusals {
		all[why.String()] = t.refused[why].Load()
	}
	all[connguard.Superseded.String()] = t.guard.Stats().Counts[connguard.Superseded]
	delete(all, connguard.Full.String()) // there is no bound but that of each peer
	return all
}

// Stats counts what belongs to no peer.
type Stats struct {
	Handshaking int    // connections that have not authenticated, now
	Rejected    uint64 // connections that failed to authenticate, came too fast, or gave way to newer ones before they did
	Crowded     uint64 // of these, the ones that gave way
	Refused     uint64 // peers that authenticated and were refused by their greeting
	Dropped     transport.Drops
}

// Stats returns a snapshot.
func (t *Transport) Stats() Stats {
	g := t.guard.Stats()
	s := Stats{Handshaking: g.Waiting, Crowded: g.Counts[connguard.Crowded], Refused: t.refused[refusalGreeting].Load()}
	for why := range refusal(connguard.Reasons) {
		s.Rejected += t.refused[why].Load()
	}
	s.Dropped[transport.DropUnknownPeer] = t.unknown.Load()
	s.Dropped[transport.DropClosed] = t.closed.Load()
	return s
}
