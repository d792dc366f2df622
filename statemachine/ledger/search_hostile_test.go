package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Strangers open lines towards everybody on a path, more than a search may look at. They
// cost it nothing at all: it does what it did without them.
func TestStrangersHideNoPath(t *testing.T) {
	w := newWeb(t)
	w.way(100, "alice", "bank", "bob")
	w.way(100, "alice", "first", "second", "third", "carol")
	type outcome struct {
		hops         []string
		nodes, edges int
	}
	search := func() (all []outcome) {
		for _, p := range []*Pay{found("alice", "bob", 10), found("alice", "carol", 10)} {
			hops, _ := w.find(p)
			all = append(all, outcome{hops, w.nodes, w.edges})
		}
		return all
	}
	before := search()
	require.Equal(t, []string{"alice", "bank", "bob"}, before[0].hops)
	require.Equal(t, []string{"alice", "first", "second", "third", "carol"}, before[1].hops)

	strangers := DefaultLimits().MaxPathEdges + 100
	for i := range strangers {
		// Names below and above those of everybody else.
		for _, stranger := range []string{name("a%06d", i), name("z%06d", i)} {
			w.open(stranger)
			for _, peer := range []string{"alice", "bank", "bob", "third", "carol"} {
				w.do(trust(stranger, peer, MaxAmount, true))
			}
		}
	}
	require.Equal(t, before, search())

	// Not even by what they pay back, to those who owe them nothing any more.
	w.do(trust("bob", "a000000", 5, false))
	w.do(eur("a000000", "bob", 5))
	w.do(trust("bob", "a000000", 0, false))
	require.Equal(t, before, search())
}

// One whom the payee trusts invents all that it may: accounts that it trusts and owes,
// with accounts below them, and below those. They take its share and no more.
func TestInventionsCrowdOutNobody(t *testing.T) {
	w := inventions(t)
	w.way(100, "alice", "north", "south", "west", "bank", "bob") // five hops
	hops, _ := w.find(found("alice", "bob", 10))
	require.Equal(t, []string{"alice", "north", "south", "west", "bank", "bob"}, hops)

	// A payment that there is no way for costs no more than the limits.
	hops, _ = w.find(found("alice", "bob", 1000))
	require.Nil(t, hops)
	require.LessOrEqual(t, w.nodes, DefaultLimits().MaxPathNodes)
	require.LessOrEqual(t, w.edges, DefaultLimits().MaxPathEdges)
}

// inventions are what three accounts whom bob trusts have below them.
func inventions(t testing.TB) *web {
	w := newWeb(t)
	most := int(DefaultLimits().MaxLines)
	for k := range 3 { // with names before and after a bank's
		spammer := []string{"a-spammer", "b-spammer", "z-spammer"}[k]
		w.way(MaxAmount, spammer, "bob")
		for i := range most {
			w.way(MaxAmount, name("%s-%04d", spammer, i), spammer)
			for j := range 3 {
				w.way(MaxAmount, name("%s-%04d-%d", spammer, i, j), name("%s-%04d", spammer, i))
			}
		}
		for i := range 2 * most { // whom it owes without trusting them
			creditor := name("%s-c%04d", spammer, i)
			w.way(MaxAmount, spammer, creditor)
			w.do(eur(spammer, creditor, 50))
		}
	}
	return w
}

// BenchmarkSearch is what a search costs that uses up what it may look at.
func BenchmarkSearch(b *testing.B) {
	w := inventions(b)
	w.open("alice")
	b.ReportAllocs()
	for b.Loop() {
		if hops, _ := w.find(found("alice", "bob", 10)); hops != nil {
			b.Fatal(hops)
		}
	}
	b.ReportMetric(float64(w.nodes), "nodes")
	b.ReportMetric(float64(w.edges), "edges")
}

// Somebody whom the payee trusts trusts an account on the only path, which lets nothing
// through to it, or buys what arrives there at a price that nobody would pay. Both reach
// that account, and neither hides it.
func TestPoisonedPoints(t *testing.T) {
	w := newWeb(t)
	w.way(100, "alice", "bank", "desk", "bob")
	w.way(MaxAmount, "a-spoiler", "bob")
	w.trusts("a-spoiler", "bank", MaxAmount) // the bank knows nothing of it
	w.trusts("a-spoiler", "desk", MaxAmount)
	for _, n := range []string{"bank", "desk"} { // they sell something, but not here
		w.do(&MakeOffer{n, "x", Offer{Sell: "USD", Buy: "EUR", Amount: 1, Price: [2]uint64{1, 1}, Credit: true}})
	}
	hops, _ := w.find(found("alice", "bob", 10))
	require.Equal(t, []string{"alice", "bank", "desk", "bob"}, hops)

	// Conversion: the honest maker is a hop further away than the usurer.
	usd := func(account, peer string) *Trust { return &Trust{account, peer, "USD", MaxAmount, true} }
	for _, n := range []string{"usurer", "maker"} {
		w.open(n)
		price := uint64(1)
		if n == "usurer" {
			price = 1000
		}
		w.do(&MakeOffer{n, "o", Offer{Sell: "USD", Buy: "EUR", Amount: 1000, Price: [2]uint64{price, 1}, Credit: true}})
		w.do(trust(n, "bank", MaxAmount, false))
		w.do(trust("bank", n, 0, true))
	}
	w.open("middle")
	w.do(usd("bob", "usurer"))
	w.do(usd("bob", "middle"))
	w.do(usd("middle", "maker"))
	w.do(&Trust{"middle", "bob", "USD", 0, true})
	pay := &Pay{From: "alice", To: "bob", Source: "EUR", Asset: "USD", Amount: 1, MaxCost: 5, Find: true}
	w.do(trust("bank", "alice", 100, true))
	hops, cost := w.find(pay)
	require.Equal(t, []string{"alice", "bank", "maker", "maker", "middle", "bob"}, hops)
	require.EqualValues(t, 1, cost)

	// With enough credit for the usurer, its way is the shorter one, and too dear; where the
	// payer would pay it, it is taken.
	w.do(trust("bank", "alice", MaxAmount, true))
	_, cost = w.find(pay)
	require.EqualValues(t, 1, cost)
	pay.MaxCost = 5000
	_, cost = w.find(pay)
	require.EqualValues(t, 1000, cost)
	pay.MaxCost = 0
	_, cost = w.find(pay)
	require.EqualValues(t, 1, cost, "the least that would have to be paid")
}
