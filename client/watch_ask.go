package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/client/receipt"
	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// maxWatchLinks is more than a replica keeps: 48 bytes each.
const maxWatchLinks = 1 << 20

// watchPoll is how long a replica is to wait for something to change, at most.
const watchPoll = 4 * time.Second

// watchSlow is how long one call for changes may take while the watcher is behind, before
// another replica is asked for the next.
const watchSlow = time.Second

// watchAsks is which replica is asked, and what each has said.
type watchAsks struct {
	w        *Watcher
	replicas []watchReplica
	at       int           // whom is asked next
	failures int           // in a row
	newest   sighting      // of the checkpoints that were shown
	head     feed.Position // of the chain there
	pause    time.Duration
}

// watchReplica is what a watcher knows of a replica.
type watchReplica struct {
	link   *link
	counts FaultCounts
	banned bool // it sent something forged

	// What it said since somebody had something good.
	refused   bool
	compacted *Cursor
	unknown   bool
	problem   error

	shown sighting // the newest checkpoint that it has shown
	// left says that it showed nothing new for so long that another one was asked.
	left bool
	// doubt is what another one showed and this one did not, see watch_stale.go.
	doubt sighting
	stale bool // reported
}

func newWatchAsks(w *Watcher) watchAsks {
	c := w.client
	a := watchAsks{w: w, at: int(c.signer.Public()[0]) % len(c.links)} // not all clients ask the same one
	for _, l := range c.links {
		a.replicas = append(a.replicas, watchReplica{link: l})
	}
	return a
}

// next passes on to the next replica that may be asked.
func (a *watchAsks) next() {
	for range a.replicas {
		if a.at = (a.at + 1) % len(a.replicas); !a.replicas[a.at].banned {
			return
		}
	}
	// All have lied. More may not be faulty than the cluster stands, so this is a bug, of
	// ours or theirs, and no reason to be quiet for ever.
	for i := range a.replicas {
		a.replicas[i].banned = false
	}
}

// failed notes that the replica that was asked has nothing good, and passes on.
func (a *watchAsks) failed(err error) {
	a.replicas[a.at].problem = err
	a.failures++
	a.next()
}

// good notes that somebody had something good.
func (a *watchAsks) good() {
	a.failures, a.pause = 0, 0
	for i := range a.replicas {
		r := &a.replicas[i]
		r.refused, r.compacted, r.unknown, r.problem = false, nil, false, nil
	}
}

// call bounds a call to a replica, which may wait so long before it answers.
func (a *watchAsks) call(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, wait+receiptTimeout)
}

// overdue returns the error of a call, after the call's own deadline if the error is that one.
// A replica knows the deadline too, and what it says of it may be here before the clock has
// struck here: then the caller's deadline would look like the silence of that replica.
func overdue(calling context.Context, err error) error {
	if status.Code(err) == codes.DeadlineExceeded {
		<-calling.Done()
	}
	return err
}

// broken takes up that a call ended in an error; what it returns ends the search.
func (a *watchAsks) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil || a.w.client.ctx.Err() != nil {
		return a.ended(ctx)
	}
	r := &a.replicas[a.at]
	if r.refused = isFinal(err); !r.refused && status.Code(err) == codes.DeadlineExceeded {
		a.fault(a.at, FaultSilent, err)
	}
	a.failed(err)
	return nil
}

// follow asks one replica after the other for what came after the cursor, until one proves
// that something did, or that nothing did until lately.
func (w *Watcher) follow(ctx context.Context) error {
	a := &w.asks
	for {
		wait := min(w.opts.MaxAge, watchPoll)
		if a.failures > 0 || w.cursor == (Cursor{}) {
			wait = 0 // who waits is asked for something that we do not have, or for anything
		}
		if err := w.confront(ctx); err != nil {
			return err
		}
		began := time.Now()
		done, err := w.ask(ctx, wait)
		if err != nil || done {
			return err
		}
		if a.failures > 0 {
			if err := a.verdict(ctx); err != nil {
				return err
			}
			continue
		}
		// Nothing new. Whoever says so at once is not to be asked all the time.
		if time.Since(began) < wait/2 {
			if err := a.rest(ctx); err != nil {
				return err
			}
		} else {
			a.pause = 0
		}
		if w.opts.Progress {
			return nil
		}
	}
}

