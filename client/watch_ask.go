package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// watchPaging bounds how long a replica may take to hand out all links, however many.
const watchPaging = time.Minute

// watchSlow is how long one call for changes may take while the watcher is behind, before
// another replica is asked for the next.
const watchSlow = time.Second

// watchAsks is which replica is asked, and what each has said.
type watchAsks struct {
	w        *Watcher
	replicas []watchReplica
	at       int           // whom is asked next
	failures int           // in a row
	head     feed.Position // of the chain, at the newest checkpoint that was shown
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

	// answered is when it was last asked with success, and at the checkpoint of which
	// height it was then; stale says that this was found wanting.
	answered time.Time
	height   uint64
	stale    bool
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

// proved is the height of the newest checkpoint that a replica has shown.
func (a *watchAsks) proved() (height uint64) {
	for i := range a.replicas {
		height = max(height, a.replicas[i].height)
	}
	return height
}

// verdict is what the replicas that have nothing good come to, and waits for a while if
// all were asked in vain.
func (a *watchAsks) verdict(ctx context.Context) error {
	c := a.w.client
	refused, unknown := crypto.NewBitmap(len(a.replicas)), crypto.NewBitmap(len(a.replicas))
	none := crypto.NewBitmap(len(a.replicas)) // those that say compacted or unknown
	for i := range a.replicas {
		r := &a.replicas[i]
		switch {
		case r.refused:
			refused.Set(r.link.id)
		case r.compacted != nil:
			none.Set(r.link.id)
		case r.unknown:
			unknown.Set(r.link.id)
			none.Set(r.link.id)
		}
	}
	switch {
	case a.failures == 0:
		return nil
	case c.quorums.IsBlocking(refused):
		return a.over(fmt.Errorf("%w: %s", ErrNoWatch, a.problems()))
	case a.failures < len(a.replicas): // whoever has it is asked before that is given up
		return nil
	case c.quorums.IsQuorum(none) && c.quorums.IsBlocking(unknown): // an honest one knows better than those that say compacted
		return a.over(fmt.Errorf("%w of this cluster's: %s", ErrCursor, a.problems()))
	case c.quorums.IsQuorum(none):
		return a.over(&CompactedError{Oldest: a.oldest()})
	case a.failures%len(a.replicas) != 0:
		return nil
	}
	return a.rest(ctx)
}

// over ends a search without success: the next one asks all again.
func (a *watchAsks) over(err error) error {
	a.good()
	return err
}

// rest waits a little, longer each time.
func (a *watchAsks) rest(ctx context.Context) error {
	c := a.w.client
	a.pause = min(max(2*a.pause, c.cfg.BackoffMin), c.cfg.BackoffMax)
	timer := time.NewTimer(jitter(a.pause))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return a.ended(ctx)
	}
}

// ended is the error when ctx ends.
func (a *watchAsks) ended(ctx context.Context) error {
	if a.w.client.ctx.Err() != nil {
		return ErrClosed
	}
	err := fmt.Errorf("%w: watch: %w", ErrUnavailable, context.Cause(ctx))
	if p := a.problems(); p != "" {
		err = fmt.Errorf("%w; %s", err, p)
	}
	return err
}

func (a *watchAsks) problems() string {
	var all []string
	for i := range a.replicas {
		if r := &a.replicas[i]; r.problem != nil {
			all = append(all, fmt.Sprintf("%s: %v", r.link.name, r.problem))
		}
	}
	return strings.Join(all, "; ")
}

// oldest is the lowest position that is claimed, exactly so, by more than may be faulty,
// or else where the newest proved checkpoint is: no single replica chooses it.
func (a *watchAsks) oldest() Cursor {
	found := Cursor{Position: a.head}
	for i := range a.replicas {
		c := a.replicas[i].compacted
		if c == nil || c.Height >= found.Height {
			continue
		}
		same := crypto.NewBitmap(len(a.replicas))
		for j := range a.replicas {
			if o := a.replicas[j].compacted; o != nil && *o == *c {
				same.Set(a.replicas[j].link.id)
			}
		}
		if a.w.client.quorums.IsBlocking(same) {
			found = *c
		}
	}
	return found
}

// call bounds a call to a replica, which may wait so long before it answers.
func (a *watchAsks) call(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, wait+receiptTimeout)
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
	q := &api.WatchRequest{Height: w.cursor.Height, WaitMs: uint32(wait / time.Millisecond)}
	if w.cursor != (Cursor{}) {
		q.Chain = w.cursor.Chain[:]
	}
	calling, cancel := a.call(ctx, wait)
	defer cancel()
	m, err := r.link.line.api.Watch(calling, q)
	now := w.client.cfg.Now()
	if err != nil {
		return false, a.broken(ctx, err)
	}
	if m.State == api.WatchState_WATCH_STATE_NOT_CERTIFIED {
		a.failed(errors.New("it has no certified state yet"))
		return false, nil
	}
	end, at, err := w.certified(m.Proof)
	if err != nil {
		a.forged(a.at, err)
		return false, nil
	}
	if at.height > a.proved() {
		a.head = end
	}
	a.observe(at, now)
	switch {
	case w.cursor == (Cursor{}):
		return w.start(end, at), nil
	case m.State == api.WatchState_WATCH_STATE_FOUND:
		return w.proceed(ctx, m, end, at)
	case m.State == api.WatchState_WATCH_STATE_COMPACTED && len(m.OldestChain) == crypto.DigestSize:
		oldest := Cursor{Position: feed.Position{Height: m.OldestHeight, Chain: crypto.Digest(m.OldestChain)}}
		r.compacted = &oldest
		a.failed(fmt.Errorf("it keeps the changes after height %d", oldest.Height))
	case m.State == api.WatchState_WATCH_STATE_UNKNOWN && at.height < w.cursor.Height:
		a.failed(fmt.Errorf("its certified state is that of height %d", at.height))
	case m.State == api.WatchState_WATCH_STATE_UNKNOWN:
		r.unknown = true
		a.failed(errors.New("the cursor is not in its history"))
	default:
		a.forged(a.at, fmt.Errorf("%w: an answer of state %v", ErrForged, m.State))
	}
	return false, nil
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
	return end, checkpoint{uint64(s.Height()), s.Time()}, nil
}

