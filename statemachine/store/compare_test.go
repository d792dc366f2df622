package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/crypto"
	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

// differing are the keys at which two contents differ, in the order of their hashes.
func differing(here, there model) (keys []string) {
	all := maps.Clone(here)
	maps.Copy(all, there)
	for k := range all {
		h, isHere := here[k]
		v, isThere := there[k]
		if isHere != isThere || h != v {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		pa, pb := proof.Path([]byte(a)), proof.Path([]byte(b))
		return bytes.Compare(pa[:], pb[:])
	})
	return keys
}

// Two stores that differ in random keys, with random damage beneath the tree: the
// comparison finds exactly the differences, or exactly the first ones, with both values.
func TestCompare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{0, 1, 2, 30, 1000}).Draw(t, "size")
		there := numbered(size, "v")
		here := maps.Clone(there)
		written := map[string]uint64{}
		b := storeOf(t, memory(5), 7, here)
		for h := uint64(8); h < 11; h++ { // what it does wrong, at which height
			before := maps.Clone(here)
			for range rapid.IntRange(0, 6).Draw(t, "differ") {
				k := fmt.Sprint("key ", rapid.IntRange(0, size+3).Draw(t, "differing key"))
				if _, is := here[k]; is && rapid.Bool().Draw(t, "gone") {
					b.Block().Delete([]byte(k))
					delete(here, k)
				} else if v := fmt.Sprint("other ", rapid.IntRange(0, 1).Draw(t, "value")); here[k] != v {
					b.Block().Set([]byte(k), []byte(v))
					here[k] = v
				}
			}
			require.NoError(t, b.Commit(h))
			for _, k := range differing(before, here) {
				written[k] = h
			}
			if rapid.Bool().Draw(t, "flush") {
				require.NoError(t, b.Flush())
			}
		}
		_, err := b.Digest()
		require.NoError(t, err)
		a := storeOf(t, memory(5), 10, there)
		want := wants(t, a, honest(a))
		later := rapid.Bool().Draw(t, "a later block")
		if later {
			b.Block().Set([]byte("key 0"), []byte("later"))
			b.Block().Set([]byte("key 5"), []byte("later"))
			require.NoError(t, b.Commit(11))
			_, err := b.Digest()
			require.NoError(t, err)
		}
		damaged := map[string]DamageKind{}
		if rapid.Bool().Draw(t, "damage") && !later {
			require.NoError(t, b.Flush())
			sound := maps.Clone(here)
			for k := range written {
				delete(sound, k)
			}
			for range rapid.IntRange(0, 4).Draw(t, "times") {
				names := slices.Sorted(maps.Keys(sound))
				if len(names) == 0 {
					break
				}
				k := rapid.SampledFrom(names).Draw(t, "damaged key")
				delete(sound, k)
				switch rapid.IntRange(0, 2).Draw(t, "damage") {
				case 0:
					poke(t, b, lastKey(k), gone)
					delete(here, k)
				case 1:
					poke(t, b, lastKey(k), flipLast)
					here[k] = string(flipLast([]byte(here[k])))
				case 2:
					k = "extra " + k
					poke(t, b, lastKey(k), func([]byte) []byte { r := record{value: []byte("x"), height: 7}; return r.encode() })
					here[k] = "x"
				}
				damaged[k] = DamagedValue
			}
			want.Scrub = true
		}

		expected := differing(here, there)
		limit := rapid.SampledFrom([]int{0, 1, 2, 5, 100}).Draw(t, "limit")
		ds, more, stats, err := b.Compare(t.Context(), want, limit)
		require.NoError(t, err)
		require.Equal(t, len(expected) > limit, more)
		require.Len(t, ds, min(limit, len(expected)))
		for i, d := range ds {
			k := string(d.Key)
			require.Equal(t, expected[i], k)
			v, is := here[k]
			require.Equal(t, is, d.IsHere)
			require.Equal(t, v, string(d.Here))
			v, is = there[k]
			require.Equal(t, is, d.IsThere)
			require.Equal(t, v, string(d.There))
			require.Equal(t, damaged[k] != 0, d.Damaged)
			switch {
			case damaged[k] == 0:
				require.Equal(t, written[k], d.Written, "%s", k)
			case d.IsHere:
				require.Equal(t, uint64(7), d.Written, "%s", k)
			}
		}
		require.LessOrEqual(t, stats.Nodes, 8*len(expected)+16, "it costs what differs")
		if len(expected) == 0 {
			require.Zero(t, stats.Requests)
		}
		require.NoError(t, b.err())
	})
}

