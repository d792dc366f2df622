package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
)

// A synchronisation that a later one takes the place of ends while it waits for peers, be
// they as silent as they like. What came stays, also if it was too little to be put into the
// database by itself, and what was found to be damaged is not looked for again.
func TestSupersededSyncKeepsWhatCame(t *testing.T) {
	for _, scrub := range []bool{false, true} {
		t.Run(fmt.Sprint("scrub ", scrub), func(t *testing.T) {
			a := storeOf(t, memory(3), 9, numbered(5000, "there"))
			b := storeOf(t, memory(3), 9, numbered(5000, "here"))
			if scrub {
				damageValue(t, b, "key 7", flipLast)
			}
			later := make(chan struct{})
			var once sync.Once
			answers := 0
			slow := peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
				if answers++; answers > 6 {
					once.Do(func() { close(later) })
					return nil, errSilent
				}
				return a.Serve(q)
			})
			want, _ := manual(wants(t, a, slow))
			want.Superseded, want.Scrub = later, scrub
			before, err := b.Sync(t.Context(), want)
			require.ErrorIs(t, err, statemachine.ErrSuperseded)
			require.Positive(t, before.Changed)
			require.Less(t, before.Changed, 5000)
			require.Equal(t, scrub, b.isMended())
			a.Block().Set([]byte("later"), []byte("value"))
			require.NoError(t, a.Commit(10))
			want, _ = manual(wants(t, a, honest(a)))
			want.Scrub = scrub
			after, err := b.Sync(t.Context(), want)
			require.NoError(t, err)
			require.Equal(t, 5001, before.Changed+after.Changed)
			require.Equal(t, before.Damaged, after.Damaged)
			require.Equal(t, content(t, a), content(t, b))
			require.False(t, b.isMended(), "it is a state now, which may be damaged anew")
		})
	}
}

// As long as more peers give something than may be liars, it goes on, from whenever on a later
// one is wanted; with fewer it ends, though a liar gives whole answers in time.
func TestSupersededWhileMostGive(t *testing.T) {
	for gone := range 3 {
		a := storeOf(t, memory(3), 9, numbered(5000, "there"))
		b := storeOf(t, memory(3), 9, numbered(5000, "here"))
		peers := []Peer{honest(a), honest(a), honest(a)}
		for i := range gone {
			peers[i] = peerFunc(func(context.Context, []byte) ([]byte, error) { return nil, nil })
		}
		want := passing(wants(t, a, peers...))
		later := make(chan struct{})
		close(later)
		want.Superseded = later
		_, err := b.Sync(t.Context(), want)
		if gone < 2 {
			require.NoError(t, err)
			require.Equal(t, content(t, a), content(t, b))
		} else {
			require.ErrorIs(t, err, statemachine.ErrSuperseded)
		}
	}
}

// drips gives of every request that is for more than one part the first.
func drips(s *Store) Peer {
	return peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
		r, err := decodeRequest(q)
		if err != nil {
			return nil, err
		}
		r.asks = r.asks[:1]
		return s.Serve(r.encode())
	})
}

// A peer that gives one true part at a time does not keep a descent going when the others
// have nothing any more: it would go on for as long as there are parts.
func TestDrippingPeerIsNoReasonToGoOn(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(5000, "there"))
	b := storeOf(t, memory(3), 9, numbered(5000, "here"))
	gone := peerFunc(func(context.Context, []byte) ([]byte, error) { return nil, nil })
	want := passing(wants(t, a, gone, drips(a), gone))
	want.Lied = func(int, error) { t.Error("it is true") }
	stats, err := b.Sync(t.Context(), want)
	require.ErrorIs(t, err, ErrPeers)
	require.Less(t, stats.Nodes, 40)
	// What it gave is used all the same, and beside others it does no harm.
	want = wants(t, a, honest(a), drips(a), gone)
	_, err = b.Sync(t.Context(), passing(want))
	require.NoError(t, err)
	require.Equal(t, content(t, a), content(t, b))
}

// An honest peer that has read enough for one answer ends it, be it short: that is not held
// against it.
func TestShortAnswersOfHonestPeers(t *testing.T) {
	there := numbered(300, "there")
	for i := range 3 {
		there[fmt.Sprint("long ", i)] = longValue(maxServe+i, uint64(i))
	}
	for i := range 200 { // whose nodes come without their values
		there[fmt.Sprint("middle ", i)] = longValue(answerBytes/4, uint64(i))
	}
	a := storeOf(t, memory(3), 9, there)
	b := storeOf(t, memory(3), 9, numbered(300, "here"))
	short := 0
	want, _ := manual(wants(t, a, peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
		answer, err := a.Serve(q)
		r, derr := decodeRequest(q)
		if err = errors.Join(err, derr); err != nil {
			return nil, err
		}
		if len(answer) < answerBytes && int(answer[2])<<8|int(answer[3]) < len(r.asks) {
			short++
		}
		return answer, err
	})))
	// No time passes, so if it had to rest this would not end.
	_, err := b.Sync(t.Context(), want)
	require.NoError(t, err)
	require.Equal(t, content(t, a), content(t, b))
	require.Positive(t, short)
}

// Who may lie is a matter of weights, which the caller knows: many who weigh little do not keep
// a descent going when a later state is wanted.
func TestSupersededGoesByWeights(t *testing.T) {
	for _, lie := range []bool{true, false} {
		a := storeOf(t, memory(3), 9, numbered(5000, "there"))
		b := storeOf(t, memory(3), 9, numbered(5000, "here"))
		gone := peerFunc(func(context.Context, []byte) ([]byte, error) { return nil, nil })
		want := passing(wants(t, a, gone, honest(a), honest(a), honest(a)))
		later := make(chan struct{})
		close(later)
		want.Superseded = later
		want.MayAllLie = func(giving []int) bool { // one of four weighs more than the others together
			return lie && len(giving) < 4 && giving[0] != 0
		}
		_, err := b.Sync(t.Context(), want)
		if lie {
			require.ErrorIs(t, err, statemachine.ErrSuperseded)
		} else {
			require.NoError(t, err)
			require.Equal(t, content(t, a), content(t, b))
		}
	}
}
