package store

import (
	"context"
	"errors"
	"time"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

var (
	_ statemachine.PartedState = (*Machine)(nil)
	_ statemachine.StoredState = (*Machine)(nil)
)

// ServeState is [Store.Serve].
func (m *Machine) ServeState(request []byte) ([]byte, error) { return m.store.Serve(request) }

// SyncState is [Store.Sync]. If it is to repair, a scrub comes first: afterwards every value
// is the one that the digest covers, at the cost of reading the whole state that is here. The height is kept as that of a snapshot is, so that a later process can
// return to it.
func (m *Machine) SyncState(ctx context.Context, want statemachine.StateTarget) (statemachine.StateSyncStats, error) {
	stats, err := m.store.Sync(ctx, syncOf(want))
	if err == nil {
		m.stale.Store(false)
		err = m.store.keepRestored(want.Height)
	}
	return statsOf(&stats), err
}

func statsOf(s *SyncStats) statemachine.StateSyncStats {
	return statemachine.StateSyncStats{
		Requests: s.Requests, Sent: s.Sent, Received: s.Received,
		Changed: s.Changed, Damaged: s.Damaged, Lost: s.Lost, Unreadable: s.Unreadable,
	}
}

// CompareState is [Store.Compare] with a scrub: values that were changed beneath the
// tree are among the differences. It costs reading the whole state. The head of the chain
// of changes, which differs ever since any key did, is left out where others differ too. If
// half of the time that ctx leaves is not enough for all of that, the rest is for what the
// trees say: so what differs in a large state is named all the same, unless it is damage.
func (m *Machine) CompareState(ctx context.Context, want statemachine.StateTarget, limit int) (differences []statemachine.StateDifference, more bool, err error) {
	want.Repair = true
	half, cancel := ctx, context.CancelFunc(func() {})
	if until, bounded := ctx.Deadline(); bounded {
		half, cancel = context.WithTimeout(ctx, time.Until(until)/2)
	}
	all, more, _, err := m.store.Compare(half, syncOf(want), limit+1)
	if cancel(); errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		want.Repair = false
		all, more, _, err = m.store.Compare(ctx, syncOf(want), limit+1)
	}
	for _, d := range all {
		if d.Damaged || string(d.Key) != feed.Key {
			differences = append(differences, d)
		}
	}
	if len(differences) == 0 {
		differences = all
	}
	if len(differences) > limit {
		differences, more = differences[:limit], true
	}
	return differences, more, heightError(err)
}

func syncOf(want statemachine.StateTarget) Sync {
	return Sync{Height: want.Height, Digest: want.Digest, Peers: want.Peers, Exchange: want.Exchange, Lied: want.Lied, MayAllLie: want.MayAllLie, Superseded: want.Superseded, Scrub: want.Repair}
}
