package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store/feed"
)

// texts is a handler whose operations are "key=value" and "key-".
type texts struct{ founds string }

func (h *texts) Found(t Txn) {
	if h.founds != "" {
		t.Set([]byte(h.founds), []byte("founded"))
	}
}

func (h *texts) Apply(t Txn, _ *statemachine.Block, op *statemachine.Op) statemachine.Result {
	if key, value, ok := bytes.Cut(op.Data, []byte("=")); ok {
		t.Set(key, value)
	} else {
		t.Delete(bytes.TrimSuffix(op.Data, []byte("-")))
	}
	return statemachine.OK(nil)
}

func (h *texts) Query(context.Context, Reader, []byte) ([]byte, error) { return nil, nil }

func newTexts(t require.TestingT, c Config, founds string) *Machine {
	m, err := NewMachine(open(t, c), &texts{founds})
	require.NoError(t, err)
	return m
}

// told is a block as the feed tells of it.
type told struct {
	height, time uint64
	changes      []string // "key=value" and "key-"
}

// readFeed reads and checks everything after a position, up to a height of which it gets
// a proof.
func readFeed(t require.TestingT, m *Machine, after feed.Position, until uint64) (all []told, end feed.Position, err error) {
	ask := func(q []byte) *FeedAnswer {
		b, err := m.Query(context.Background(), q)
		require.NoError(t, err)
		a, err := DecodeFeedAnswer(b)
		require.NoError(t, err)
		require.Equal(t, b, a.Encode())
		return a
	}
	a := ask((&LinksQuery{After: after, Until: until, Prove: true}).Encode())
	v, err := m.Store().At(until)
	require.NoError(t, err)
	d, err := v.Digest()
	require.NoError(t, err)
	require.NoError(t, a.Proof.Verify(d, []byte(feed.Key)))
	head := feed.Beginning()
	if a.Proof.Present {
		head, err = feed.DecodePosition(a.Proof.Value)
		require.NoError(t, err)
	}
	switch a.State {
	case FeedCompacted:
		return nil, after, &CompactedError{a.Oldest}
	case FeedUnknown:
		return nil, after, ErrPosition
	}
	links := a.Links
	for end, err = feed.Follow(after, links, until); a.More; {
		a = ask((&LinksQuery{After: end, Until: until}).Encode())
		require.NotEmpty(t, a.Links)
		links = append(links, a.Links...)
		end, err = feed.Follow(after, links, until)
	}
	require.NoError(t, err)
	require.Equal(t, head.Chain, end.Chain, "the links lead to the head that is proved")
	for i := range links {
		l := &links[i]
		next := told{height: l.Height, time: l.Time}
		digest, index := l.Changes, uint32(0)
		for !digest.IsZero() {
			a := ask((&PiecesQuery{Height: l.Height, Index: index, Until: l.Height}).Encode())
			require.Equal(t, FeedFound, a.State)
			require.NotEmpty(t, a.Pieces)
			for _, p := range a.Pieces {
				var cs []feed.Change
				cs, digest, err = feed.OpenPiece(p, digest)
				require.NoError(t, err)
				index++
				for _, c := range cs {
					if c.Deleted {
						next.changes = append(next.changes, string(c.Key)+"-")
					} else {
						next.changes = append(next.changes, string(c.Key)+"="+string(c.Value))
					}
				}
			}
		}
		all = append(all, next)
	}
	return all, end, nil
}

// runTexts runs a block in which the operations are those of run, and its time is ten
// times its height.
func runTexts(m *Machine, height uint64, ops ...string) []statemachine.Result {
	b := statemachine.Block{Height: height, Time: statemachine.Time(10 * height)}
	for _, op := range ops {
		b.Ops = append(b.Ops, statemachine.Op{Data: []byte(op)})
	}
	return m.Apply(b)
}

