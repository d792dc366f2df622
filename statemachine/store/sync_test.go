package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// peerFunc is a Peer.
type peerFunc func(ctx context.Context, request []byte) ([]byte, error)

func (f peerFunc) Ask(ctx context.Context, request []byte) ([]byte, error) { return f(ctx, request) }

func honest(s *Store) Peer {
	return peerFunc(func(_ context.Context, q []byte) ([]byte, error) { return s.Serve(q) })
}

// storeOf is a store with a content, at a height, with its digest taken.
func storeOf(t require.TestingT, c Config, height uint64, m model) *Store {
	s := open(t, c)
	for k, v := range m {
		s.Block().Set([]byte(k), []byte(v))
	}
	require.NoError(t, s.Commit(height))
	_, err := s.Digest()
	require.NoError(t, err)
	return s
}

func wants(t require.TestingT, s *Store, peers ...Peer) Sync {
	d, err := s.Digest()
	require.NoError(t, err)
	_, last := s.Heights()
	return Sync{Height: last, Digest: d, Peers: peers}
}

func content(t require.TestingT, s *Store) []string {
	v, err := s.Last()
	require.NoError(t, err)
	return entries(v.Range(nil, nil))
}

// Two states that have little or much in common, and one is made the other.
func TestSync(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(n int) model {
			m := model{}
			for range n {
				m[fmt.Sprint("key ", rapid.IntRange(0, 400).Draw(t, "key"))] = fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "value"))
			}
			return m
		}
		sizes := rapid.SampledFrom([]int{0, 1, 2, 20, 200})
		there := draw(sizes.Draw(t, "there"))
		var here model
		if rapid.Bool().Draw(t, "related") {
			here = maps.Clone(there)
			for k := range draw(rapid.IntRange(0, 5).Draw(t, "fewer")) {
				delete(here, k)
			}
			maps.Copy(here, draw(rapid.IntRange(0, 5).Draw(t, "more")))
		} else {
			here = draw(sizes.Draw(t, "here"))
		}
		a := storeOf(t, memory(3), 40, there)
		b := storeOf(t, memory(3), 7, here)
		old, err := b.Last()
		require.NoError(t, err)
		stats, err := b.Sync(context.Background(), wants(t, a, honest(a)))
		require.NoError(t, err)
		require.Equal(t, content(t, a), content(t, b))
		_, last := b.Heights()
		require.Equal(t, uint64(40), last)
		if stats.Changed > 0 {
			require.ErrorIs(t, Catch(func() { old.Get([]byte("key 1")) }), ErrPruned)
		}
		// Nothing of before is left, and life goes on.
		require.NoError(t, a.Flush())
		for _, space := range []byte{spaceLast, spaceHistory, spaceJournal, spaceNodes} {
			require.Equal(t, count(t, a, space), count(t, b, space), "space %c", space)
		}
		for h := uint64(41); h < 44; h++ {
			for _, s := range []*Store{a, b} {
				s.Block().Set(fmt.Append(nil, "key ", h), []byte("later"))
				s.Block().Delete(fmt.Append(nil, "key ", h%10))
				require.NoError(t, s.Commit(h))
			}
		}
		da, err := a.Digest()
		require.NoError(t, err)
		db, err := b.Digest()
		require.NoError(t, err)
		require.Equal(t, da, db)
		again, err := b.Sync(context.Background(), wants(t, a, honest(a)))
		require.NoError(t, err)
		require.Zero(t, again.Requests)
	})
}

func numbered(n int, value string) model {
	m := model{}
	for i := range n {
		m[fmt.Sprint("key ", i)] = value
	}
	return m
}

