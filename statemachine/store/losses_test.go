package store

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine"
	"github.com/parley-bft/parley/statemachine/store/proof"
)

func lostKeys(stats *SyncStats) (keys []string) {
	for _, d := range stats.Lost {
		keys = append(keys, string(d.Key))
	}
	slices.Sort(keys)
	return keys
}

// underNode returns a damaged node's keys. It is the one with fewest of at least four.
func underNode(t *testing.T, s *Store, m model) (c *child, keys []string) {
	for _, n := range liveNodes(t, s) {
		var below []string
		for k := range m {
			if path := proof.Path([]byte(k)); belowOf([]*child{n}, &path) == 0 {
				below = append(below, k)
			}
		}
		if n.digit > 0 && len(below) >= 4 && (c == nil || len(below) < len(keys)) {
			c, keys = n, below
		}
	}
	require.NotNil(t, c)
	slices.Sort(keys)
	return c, keys
}

// Where a node of the tree is damaged, nothing here knows whether the values below it are
// right. The repair says where they lie and how many there are, and names those that were
// lost as far as peers' state shows them.
func TestLossesBelowADamagedNode(t *testing.T) {
	there := numbered(1000, "v")
	for _, later := range []bool{false, true} {
		b := storeOf(t, memory(3), 9, there)
		require.NoError(t, b.Flush())
		c, keys := underNode(t, b, there)
		newer := maps.Clone(there)
		if later {
			newer[keys[2]] = "written since"
			newer["and another key"] = "written since"
		}
		a := storeOf(t, memory(3), 9, newer)
		outside := slices.DeleteFunc(slices.Sorted(maps.Keys(there)), func(k string) bool { return slices.Contains(keys, k) })[0]
		id := c.id()
		poke(t, b, id.key(), gone)
		poke(t, b, lastKey(keys[0]), gone)
		for _, k := range []string{keys[1], outside} {
			poke(t, b, lastKey(k), func(b []byte) []byte { return append(b, 'x') })
		}
		stats, err := b.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
		require.NoError(t, err)
		require.Equal(t, content(t, a), content(t, b))
		want := []string{keys[0], keys[1], outside}
		if later { // what is another one may have been written since
			want = []string{keys[0], outside}
		}
		slices.Sort(want)
		require.Equal(t, want, lostKeys(&stats))
		require.Equal(t, len(want), stats.Damaged)
		require.Len(t, stats.Unreadable, 1)
		require.Contains(t, stats.Unreadable[0].Reason, fmt.Sprintf("begins with the digits %s: ", c.place.Hex()[:c.digit]))
		require.Contains(t, stats.Unreadable[0].Reason, fmt.Sprintf("; %d keys are there,", len(keys)-1))
		require.Nil(t, b.lost)
	}
}

// What is damaged is named, too, where the tree is made anew for another reason: it cannot
// be sealed, or the history cannot be read.
func TestLossesOfATreeMadeAnew(t *testing.T) {
	there := numbered(1000, "v")
	a := storeOf(t, memory(3), 9, there)
	damage := func(t *testing.T, b *Store) {
		poke(t, b, lastKey("key 7"), func(b []byte) []byte { return append(b, 'x') })
		poke(t, b, lastKey("key 8"), gone)
	}
	for name, ruin := range map[string]func(b *Store){
		"history": func(b *Store) {
			require.NoError(t, b.Commit(10))
			b.Block().Set([]byte("key 1"), []byte("other"))
			require.NoError(t, b.Commit(11))
			require.NoError(t, b.Flush())
			damage(t, b)
			poke(t, b, journalKey(11, 0), func(b []byte) []byte { return b[:len(b)-1] })
		},
		"seal": func(b *Store) {
			damage(t, b)
			root := b.tree.root().id()
			b.Block().Set([]byte("key 1"), []byte("other"))
			require.NoError(t, b.Commit(10))
			poke(t, b, root.key(), gone)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := storeOf(t, memory(3), 9, there)
			require.NoError(t, b.Flush())
			ruin(b)
			stats, err := b.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
			require.NoError(t, err)
			require.Equal(t, content(t, a), content(t, b))
			if name == "seal" { // the root is gone, and with it all digests
				require.Equal(t, []string{"key 8"}, lostKeys(&stats))
				require.Contains(t, stats.Unreadable[0].Reason, "the digests of all of them: ")
				return
			}
			require.Equal(t, []string{"key 7", "key 8"}, lostKeys(&stats))
			require.Equal(t, 2, stats.Damaged)
		})
	}
}

// A repair that ended in between, with its process, does not know any more what was damaged.
func TestLossesOfARepairBegunBefore(t *testing.T) {
	there := numbered(100, "v")
	a, b := storeOf(t, memory(3), 9, there), storeOf(t, memory(3), 9, there)
	require.NoError(t, b.Flush())
	poke(t, b, lastKey("key 8"), gone)
	b.mu.Lock()
	b.unfinished()
	b.tree.seals = nil
	b.mu.Unlock()
	stats, err := b.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
	require.NoError(t, err)
	require.Equal(t, content(t, a), content(t, b))
	require.Equal(t, []string{"key 8"}, lostKeys(&stats))
	require.Len(t, stats.Unreadable, 1)
	require.LessOrEqual(t, len(stats.Unreadable), statemachine.MaxUnreadable)
}