func TestWhatIsAChange(t *testing.T) {
	m := newTexts(t, memory(8), "root")
	for i, block := range [][]string{
		{"b=1", "a=1"},
		{},                               // nothing
		{"a=1"},                          // what it was
		{"c=1", "c-"},                    // in vain
		{"a=2", "a=1"},                   // there and back
		{"a=2", "a=3", "d-", "b-", "e="}, // the last value counts; d was never there
		{"b-", "a-", "a=3"},
	} {
		runTexts(m, uint64(i+1), block...)
	}
	m.Digest()
	all, end, err := readFeed(t, m, feed.Beginning(), 7)
	require.NoError(t, err)
	require.Equal(t, []told{
		{0, 0, []string{"root=founded"}},
		{1, 10, []string{"a=1", "b=1"}},
		{6, 60, []string{"a=3", "b-", "e="}},
	}, all)
	require.Equal(t, uint64(6), end.Height)

	// A machine to which nothing ever happened has no head.
	m = newTexts(t, memory(8), "")
	runTexts(m, 1, "a-")
	m.Digest()
	all, end, err = readFeed(t, m, feed.Beginning(), 1)
	require.NoError(t, err)
	require.Empty(t, all)
	require.Equal(t, feed.Beginning(), end)
}

// Handlers cannot reach the store's own keys.
func TestReservedKeys(t *testing.T) {
	m := newTexts(t, memory(8), "")
	results := runTexts(m, 1, "a=1", feed.Key+"=forged", feed.Key+"-", feed.Reserved+"=x", "\xffparley=fine", "b=1")
	var codes []statemachine.ResultCode
	for _, r := range results {
		codes = append(codes, r.Code)
	}
	reserved := statemachine.CodeReservedKey
	require.Equal(t, []statemachine.ResultCode{0, reserved, reserved, reserved, 0, 0}, codes)
	require.Contains(t, string(results[1].Data), `keys that begin with "\xffparley/" are the store's own`)

	s := m.Store()
	want := []string{"a=1", "b=1", "\xffparley=fine"}
	v, err := s.Last()
	require.NoError(t, err)
	for name, r := range map[string]Reader{"transaction": s.Block(), "view": v} {
		require.Equal(t, want, entries(r.Range(nil, nil)), name)
		back := slices.Clone(want)
		slices.Reverse(back)
		require.Equal(t, back, entries(r.Backward(nil, nil)), name)
		require.Empty(t, entries(r.Range([]byte(feed.Reserved), nil)), name)
		require.Empty(t, entries(PrefixReader(r, "\xffparley/").Range(nil, nil)), name)
		_, ok := r.Get([]byte(feed.Key))
		require.False(t, ok, name)
		_, ok = PrefixReader(r, "\xff").Get([]byte(feed.Key[1:]))
		require.False(t, ok, name)
	}
	require.PanicsWithError(t, (&ReservedKeyError{[]byte(feed.Key)}).Error(), func() { Prefix(s.Block(), "\xffparley/").Set([]byte("store/feed"), nil) })

	// They are in snapshots all the same.
	d := m.Digest()
	other := newTexts(t, memory(8), "")
	require.NoError(t, restore(other.Store(), snapshotOf(t, s)))
	other.Restored(1)
	require.Equal(t, d, other.Digest())
	runTexts(m, 2, "c=1")
	runTexts(other, 2, "c=1")
	require.Equal(t, m.Digest(), other.Digest())
}

