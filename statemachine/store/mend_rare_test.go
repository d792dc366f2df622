package store

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// A journal that does not decode, and history that no journal names.
func TestRepairOfTheHistory(t *testing.T) {
	a := storeOf(t, memory(3), 9, numbered(50, "v"))
	b := open(t, memory(3))
	for h := range uint64(6) {
		for i := range 50 {
			b.Block().Set(fmt.Append(nil, "key ", i), fmt.Append(nil, h))
		}
		require.NoError(t, b.Commit(h))
	}
	require.NoError(t, b.Flush())
	poke(t, b, journalKey(5, 0), func(b []byte) []byte { return b[:len(b)-1] })
	poke(t, b, []byte("hnobody knows\x00\x01        "), func([]byte) []byte { r := record{height: 1}; return r.encode() })
	require.NoError(t, b.Commit(6))
	for h := uint64(7); h < 12; h++ {
		require.NoError(t, b.Commit(h))
	}
	require.ErrorIs(t, b.Flush(), ErrCorrupt)
	_, err := b.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
	require.NoError(t, err)
	require.Equal(t, content(t, a), content(t, b))
	require.Zero(t, count(t, b, spaceHistory)+count(t, b, spaceJournal))
	require.NoError(t, b.Commit(10))
	require.NoError(t, b.Flush())
}

// So many nodes are damaged that they are not counted.
func TestScrubOfATreeInRuins(t *testing.T) {
	there := numbered(20_000, "v")
	a := storeOf(t, memory(3), 9, there)
	b := storeOf(t, memory(3), 9, there)
	require.NoError(t, b.Flush())
	batch := b.db.newBatch()
	lost := 0
	for _, c := range liveNodes(t, b) {
		if n, err := b.load(c); err == nil && c.digit > 2 && len(n.children) > 0 {
			id := c.id()
			batch.delete(id.key())
			lost++
		}
	}
	require.Greater(t, lost, maxLost)
	require.NoError(t, batch.write(true))
	require.NoError(t, b.forget())
	r, err := b.Scrub(t.Context(), maxDamages)
	require.NoError(t, err)
	require.True(t, r.More)
	require.Len(t, r.Damages, maxLost+1)
	require.Contains(t, r.Damages[0].Kind.String(), "node")
	_, err = b.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
	require.NoError(t, err)
	require.Equal(t, content(t, a), content(t, b))
}

// A key in a node that is not the one of its path: long keys have both in the record.
func TestScrubFindsALongKeyThatChanged(t *testing.T) {
	long := string(bytes.Repeat([]byte("k"), longName))
	there := model{long + "1": "v", long + "2": "v", "short": "v"}
	a := storeOf(t, memory(3), 9, there)
	b := storeOf(t, memory(3), 9, there)
	require.NoError(t, b.Flush())
	for _, c := range liveNodes(t, b) {
		id := c.id()
		poke(t, b, id.key(), func(b []byte) []byte {
			if i := bytes.Index(b, []byte(long)); i >= 0 {
				b[i+3] ^= 1
			}
			return b
		})
	}
	r, err := b.Scrub(t.Context(), 10)
	require.NoError(t, err)
	require.NotEmpty(t, r.Damages)
	require.Equal(t, DamagedNode, r.Damages[0].Kind)
	_, err = b.Sync(t.Context(), scrubbed(wants(t, a, honest(a))))
	require.NoError(t, err)
	require.Equal(t, content(t, a), content(t, b))
}
