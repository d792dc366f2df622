package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/parley-bft/parley/statemachine/store/proof"
)

// liveNodes are the nodes of the last tree.
func liveNodes(t require.TestingT, s *Store) (all []*child) {
	var down func(c *child)
	down = func(c *child) {
		if c == nil || c.leaf {
			return
		}
		all = append(all, c)
		n, err := s.load(c)
		require.NoError(t, err)
		for i := range n.children {
			down(&n.children[i])
		}
	}
	down(s.tree.root())
	return all
}

// poke changes the database as no program should.
func poke(t require.TestingT, s *Store, key []byte, twist func(b []byte) []byte) {
	v, err := s.db.get(key)
	require.NoError(t, err)
	b := s.db.newBatch()
	if v = twist(v); v == nil {
		b.delete(key)
	} else {
		b.set(key, v)
	}
	require.NoError(t, b.write(true))
	require.NoError(t, s.forget())
}

func flipBit(bit int) func(b []byte) []byte {
	return func(b []byte) []byte { b[bit/8%len(b)] ^= 1 << (bit % 8); return b }
}

func gone([]byte) []byte { return nil }

// harm damages a store at random and returns which keys' values it damaged, and whether
// it damaged nodes.
func harm(t *rapid.T, s *Store, m model, times int) (keys map[string]DamageKind, nodes int) {
	keys = make(map[string]DamageKind)
	names := slices.Sorted(maps.Keys(m))
	for range times {
		switch kind := rapid.IntRange(0, 5).Draw(t, "kind"); {
		case kind == 0:
			k := fmt.Sprint("extra ", rapid.IntRange(0, 50).Draw(t, "extra"))
			poke(t, s, lastKey(k), func([]byte) []byte { r := record{value: []byte("x"), height: 1}; return r.encode() })
			keys[k] = UnknownValue
		case kind < 4 && len(names) > 0:
			k := rapid.SampledFrom(names).Draw(t, "damaged key")
			if keys[k] != 0 {
				continue
			}
			if kind == 1 {
				poke(t, s, lastKey(k), gone)
				keys[k] = MissingValue
				continue
			}
			poke(t, s, lastKey(k), func(b []byte) []byte {
				if kind == 2 { // also of the mark that makes it a value
					b[8] = 7
				}
				return append(b, 'x')
			})
			keys[k] = DamagedValue
		case kind >= 4 && nodes == 0: // one, as those above hide those below
			all := liveNodes(t, s)
			if len(all) == 0 {
				continue
			}
			c := rapid.SampledFrom(all).Draw(t, "node")
			id := c.id()
			nodes++
			if kind == 4 {
				poke(t, s, id.key(), gone)
			} else {
				bit := rapid.IntRange(0, 1<<14).Draw(t, "bit")
				poke(t, s, id.key(), flipBit(bit))
			}
		}
	}
	return keys, nodes
}