// Where the trees part at other digits: keys are chosen so that one more key splits an
// edge above many, and so that no node on the way has a leaf.
func TestTreesThatPartElsewhere(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	// Keys by the first digits of their paths.
	byPrefix := map[[2]byte][]string{}
	for i := range 60_000 {
		k := fmt.Sprint("key ", i)
		p := proof.Path([]byte(k))
		at := [2]byte{p[0], p[1] >> 4}
		byPrefix[at] = append(byPrefix[at], k)
	}
	m := func(keys ...string) model {
		out := model{}
		for _, k := range keys {
			out[k] = "v"
		}
		return out
	}
	deep := byPrefix[[2]byte{0x12, 3}] // some 15, which have three digits in common
	require.Greater(t, len(deep), 8)
	one, two, far := byPrefix[[2]byte{0x12, 4}][0], byPrefix[[2]byte{0x1f, 0}][0], byPrefix[[2]byte{0xf0, 0}][0]
	all := m(deep...)
	with := func(more ...string) model {
		out := maps.Clone(all)
		maps.Copy(out, m(more...))
		return out
	}
	without := func(m model, keys ...string) model {
		out := maps.Clone(m)
		for _, k := range keys {
			delete(out, k)
		}
		return out
	}
	states := []model{{}, m(one), m(far), all, with(one), with(two), with(far), with(one, two), with(one, two, far), with(one, far), without(with(two), deep[0]), without(with(two, far), deep...), m(deep[0]), m(deep[0], deep[1])}
	for i, here := range states {
		for j, there := range states {
			a := storeOf(t, memory(3), 9, there)
			b := storeOf(t, memory(3), 9, here)
			want := wants(t, a, honest(a))
			expected := differing(here, there)
			for _, limit := range []int{1, 3, 100} {
				ds, more, stats, err := b.Compare(t.Context(), want, limit)
				require.NoError(t, err)
				var got []string
				for _, d := range ds {
					got = append(got, string(d.Key))
				}
				require.Equal(t, len(expected) > limit, more)
				require.Equal(t, expected[:min(limit, len(expected))], got, "%d and %d", i, j)
				require.LessOrEqual(t, stats.Values, 2*len(expected)+1, "%d and %d", i, j)
			}
			stats, err := b.Sync(t.Context(), want)
			require.NoError(t, err)
			require.Equal(t, content(t, a), content(t, b))
			require.Equal(t, len(expected), stats.Changed, "%d and %d", i, j)
		}
	}
}

// A node without a leaf, that is below an edge which is split here: its place is found by
// asking for what is below it.
func TestPlaceOfANodeWithoutLeaves(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	// Pairs of keys that have four digits in common, under nodes that have pairs only.
	groups := map[[2]byte][]string{}
	for i := range 400_000 {
		k := fmt.Sprint("key ", i)
		p := proof.Path([]byte(k))
		groups[[2]byte{p[0], p[1]}] = append(groups[[2]byte{p[0], p[1]}], k)
	}
	there := model{}
	for second := range 4 {
		for _, k := range groups[[2]byte{0xab, byte(0xc0 + second)}][:2] {
			there[k] = "v"
		}
	}
	here := maps.Clone(there)
	here[groups[[2]byte{0xa0, 0}][0]] = "v" // parts at the second digit
	here[groups[[2]byte{0xab, 0}][0]] = "v" // and at the third
	a, b := storeOf(t, memory(3), 9, there), storeOf(t, memory(3), 9, here)
	expected := differing(here, there)
	ds, _, stats, err := b.Compare(t.Context(), wants(t, a, honest(a)), 10)
	require.NoError(t, err)
	require.Len(t, ds, 2)
	for i := range ds {
		require.Equal(t, expected[i], string(ds[i].Key))
	}
	require.Zero(t, stats.Values)
	sync, err := b.Sync(t.Context(), wants(t, a, honest(a)))
	require.NoError(t, err)
	require.Equal(t, 2, sync.Changed)
	require.Zero(t, sync.Values)
	require.Equal(t, content(t, a), content(t, b))
}

