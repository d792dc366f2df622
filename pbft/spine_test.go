package pbft

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

// quietCore is a core that nothing happens to but what the test does.
func quietCore(t *testing.T) *Core {
	w := newWorld(equalWeights(4), 1, nil)
	w.tick()
	return w.nodes[1].core
}

// While views fail one after another nothing is pruned, and a replica writes down every
// NewView that it enters by: their number is bounded all the same, and those stay that
// a certificate names or that are older than the row.
func TestBoundNewViews(t *testing.T) {
	c := quietCore(t)
	log := map[RecordKey]bool{}
	enter := func(v View) *NewView {
		var out Output
		n := &NewView{View: v}
		c.durable.View, c.durable.Entered = v, true
		c.putNewView(n, &out)
		for _, r := range out.Records {
			if r.Delete {
				require.True(t, log[r.Key])
				delete(log, r.Key)
			} else {
				log[r.Key] = true
			}
		}
		return n
	}
	enter(1)
	named := enter(2)
	c.high = &Certificate{Statement: Statement{View: 2, NewView: named.Digest()}}
	const views = 3 * maxStoredNewViews
	for v := View(3); v <= views; v++ {
		enter(v)
		require.True(t, log[RecordKey{Kind: RecordNewView, Height: uint64(v)}], "the present one is on the disk (R19)")
		require.LessOrEqual(t, len(log), maxStoredNewViews)
	}
	require.Len(t, c.storedNVs, len(log))
	require.True(t, log[RecordKey{Kind: RecordNewView, Height: 1}])
	require.True(t, log[RecordKey{Kind: RecordNewView, Height: 2}])
	require.EqualValues(t, views-maxStoredNewViews, c.counters.DroppedNewView[DropBound])
	// Named ones stay, however many.
	c.storedNVs = nil
	for v := range View(maxStoredNewViews) {
		n := &NewView{View: v + 1}
		c.kept = append(c.kept, &Certificate{Statement: Statement{View: n.View, NewView: n.Digest()}})
		c.storedNVs = append(c.storedNVs, storedNewView{view: n.View, digest: n.Digest()})
	}
	enter(views + 1)
	require.Len(t, c.storedNVs, maxStoredNewViews+1)
}

// Each NewView that is not kept is counted, and under why.
func TestDroppedNewViewsAreCounted(t *testing.T) {
	c := quietCore(t)
	c.durable.View, c.durable.Entered = 10, true
	nv := func(v View, salt string) *NewView {
		return &NewView{View: v, Certificate: &Certificate{Statement: Statement{Block: crypto.Hash(crypto.Domain(salt))}}}
	}
	name := func(n *NewView) *Certificate {
		return &Certificate{Statement: Statement{View: n.View, NewView: n.Digest()}}
	}
	var want [Drops]uint64
	expect := func(why Drop, what string) {
		t.Helper()
		if why != NoDrop {
			want[why]++
		}
		require.Equal(t, want, c.counters.DroppedNewView, what)
	}
	var out Output
	blocks := func(n *NewView, q *Certificate) {
		c.storeNewViews(&Blocks{NewViews: []*NewView{n}, Certificate: q}, &out)
	}

	blocks(nv(11, ""), nil)
	expect(DropFutureView, "of a view above")
	blocks(nv(5, ""), nil)
	expect(DropUnwanted, "no certificate names it")
	first, second, third := nv(5, "a"), nv(5, "b"), nv(5, "c")
	blocks(first, name(first))
	blocks(second, name(second))
	expect(NoDrop, "two of a view")
	blocks(first, name(first))
	expect(DropDuplicate, "known")
	blocks(third, name(third))
	expect(DropBound, "a third")
	require.Len(t, c.storedNVs, 2)

	c.noteRival(3, nv(7, ""), &out)
	expect(DropOldView, "nobody may name it yet")
	a, b := nv(10, "a"), nv(10, "b")
	c.noteRival(3, nv(8+1, ""), &out)
	c.noteRival(3, a, &out)
	expect(NoDrop, "they wait")
	c.noteRival(3, a, &out)
	expect(DropDuplicate, "it waits already")
	c.noteRival(3, b, &out)
	expect(DropBound, "takes the place of another")
	c.durable.View = 12
	c.noteRival(3, nv(12, ""), &out)
	expect(DropOldView, "takes the place of one of an older view")
	c.noteRival(2, nv(12, "d"), &out)
	c.noteRival(0, nv(12, "d"), &out)
	expect(NoDrop, "they wait")
	c.noteStored(storedNewView{view: 12, digest: nv(12, "e").Digest()})
	c.storeRivals(name(nv(12, "d")), &out)
	expect(DropDuplicate, "two peers sent it")

	for v := View(100); len(c.storedNVs) < maxStoredNewViews; v++ {
		c.noteStored(storedNewView{view: v})
	}
	c.durable.View = 5000
	n := nv(4000, "")
	blocks(n, name(n))
	expect(DropBound, "full")
}