// start makes the cursor the newest checkpoint, if this is new enough or nobody has a
// newer one.
func (w *Watcher) start(end feed.Position, at checkpoint) bool {
	a := &w.asks
	best := true
	for i := range a.replicas {
		r := &a.replicas[i]
		best = best && (!r.answered.IsZero() || r.problem != nil) && r.height <= at.height
	}
	if !best && w.client.cfg.Now().Sub(at.time) > w.opts.MaxAge {
		a.failed(fmt.Errorf("its certified state is that of height %d", at.height))
		return false
	}
	a.good()
	w.until, w.cursor = at, Cursor{Position: end}
	return true
}

// proceed takes up an answer with links, if there are any, and gets those that did not fit.
func (w *Watcher) proceed(ctx context.Context, m *api.WatchResponse, end feed.Position, at checkpoint) (done bool, err error) {
	a := &w.asks
	from := a.at
	var links []feed.Link
	more, got := m.More, m.Links
	after := w.cursor.Position
	paging, cancel := context.WithTimeout(ctx, watchPaging)
	defer cancel()
	for {
		page, err := feed.DecodeLinks(got)
		if err == nil {
			links = append(links, page...)
			if after, err = feed.Follow(after, page, at.height); err == nil && more && (len(page) != feed.MaxLinks || len(links) > maxWatchLinks) {
				err = fmt.Errorf("%d links of %d, and no end", len(page), len(links))
			}
		}
		if err == nil && !more && after.Chain != end.Chain {
			err = errors.New("changes are missing, added, in another order or others than those that are certified")
			if at.height < w.cursor.Height {
				a.failed(fmt.Errorf("its certified state is that of height %d", at.height))
				return false, nil
			}
		}
		if err != nil {
			a.forged(a.at, fmt.Errorf("%w: %w", ErrForged, err))
			return false, nil
		}
		if !more {
			break
		}
		next, err := w.page(ctx, paging, after, at.height)
		if err != nil || next == nil {
			return false, err
		}
		more, got = next.More, next.Links
	}
	if len(links) == 0 && at.height < a.proved() {
		// Good would make the others' word that more happened, and what, be forgotten: one
		// replica could hide for ever that the cursor is compacted, by its answer of long ago.
		a.failed(fmt.Errorf("its certified state is that of height %d", at.height))
		return false, nil
	}
	a.good()
	if w.client.cfg.Now().Sub(at.time) > w.opts.MaxAge {
		a.next() // it may be no fault of its, but others may have more
	}
	if at.height > w.until.height {
		w.until = at
	}
	if len(links) == 0 {
		return false, nil
	}
	w.links, w.pieces, w.from = links, m.Pieces, from
	w.begin()
	return true, nil
}

// page gets further links from the same replica, up to a height. It returns nil if there
// are none. Calls end with paging, which ends no later than ctx.
func (w *Watcher) page(ctx, paging context.Context, after feed.Position, until uint64) (*api.WatchResponse, error) {
	a := &w.asks
	calling, cancel := a.call(paging, 0)
	defer cancel()
	m, err := a.replicas[a.at].link.line.api.Watch(calling, &api.WatchRequest{Height: after.Height, Chain: after.Chain[:], Until: until})
	switch {
	case err != nil:
		return nil, a.broken(ctx, err)
	case m.State != api.WatchState_WATCH_STATE_FOUND:
		a.failed(errors.New("it has lost the links that it began with"))
		return nil, nil
	}
	return m, nil
}

// receive asks one replica after the other for the next pieces of the first of the links.
// If none has them, it forgets the links.
func (w *Watcher) receive(ctx context.Context) error {
	a := &w.asks
	q := &api.ChangesRequest{Height: w.links[0].Height, Piece: w.piece, Until: w.links[len(w.links)-1].Height}
	for range a.replicas {
		calling, cancel := a.call(ctx, 0)
		began := w.client.cfg.Now()
		m, err := a.replicas[a.at].link.line.api.Changes(calling, q)
		cancel()
		switch {
		case err != nil:
			if err := a.broken(ctx, err); err != nil {
				return err
			}
		case m.State == api.WatchState_WATCH_STATE_FOUND && len(m.Pieces) > 0:
			w.pieces, w.from = m.Pieces, a.at
			// Whoever hands out a little at a time, each just before it would be silent, could
			// keep the watcher for ever behind.
			if now := w.client.cfg.Now(); now.Sub(began) > watchSlow && now.Sub(w.until.time) > w.opts.MaxAge {
				a.next()
			}
			return nil
		default:
			a.failed(errors.New("it does not have what changed"))
		}
	}
	w.rewind()
	return a.rest(ctx)
}
