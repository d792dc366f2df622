package client

import (
	"errors"
	"fmt"

	"github.com/parley-bft/parley/pbft"
)

// FaultKind says what is wrong with a replica.
type FaultKind uint8

// The kinds of faults.
const (
	// FaultForged: what it sent is not what the cluster certified, in form or content. Only
	// a faulty replica does that, or a damaged one. It is not asked again.
	FaultForged FaultKind = 1
	// FaultStale: asked again, it lacked a certified state that another replica had shown
	// to this watcher [WatchOptions.MaxAge] before or earlier, and that it had lacked already
	// then: it withholds what is new, or cannot keep up. No clock is compared with another
	// for that.
	FaultStale FaultKind = 2
	// FaultSilent: it did not answer in time.
	FaultSilent FaultKind = 3
)

// String returns the kind's name.
func (k FaultKind) String() string {
	switch k {
	case FaultForged:
		return "forged"
	case FaultStale:
		return "stale"
	case FaultSilent:
		return "silent"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// ErrForged is wrapped by the errors of faults of kind [FaultForged].
var ErrForged = errors.New("a replica sent what is not certified")

// WatchFault is what a watcher found about a replica.
type WatchFault struct {
	Replica pbft.ReplicaID
	Name    string
	Kind    FaultKind
	Err     error
}

// FaultCounts are how many faults of each kind were found.
type FaultCounts struct{ Forged, Stale, Silent uint64 }

// Faults returns what was found about each replica, by its index.
func (w *Watcher) Faults() []FaultCounts {
	all := make([]FaultCounts, len(w.asks.replicas))
	for i := range all {
		all[i] = w.asks.replicas[i].counts
	}
	return all
}

// fault counts and reports one.
func (a *watchAsks) fault(replica int, kind FaultKind, err error) {
	r := &a.replicas[replica]
	switch kind {
	case FaultForged:
		r.counts.Forged++
	case FaultStale:
		r.counts.Stale++
	case FaultSilent:
		r.counts.Silent++
	}
	a.w.client.logger.Warn("watch", "replica", r.link.name, "fault", kind.String(), "error", err)
	if a.w.opts.Fault != nil {
		a.w.opts.Fault(WatchFault{Replica: r.link.id, Name: r.link.name, Kind: kind, Err: err})
	}
}

// forged takes up that a replica has lied: another one is asked from now on.
func (a *watchAsks) forged(replica int, err error) {
	a.fault(replica, FaultForged, err)
	a.replicas[replica].banned = true
	a.replicas[replica].problem = err
	if a.failures++; a.at == replica {
		a.next()
	}
}