// TestFeedModel plays blocks, flushes, restarts and snapshots of machines that keep more or
// less of their feeds against a model that knows all changes. From each position that there
// ever was a machine tells exactly what came after it, or that it is compacted, which it is
// only where it must be.
func TestFeedModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		files := vfs.NewMem()
		cfg := onDisk(64, files)
		cfg.FlushBytes = rapid.SampledFrom([]int64{1 << 10, 4 << 10, 1 << 20}).Draw(t, "flush bytes")
		cfg.FeedBytes = rapid.SampledFrom([]int64{0, 500, 2000, 1 << 20}).Draw(t, "feed bytes")
		cfg.FeedBlocks = rapid.SampledFrom([]uint64{1, 3, 1000}).Draw(t, "feed blocks")
		founds := rapid.SampledFrom([]string{"", "root"}).Draw(t, "founds")
		m, plain := newTexts(t, cfg, founds), newTexts(t, memory(64), founds)
		defer func() { require.NoError(t, m.Store().Close()) }()

		type kept struct {
			height uint64
			bytes  []byte
			state  map[string]string
			blocks int
		}
		state := map[string]string{}
		var blocks []told // that changed something
		if founds != "" {
			state[founds] = "founded"
			blocks = append(blocks, told{0, 0, []string{founds + "=founded"}})
		}
		positions := []feed.Position{feed.Beginning()} // before each, and after the last
		known := 0                                     // how many positions are on the list
		height, snapshots, oldest := uint64(0), []kept{}, 0
		note := func() {
			for ; known < len(blocks); known++ {
				_, end, err := readFeed(t, plain, positions[known], height)
				require.NoError(t, err)
				positions = append(positions, end)
			}
		}
		plain.Digest()
		note()
		t.Repeat(map[string]func(*rapid.T){
			"block": func(t *rapid.T) {
				height++
				after := maps.Clone(state)
				var ops []string
				for range rapid.IntRange(0, 5).Draw(t, "ops") {
					key := drawKey.Draw(t, "key")
					key = strings.NewReplacer("=", "", "-", "").Replace(key)
					if rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
						ops = append(ops, key+"-")
						delete(after, key)
					} else {
						value := strings.Repeat("v", rapid.IntRange(0, 200).Draw(t, "value"))
						ops = append(ops, key+"="+value)
						after[key] = value
					}
				}
				b := told{height: height, time: 10 * height}
				keys := maps.Clone(after)
				maps.Copy(keys, state)
				for _, key := range slices.Sorted(maps.Keys(keys)) {
					was, had := state[key]
					now, has := after[key]
					switch {
					case !has:
						b.changes = append(b.changes, key+"-")
					case !had || was != now:
						b.changes = append(b.changes, key+"="+now)
					}
				}
				state = after
				runTexts(m, height, ops...)
				runTexts(plain, height, ops...)
				require.Equal(t, plain.Digest(), m.Digest(), "what is kept is no part of the state")
				if len(b.changes) > 0 {
					blocks = append(blocks, b)
				}
				note()
			},
			"flush": func(t *rapid.T) { require.NoError(t, m.Store().Flush()) },
			"snapshot": func(t *rapid.T) {
				m.Digest()
				snapshots = append(snapshots, kept{height, snapshotOf(t, m.Store()), maps.Clone(state), len(blocks)})
				snapshots = snapshots[max(0, len(snapshots)-2):]
			},
			"restart": func(t *rapid.T) {
				if len(snapshots) == 0 {
					return
				}
				require.NoError(t, m.Store().Close())
				m = newTexts(t, cfg, founds)
				k := snapshots[len(snapshots)-1]
				if older := snapshots[0]; older.blocks < k.blocks && rapid.Bool().Draw(t, "an older one") {
					k = older
				}
				if rapid.IntRange(0, 3).Draw(t, "another replica's") == 0 {
					require.NoError(t, m.Store().clear())
					oldest = k.blocks
				}
				require.NoError(t, m.Restore(bytes.NewReader(k.bytes)))
				m.Restored(k.height)
				plain = newTexts(t, memory(64), founds)
				require.NoError(t, plain.Restore(bytes.NewReader(k.bytes)))
				plain.Restored(k.height)
				state, blocks, height = maps.Clone(k.state), blocks[:k.blocks], k.height
				positions, known = positions[:k.blocks+1], k.blocks
				oldest = min(oldest, k.blocks)
				snapshots = slices.DeleteFunc(snapshots, func(s kept) bool { return s.height > height })
			},
			"": func(t *rapid.T) {
				m.Digest()
				f := &m.Store().feed
				require.LessOrEqual(t, uint64(len(f.kept)), cfg.FeedBlocks)
				if len(f.kept) > 1 {
					require.LessOrEqual(t, f.bytes, cfg.FeedBytes)
				}
				first := len(blocks) - len(f.kept)
				for _, i := range []int{0, first - 1, first, rapid.IntRange(0, len(blocks)).Draw(t, "position")} {
					if i < 0 {
						continue
					}
					all, end, err := readFeed(t, m, positions[i], height)
					if i < first {
						var compacted *CompactedError
						require.ErrorAs(t, err, &compacted, "position %d of %d", i, len(positions))
						require.Equal(t, positions[first], compacted.Oldest)
						continue
					}
					require.NoError(t, err)
					require.Equal(t, append([]told{}, blocks[i:]...), append([]told{}, all...))
					require.Equal(t, positions[len(blocks)], end)
				}
				if cfg.FeedBytes > 1<<19 && cfg.FeedBlocks == 1000 {
					require.GreaterOrEqual(t, len(f.kept), len(blocks)-oldest, "nothing is let go without need")
				}
				_, _, err := readFeed(t, m, feed.Position{Height: height, Chain: crypto.Digest{1}}, height)
				require.ErrorIs(t, err, ErrPosition)
			},
		})
	})
}