// The same where the first descendant has no leaf either.
func TestPlaceOfANodeWithoutLeavesBelow(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	// By four digits, and by five.
	groups := map[int]map[byte][]string{}
	for i := range 400_000 {
		k := fmt.Sprint("key ", i)
		p := proof.Path([]byte(k))
		g := int(p[0])<<8 | int(p[1])
		if groups[g] == nil {
			groups[g] = map[byte][]string{}
		}
		groups[g][p[2]>>4] = append(groups[g][p[2]>>4], k)
	}
	pairs := func(g int) (keys []string) {
		for d := range byte(16) {
			if ks := groups[g][d]; len(ks) > 1 {
				keys = append(keys, ks[:2]...)
			}
		}
		return keys
	}
	there := model{}
	for g := 0; g < 1<<16 && len(there) == 0; g++ {
		for h := g + 1; h>>4 == g>>4 && g>>8 != 0; h++ {
			if one, two := pairs(g), pairs(h); len(one) > 2 && len(two) > 2 {
				for _, k := range append(one, two...) {
					there[k] = "v"
				}
				break
			}
		}
	}
	require.NotEmpty(t, there)
	here := maps.Clone(there)
	here[groups[0][0][0]] = "v" // parts at the first digit
	a, b := storeOf(t, memory(3), 9, there), storeOf(t, memory(3), 9, here)
	stats, err := b.Sync(t.Context(), wants(t, a, honest(a)))
	require.NoError(t, err)
	require.Equal(t, 1, stats.Changed)
	require.Zero(t, stats.Values)
	require.Greater(t, stats.Nodes, 2, "two were asked for to know the place of the first")
	require.Equal(t, content(t, a), content(t, b))
}

// A list is bounded by bytes, too.
func TestCompareIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("long, and one goroutine")
	}
	here, there := model{}, model{}
	big := string(make([]byte, 24<<20))
	for i := range 5 {
		here[fmt.Sprint("key ", i)] = big
		there[fmt.Sprint("key ", i)] = big + "x"
	}
	a, b := storeOf(t, memory(3), 9, there), storeOf(t, memory(3), 9, here)
	ds, more, _, err := b.Compare(t.Context(), wants(t, a, honest(a)), 100)
	require.NoError(t, err)
	require.True(t, more)
	expected := differing(here, there)
	require.Len(t, ds, 2)
	require.Equal(t, expected[0], string(ds[0].Key))
	require.Equal(t, expected[1], string(ds[1].Key))

	for k := range there { // what is here counts as well
		there[k] = "small"
	}
	a = storeOf(t, memory(3), 9, there)
	ds, more, _, err = b.Compare(t.Context(), wants(t, a, honest(a)), 100)
	require.NoError(t, err)
	require.True(t, more)
	require.Len(t, ds, 2)
}

func TestCompareErrors(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(50, "there"))
	m := machineOf(t, memory(1), putter{})
	target := statemachine.StateTarget{Height: 9, Digest: crypto.Digest{1}, Peers: []statemachine.StatePeer{honest(a)}}
	compare := func(ctx context.Context, height uint64) error {
		target.Height = height
		ds, more, err := m.CompareState(ctx, target, 10)
		require.Empty(t, ds)
		require.False(t, more)
		return err
	}
	for h := uint64(1); h < 5; h++ {
		run(m, h, "12345678v")
		if h != 3 {
			m.Digest()
		}
	}
	require.ErrorIs(t, compare(t.Context(), 2), statemachine.ErrPruned)
	require.ErrorIs(t, compare(t.Context(), 2), ErrPruned)
	require.ErrorIs(t, compare(t.Context(), 3), ErrNoProof)
	require.ErrorIs(t, compare(t.Context(), 5), ErrFuture)
	require.ErrorIs(t, compare(t.Context(), 4), ErrPeers, "nobody has a state of such a digest")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, compare(ctx, 4), context.Canceled)
	_, err := m.Store().Scrub(ctx, 10)
	require.ErrorIs(t, err, context.Canceled)
}
