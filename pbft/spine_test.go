package pbft

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/parley-bft/parley/crypto"
)

var spineSeed = flag.Uint64("spine.seed", 0, "run only this schedule of TestSpineIsWhole, with a trace")

// maxQuietNewViews bounds the NewViews of a quietCore.
const maxQuietNewViews = 16

// quietCore is a core that nothing happens to but what the test does.
func quietCore(t *testing.T) *Core {
	w := newWorld(equalWeights(4), 1, func(c *Config) { c.MaxNewViews = maxQuietNewViews })
	w.tick()
	return w.nodes[1].core
}

// spineLog is a quietCore that goes from view to view, and the views whose NewViews are
// on its disk.
type spineLog struct {
	t *testing.T
	*Core
	views map[View]bool
}

func newSpineLog(t *testing.T) *spineLog { return &spineLog{t, quietCore(t), map[View]bool{}} }

func (l *spineLog) apply(out *Output) {
	for _, r := range out.Records {
		switch {
		case r.Key.Kind != RecordNewView:
		case r.Delete:
			require.True(l.t, l.views[View(r.Key.Height)])
			delete(l.views, View(r.Key.Height))
		default:
			l.views[View(r.Key.Height)] = true
		}
	}
}

// enter enters a view by a NewView that rests on the certificate.
func (l *spineLog) enter(v View, rests *Certificate) *NewView {
	var out Output
	n := &NewView{View: v, Certificate: rests}
	l.resetView(v)
	l.durable.Entered, l.durable.NewView, l.newView = true, n.Digest(), n
	l.putNewView(n, &out)
	l.apply(&out)
	require.True(l.t, l.views[v], "the present one is on the disk (R19)")
	return n
}

// certify makes the core hold a certificate made under the NewView.
func (l *spineLog) certify(p Phase, n *NewView, h Height) *Certificate {
	q := &Certificate{Statement: Statement{Phase: p, View: n.View, NewView: n.Digest(), Height: h}}
	var out Output
	l.high, l.prepared = q, q
	if p == Commit {
		l.keepSpine(q, &out)
		l.commitQC, l.viewCommit = q, q
	}
	return q
}

// While views fail one after another nothing is pruned, and a replica writes down every
// NewView that it enters by: their number is bounded all the same, and those stay that
// a certificate leads to.
func TestBoundNewViews(t *testing.T) {
	l := newSpineLog(t)
	l.enter(1, nil)
	l.certify(Prepare, l.enter(2, nil), 1)
	const views = 3 * maxQuietNewViews
	for v := View(3); v <= views; v++ {
		l.enter(v, nil)
		require.LessOrEqual(t, len(l.views), maxQuietNewViews+1)
	}
	require.Len(t, l.storedNVs, len(l.views))
	require.True(t, l.views[2], "it is named")
	require.False(t, l.views[1])
	require.True(t, l.views[views-1], "somebody may have a certificate that names it")
	require.EqualValues(t, views-maxQuietNewViews-1, l.counters.DroppedNewView[DropBound])
	// The bound is for those that nothing leads to.
	for i := range l.storedNVs {
		l.storedNVs[i].named = true
	}
	for v := View(views + 1); v < views+maxQuietNewViews; v++ {
		l.enter(v, nil)
	}
	require.Len(t, l.views, 2*maxQuietNewViews)
}

// The blame walk goes from a CommitQC to the NewView that it names, on to the PrepareQC
// that this one rests on, and to the NewView that that one names.
func TestBoundNewViewsSparesWhatNamedOnesRestOn(t *testing.T) {
	l := newSpineLog(t)
	const u = maxQuietNewViews - 1
	for v := View(1); v < u; v++ {
		l.enter(v, nil)
	}
	prepared := l.certify(Prepare, l.enter(u, nil), 5)
	// Of the view between nothing is held but its NewView: it is in none of the row.
	committed := l.certify(Commit, l.enter(u+1, prepared), 5)
	for i := range l.storedNVs {
		l.storedNVs[i].named = false // as after a restart
	}
	for v := View(u + 2); v < 3*u; v++ {
		l.enter(v, committed)
	}
	require.True(t, l.views[u+1], "NewView(w)")
	require.True(t, l.views[u], "NewView(u), which the base of w rests on")
	require.Len(t, l.views, maxQuietNewViews+2)
}

// Whatever is kept may be named yet, and the walk would go on from there.
func TestBoundNewViewsSparesWhatSpareOnesRestOn(t *testing.T) {
	l := newSpineLog(t)
	n := l.enter(1, nil)
	l.enter(2, &Certificate{Statement: Statement{Phase: Prepare, View: 1, NewView: n.Digest(), Height: 1}})
	for v := View(3); l.views[2]; v++ {
		require.True(t, l.views[1], "gone before view 2, in view %d", v)
		l.enter(v, nil)
	}
	require.NotZero(t, l.counters.DroppedNewView[DropBound])
}