// A block with more changes than fit into one piece, or one answer.
func TestFeedOfLongBlocks(t *testing.T) {
	c := memory(8)
	c.FlushBytes = 1 << 10
	m := newTexts(t, c, "")
	long := strings.Repeat("x", 400<<10)
	runTexts(m, 1, "a="+long, "b=1", "c="+long, "d="+long, "e="+long, "f="+long)
	runTexts(m, 2, "a=1")
	m.Digest()
	all, _, err := readFeed(t, m, feed.Beginning(), 2)
	require.NoError(t, err)
	require.Equal(t, []told{{1, 10, []string{"a=" + long, "b=1", "c=" + long, "d=" + long, "e=" + long, "f=" + long}}, {2, 20, []string{"a=1"}}}, all)
	p, err := m.Store().Pieces(1, 0, 2)
	require.NoError(t, err)
	require.Len(t, p, 3, "a; b and c; d: about a megabyte")
	p, err = m.Store().Pieces(1, 4, 2)
	require.NoError(t, err)
	require.Len(t, p, 2, "f, and the next block")
	_, err = m.Store().Pieces(1, 5, 2)
	require.ErrorIs(t, err, ErrPosition)
}

// More blocks than fit into one answer.
func TestFeedOfManyBlocks(t *testing.T) {
	m := newTexts(t, memory(1), "")
	const n = MaxLinks + 100
	for h := uint64(1); h <= n; h++ {
		runTexts(m, h, fmt.Sprintf("a=%d", h))
	}
	m.Digest()
	l, err := m.Store().Links(feed.Beginning(), n, true)
	require.NoError(t, err)
	require.True(t, l.More)
	require.Len(t, l.Links, MaxLinks)
	at, err := feed.Follow(feed.Beginning(), l.Links, n)
	require.NoError(t, err)
	l, err = m.Store().Links(at, n, false)
	require.NoError(t, err)
	require.False(t, l.More)
	require.Len(t, l.Links, 100)
}

// After a state transfer the feed begins with what comes later.
func TestFeedAfterSync(t *testing.T) {
	a, b := newTexts(t, memory(8), ""), newTexts(t, memory(8), "")
	for h := uint64(1); h <= 3; h++ {
		runTexts(a, h, fmt.Sprintf("a=%d", h))
		runTexts(b, h, fmt.Sprintf("a=%d", h))
	}
	runTexts(a, 4, "b=1")
	runTexts(b, 4, "b=wrong")
	runTexts(a, 5, "c=1")
	runTexts(b, 5, "c=1")
	a.Digest()
	_, err := b.Store().Sync(context.Background(), wants(t, a.Store(), peerFunc(func(_ context.Context, q []byte) ([]byte, error) { return a.Store().Serve(q) })))
	require.NoError(t, err)
	_, end, err := readFeed(t, a, feed.Beginning(), 5)
	require.NoError(t, err)
	_, _, err = readFeed(t, b, feed.Beginning(), 5)
	var compacted *CompactedError
	require.ErrorAs(t, err, &compacted)
	require.Equal(t, end, compacted.Oldest)
	runTexts(a, 6, "d=1")
	runTexts(b, 6, "d=1")
	require.Equal(t, a.Digest(), b.Digest())
	all, _, err := readFeed(t, b, end, 6)
	require.NoError(t, err)
	require.Equal(t, []told{{6, 60, []string{"d=1"}}}, all)
}

