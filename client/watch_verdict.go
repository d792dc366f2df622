package client

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/parley-bft/parley/crypto"
)

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
	found := Cursor{at: a.head}
	for i := range a.replicas {
		c := a.replicas[i].compacted
		if c == nil || c.at.Height >= found.at.Height {
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
