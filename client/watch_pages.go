package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/parley-bft/parley/client/api"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// proceed takes up an answer with links, if there are any, and gets those that did not fit.
func (w *Watcher) proceed(ctx context.Context, m *api.WatchResponse, end feed.Position, at checkpoint) (done bool, err error) {
	a := &w.asks
	from := a.at
	var links []feed.Link
	more, got := m.More, m.Links
	after := w.cursor.at
	paging, cancel := context.WithTimeout(ctx, w.client.cfg.MaxCatchUp)
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
			if at.height < w.cursor.at.Height {
				a.behind(at)
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
	if len(links) == 0 && at.height < a.newest.height {
		// Good would make the others' word that more happened, and what, be forgotten: one
		// replica could hide for ever that the cursor is compacted, by its answer of long ago.
		a.behind(at)
		return false, nil
	}
	a.good()
	if a.dated(at, w.client.cfg.Now()) {
		a.leave() // it may be no fault of its, but others may have more
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
	err = overdue(calling, err)
	switch {
	case err != nil && paging.Err() != nil && ctx.Err() == nil:
		limit := w.client.cfg.MaxCatchUp
		return nil, a.broken(ctx, fmt.Errorf("it has not named all blocks since height %d within %v: set Config.MaxCatchUp higher if the link is slow: %w", w.cursor.at.Height, limit, err))
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
		err = overdue(calling, err)
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
			if now := w.client.cfg.Now(); now.Sub(began) > watchSlow && a.dated(w.until, now) {
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