// Views that commit a block each and end: no CommitQC is kept for most of them, yet the
// base of the next view rests on each.
func TestBoundNewViewsSparesShortViews(t *testing.T) {
	l := newSpineLog(t)
	var last *Certificate
	const views = 3 * maxQuietNewViews
	for v := View(1); v <= views; v++ {
		last = l.certify(Commit, l.enter(v, last), Height(v))
	}
	require.Len(t, l.views, views)
	require.Zero(t, l.counters.DroppedNewView[DropBound])
}

// A replica that left a view in which something was certified, and that has not got the
// NewView of the next view that did, keeps what it has: others may have the link.
func TestBoundNewViewsSparesCertifiedViews(t *testing.T) {
	for name, leave := range map[string]func(*spineLog, *NewView){
		"a certificate was held": func(l *spineLog, n *NewView) { l.certify(Prepare, n, 1) },
		"a block of it is in the log": func(l *spineLog, n *NewView) {
			h := Header{View: n.View, Height: l.Committed() + 1, Parent: l.CommittedRef().Digest}
			l.chain.push(h, h.Digest(), false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newSpineLog(t)
			leave(l, l.enter(1, nil))
			absent := &NewView{View: 2}
			l.resetView(2)
			other := l.certify(Prepare, absent, 1)
			for v := View(3); v < 3*maxQuietNewViews; v++ {
				l.enter(v, other)
			}
			require.True(t, l.views[1])
		})
	}
}

// However many NewViews of failed views are kept, one that a certificate names has its
// place beside them.
func TestBoundNewViewsTakesNamedOnes(t *testing.T) {
	l := newSpineLog(t)
	for v := View(2); v <= maxQuietNewViews+1; v++ {
		l.enter(v, nil)
	}
	lower := &NewView{View: maxQuietNewViews + 2}
	upper := &NewView{View: lower.View + 1, Certificate: &Certificate{Statement: Statement{View: lower.View, NewView: lower.Digest()}}}
	l.enter(upper.View+1, nil)
	var out Output
	l.storeNewViews(&Blocks{NewViews: []*NewView{upper}, Certificate: &Certificate{Statement: Statement{View: upper.View, NewView: upper.Digest()}}}, &out)
	l.storeNewViews(&Blocks{NewViews: []*NewView{lower}}, &out) // one that is stored names it
	l.apply(&out)
	for v := upper.View + 2; v < 4*maxQuietNewViews; v++ {
		l.enter(v, nil)
	}
	require.True(t, l.views[upper.View])
	require.True(t, l.views[lower.View])
	require.Len(t, l.views, maxQuietNewViews+2)
}

// With the least room for others, the logs of all replicas together have every NewView
// that the blame walk may ask for, in a life in which views fail, are short and are left
// by replicas that were away.
func TestSpineIsWhole(t *testing.T) {
	runSchedules(t, "spine", 12, *spineSeed, func(t *testing.T, seed uint64, trace bool) {
		s := newSchedule(t, seed, 0x591e, trace, [][]uint64{equalWeights(4)}, func(_ *rand.Rand, c *Config) { c.MaxNewViews, c.Retain = 1, 1000 })
		w := s.w
		dropped := uint64(0)
		for range 60 {
			if die := s.rng.IntN(8); die < 5 {
				s.weather(die)
			} else if die < 7 { // nothing is certified any more, or nothing committed
				lost := [...]Phase{5: Prepare, Commit}[die]
				s.cut = func(p packet) bool {
					_, m, err := Decode(p.data)
					require.NoError(t, err)
					v, vote := m.(*Vote)
					return !vote || v.Phase != lost
				}
			}
			s.submit(1, 1)
			s.blow()
			if n := w.nodes[w.nodes[0].core.Primary()]; s.rng.IntN(3) == 0 {
				dropped += n.core.counters.DroppedNewView[DropBound]
				n.crash()
				n.start(false)
			}
		}
		newViews, certificates := map[Digest]*NewView{}, []*Certificate{}
		for _, n := range w.nodes {
			var l logContents
			for k, v := range n.log {
				require.NoError(t, l.add(Record{Key: k, Value: v}))
			}
			certificates = append(append(certificates, l.high, l.commit), l.kept...)
			for _, nv := range l.newViews {
				newViews[nv.Digest()] = nv
			}
			dropped += n.core.counters.DroppedNewView[DropBound]
		}
		require.Positive(t, dropped, "shows nothing")
		steps := 0
		for _, q := range certificates {
			for ; q != nil && q.View > 0; steps++ {
				nv := newViews[q.NewView]
				require.NotNil(t, nv, "%v", q)
				q = nv.Certificate
			}
		}
		require.Greater(t, steps, 20, "shows nothing")
	})
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
	entered := nv(12, "e")
	c.noteStored(newStoredNewView(entered, entered.Digest()))
	c.storeRivals(name(nv(12, "d")), &out)
	expect(DropDuplicate, "two peers sent it")

	c.chain.links[0].View = 4
	blocks(nv(3, ""), name(nv(3, "")))
	expect(DropOldView, "below the log")
}