// Whatever a liar says, it is found out and the honest peer's state is what comes.
func TestSyncAmongLiars(t *testing.T) {
	there := numbered(500, "there")
	a := storeOf(t, memory(3), 9, there)
	other := storeOf(t, memory(3), 9, numbered(500, "other"))
	rapid.Check(t, func(t *rapid.T) {
		here := numbered(500, "there")
		for i := range rapid.IntRange(1, 500).Draw(t, "differ") {
			here[fmt.Sprint("key ", i)] = "here"
		}
		b := storeOf(t, memory(3), 4, here)
		seed := rapid.Uint64().Draw(t, "seed")
		var mu sync.Mutex
		lies := map[int]int{}
		liar := func(peer int, twist func(r *rand.Rand, q, answer []byte) []byte) Peer {
			r := rand.New(rand.NewPCG(seed, uint64(peer)))
			return peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
				good, err := a.Serve(q)
				if err != nil {
					return nil, err
				}
				mu.Lock()
				defer mu.Unlock()
				lies[peer]++
				return twist(r, q, good), nil
			})
		}
		want := wants(t, a,
			liar(0, func(r *rand.Rand, _, b []byte) []byte { b[r.IntN(len(b))] ^= 1 << r.IntN(8); return b }),
			liar(1, func(r *rand.Rand, _, b []byte) []byte { return b[:r.IntN(len(b))] }),
			liar(2, func(r *rand.Rand, q, _ []byte) []byte { // of another state
				request, err := decodeRequest(q)
				require.NoError(t, err)
				request.digest, err = other.Digest()
				require.NoError(t, err)
				b, err := other.Serve(request.encode())
				require.NoError(t, err)
				return b
			}),
			liar(3, func(r *rand.Rand, _, b []byte) []byte { return append(b, byte(r.IntN(256))) }),
			liar(4, func(*rand.Rand, []byte, []byte) []byte { return nil }),
			peerFunc(func(context.Context, []byte) ([]byte, error) { return nil, errors.New("not reachable") }),
			honest(a))
		told := map[int]bool{}
		want.Lied = func(peer int, err error) {
			require.Less(t, peer, 4, "%v", err)
			require.False(t, told[peer], "peer %d was asked after it had lied", peer)
			told[peer] = true
		}
		stats, err := b.Sync(context.Background(), want)
		require.NoError(t, err)
		require.Equal(t, content(t, a), content(t, b))
		require.Positive(t, stats.Changed)
	})
}

// What a request costs is bounded, whatever it asks for: the values of a node that are
// too long to go with it are not all read for each time that it asks for them.
func TestServingIsBounded(t *testing.T) {
	there := model{}
	for i := range 17 { // at least two of them are below one node
		there[fmt.Sprint("key ", i)] = string(make([]byte, answerBytes/2+i))
	}
	a := storeOf(t, memory(3), 9, there)
	d, err := a.Digest()
	require.NoError(t, err)
	q := request{height: 9, digest: d}
	for range maxAsks {
		q.asks = append(q.asks, ask{values: true})
	}
	b, err := a.Serve(q.encode())
	require.NoError(t, err)
	parts, err := decodeAnswer(b, maxAsks)
	require.NoError(t, err)
	require.NotEmpty(t, parts)
	require.LessOrEqual(t, len(parts), maxServe/answerBytes+1)
}

// A value that the storage changed is not sent. That somebody asked does not stop the store.
func TestDamageIsNotServed(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(50, "there"))
	want := wants(t, a, honest(a))
	want.Lied = func(int, error) { t.Error("it is damaged, and no liar") }
	damageValue(t, a, "key 7", flipLast)
	b := open(t, memory(3))
	_, err := b.Sync(t.Context(), passing(want))
	require.ErrorIs(t, err, ErrPeers)
	require.NoError(t, a.err())
	// It can be asked what is wrong.
	r, err := a.Scrub(t.Context(), 5)
	require.NoError(t, err)
	require.Len(t, r.Damages, 1)
	require.Equal(t, "key 7", string(r.Damages[0].Key))
	sound := storeOf(t, memory(3), 9, numbered(50, "there"))
	ds, _, _, err := a.Compare(t.Context(), scrubbed(wants(t, sound, honest(sound))), 5)
	require.NoError(t, err)
	require.Len(t, ds, 1)
	require.True(t, ds[0].Damaged)
	// From somebody else it gets well, and serves again.
	c := storeOf(t, memory(3), 9, numbered(50, "there"))
	_, err = a.Sync(t.Context(), scrubbed(wants(t, c, honest(c))))
	require.NoError(t, err)
	_, err = b.Sync(t.Context(), want)
	require.NoError(t, err)
	require.Equal(t, content(t, c), content(t, b))
}