// ask asks a replica. done says that there are links now; if not, and nothing failed,
// nothing has changed.
func (w *Watcher) ask(ctx context.Context, wait time.Duration) (done bool, err error) {
	a := &w.asks
	r := &a.replicas[a.at]
	q := &api.WatchRequest{Height: w.cursor.at.Height, WaitMs: uint32(wait / time.Millisecond)}
	if w.cursor != (Cursor{}) {
		q.Chain = w.cursor.at.Chain[:]
	}
	m, end, at, err := w.consult(ctx, q, wait)
	switch {
	case err != nil || m == nil:
		return false, err
	case w.cursor == (Cursor{}):
		return w.start(end, at), nil
	case m.State == api.WatchState_WATCH_STATE_FOUND:
		return w.proceed(ctx, m, end, at)
	case m.State == api.WatchState_WATCH_STATE_COMPACTED && len(m.OldestChain) == crypto.DigestSize:
		oldest := Cursor{at: feed.Position{Height: m.OldestHeight, Chain: crypto.Digest(m.OldestChain)}}
		r.compacted = &oldest
		a.failed(fmt.Errorf("it keeps the changes after height %d", m.OldestHeight))
	case m.State == api.WatchState_WATCH_STATE_UNKNOWN && at.height < w.cursor.at.Height:
		a.behind(at)
	case m.State == api.WatchState_WATCH_STATE_UNKNOWN:
		r.unknown = true
		a.failed(errors.New("the cursor is not in its history"))
	default:
		a.forged(a.at, fmt.Errorf("%w: an answer of state %v", ErrForged, m.State))
	}
	return false, nil
}

// consult asks the replica whose turn it is, checks its proof, and notes what it shows. It
// returns no answer if there is none, or a bad one, and then has passed on.
func (w *Watcher) consult(ctx context.Context, q *api.WatchRequest, wait time.Duration) (m *api.WatchResponse, end feed.Position, at checkpoint, err error) {
	a := &w.asks
	calling, cancel := a.call(ctx, wait)
	defer cancel()
	asked := w.client.cfg.Now()
	m, err = a.replicas[a.at].link.line.api.Watch(calling, q)
	if err != nil {
		return nil, end, at, a.broken(ctx, overdue(calling, err))
	}
	if m.State == api.WatchState_WATCH_STATE_NOT_CERTIFIED {
		a.failed(errors.New("it can prove nothing now"))
		return nil, end, at, nil
	}
	if end, at, err = w.certified(m.Proof); err != nil {
		a.forged(a.at, err)
		return nil, end, at, nil
	}
	at.seen = a.observe(at.height, end, asked, w.client.cfg.Now())
	return m, end, at, nil
}

// certified checks a proof, and returns where the chain is at its checkpoint.
func (w *Watcher) certified(encoded []byte) (end feed.Position, at checkpoint, err error) {
	s, err := receipt.DecodeState(encoded)
	if err != nil {
		return end, at, fmt.Errorf("%w: %w", ErrForged, err)
	}
	if err := s.Verify(w.client.cfg.Roster, []byte(feed.Key)); err != nil {
		return end, at, fmt.Errorf("%w: %w", ErrForged, err)
	}
	end = feed.Beginning()
	if s.Proof.Present {
		if end, err = feed.DecodePosition(s.Proof.Value); err != nil {
			return end, at, fmt.Errorf("%w: %w", ErrForged, err)
		}
	}
	return end, checkpoint{height: uint64(s.Height()), time: s.Time()}, nil
}

// start makes the cursor the newest checkpoint, if this is new enough or nobody has a
// newer one.
func (w *Watcher) start(end feed.Position, at checkpoint) bool {
	a := &w.asks
	best := true
	for i := range a.replicas {
		r := &a.replicas[i]
		best = best && (!r.shown.at.IsZero() || r.problem != nil) && r.shown.height <= at.height
	}
	if !best && a.dated(at, w.client.cfg.Now()) {
		a.behind(at)
		return false
	}
	a.good()
	w.until, w.cursor = at, Cursor{at: end}
	return true
}