// Whatever is damaged beneath the tree or in it, a scrub finds it, and a synchronisation
// with a scrub repairs it, at a cost that depends on what differs.
func TestScrubAndRepair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{0, 1, 2, 30, 1000}).Draw(t, "size")
		there := numbered(size, "v")
		a := storeOf(t, memory(3), 9, there)
		here := maps.Clone(there)
		differ := rapid.IntRange(0, 10).Draw(t, "differ")
		for range differ {
			k := fmt.Sprint("key ", rapid.IntRange(0, size+3).Draw(t, "differing key"))
			if rapid.Bool().Draw(t, "gone") {
				delete(here, k)
			} else {
				here[k] = "other"
			}
		}
		b := storeOf(t, memory(3), rapid.Uint64Range(4, 12).Draw(t, "height"), here)
		require.NoError(t, b.Flush())
		keys, nodes := harm(t, b, here, rapid.IntRange(0, 8).Draw(t, "times"))
		lowered := rapid.Bool().Draw(t, "height in a record") && len(here) > 0 && len(keys) == 0
		if lowered {
			k := slices.Sorted(maps.Keys(here))[0]
			poke(t, b, lastKey(k), func(b []byte) []byte { binary.BigEndian.PutUint64(b, 1<<40); return b })
		}

		if nodes == 0 && !lowered {
			r, err := b.Scrub(t.Context(), 100)
			require.NoError(t, err)
			require.False(t, r.More)
			got := map[string]DamageKind{}
			var last []byte
			for _, d := range r.Damages {
				got[string(d.Key)] = d.Kind
				path := proof.Path(d.Key)
				require.Negative(t, bytes.Compare(last, path[:]), "in the order of the keys' hashes")
				last = path[:]
			}
			require.Equal(t, keys, got)
			if n := rapid.IntRange(0, 9).Draw(t, "limit"); n < len(keys) {
				few, err := b.Scrub(t.Context(), n)
				require.NoError(t, err)
				require.True(t, few.More)
				require.Len(t, few.Damages, n)
				for i := range few.Damages {
					require.Equal(t, r.Damages[i].Key, few.Damages[i].Key, "the first ones")
				}
			}
		} else if nodes > 0 {
			r, err := b.Scrub(t.Context(), 100)
			require.NoError(t, err)
			// One bit of a node may be of no consequence: where versions are not hashed a child
			// is not there then, which is the child's damage.
			require.Equal(t, DamagedNode, r.Damages[0].Kind)
			require.ErrorIs(t, r.Damages[0].Err, ErrCorrupt)
			_, _, _, err = b.Compare(t.Context(), scrubbed(wants(t, a, honest(a))), 10)
			if _, last := b.Heights(); last == 9 {
				require.ErrorIs(t, err, ErrCorrupt)
			}
			require.NoError(t, b.err(), "looking does no harm")
		}

		stats, err := b.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
		require.NoError(t, err)
		require.Equal(t, content(t, a), content(t, b))
		if nodes == 0 {
			require.Equal(t, len(keys), stats.Damaged)
			require.LessOrEqual(t, stats.Values, 16*(len(keys)+differ), "only what differs, and what stood beside it alone")
			require.LessOrEqual(t, stats.Nodes, 8*(len(keys)+differ))
		}
		r, err := b.Scrub(t.Context(), 100)
		require.NoError(t, err)
		require.Empty(t, r.Damages)
		require.Equal(t, size, r.Values)
		require.NoError(t, a.Flush())
		for _, space := range []byte{spaceLast, spaceHistory, spaceJournal, spaceNodes} {
			require.Equal(t, count(t, a, space), count(t, b, space), "space %c", space)
		}
		for _, s := range []*Store{a, b} { // life goes on
			s.Block().Set([]byte("later"), []byte("v"))
			require.NoError(t, s.Commit(10))
		}
		require.Equal(t, content(t, a), content(t, b))
		da, err := a.Digest()
		require.NoError(t, err)
		db, err := b.Digest()
		require.NoError(t, err)
		require.Equal(t, da, db)
	})
}

func scrubbed(w Sync) Sync { w.Scrub = true; return w }

// More values than are dropped one by one, and a tree whose root is gone.
func TestRepairOfALot(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine")
	}
	there := numbered(2*mendValues, "v")
	a := storeOf(t, memory(3), 9, there)
	for _, root := range []bool{false, true} {
		disk := vfs.NewMem()
		c := onDisk(3, disk)
		b := storeOf(t, c, 4, there)
		require.NoError(t, b.Flush())
		if root {
			id := b.tree.root().id()
			poke(t, b, id.key(), gone)
		} else {
			for i := range mendValues + 10 {
				poke(t, b, lastKey(fmt.Sprint("key ", i)), flipLast)
			}
		}
		require.NoError(t, b.Close())
		b = open(t, c)
		stats, err := b.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
		require.NoError(t, err)
		if root {
			require.Zero(t, stats.Requests, "the values were right")
		} else {
			require.Equal(t, mendValues+10, stats.Damaged, "also those beyond the list")
			require.Equal(t, mendValues+10, stats.Changed)
		}
		require.Equal(t, content(t, a), content(t, b))
		require.NoError(t, b.Close())
		b = open(t, c)
		require.Equal(t, content(t, a), content(t, b))
		require.NoError(t, b.Close())
	}
}