// A head that is damaged is a difference, as any key is; one that differs because others
// do is not worth a word.
func TestComparisonAndTheHead(t *testing.T) {
	a, b := newTexts(t, memory(8), ""), newTexts(t, memory(8), "")
	for _, m := range []*Machine{a, b} {
		runTexts(m, 1, "a=1")
		m.Digest()
	}
	damageValue(t, b.Store(), feed.Key, flipLast)
	ds, more, err := b.CompareState(t.Context(), targetOf(a, 1, machinePeer(a)), 10)
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, ds, 1)
	require.True(t, ds[0].Damaged)
	_, err = b.SyncState(t.Context(), targetOf(a, 1, machinePeer(a)))
	require.NoError(t, err)

	// Two ways to the same content.
	runTexts(a, 2, "b=1")
	runTexts(b, 2, "b=2")
	runTexts(a, 3, "c=1")
	runTexts(b, 3, "b=1", "c=1")
	a.Digest()
	b.Digest()
	ds, _, err = b.CompareState(t.Context(), targetOf(a, 3, machinePeer(a)), 10)
	require.NoError(t, err)
	require.Len(t, ds, 1, "the histories differ, and nothing else")
	require.Equal(t, feed.Key, string(ds[0].Key))
	runTexts(b, 4, "a=2", "c=2", "d=2")
	runTexts(a, 4, "a=3", "c=3", "d=3")
	a.Digest()
	b.Digest()
	for limit, want := range []int{0, 1, 2, 3, 3} {
		ds, more, err = b.CompareState(t.Context(), targetOf(a, 4, machinePeer(a)), limit)
		require.NoError(t, err)
		require.Len(t, ds, want)
		require.Equal(t, limit < 3, more)
		for _, d := range ds {
			require.NotEqual(t, feed.Key, string(d.Key))
		}
	}
}

// A feed that the disk damaged is no loss of the state's: it begins anew, without a gap.
func TestDamagedFeed(t *testing.T) {
	for name, damage := range map[string]func(b batch){
		"no link":     func(b batch) { b.set(linkKey(2), []byte("?")) },
		"a gap":       func(b batch) { b.delete(linkKey(2)) },
		"no piece":    func(b batch) { b.delete(pieceKey(2, 0)) },
		"other piece": func(b batch) { b.set(pieceKey(2, 0), []byte("?")) },
	} {
		t.Run(name, func(t *testing.T) {
			files := vfs.NewMem()
			m := newTexts(t, onDisk(8, files), "")
			for h := uint64(1); h <= 3; h++ {
				runTexts(m, h, fmt.Sprintf("a=%d", h))
			}
			m.Digest()
			snap := snapshotOf(t, m.Store())
			b := m.Store().db.newBatch()
			damage(b)
			require.NoError(t, b.write(true))
			require.NoError(t, m.Store().Close())
			m = newTexts(t, onDisk(8, files), "")
			defer func() { require.NoError(t, m.Store().Close()) }()
			require.NoError(t, m.Restore(bytes.NewReader(snap)))
			m.Restored(3)
			l, err := m.Store().Links(feed.Beginning(), 3, true)
			if strings.Contains(name, "piece") {
				// Whoever asks finds it out.
				require.NoError(t, err)
				p, err := m.Store().Pieces(2, 0, 2)
				if err == nil {
					_, _, err = feed.OpenPiece(p[0], l.Links[1].Changes)
				}
				require.Error(t, err)
				return
			}
			require.ErrorIs(t, err, ErrCompacted)
			runTexts(m, 4, "a=4")
			m.Digest()
			var compacted *CompactedError
			_, err = m.Store().Links(feed.Beginning(), 4, true)
			require.ErrorAs(t, err, &compacted)
			all, _, err := readFeed(t, m, compacted.Oldest, 4)
			require.NoError(t, err)
			require.Equal(t, []told{{4, 40, []string{"a=4"}}}, all)
		})
	}
}

