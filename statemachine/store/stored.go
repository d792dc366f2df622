package store

import (
	"context"

	"github.com/parley-bft/parley/statemachine"
)

// OnDamage has damaged called when the store fails with [ErrCorrupt], and when a peer asks for
// what turns out to be damaged. If it has failed already, that is at once.
func (m *Machine) OnDamage(damaged func(err error)) {
	m.store.onDamage.Store(&damaged)
	if f := m.store.failed.Load(); f != nil {
		m.store.damaged(f)
	}
}

// MendState is [Store.Mend].
func (m *Machine) MendState(ctx context.Context) (statemachine.StateSyncStats, error) {
	stats, err := m.store.Mend(ctx)
	return statsOf(&stats), err
}

// ScrubState is [Store.Scrub]. Meanwhile the height that it reads is kept, with what it takes
// to keep it.
func (m *Machine) ScrubState(ctx context.Context, limit int, rest func(context.Context)) (statemachine.StateScrub, error) {
	r, err := m.store.scrub(ctx, limit, rest)
	out := statemachine.StateScrub{Height: r.Height, Values: r.Values, Bytes: r.Bytes, More: r.More}
	for _, d := range r.Damages {
		x := statemachine.StateDamage{Key: d.Key, What: d.Kind.String()}
		if d.Err != nil {
			x.What += ": " + d.Err.Error()
		}
		out.Damages = append(out.Damages, x)
	}
	return out, err
}
