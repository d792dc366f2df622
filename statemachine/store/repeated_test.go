package store

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/vfs"
	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/statemachine/store/feed"
)

// Blocks may change nothing, so a state may be that of several heights. A store that returns
// to one of them keeps what is below: the heights, so that it can still return to an older
// snapshot, and the feed of what was changed there.
func TestReturnToARepeatedState(t *testing.T) {
	blocks := []string{"b=1", "b=2", "a=1", "", "", "c=1", "a-"} // the state of 3 is that of 4 and 5
	// run runs the blocks from one on, and calls what is to be done after each.
	run := func(m *Machine, from uint64, after func(h uint64)) {
		for h := from; h <= uint64(len(blocks)); h++ {
			runTexts(m, h, slices.DeleteFunc([]string{blocks[h-1]}, func(op string) bool { return op == "" })...)
			after(h)
		}
	}
	digests := make(map[uint64]string)
	plain := newTexts(t, memory(64), "")
	run(plain, 1, func(h uint64) { digests[h] = plain.Digest().Hex() })
	require.Equal(t, digests[3], digests[5])
	changed := func(upTo uint64) (all []told) {
		for h := uint64(1); h <= upTo; h++ {
			if op := blocks[h-1]; op != "" {
				all = append(all, told{h, 10 * h, []string{op}})
			}
		}
		return all
	}
	for name, take := range map[string]func(*Machine) []byte{
		"whole": func(m *Machine) []byte { return snapshotOf(t, m.Store()) },
		"named": func(m *Machine) []byte { return machineSnapshot(t, m) },
	} {
		for _, c := range []struct{ snapshots, returns []uint64 }{
			{[]uint64{2, 4}, []uint64{4, 2}}, // as TestFeedModel found it
			{[]uint64{2, 4}, []uint64{4, 4, 2}},
			{[]uint64{2, 3}, []uint64{3, 2}},
			{[]uint64{1, 5}, []uint64{5, 1}},
			{[]uint64{3, 5}, []uint64{5, 3}},
			{[]uint64{3, 4, 5}, []uint64{5, 4, 3}},
		} {
			t.Run(strings.ReplaceAll(fmt.Sprint(name, c.snapshots, c.returns), " ", ","), func(t *testing.T) {
				cfg := onDisk(64, vfs.NewMem())
				m := newTexts(t, cfg, "")
				defer func() { require.NoError(t, m.Store().Close()) }()
				taken := make(map[uint64][]byte)
				run(m, 1, func(h uint64) {
					m.Digest()
					if slices.Contains(c.snapshots, h) {
						taken[h] = take(m)
					}
				})
				for _, h := range c.returns {
					require.NoError(t, m.Store().Close())
					m = newTexts(t, cfg, "")
					require.NoError(t, m.Restore(bytes.NewReader(taken[h])))
					m.Restored(h)
					require.Equal(t, digests[h], m.Digest().Hex())
					oldest, last := m.Store().Heights()
					require.Equal(t, []uint64{0, h}, []uint64{oldest, last})
					all, _, err := readFeed(t, m, feed.Beginning(), h)
					require.NoError(t, err)
					require.Equal(t, changed(h), all)
					run(m, h+1, func(h uint64) { require.Equal(t, digests[h], m.Digest().Hex(), "height %d", h) })
				}
			})
		}
	}
}