// Readers of the feed, while blocks are committed, flushed and let go.
func TestFeedConcurrently(t *testing.T) {
	c := memory(MaxKeep)
	c.FlushBytes, c.FeedBlocks = 4<<10, 50
	m := newTexts(t, c, "")
	done := make(chan struct{})
	var group sync.WaitGroup
	var mu sync.Mutex
	heights := []uint64{}
	for range 3 {
		group.Go(func() {
			at, last := feed.Beginning(), uint64(0)
			for {
				var until uint64
				mu.Lock()
				if n := len(heights); n > 0 {
					until = heights[n-1]
				}
				mu.Unlock()
				if until > last {
					l, err := m.Store().Links(at, until, true)
					switch {
					case err == nil:
						if at, err = feed.Follow(at, l.Links, until); err != nil {
							t.Error(err)
						}
						p, _ := feed.DecodePosition(l.Proof.Value)
						if p.Chain != at.Chain {
							t.Errorf("%d links to height %d do not lead to what is proved", len(l.Links), until)
						}
						last = until
						if len(l.Links) > 0 {
							if _, err := m.Store().Pieces(l.Links[0].Height, 0, until); err != nil && !isCompacted(err) {
								t.Error(err)
							}
						}
					case isCompacted(err):
						l, err := m.Store().Links(feed.Position{}, until, true)
						if err != nil {
							t.Error(err)
							return
						}
						at, _ = feed.DecodePosition(l.Proof.Value)
						last = until
					default:
						t.Error(err)
						return
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for h := uint64(1); h <= 2000; h++ {
		runTexts(m, h, fmt.Sprintf("a%d=%d", h%7, h))
		if h%10 == 0 {
			m.Digest()
			mu.Lock()
			heights = append(heights, h)
			mu.Unlock()
		}
	}
	close(done)
	group.Wait()
	require.NoError(t, m.Store().Close())
	_, err := m.Store().Links(feed.Beginning(), 2000, false)
	require.ErrorIs(t, err, ErrClosed)
	_, err = m.Store().Pieces(1, 0, 1)
	require.ErrorIs(t, err, ErrClosed)
}

func isCompacted(err error) bool { return errors.Is(err, ErrCompacted) }

// FuzzFeed: queries and answers that anybody sends do no harm, and have one encoding. There
// is more to be had than fits into an answer, so an answer without a bound is too long.
func FuzzFeed(f *testing.F) {
	m := newTexts(f, memory(8), "")
	runTexts(m, 1, "a=1", "b=1")
	runTexts(m, 2, "a-")
	const blocks, value = 12, 200 << 10
	for h := uint64(3); h < 3+blocks; h++ {
		runTexts(m, h, "long="+strings.Repeat(string(rune('a'+h)), value))
	}
	m.Digest()
	const most = maxPieceBytes + value + feed.PieceBytes + 1<<10
	require.Less(f, most, blocks*value)
	for _, q := range [][]byte{
		(&LinksQuery{After: feed.Beginning(), Until: 2, Prove: true}).Encode(), (&LinksQuery{After: feed.Beginning(), Until: 1}).Encode(),
		(&LinksQuery{Until: 9, Prove: true}).Encode(), (&PiecesQuery{Height: 1, Until: 2}).Encode(), (&PiecesQuery{Height: 2, Index: 7}).Encode(),
		(&PiecesQuery{Height: 1, Until: 3 + blocks}).Encode(), (&LinksQuery{After: feed.Beginning(), Until: 2 + blocks, Prove: true}).Encode(),
	} {
		a, _ := m.Query(context.Background(), q)
		f.Add(q[len(feedMagic):], a)
	}
	f.Fuzz(func(t *testing.T, q, answer []byte) {
		b, err := m.feed(q)
		if err == nil {
			require.LessOrEqual(t, len(b), most)
		}
		if a, err := DecodeFeedAnswer(answer); err == nil {
			require.Equal(t, answer, a.Encode())
		}
		if b, err := decodeFed(answer); err == nil {
			require.Equal(t, answer, b.encode())
		}
	})
}

// The text becomes a result: short, and of nothing that a version of Go decides on.
func TestReservedKeyErrorIsShort(t *testing.T) {
	e := &ReservedKeyError{[]byte(feed.Reserved + strings.Repeat("\u00e9", 4000))}
	require.Less(t, len(e.Error()), 256)
	for _, r := range e.Error() {
		require.Less(t, r, rune(0x7f))
	}
	require.Contains(t, (&ReservedKeyError{[]byte(feed.Reserved)}).Error(), "key ff7061726c65792f is")
}
