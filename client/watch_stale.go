package client

import (
	"context"
	"fmt"
	"time"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// When a replica is stale. The times that blocks have say nothing against a replica: the
// clock here may be wrong, or the cluster have nothing to do. So this is judged by what the
// watcher itself saw, and when, by its own clock:
//
//  1. A replica shows nothing new for MaxAge (or something that seems old), and the watcher
//     leaves it for another; or it shows less than another one has shown.
//  2. Another one shows, or has shown, a newer checkpoint: so that was certified by then, at
//     the latest. The first replica may have got it a moment later, so it is in doubt, no
//     more, from when the watcher has seen both.
//  3. MaxAge after that, or later, it is asked again: once, for the proof alone, unless it is
//     its turn anyway. If it shows that checkpoint, or a later one, nothing was wrong. If not,
//     it had MaxAge for what the watcher had: it is stale.
//
// All of it is differences of one clock, and each pause or delay here gives a replica more
// time, never less. What is certified was proved; so nobody can make an honest replica seem
// stale that has each checkpoint within MaxAge of others.

// sighting is when a watcher saw something of a checkpoint, or of a later one.
type sighting struct {
	height uint64
	at     time.Time
}

// observe notes which checkpoint the replica shows whose turn it is; it was asked at that
// time. It returns when this replica showed it first.
func (a *watchAsks) observe(height uint64, end feed.Position, asked, now time.Time) (seen time.Time) {
	r := &a.replicas[a.at]
	if height > a.newest.height || a.newest.at.IsZero() {
		a.newest, a.head = sighting{height, now}, end
	}
	if height > r.shown.height || r.shown.at.IsZero() {
		r.shown, r.left = sighting{height, now}, false
	}
	switch doubt := r.doubt; {
	case doubt.at.IsZero():
	case height >= doubt.height:
		r.doubt, r.stale = sighting{}, false
	case !r.stale && asked.Sub(doubt.at) >= a.w.opts.MaxAge:
		r.stale = true
		a.fault(a.at, FaultStale, fmt.Errorf("it shows height %d, asked %v after another replica had shown height %d", height, asked.Sub(doubt.at).Round(time.Millisecond), doubt.height))
	}
	for i := range a.replicas {
		o := &a.replicas[i]
		if o.doubt.at.IsZero() && o.shown.height < a.newest.height && (o.left || o == r) {
			o.doubt = sighting{a.newest.height, now}
		}
	}
	return r.shown.at
}

// dated tells whether a checkpoint is so old that others are to be asked, too: the replica
// that shows it did so MaxAge ago already, or its block is as old by the clock here. The
// latter may be wrong, and accuses nobody.
func (a *watchAsks) dated(c checkpoint, now time.Time) bool {
	return now.Sub(c.seen) > a.w.opts.MaxAge || now.Sub(c.time) > a.w.opts.MaxAge
}

// leave passes on from a replica that shows nothing new.
func (a *watchAsks) leave() {
	a.replicas[a.at].left = true
	a.next()
}

// behind passes on from a replica whose checkpoint is older than what is known.
func (a *watchAsks) behind(c checkpoint) {
	a.replicas[a.at].left = true
	a.failed(fmt.Errorf("its certified state is that of height %d", c.height))
}

// confront asks those again who are in doubt and have had their time, each once.
func (w *Watcher) confront(ctx context.Context) error {
	a := &w.asks
	for i := range a.replicas {
		r := &a.replicas[i]
		if i == a.at || r.banned || r.stale || r.doubt.at.IsZero() || w.client.cfg.Now().Sub(r.doubt.at) < w.opts.MaxAge {
			continue
		}
		at, failures := a.at, a.failures
		a.at = i
		_, _, _, err := w.consult(ctx, new(api.WatchRequest), 0)
		a.at, a.failures = at, failures // it was not its turn
		if err != nil {
			return err
		}
		if !r.stale {
			r.doubt, r.left = sighting{}, false // until it is left again
		}
	}
	return nil
}