// A store that has met damage fails, says what to do, and is repaired by a
// synchronisation.
func TestRepairOfAFailedStore(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(500, "v"))
	b := storeOf(t, memory(3), 4, numbered(500, "v"))
	require.NoError(t, b.Flush())
	all := liveNodes(t, b)
	last := all[len(all)-1].id()
	poke(t, b, last.key(), gone)
	b.Block().Set([]byte("x"), nil)
	for i := range 500 {
		b.Block().Set(fmt.Append(nil, "key ", i), []byte("w"))
	}
	require.NoError(t, b.Commit(5))
	_, err := b.Digest()
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, "other replicas")
	require.ErrorIs(t, b.Commit(6), ErrCorrupt)
	_, err = b.Sync(t.Context(), wants(t, a, honest(a)))
	require.ErrorIs(t, err, ErrCorrupt, "without a scrub nothing is repaired")
	_, err = b.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
	require.NoError(t, err)
	require.Equal(t, content(t, a), content(t, b))
	require.NoError(t, b.Commit(10))
}

// Wherever the database fails during a repair, the next one, of another process, makes
// the state good.
func TestFaultsDuringARepair(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine")
	}
	there := numbered(60, "v")
	a := storeOf(t, memory(3), 9, there)
	for _, node := range []bool{false, true} {
		faults := 0
		for n := 0; ; n += 1 + n/30 {
			left := 1 << 30
			d := &flakyDisks{left: &left}
			c := memory(3)
			c.disks = func(Config, func(error)) (disks, error) { return d, nil }
			here := maps.Clone(there)
			here["key 3"], here["key 4"], here["more"] = "other", "other", ""
			s := storeOf(t, c, 12, here)
			require.NoError(t, s.Flush())
			poke(t, s, lastKey("key 7"), flipLast)
			poke(t, s, lastKey("key 8"), gone)
			if node {
				all := liveNodes(t, s)
				id := all[len(all)-1].id()
				poke(t, s, id.key(), gone)
			}
			left = n
			_, err := s.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
			if err == nil {
				break
			}
			faults++
			require.ErrorIs(t, err, ErrFailed)
			require.ErrorIs(t, err, errDisk)
			require.NoError(t, s.Close())
			left = 1 << 30
			s = open(t, c)
			_, err = s.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
			require.NoError(t, err, "after fault %d", n)
			require.Equal(t, content(t, a), content(t, s))
			r, err := s.Scrub(t.Context(), 1)
			require.NoError(t, err)
			require.Empty(t, r.Damages)
			require.NoError(t, a.Flush())
			for _, space := range []byte{spaceLast, spaceHistory, spaceJournal, spaceNodes} {
				require.Equal(t, count(t, a, space), count(t, s, space), "space %c after fault %d", space, n)
			}
			require.NoError(t, s.Commit(10))
			require.NoError(t, s.Close())
		}
		require.Greater(t, faults, 20)
	}
}

// A repair that is cancelled wherever it looks at its context goes on later.
func TestCancelledRepair(t *testing.T) {
	there := numbered(1100, "v")
	a := storeOf(t, memory(3), 9, there)
	for n := 1; ; n += 1 + n/4 {
		s := storeOf(t, memory(3), 12, there)
		require.NoError(t, s.Flush())
		root := s.tree.root().id()
		poke(t, s, root.key(), gone)
		poke(t, s, lastKey("key 7"), flipLast)
		_, err := s.Sync(&countdown{Context: t.Context(), left: n}, scrubbed(wants(t, a, honest(a))))
		if err == nil {
			require.Greater(t, n, 8)
			break
		}
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, s.err())
		_, err = s.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
		require.NoError(t, err)
		require.Equal(t, content(t, a), content(t, s))
	}
}

// countdown is a context that ends when it is looked at for the nth time.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}