func TestSyncWithNobody(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(50, "there"))
	b := storeOf(t, memory(3), 4, numbered(40, "here"))
	before := content(t, b)
	pruned := wants(t, a, honest(a))
	pruned.Height++
	_, err := b.Sync(context.Background(), passing(pruned))
	require.ErrorIs(t, err, ErrPeers)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = b.Sync(ctx, wants(t, a, honest(a)))
	require.ErrorIs(t, err, context.Canceled)
	// Nothing was changed yet.
	require.Equal(t, before, content(t, b))
	_, err = a.Serve([]byte("no request"))
	require.ErrorIs(t, err, ErrQuery)
}

// A transfer that is cut off leaves no state that could be taken for one, also after a
// crash, and the next goes on where it ended, also to a later state.
func TestSyncGoesOn(t *testing.T) {
	there := model{}
	big := string(make([]byte, 100))
	for i := range 2000 {
		there[fmt.Sprint("key ", i)] = big + fmt.Sprint(i)
	}
	a := storeOf(t, memory(3), 9, there)
	disk := vfs.NewMem()
	c := onDisk(3, disk)
	c.syncBytes = 32 << 10
	b := storeOf(t, c, 4, numbered(30, "here"))
	left, cut := 8, errors.New("cut off")
	ctx, stop := context.WithCancel(t.Context())
	cable := peerFunc(func(_ context.Context, q []byte) ([]byte, error) {
		if left--; left < 0 {
			stop()
			return nil, cut
		}
		return a.Serve(q)
	})
	first, err := b.Sync(ctx, wants(t, a, cable))
	require.ErrorIs(t, err, context.Canceled)
	require.Positive(t, first.Changed)
	for range 2 {
		_, err = b.Last()
		require.ErrorIs(t, err, ErrIncomplete)
		_, err = b.Digest()
		require.ErrorIs(t, err, ErrIncomplete)
		require.ErrorIs(t, b.Commit(5), ErrIncomplete)
		answer, err := b.Serve((&request{}).encode())
		require.NoError(t, err)
		require.Empty(t, answer)
		require.NoError(t, b.Close())
		b = open(t, c)
	}
	a.Block().Set([]byte("key 7"), []byte("short"))
	require.NoError(t, a.Commit(10))
	second, err := b.Sync(context.Background(), wants(t, a, honest(a)))
	require.NoError(t, err)
	require.Equal(t, content(t, a), content(t, b))
	require.Less(t, second.Values, 2000-first.Changed/2, "it began again")
	require.NoError(t, b.Commit(11))

	// An incomplete state can be restored over.
	c = memory(1)
	c.syncBytes = 32 << 10
	d := open(t, c)
	left = 8
	ctx, stop = context.WithCancel(t.Context())
	defer stop()
	_, err = d.Sync(ctx, wants(t, a, cable))
	require.ErrorIs(t, err, context.Canceled)
	_, err = d.Last()
	require.ErrorIs(t, err, ErrIncomplete)
	small := storeOf(t, memory(1), 3, numbered(3, "x"))
	require.NoError(t, restore(d, snapshotOf(t, small)))
	require.Equal(t, content(t, small), content(t, d))
	require.NoError(t, b.Close())
}

// A peer that asks for what the storage changed gets nothing of it, and does not stop the
// replica that it asks: others have it.
func TestServeDamaged(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(300, "there"))
	healthy := storeOf(t, memory(3), 9, numbered(300, "there"))
	want := wants(t, a, honest(a), honest(healthy))
	want.Lied = func(peer int, err error) { require.Fail(t, "an honest peer is called a liar", "%d: %v", peer, err) }
	require.NoError(t, a.Flush())
	poke(t, a, lastKey("key 7"), flipLast)
	poke(t, a, lastKey("key 8"), func([]byte) []byte { return []byte("no record") })
	b := storeOf(t, memory(3), 2, nil)
	_, err := b.Sync(context.Background(), want)
	require.NoError(t, err)
	require.Equal(t, content(t, healthy), content(t, b))
	require.NoError(t, a.err())
	report, err := a.Scrub(context.Background(), 9)
	require.NoError(t, err)
	require.Len(t, report.Damages, 2)
}
